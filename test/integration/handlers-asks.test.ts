/**
 * Goal: what handlers on message loops send and ask keeps every promise that the main thread's messages have: order,
 * deadlines, one outcome for each ask, no wait that never ends.
 * Method: real threads, tiny rings, gates instead of sleeps. Bounds of time only catch hangs.
 */
import { isRpcError, type RpcEndpointOptions, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import { describe, expect, test } from "vitest";
import { until } from "../fixtures/faults.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import type { OrderReport } from "../fixtures/order-endpoint.js";
import type { Burst, BurstReport, ErrorReport } from "../fixtures/peer-methods.js";
import { printedRandom } from "../fixtures/random.js";

type Ref = RpcEndpointRef<RpcUntyped>;

const peerModule = fixtureUrl("peer-service");
const serialModule = fixtureUrl("peer-service-serial");
const TINY = { "rpc.loop.bytes": 4_096, "rpc.inbox.bytes": 4_096 };

async function withPeers(
  run: (env: RpcEnv, a: Ref, b: Ref) => Promise<void>,
  modules: readonly [URL, URL] = [serialModule, serialModule],
  options: RpcEndpointOptions = {},
): Promise<void> {
  await using env = await RpcEnv.create({ numThreads: 2, conf: TINY });
  const [first, second] = modules;
  const a: Ref = await env.setupEndpoint("a", first, first === serialModule ? { loop: 1 } : options);
  const b: Ref = await env.setupEndpoint("b", second, second === serialModule ? { loop: 2 } : options);
  await run(env, a, b);
}

/** At quiescence every ask has exactly one outcome. */
function expectConservation(env: RpcEnv): void {
  for (const { name, asks, oneWays } of env.stats().endpoints) {
    const { sent, replied, failed, timedOut, aborted, rejected } = asks;
    expect({ name, sum: replied + failed + timedOut + aborted + rejected }).toEqual({ name, sum: sent });
    const { accepted, handled, failed: threw, deadLettered } = oneWays;
    expect({ name, sum: handled + threw + deadLettered }).toEqual({ name, sum: accepted });
  }
}

describe("an ask of a handler", () => {
  test("of an endpoint that is not there fails as it does for everybody", () =>
    withPeers(async (env, a, b) => {
      await env.stop(b);
      expect(await a.call.report?.(b, 10_000, "echo", 1)).toMatchObject({
        code: "ERR_RPC_ENDPOINT_NOT_FOUND",
        message: 'endpoint "b" was stopped',
        maybeExecuted: false,
      });
      const letter = new Promise((resolve) => env.on("deadLetter", resolve));
      // Accepted by this loop's way to the main thread, which finds nobody.
      expect(await a.call.cast?.(b, "note", "nobody", 1)).toBe(true);
      expect(await letter).toMatchObject({ endpoint: "b", reason: "ERR_RPC_ENDPOINT_NOT_FOUND", count: 1 });
      expectConservation(env);
    }));

  test("carries nothing that cannot travel, and says where it is", () =>
    withPeers(async (_env, a, b) => {
      expect(await a.call.sendFunction?.(b)).toContain("list[0].run");
    }));

  test.each([0, 400, 5_000, 300_000, 4_000_000])("and its answer may have %i bytes", (length) =>
    withPeers(async (_env, a, b) => {
      const bytes = Uint8Array.from({ length }, (_, index) => index & 255);
      const back = (await a.call.call?.(b, "echo", bytes)) as Uint8Array;
      expect(Buffer.compare(Buffer.from(back), Buffer.from(bytes))).toBe(0);
    }),
  );

  test("times out by itself, and its handler is told", () =>
    withPeers(async (env, a, b) => {
      using gate = new Gate();
      const asked = a.call.report?.(b, 100, "untilCancelled", gate.name) as Promise<ErrorReport>;
      await gate.reached();
      gate.open();
      const report = await asked;
      expect(report).toMatchObject({ code: "ERR_RPC_TIMEOUT", maybeExecuted: true });
      expect(report.message).toContain('no reply of "b" within 100 ms');
      expect(await gate.note()).toBe("cancelled");
      expect(await b.call.echo?.("fence")).toBe("fence");
      expect(env.stats().endpoints.find(({ name }) => name === "b")?.asks).toMatchObject({ sent: 2, timedOut: 1 });
      expectConservation(env);
    }));

  test("whose bytes are detached before they are copied is refused, and nothing of it is left to fail later", () =>
    withPeers(async (_env, a, b) => {
      using gate = new Gate();
      expect(await a.call.askDetached?.(b, gate.name)).toEqual(["rejected TypeError", "ERR_RPC_TIMEOUT"]);
    }));

  test("is given up with its loop: the handler that runs it is told, the one that waits never runs", () =>
    withPeers(async (env, a, b) => {
      using gate = new Gate();
      const running = a.call.call?.(b, "untilCancelled", gate.name).catch((error: unknown) => error);
      await gate.reached();
      // A serial endpoint does not take this one before it has answered the first: it is asked by another way.
      const killer: Ref = await env.setupEndpoint("killer", serialModule, { loop: 1 });
      gate.open();
      const killed = killer.call.die?.().catch((error: unknown) => error);
      expect(isRpcError(await killed, "ERR_RPC_WORKER_CRASHED")).toBe(true);
      expect(isRpcError(await running, "ERR_RPC_WORKER_CRASHED")).toBe(true);
      expect(await gate.note()).toBe("cancelled");
      expect(await b.call.echo?.("alive")).toBe("alive");
      // The new thread of its loop asks under generations of its own.
      expect(await a.call.call?.(b, "echo", "again")).toBe("again");
      expectConservation(env);
    }));
});

describe("what is refused", () => {
  test("an ask beyond those that a loop may have outstanding, and none before it", async () => {
    await using env = await RpcEnv.create({ numThreads: 2 });
    const a: Ref = await env.setupEndpoint("a", serialModule, { loop: 1 });
    const b: Ref = await env.setupEndpoint("b", serialModule, { loop: 2 });
    const shape: Burst = { count: 65_536 + 100, bytes: 0, timeoutMs: 60_000 };
    expect(await a.call.burst?.(b, shape, "echo")).toEqual({ replies: 65_536, codes: { ERR_RPC_INBOX_FULL: 100 } });
    expectConservation(env);
  });

  test("is counted: one-ways to an endpoint that stands still are dead letters once ring and spill are full", async () => {
    await using env = await RpcEnv.create({ numThreads: 2, conf: { ...TINY, "rpc.spill.messages": 1_000 } });
    const a: Ref = await env.setupEndpoint("a", serialModule, { loop: 1 });
    const b: Ref = await env.setupEndpoint("b", serialModule, { loop: 2 });
    let letters = 0;
    env.on("deadLetter", ({ reason, count }) => {
      expect(reason).toBe("ERR_RPC_INBOX_FULL");
      letters += count;
    });
    using gate = new Gate();
    const count = 3_000;
    await a.call.flood?.(b, gate.name, count);
    await gate.reached();
    gate.open();
    await b.ready();
    await b.call.echo?.("fence");
    const oneWays = env.stats().endpoints.find(({ name }) => name === "b")?.oneWays;
    expect(oneWays).toMatchObject({ accepted: count, failed: 0, deadLettered: letters });
    expect(letters).toBeGreaterThan(0);
    expectConservation(env);
  });

  test("ready says why there will never be room", () =>
    withPeers(async (env, a, b) => {
      expect(await a.call.whyNotReady?.(b)).toBe("ready");
      await env.stop(b);
      expect(await a.call.whyNotReady?.(b)).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
    }));

  test("an ask that is given up by its own function rejects with its reason", () =>
    withPeers(async (_env, a, b) => {
      expect(await a.call.abortable?.(b, "none")).toBe("enough");
    }));
});

describe("order", () => {
  test.each([4_096, 262_144])(
    "of one handler's sends and asks to a serial endpoint is kept: rings of %i bytes",
    async (bytes) => {
      const random = printedRandom(`order of a handler, bytes=${bytes}`);
      await using env = await RpcEnv.create({
        numThreads: 2,
        conf: { "rpc.loop.bytes": bytes, "rpc.inbox.bytes": bytes },
      });
      const a: Ref = await env.setupEndpoint("a", serialModule, { loop: 1 });
      const order: Ref = await env.setupEndpoint("order", fixtureUrl("order-endpoint"), { loop: 2 });
      const sent = await a.call.inOrder?.(order, random.seed, 4_000);
      const report = (await order.ask("report")) as OrderReport;
      expect([report.overlaps, report.torn]).toEqual([0, 0]);
      expect(report.order).toEqual(sent);
      expectConservation(env);
    },
  );
});

describe("answers to a loop that does not turn", () => {
  test.each([
    // More than the 64 MiB that may wait for a mailbox, and more than the 256 MiB of large bodies under way.
    ["in the ring", "text", 2_000],
    ["beside it", "bytes", 5_000],
  ])(
    "wait within bounds, %s: those beyond are replaced by a failure, and none is lost",
    async (_where, method, count) => {
      await using env = await RpcEnv.create({ numThreads: 2 });
      const a: Ref = await env.setupEndpoint("a", serialModule, { loop: 1 });
      const b: Ref = await env.setupEndpoint("b", serialModule, { loop: 2 });
      using busy = new Gate();
      using fired = new Gate();
      using gate = new Gate();
      // Nothing is answered before a's thread holds: while it turned it would take answers, and how many is anybody's guess.
      const busyB = b.call.gate?.(busy.name);
      await busy.reached();
      const held = a.call.hold?.(b, method, count, 60_000, [fired.name, gate.name]) as Promise<BurstReport>;
      await fired.reached();
      // What waits for room in a's ring leaves only while a turns.
      await until(() => env.stats().endpoints.find(({ name }) => name === "b")?.asks.sent === count + 1);
      fired.open();
      await gate.reached();
      busy.open();
      await busyB;
      // Its answer comes behind those to a.
      await b.call.echo?.("fence");
      gate.open();
      const { replies, codes } = await held;
      const full = codes.ERR_RPC_INBOX_FULL ?? 0;
      expect(full).toBeGreaterThan(0);
      expect(replies + full).toBe(count);
      expectConservation(env);
    },
  );
});

describe("a handler's deadline", () => {
  test("is inherited by what it asks before its first await", () =>
    withPeers(async (_env, a, b) => {
      using gate = new Gate();
      const started = performance.now();
      const asked = a.with({ timeoutMs: 300 }).call.inherit?.(b, gate.name);
      const error = await asked?.then(undefined, (reason: unknown) => reason);
      expect(isRpcError(error, "ERR_RPC_TIMEOUT")).toBe(true);
      const note = (await gate.note()) as { readonly code: string };
      expect(note.code).toBe("ERR_RPC_TIMEOUT");
      // Its own 60 s would have been far more.
      expect(performance.now() - started).toBeLessThan(30_000);
      const after = (await gate.note()) as { readonly remainingMs: number };
      expect(after.remainingMs).toBeGreaterThan(0);
      // Nothing but what the clocks of two threads may differ by.
      expect(after.remainingMs).toBeLessThan(20);
    }));
});

describe("a circle of waiting", () => {
  test("of a handler that asks its own serial endpoint ends in time, and the error says why", () =>
    withPeers(async (env, a) => {
      const report = (await a.call.report?.(a, 200, "echo", 1)) as ErrorReport;
      expect(report.code).toBe("ERR_RPC_TIMEOUT");
      expect(report.message).toContain("waits for itself");
      expect(await a.call.echo?.("free again")).toBe("free again");
      expectConservation(env);
    }));

  test("of two serial endpoints ends in time", () =>
    withPeers(async (env, a, b) => {
      const report = (await a.call.report?.(b, 2_000, "report", a, 200, "echo", 1)) as ErrorReport;
      expect(report.code).toBe("ERR_RPC_TIMEOUT");
      expect(await a.call.call?.(b, "echo", "free again")).toBe("free again");
      expectConservation(env);
    }));

  test("of concurrent endpoints is none: each goes on while it waits", () =>
    withPeers(
      async (env, a, b) => {
        expect(await a.call.report?.(b, 20_000, "report", a, 20_000, "report", b, 20_000, "echo", "round")).toBe(
          "round",
        );
        expectConservation(env);
      },
      [peerModule, peerModule],
    ));

  test.each([
    ["small", 10, 4_000],
    ["large", 20_000, 300],
  ])("of thousands of %s mutual asks through tiny rings is none either", (_what, bytes, count) =>
    withPeers(
      async (env, a, b) => {
        const shape: Burst = { count, bytes, timeoutMs: 120_000 };
        // Each of a's asks makes b ask a, and the other way round, while everything is full.
        const bursts = [
          a.call.burst?.(b, shape, "call", a, "echo"),
          b.call.burst?.(a, shape, "call", b, "echo"),
        ] as Promise<BurstReport>[];
        expect(await Promise.all(bursts)).toEqual([
          { replies: count, codes: {} },
          { replies: count, codes: {} },
        ]);
        expectConservation(env);
      },
      [peerModule, peerModule],
      { concurrency: 16_384 },
    ),
  );

  test("of thousands of mutual asks of handlers that are all taken ends in time", () =>
    withPeers(
      async (env, a, b) => {
        const shape: Burst = { count: 3_000, bytes: 100, timeoutMs: 2_000 };
        const bursts = [
          a.call.burst?.(b, shape, "call", a, "echo"),
          b.call.burst?.(a, shape, "call", b, "echo"),
        ] as Promise<BurstReport>[];
        for (const { replies, codes } of await Promise.all(bursts)) {
          const { ERR_RPC_TIMEOUT = 0, ERR_RPC_HANDLER = 0, ...others } = codes;
          expect(others).toEqual({});
          expect(replies + ERR_RPC_TIMEOUT + ERR_RPC_HANDLER).toBe(shape.count);
        }
        expect(await a.call.call?.(b, "echo", "free again")).toBe("free again");
        expectConservation(env);
      },
      [peerModule, peerModule],
      { concurrency: 16 },
    ));
});

describe("sends of handlers", () => {
  test("that say false are accepted after ready; every one arrives, in order", () =>
    withPeers(async (env, a, b) => {
      using gate = new Gate();
      const count = 5_000;
      const refused = (await a.call.sendAll?.(b, gate.name, count)) as number;
      expect(refused).toBeGreaterThan(0);
      for (let n = 0; n < count; n++) expect(await gate.note()).toBe(n);
      await b.call.echo?.("fence");
      expectConservation(env);
    }));

  test("to every replica reach every replica", async () => {
    await using env = await RpcEnv.create({ numThreads: 2, conf: TINY });
    const replicas: Ref = await env.setupEndpoint("replicas", fixtureUrl("noting-endpoint"));
    const a: Ref = await env.setupEndpoint("a", serialModule);
    using gate = new Gate();
    expect(await a.call.broadcast?.(replicas, { gate: gate.name })).toBe(2);
    expect(new Set([await gate.note(), await gate.note()])).toEqual(new Set([0, 1]));
  });
});
