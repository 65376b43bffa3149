/**
 * Goal: bodies too large for a ring, which travel beside it, are handled once or not at all, like any message.
 * Method: asks are given up at the moments when their body is in the queue, on its way, or delivered.
 */
import { defineService, isRpcError, RpcEnv, type RpcUntyped } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { printedRandom } from "../fixtures/random.js";

type Spread = typeof import("../fixtures/spread-service.js");

describe("a large body", () => {
  test("whose ask is aborted while it is on its way is not handled", async () => {
    using notes = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Spread>("spread", fixtureUrl("spread-service"));
    let aborted = 0;
    for (let round = 0; round < 20; round++) {
      using gate = new Gate();
      const controller = new AbortController();
      // The loop takes the large one, which no block could hold, asks for its body, and is held by the next message before
      // it can get it.
      const large = ref.with({ signal: controller.signal }).call.noteLength(notes.name, new Uint8Array(4_000_000));
      const held = ref.call.hold(gate.name);
      await gate.reached();
      // By the time another process has answered, loop 0 has long sent the body.
      await fetchNothing();
      controller.abort(round);
      const [outcome] = await Promise.allSettled([large]);
      if (outcome.status === "rejected") {
        expect(outcome.reason).toBe(round);
        aborted++;
      } else {
        // A busy machine: the turn ended between the two messages, and the body came before the one that holds.
        expect(await notes.note()).toBe(4_000_000);
      }
      gate.open();
      await held;
      expect(await ref.call.noteLength(notes.name, new Uint8Array(1))).toBe(1);
      expect(await notes.note()).toBe(1);
    }
    expect(aborted).toBeGreaterThan(0);
  });

  test.each([4_096, 262_144])(
    "arrives whole among aborted ones, by any number of loops: Inbox of %i bytes",
    async (inboxBytes) => {
      const random = printedRandom(`large bodies, inboxBytes=${inboxBytes}`);
      await using env = await RpcEnv.create({ numThreads: 2, conf: { "rpc.loop.bytes": 4_096 } });
      const ref = await env.setupEndpoint<Spread>("spread", fixtureUrl("spread-service"), {
        inboxBytes,
        concurrency: 4,
      });
      const outcomes: string[] = [];
      const one = async (n: number): Promise<void> => {
        const bytes = new Uint8Array(random.logarithmic(100, 1_000_000)).fill(n & 255);
        const controller = new AbortController();
        const ask = ref.with({ signal: controller.signal }).call.echo(bytes);
        if (random.next() < 0.3) {
          const turns = random.integer(0, 5);
          for (let turn = 0; turn < turns; turn++) await null;
          if (random.next() < 0.5) await ref.call.echo(n);
          controller.abort("aborted");
        }
        try {
          const back = (await ask) as Uint8Array;
          outcomes.push(back.length === bytes.length && back.every((byte) => byte === (n & 255)) ? "whole" : "torn");
        } catch (error) {
          outcomes.push(String(error));
        }
      };
      for (let batch = 0; batch < 20; batch++)
        await Promise.all(Array.from({ length: 50 }, (_, i) => one(batch * 50 + i)));
      expect([...new Set(outcomes)].sort()).toEqual(["aborted", "whole"]);
      expect(outcomes).toHaveLength(1_000);
      expect(env.stats().endpoints).toMatchObject([{ depth: 0, failed: 0 }]);
    },
  );
});

describe("a handler on a message loop", () => {
  test("gets the large bodies that an endpoint on loop 0 answers, and those of its errors", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const zero = await env.setupEndpoint(
      "zero",
      defineService({
        make: (length: number) => ({ bytes: new Uint8Array(length).fill(7) }),
        fail: (length: number) => {
          throw Object.assign(new Error("with bytes"), { bytes: new Uint8Array(length).fill(9) });
        },
      }),
    );
    const peer = await env.setupEndpoint<RpcUntyped>("peer", fixtureUrl("peer-service"));
    for (const length of [10, 20_000, 200_000, 2_000_000]) {
      expect(await peer.call.call?.(zero, "make", length)).toEqual({ bytes: new Uint8Array(length).fill(7) });
      const error = await peer.call.call?.(zero, "fail", length).then(undefined, (reason: unknown) => reason);
      if (!isRpcError(error, "ERR_RPC_HANDLER")) throw error;
      expect((error.cause as Error).cause).toMatchObject({
        message: "with bytes",
        bytes: new Uint8Array(length).fill(9),
      });
    }
  });

  test("may send them until its thread has ended", async () => {
    for (let round = 0; round < 3; round++) {
      const failures: unknown[] = [];
      const note = (error: unknown): void => void failures.push(error);
      process.on("uncaughtExceptionMonitor", note);
      const env = await RpcEnv.create({ numThreads: 2 });
      const zero = await env.setupEndpoint("zero", defineService({ echo: (value: unknown) => value }));
      const peer = await env.setupEndpoint<RpcUntyped>("peer", fixtureUrl("peer-service"));
      for (let n = 0; n < 2; n++) await peer.call.keepSending?.(zero, 200_000);
      await fetchNothing();
      await env.shutdown();
      process.off("uncaughtExceptionMonitor", note);
      expect(failures).toEqual([]);
    }
  });
});

test("bytes of shared memory that an endpoint on loop 0 answers arrive as a copy", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const shared = (length: number) => new Uint8Array(new SharedArrayBuffer(length)).fill(3);
  const zero = await env.setupEndpoint("zero", defineService({ shared }));
  for (const length of [10, 5_000, 100_000]) {
    const bytes = await zero.call.shared(length);
    expect(bytes).toEqual(new Uint8Array(length).fill(3));
    expect(bytes.buffer).toBeInstanceOf(ArrayBuffer);
  }
});

/** A round trip through the event loop and another thread of libuv. */
async function fetchNothing(): Promise<void> {
  const { stat } = await import("node:fs/promises");
  for (let n = 0; n < 20; n++) await stat(".");
}
