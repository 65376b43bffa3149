/**
 * Goal: what the engine must not do for each message: notify, allocate shared memory, arm a waiter, open a port, copy
 * shared memory byte by byte, box a control word.
 * Method: the built-ins are watched on loop 0's thread while messages pass. Counts, not times.
 */
import { RpcEnv } from "ringpost";
import { afterEach, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";

type Order = typeof import("../fixtures/order-endpoint.js");
const orderModule = fixtureUrl("order-endpoint");

const undo: (() => void)[] = [];
afterEach(() => {
  for (const restore of undo.splice(0)) restore();
});

/** Puts `look` before every call of `object[name]` until the test ends. */
function watch<T extends object>(
  object: T,
  name: keyof T,
  look: (self: unknown, args: readonly unknown[]) => void,
): void {
  const original = object[name] as (...args: unknown[]) => unknown;
  const watched = function (this: unknown, ...args: unknown[]): unknown {
    look(this, args);
    return original.apply(this, args);
  };
  Object.defineProperty(object, name, { configurable: true, writable: true, value: watched });
  undo.push(() => Object.defineProperty(object, name, { configurable: true, writable: true, value: original }));
}

/** A serial endpoint on one of two loops, and a burst of messages of `bytes` to it in one tick. */
async function burst(count: number, bytes: number, before: () => void): Promise<void> {
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Order>("order", orderModule);
  const step = (n: number) => ({ n, turns: 0, bytes: new Uint8Array(bytes).fill(n & 255) });
  await ref.ask(step(0));
  before();
  const asks: Promise<unknown>[] = [];
  for (let n = 1; n <= count; n++) asks.push(ref.ask(step(n)));
  await Promise.all(asks);
  for (const restore of undo.splice(0)) restore();
}

test("a burst of messages rings a loop a few times, not once for each", async () => {
  let notified = 0;
  await burst(2_000, 64, () => watch(Atomics, "notify", () => notified++));
  // Each 4 KB of the burst may ring once, if the loop fell asleep in between.
  expect(notified).toBeLessThan(200);
});

test("waiters are armed one at a time, without a timeout", async () => {
  const waiting = new Set<number>();
  let most = 0;
  let armed = 0;
  const timeouts: unknown[] = [];
  const target = Atomics as unknown as { waitAsync: (...args: unknown[]) => { value: Promise<unknown> } };
  const original = target.waitAsync;
  undo.push(() => {
    target.waitAsync = original;
  });
  await using env = await RpcEnv.create({ numThreads: 2 });
  target.waitAsync = (...args) => {
    const id = ++armed;
    waiting.add(id);
    most = Math.max(most, waiting.size);
    timeouts.push(args[3]);
    const wait = original.apply(Atomics, args);
    void wait.value.then(() => waiting.delete(id));
    return wait;
  };
  const ref = await env.setupEndpoint<Order>("order", orderModule);
  for (let n = 0; n < 200; n++) {
    await ref.ask({ n, turns: 3, bytes: new Uint8Array(8) });
    // Loop 0 goes to sleep between two asks; with a second waiter beside the first it would never be one.
    await expect.poll(() => waiting.size, { interval: 1 }).toBe(1);
  }
  expect(most).toBeLessThanOrEqual(1);
  expect(timeouts.filter((timeout) => timeout !== undefined)).toEqual([]);
});

test("no shared memory is allocated for messages", async () => {
  let made = 0;
  const original = globalThis.SharedArrayBuffer;
  await burst(2_000, 1_000, () => {
    globalThis.SharedArrayBuffer = class extends original {
      constructor(length: number) {
        super(length);
        made++;
      }
    } as SharedArrayBufferConstructor;
    undo.push(() => {
      globalThis.SharedArrayBuffer = original;
    });
  });
  expect(made).toBe(0);
});

test("shared memory is copied between 8-aligned places, so eight bytes at a time", async () => {
  const views = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
  let copies = 0;
  const unaligned: string[] = [];
  await burst(500, 1_001, () =>
    watch(views, "set", (self, [source, offset = 0]) => {
      const to = self as Uint8Array;
      if (!ArrayBuffer.isView(source)) return;
      if (!(to.buffer instanceof SharedArrayBuffer) && !(source.buffer instanceof SharedArrayBuffer)) return;
      copies++;
      const at = to.byteOffset + (offset as number) * to.BYTES_PER_ELEMENT;
      if (at % 8 !== 0 || source.byteOffset % 8 !== 0) unaligned.push(`from ${source.byteOffset} to ${at}`);
    }),
  );
  expect(copies).toBeGreaterThan(400);
  // Only the names of a new record structure, once for each, lie anywhere.
  expect(unaligned.length, unaligned.slice(0, 20).join("; ")).toBeLessThan(10);
});

test("control words are 32-bit integers, which need no box", async () => {
  let looked = 0;
  const others = new Set<string>();
  await burst(200, 64, () => {
    for (const name of ["load", "store", "exchange", "compareExchange", "or", "and"] as const) {
      watch(Atomics, name, (_self, [words]) => {
        looked++;
        if (!(words instanceof Int32Array)) others.add(Object.prototype.toString.call(words));
      });
    }
  });
  expect(looked).toBeGreaterThan(200);
  expect([...others]).toEqual([]);
});

test("endpoints share the ports of their loop", async () => {
  await using env = await RpcEnv.create({ numThreads: 2 });
  const setUp = (name: string) => env.setupEndpoint<Order>(name, orderModule);
  const first = await setUp("e0");
  const portCount = () => process.getActiveResourcesInfo().filter((kind) => kind === "MessagePort").length;
  const before = portCount();
  for (let n = 1; n < 20; n++) await (await setUp(`e${n}`)).ask({ n, turns: 0, bytes: new Uint8Array(8) });
  await first.ask({ n: 0, turns: 0, bytes: new Uint8Array(8) });
  expect(portCount()).toBeLessThanOrEqual(before);
});
