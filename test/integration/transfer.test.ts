/**
 * Goal: large bytes reach a handler and come back whole, by copy or by `with({ transfer })`, on every kind of loop, at
 * bounded memory; and every ticket for them ends, whatever becomes of its message.
 * Method: bodies of 64 MiB in moved buffers, whose pages are never touched. A ticket that did not end would hold its
 * bytes, and the fifth body of an endpoint, or the seventeenth of an env, would be refused.
 */
import { isRpcError, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import bodyService from "../fixtures/body-service.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Bodies = typeof import("../fixtures/body-service.js");
type SerialBodies = typeof import("../fixtures/body-service-serial.js");

const MIB = 1 << 20;
const LARGE = 64 * MIB;

function large(length = LARGE): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length);
}

/** Faster than an equality of elements by far. */
function isFilled(value: unknown, length: number, byte: number): boolean {
  return value instanceof Uint8Array && Buffer.from(value).equals(Buffer.alloc(length, byte));
}

describe.each(["a worker", "loop 0"])("an endpoint on %s", (where) => {
  async function setup(env: RpcEnv) {
    if (where === "a worker") return env.setupEndpoint<Bodies>("bodies", fixtureUrl("body-service"));
    return env.setupEndpoint("bodies", bodyService);
  }

  test("gets moved buffers, which are detached here at once, and gives bytes back", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setup(env);
    for (const length of [1, 1_000, 20_000, MIB]) {
      const bytes = new Uint8Array(length).fill(3);
      const back = ref.with({ transfer: [bytes.buffer] }).call.echo({ bytes });
      expect(bytes.length).toBe(0);
      expect(isFilled(((await back) as { bytes: unknown }).bytes, length, 3)).toBe(true);
    }
    const { buffer } = new Uint8Array(100);
    const views = [new Uint8Array(buffer, 0, 10), new DataView(buffer, 20)];
    expect(await ref.with({ transfer: [buffer] }).call.sharing(views)).toEqual([true, 100]);
    expect(isFilled((await ref.call.make(MIB)).made, MIB, 7)).toBe(true);
  });

  test("gets large typed arrays whole, in replies and errors too", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setup(env);
    const message = {
      floats: new Float64Array(10_000).fill(1.5),
      map: new Map([["k", new Uint8Array(20_000).fill(2)]]),
    };
    expect(await ref.call.echo(message)).toStrictEqual(message);
    const shared = new Uint8Array(new SharedArrayBuffer(100_000)).fill(4);
    expect(isFilled(await ref.call.echo(shared), 100_000, 4)).toBe(true);
    const failure = await ref.call.fail(20_000).catch((error: unknown) => error);
    expect(isRpcError(failure, "ERR_RPC_HANDLER") && failure.cause).toMatchObject({
      message: "with bytes",
      bytes: new Uint8Array(20_000).fill(9),
    });
  });

  test("what is refused leaves its buffers where they are", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setup(env);
    const bytes = new Uint8Array(MIB).fill(1);
    const { call, cast } = ref.with({ transfer: [bytes.buffer] });
    await expect(call.echo({ bytes, run() {} })).rejects.toMatchObject({
      code: "ERR_RPC_SERIALIZATION",
      message: expect.stringContaining("input 0.run cannot travel"),
    });
    await expect(call.echo("without them")).rejects.toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    expect(() => cast.note("gate", new Uint8Array(1))).toThrow("occurs nowhere in the message");
    await expect(ref.call.echo([ref.with({ timeoutMs: 5 })])).rejects.toMatchObject({
      code: "ERR_RPC_SERIALIZATION",
      message: expect.stringContaining("input 0[0] cannot travel: it is what ref.with(…) returned"),
    });
    const aborted = AbortSignal.abort("before");
    await expect(ref.with({ transfer: [bytes.buffer], signal: aborted }).call.echo(bytes)).rejects.toBe("before");
    await env.stop(ref);
    await expect(call.echo(bytes)).rejects.toMatchObject({ code: "ERR_RPC_ENDPOINT_NOT_FOUND" });
    expect(cast.note("gate", bytes)).toBe(false);
    expect(isFilled(bytes, MIB, 1)).toBe(true);
  });

  test("64 MiB each way again and again stay at bounded memory", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setup(env);
    const bytes = large().fill(5);
    expect(((await ref.call.echo(bytes)) as Uint8Array).length).toBe(LARGE);
    const before = process.memoryUsage.rss();
    let most = 0;
    for (let round = 0; round < 8; round++) {
      const back = (await ref.call.echo({ bytes })) as { bytes: Uint8Array };
      expect([back.bytes.length, back.bytes[LARGE - 1]]).toEqual([LARGE, 5]);
      most = Math.max(most, process.memoryUsage.rss() - before);
    }
    // At one moment: the copy sent, the copy of the reply, and what two collectors have not noticed yet.
    expect(most).toBeLessThan(8 * LARGE);
  }, 60_000);
});

describe("a ticket ends", () => {
  test("when its body was pulled", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Bodies>("bodies", fixtureUrl("body-service"));
    for (let round = 0; round < 20; round++) {
      const bytes = large();
      expect(await ref.with({ transfer: [bytes.buffer] }).call.pages(bytes)).toBe(0);
    }
  }, 60_000);

  test.each(["aborted", "timed out"])(
    "when its ask was %s in the queue",
    async (how) => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ numThreads: 1 });
      const ref = await env.setupEndpoint<SerialBodies>("bodies", fixtureUrl("body-service-serial"));
      const held = ref.call.hold(gate.name);
      await gate.reached();
      for (let round = 0; round < 20; round++) {
        const bytes = large();
        const transfer = [bytes.buffer];
        if (how === "aborted") {
          const controller = new AbortController();
          const ask = ref.with({ transfer, signal: controller.signal }).call.length(bytes);
          controller.abort(round);
          await expect(ask).rejects.toBe(round);
        } else {
          const ask = ref.with({ transfer, timeoutMs: 1 }).call.length(bytes);
          await expect(ask).rejects.toMatchObject({ code: "ERR_RPC_TIMEOUT" });
        }
      }
      gate.open();
      await held;
      expect(await ref.call.length(new Uint8Array(5))).toBe(5);
    },
    60_000,
  );

  test("when its ask was aborted while the body was on its way", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Bodies>("bodies", fixtureUrl("body-service"));
    for (let round = 0; round < 20; round++) {
      using gate = new Gate();
      const controller = new AbortController();
      const bytes = large();
      // The loop takes the large one, asks for its body, and is mostly held by the next message before it can get it.
      const ask = ref.with({ transfer: [bytes.buffer], signal: controller.signal }).call.pages(bytes);
      const held = ref.call.hold(gate.name);
      await gate.reached();
      if (round % 2 === 0) await new Promise(setImmediate);
      controller.abort("aborted");
      expect(["aborted", 0]).toContain(await ask.catch((reason: unknown) => reason));
      gate.open();
      await held;
    }
  }, 60_000);

  test("when its endpoint stops before its message is taken", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    for (let round = 0; round < 6; round++) {
      using gate = new Gate();
      const ref = await env.setupEndpoint<SerialBodies>("bodies", fixtureUrl("body-service-serial"));
      const held = ref.call.hold(gate.name).catch((error: unknown) => error);
      await gate.reached();
      for (let n = 0; n < 4; n++) {
        const bytes = large(60 * MIB);
        expect(ref.with({ transfer: [bytes.buffer] }).cast.note(gate.name, bytes)).toBe(true);
      }
      const refused = large();
      expect(ref.with({ transfer: [refused.buffer] }).cast.note(gate.name, refused)).toBe(false);
      expect(refused.length).toBe(LARGE);
      const stopped = env.stop(ref, { timeoutMs: 1 });
      gate.open();
      await Promise.all([stopped, held]);
    }
  }, 60_000);

  test("when its loop dies while it waits for the body: only that message fails", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const ref = await env.setupEndpoint<Bodies>("bodies", fixtureUrl("body-service"));
    // One loop is kept busy, so that the other takes both of what follows.
    using other = new Gate();
    const busy = ref.call.hold(other.name);
    await other.reached();
    const bytes = large();
    const pulled = ref.with({ transfer: [bytes.buffer] }).call.pages(bytes);
    const dying = ref.call.holdAndExit(gate.name);
    await gate.reached();
    const later = ref.call.pages(new Uint8Array(MIB).fill(1));
    gate.open();
    await expect(pulled).rejects.toMatchObject({ code: "ERR_RPC_WORKER_CRASHED" });
    await expect(dying).rejects.toMatchObject({ code: "ERR_RPC_WORKER_CRASHED" });
    other.open();
    await busy;
    expect(await later).toBe(MIB / 4_096);
    for (let round = 0; round < 5; round++) {
      const next = large();
      expect(await ref.with({ transfer: [next.buffer] }).call.pages(next)).toBe(0);
    }
  }, 60_000);
});

describe("bodies of up to 2 MiB, in blocks", () => {
  test("come whole with all that is attached to them, also when more are under way than there are blocks", async () => {
    await using env = await RpcEnv.create({ numThreads: 2 });
    const ref = await env.setupEndpoint<Bodies>("bodies", fixtureUrl("body-service"));
    for (const length of [40_000, 65_536, 65_537, MIB, 2 * MIB - 64, 2 * MIB, 3 * MIB]) {
      const bytes = Buffer.alloc(length, "bodies in blocks; ");
      const rest = { floats: new Float64Array(3_000).fill(1.5), text: "x".repeat(5_000), tail: [length] };
      const { bytes: came, ...back } = (await ref.call.echo({ bytes, ...rest })) as typeof rest & { bytes: Uint8Array };
      expect(Buffer.compare(came, bytes)).toBe(0);
      expect(back).toStrictEqual(rest);
    }
    const text = "t".repeat(200_000);
    expect(await ref.call.echo(text)).toBe(text);
    const asks = Array.from({ length: 40 }, (_, n) => ref.call.echo([n, new Uint8Array(100_000).fill(n)]));
    for (const [n, value] of (await Promise.all(asks)).entries()) {
      const [number, bytes] = value as [number, unknown];
      expect([number, isFilled(bytes, 100_000, n)]).toEqual([n, true]);
    }
  }, 60_000);

  test("are not overwritten while their message waits, whatever becomes of its ask", async () => {
    using gate = new Gate();
    // Room for what waits, and no more: a ticket that did not end would leave none for the last.
    await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.spill.bytes": "9m" } });
    const ref = await env.setupEndpoint<SerialBodies>("bodies", fixtureUrl("body-service-serial"));
    const held = ref.call.hold(gate.name);
    await gate.reached();
    const controller = new AbortController();
    const aborted = Array.from({ length: 4 }, () =>
      ref.with({ signal: controller.signal }).call.length(new Uint8Array(MIB)),
    );
    const kept = [1, 2, 3].map((byte) => ref.call.ends(new Uint8Array(MIB).fill(byte)));
    controller.abort("aborted");
    for (const ask of aborted) await expect(ask).rejects.toBe("aborted");
    const more = ref.call.ends(new Uint8Array(MIB).fill(4));
    gate.open();
    await held;
    expect(await Promise.all([...kept, more])).toEqual([1, 2, 3, 4].map((byte) => [byte, byte]));
    expect(await ref.call.length(new Uint8Array(2 * MIB))).toBe(2 * MIB);
    expect(await ref.call.length(new Uint8Array(9 * MIB))).toBe(9 * MIB);
  }, 60_000);
});

test("a deadline that passes while the body is on its way is noticed when it arrives, without a sweep", async () => {
  using gate = new Gate();
  using notes = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const ref = await env.setupEndpoint<Bodies>("bodies", fixtureUrl("body-service"));
  const bytes = large();
  const startedMs = performance.now();
  const ask = ref.with({ timeoutMs: 200, transfer: [bytes.buffer] }).call.note(notes.name, bytes);
  const held = ref.call.hold(gate.name);
  await gate.reached();
  await new Promise(setImmediate);
  // From here on the main thread does not turn, so no sweep can see the deadline pass.
  while (performance.now() < startedMs + 300);
  gate.open();
  while (performance.now() < startedMs + 500);
  await expect(ask).rejects.toMatchObject({ code: "ERR_RPC_TIMEOUT" });
  await held;
  expect(await ref.call.pages(new Uint8Array(1))).toBe(0);
  expect(notes.notes).toEqual([]);
}, 60_000);
