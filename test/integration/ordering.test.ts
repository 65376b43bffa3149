/**
 * Goal: a serial endpoint handles one message at a time in the order of its sender, whichever way each message takes; a
 * concurrent one uses every loop, and nothing waits behind a long message while a loop is idle.
 * Method: handlers write down what they see; loops are held at gates instead of by long computations.
 *
 * Bounds of time only catch a hang or a message stuck behind a held loop: ten times the expected and more.
 */
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import type { OrderReport } from "../fixtures/order-endpoint.js";
import { printedRandom } from "../fixtures/random.js";

type Order = typeof import("../fixtures/order-endpoint.js");
type Spread = typeof import("../fixtures/spread-service.js");

const orderModule = fixtureUrl("order-endpoint");
const spreadModule = fixtureUrl("spread-service");

describe("a serial endpoint", () => {
  test.each([4_096, 262_144])(
    "keeps order and never overlaps, through ring, spill and tickets: Inbox of %i bytes",
    async (inboxBytes) => {
      const random = printedRandom(`order, inboxBytes=${inboxBytes}`);
      await using env = await RpcEnv.create({ numThreads: 2, conf: { "rpc.loop.bytes": 4_096 } });
      const ref = await env.setupEndpoint<Order>("order", orderModule, { inboxBytes });
      const sent: number[] = [];
      const asks: Promise<unknown>[] = [];
      for (let n = 0; n < 4_000; n++) {
        const length = random.next() < 0.05 ? random.logarithmic(1_000, 200_000) : random.logarithmic(1, 1_000);
        const turns = random.next() < 0.2 ? random.integer(1, 3) : 0;
        const step = { n, turns, bytes: new Uint8Array(length).fill(n & 255) };
        if (random.next() < 0.3) {
          if (ref.send(step)) sent.push(n);
        } else {
          asks.push(ref.ask(step));
          sent.push(n);
        }
        // Some bursts end, so that the ring runs empty and the sender's turn does too.
        if (random.next() < 0.01) await asks.at(-1);
      }
      await Promise.all(asks);
      const report = (await ref.ask("report")) as OrderReport;
      expect(report.overlaps).toBe(0);
      expect(report.torn).toBe(0);
      expect(report.order).toEqual(sent);
    },
  );

  test("of two endpoints on one loop the one that waits does not hold the other", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const waiting = await env.setupEndpoint<typeof import("../fixtures/call-service-serial.js")>(
      "waiting",
      fixtureUrl("call-service-serial"),
    );
    const free = await env.setupEndpoint<Order>("free", orderModule);
    const passed = waiting.call.gate(gate.name);
    await gate.reached();
    for (let n = 0; n < 100; n++) expect(await free.ask({ n, turns: 1, bytes: new Uint8Array(8).fill(n) })).toBe(n);
    gate.open();
    expect(await passed).toBe("passed");
  });
});

describe("a concurrent endpoint", () => {
  test.each([2, 4])("runs on all of %i loops at once", async (numThreads) => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads });
    const ref = await env.setupEndpoint<Spread>("spread", spreadModule);
    const held = Array.from({ length: numThreads }, () => ref.call.hold(gate.name));
    await gate.reached(numThreads);
    gate.open();
    expect(new Set(await Promise.all(held)).size).toBe(numThreads);
  });

  test("delays no message behind a long one while a loop is idle", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 3 });
    const ref = await env.setupEndpoint<Spread>("spread", spreadModule);
    const held = [ref.call.hold(gate.name), ref.call.hold(gate.name)];
    // In the same burst as what holds two of three loops, and after it.
    const burst = Array.from({ length: 500 }, (_, n) => ref.call.echo(n));
    expect(await Promise.all(burst)).toEqual(burst.map((_, n) => n));
    await gate.reached(2);
    let slowestMs = 0;
    for (let n = 0; n < 500; n++) {
      const startedMs = performance.now();
      await ref.call.echo(n);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    }
    // Expected: under a millisecond, or a time slice where two held loops have the two cores.
    expect(slowestMs).toBeLessThan(1_000);
    gate.open();
    await Promise.all(held);
  });

  test("a message of a second of computing delays no other", async () => {
    await using env = await RpcEnv.create({ numThreads: 2 });
    const ref = await env.setupEndpoint<typeof import("../fixtures/process-service.js")>(
      "work",
      fixtureUrl("process-service"),
    );
    await ref.call.spin(1);
    let done = false;
    const long = ref.call.spin(1_000).then(() => {
      done = true;
    });
    const latenciesMs: number[] = [];
    while (!done) {
      const startedMs = performance.now();
      await ref.call.echo(1);
      latenciesMs.push(performance.now() - startedMs);
    }
    await long;
    latenciesMs.sort((a, b) => a - b);
    // Expected: some 0.1 ms in the middle, a time slice of 10 ms at worst. One stuck behind it takes a second.
    expect(latenciesMs.length).toBeGreaterThan(20);
    expect(latenciesMs[latenciesMs.length >> 1]).toBeLessThan(50);
    expect(latenciesMs.at(-1)).toBeLessThan(500);
  });

  test.each([
    [1, 8],
    [2, 8],
    [2, undefined],
  ])(
    "has up to `concurrency` async handlers in flight on each loop, and no more: %i loops, concurrency %s",
    async (numThreads, concurrency) => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ numThreads });
      const ref = await env.setupEndpoint<Spread>("spread", spreadModule, { concurrency });
      const max = (concurrency ?? 64) * numThreads;
      const asks = Array.from({ length: max + 40 }, () => ref.call.wait(gate.name));
      await gate.reached(max);
      // Another endpoint on each of the loops still turns; nothing of the first is taken meanwhile.
      for (let loop = 1; loop <= numThreads; loop++) {
        const other = await env.setupEndpoint<Order>(`other ${loop}`, orderModule, { loop });
        for (let n = 0; n < 20; n++) await other.ask({ n, turns: 1, bytes: new Uint8Array(0) });
      }
      expect(gate.reachedCount).toBe(max);
      expect(env.stats().endpoints[0]?.depth).toBe(40);
      gate.open();
      expect(new Set(await Promise.all(asks)).size).toBe(numThreads);
      expect(gate.reachedCount).toBe(max + 40);
    },
  );
});
