/**
 * Goal: more than an endpoint can take costs the sender a `false`, never the process its memory; bodies of many mebibytes
 * pass at bounded memory, and who dies waiting for one takes nothing else along.
 * Method: endpoints whose only handler stands at a gate; counts are compared exactly, memory with bounds of several times
 * the expected.
 */
import { type RpcEndpointRef, RpcEnv } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { PausedBuild } from "../fixtures/paused/paused-build.js";
import type { PausePointName } from "../fixtures/paused/plan.js";

type Process = typeof import("../fixtures/process-service.js");
type ProcessRef = RpcEndpointRef<Process["default"]>;
type Spread = typeof import("../fixtures/spread-service.js");

const MIB = 1_048_576;

function rssMib(): number {
  return process.memoryUsage.rss() / MIB;
}

describe("a million sends to a stalled endpoint", () => {
  const setUp = {
    "on message loops": (env: RpcEnv) =>
      env.setupEndpoint<Spread>("stalled", fixtureUrl("spread-service"), { concurrency: 1 }),
    "on loop 0": async (env: RpcEnv) => {
      const { default: service } = (await import(fixtureUrl("spread-service").href)) as Spread;
      return await env.setupEndpoint("stalled", service, { concurrency: 1 });
    },
  };

  test.each(["on message loops", "on loop 0"] as const)(
    "are refused once its Inbox is full, each counted, and memory stays flat: %s",
    async (form) => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ numThreads: 1 });
      const ref = await setUp[form](env);
      const held = ref.call.wait(gate.name);
      await gate.reached();
      // Warm-up, so that what is measured is the stall and not the first use of the code.
      let accepted = 0;
      for (let n = 0; n < 100_000; n++) if (ref.cast.echo(n)) accepted++;
      const before = rssMib();
      for (let n = 0; n < 900_000; n++) if (ref.cast.echo(n)) accepted++;
      const grown = rssMib() - before;
      console.log(`a million sends: ${accepted} accepted, RSS grew by ${grown.toFixed(1)} MiB`);
      expect(accepted).toBeGreaterThan(1_000);
      expect(accepted).toBeLessThan(20_000);
      expect(env.stats().endpoints).toMatchObject([{ depth: accepted, rejected: 1_000_000 - accepted }]);
      // Expected: a few MiB of garbage not yet collected. What kept a million messages would need 50 and more.
      expect(grown).toBeLessThan(32);
      gate.open();
      await held;
      await ref.call.echo("fence");
      // A message is counted after its reply is on its way.
      await expect
        .poll(() => env.stats().endpoints)
        .toMatchObject([{ depth: 0, processed: accepted + 2, failed: 0, rejected: 1_000_000 - accepted }]);
    },
  );
});

describe("a burst for an endpoint that is idle", () => {
  // What a quiet ring pads to begin again at its start is room that comes back only once its loop has woken.
  test.each([4_096, 16_384, 65_536, 262_144])(
    "is accepted up to 16 KiB or the size of its Inbox at once, wherever that was read last: Inbox of %i bytes",
    async (inboxBytes) => {
      await using env = await RpcEnv.create({ numThreads: 1 });
      const ref = await env.setupEndpoint<Spread>("idle", fixtureUrl("spread-service"), { inboxBytes });
      const RECORD_BYTES_MAX = 256;
      const bytes = new Uint8Array(RECORD_BYTES_MAX - 64);
      for (let round = 0; round < 200; round++) {
        await ref.call.echo(round);
        let accepted = 0;
        while (accepted * RECORD_BYTES_MAX < Math.min(16_384, inboxBytes) && ref.cast.echo(bytes)) accepted++;
        expect((accepted + 1) * RECORD_BYTES_MAX).toBeGreaterThan(Math.min(16_384, inboxBytes));
      }
    },
  );
});

describe("a body of 64 MiB", () => {
  test("goes and comes whole, again and again, at bounded memory", { timeout: 120_000 }, async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Spread>("large", fixtureUrl("spread-service"));
    const body = Buffer.alloc(64 * MIB, "a body of sixty-four mebibytes; ");
    const before = rssMib();
    let most = 0;
    for (let round = 0; round < 8; round++) {
      body.writeUInt32LE(round, 1_000_000);
      const back = (await ref.call.echo(body)) as Uint8Array;
      most = Math.max(most, rssMib() - before);
      expect(Buffer.compare(Buffer.from(back.buffer, back.byteOffset, back.length), body)).toBe(0);
    }
    console.log(`64 MiB each way: RSS grew by ${most.toFixed(0)} MiB at most`);
    // Message, capture, body and result on both sides, some of it garbage: expected 6 to 8 times the body. Eight rounds
    // that each leave theirs behind would be 64 times.
    expect(most).toBeLessThan(16 * 64);
  });
});

describe("a thread that dies with a large body", () => {
  let build: PausedBuild;
  beforeAll(async () => {
    build = await PausedBuild.create();
  });
  afterAll(() => build[Symbol.asyncDispose]());

  async function outcome(ask: Promise<unknown>): Promise<string> {
    try {
      await ask;
      return "ok";
    } catch (error) {
      if (!build.ringpost.isRpcError(error)) throw error;
      return `${error.code}${error.maybeExecuted ? "+" : "-"}`;
    }
  }

  // One of 16 MiB is asked for; one of 1 MiB lies in a block, and the first thing told of it is that it was copied out.
  test.each<[number, PausePointName]>([
    [16, "TAIL stored, ready bit not set"],
    [16, "ready bit set, bell not rung"],
    [1, "entry TAKEN, handler not run"],
    [1, "TAIL stored, ready bit not set"],
  ])("takes that message along and no other: %i MiB, held at %s", async (mib, point) => {
    // A body whose ticket did not end would leave no room for the last.
    const conf = { "rpc.spill.bytes": "24m" };
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2, conf });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    using hold = build.hold(point);
    const large = outcome(ref.call.echo(new Uint8Array(mib * MIB)));
    await hold.reached();
    const others = Array.from({ length: 20 }, (_, n) => outcome(ref.call.echo(n % 4 === 0 ? new Uint8Array(MIB) : n)));
    await hold.terminate();
    expect(await large).toBe("ERR_RPC_WORKER_CRASHED+");
    expect(new Set(await Promise.all(others))).toEqual(new Set(["ok"]));
    expect(await outcome(ref.call.echo(new Uint8Array(24 * MIB)))).toBe("ok");
    // A loop that dies right after a take has not counted it.
    if (point !== "entry TAKEN, handler not run") expect(env.stats().endpoints).toMatchObject([{ depth: 0 }]);
  });
});
