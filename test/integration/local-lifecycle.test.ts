/**
 * Goal: answers that come later, stopping an endpoint and shutting an environment down keep what is promised of them.
 * Method: whole environments through the public surface; tests and handlers meet at gates.
 */
import { type RpcDeadLetter, type RpcEndpointRef, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import type { StartArgs } from "../fixtures/start-endpoint.js";

type Life = typeof import("../fixtures/start-endpoint.js");
type LifeRef = Awaited<ReturnType<typeof setUpLife>>;
type Calls = typeof import("../fixtures/call-service.js");

function setUpLife(env: RpcEnv, gate: Gate, fail?: StartArgs["fail"]) {
  const args: StartArgs = fail === undefined ? { gate: gate.name } : { gate: gate.name, fail };
  return env.setupEndpoint<Life>("life", fixtureUrl("start-endpoint"), { args });
}

/** One env, one serial endpoint whose first note was read. */
async function withLife(
  run: (ref: LifeRef, gate: Gate, env: RpcEnv) => Promise<void>,
  fail?: StartArgs["fail"],
): Promise<void> {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await setUpLife(env, gate, fail);
  await gate.note();
  try {
    await run(ref, gate, env);
  } finally {
    gate.open();
  }
}

/** Every note until "stopped". */
async function notesUntilStopped(gate: Gate): Promise<unknown[]> {
  const notes: unknown[] = [];
  for (let note = await gate.note(); note !== "stopped"; note = await gate.note()) notes.push(note);
  return notes;
}

describe("an answer", () => {
  test("may come later, from another handler, while the endpoint goes on", () =>
    withLife(async (ref, gate) => {
      const deferred = ref.ask({ op: "defer" });
      await ref.ask({ op: "note", value: "between" });
      expect(await gate.note()).toBe("between");
      await ref.ask({ op: "answer", value: { late: true } });
      expect(await deferred).toEqual({ late: true });
    }));

  test("may be a failure later", () =>
    withLife(async (ref) => {
      const deferred = failureOf(ref.ask({ op: "defer" }));
      await ref.ask({ op: "failDeferred" });
      expect(await deferred).toMatchObject({
        code: "ERR_RPC_HANDLER",
        cause: { name: "RangeError", message: "deferred failure" },
      });
    }));

  test("is given once: a second one throws ERR_RPC_ALREADY_REPLIED in the handler, a return value is ignored", () =>
    withLife(async (ref, gate) => {
      expect(await ref.ask({ op: "replyTwice" })).toBe("first");
      expect(await gate.note()).toBe("ERR_RPC_ALREADY_REPLIED");
      expect(await ref.ask({ op: "replyThenReturn" })).toBe("replied");
    }));

  test("that cannot be encoded throws in the handler, and the ask is still open", () =>
    withLife(async (ref) => {
      expect(await ref.ask({ op: "replyBadly" })).toBe("ERR_RPC_SERIALIZATION");
    }));

  test("that never comes is ERR_RPC_NO_REPLY when the endpoint stops", () =>
    withLife(async (ref, _gate, env) => {
      const deferred = failureOf(ref.ask({ op: "defer" }));
      await env.stop(ref);
      expect(await deferred).toMatchObject({ code: "ERR_RPC_NO_REPLY" });
    }));

  test("that is a failure is told to onError too", () =>
    withLife(async (ref, gate, env) => {
      const letter = new Promise((resolve) => env.on("deadLetter", resolve));
      ref.send({ op: "wait" });
      expect(await gate.note()).toEqual({ onError: "cannot wait" });
      expect(await letter).toMatchObject({ endpoint: "life", reason: "ERR_RPC_HANDLER" });
    }));
});

describe("an ask that can be given up", () => {
  test("is aborted by its own function, with its reason or an AbortError", () =>
    withLife(async (ref, gate) => {
      const first = ref.askAbortable({ op: "wait" });
      const second = ref.askAbortable({ op: "note", value: "never" });
      const third = ref.askAbortable({ op: "note", value: "third" });
      await gate.reached();
      const reason = new Error("why");
      second.abort(reason);
      first.abort();
      await expect(first.promise).rejects.toMatchObject({ name: "AbortError" });
      await expect(second.promise).rejects.toBe(reason);
      gate.open();
      await third.promise;
      third.abort();
      expect(await gate.note()).toBe("third");
    }));

  test("is aborted by the signal of `with` as well as its own", () =>
    withLife(async (ref, gate) => {
      const controller = new AbortController();
      const calls = ref.with({ signal: controller.signal });
      const first = calls.ask({ op: "wait" });
      const second = calls.askAbortable({ op: "note", value: 1 });
      await gate.reached();
      controller.abort("all of them");
      await expect(first).rejects.toBe("all of them");
      await expect(second.promise).rejects.toBe("all of them");
    }));
});

describe("stop", () => {
  test("handles the backlog, then runs onStop, then frees the name; it is idempotent", () =>
    withLife(async (ref, gate, env) => {
      const asks = Array.from({ length: 5_000 }, (_, n) => ref.ask({ op: "note", value: n }));
      const sends = Array.from({ length: 100 }, (_, n) => ref.send({ op: "note", value: 5_000 + n })).filter(
        Boolean,
      ).length;
      const stopping = [env.stop(ref), env.stop(ref)];
      const refused = await failureOf(ref.ask({ op: "note", value: "late" }));
      expect([refused.code, refused.maybeExecuted]).toEqual(["ERR_RPC_ENDPOINT_NOT_FOUND", false]);
      await Promise.all(asks);
      await Promise.all(stopping);
      expect(await notesUntilStopped(gate)).toHaveLength(5_000 + sends);
      expect(env.endpointRef("life")).toBe(null);
      expect(env.stats().endpoints).toEqual([]);
      await env.stop(ref);
    }));

  test("is followed by refs of that name once it is set up again", () =>
    withLife(async (ref, gate, env) => {
      await env.stop(ref);
      expect((await failureOf(ref.ask({ op: "note", value: 1 }))).code).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
      const again = await setUpLife(env, gate);
      await ref.ask({ op: "note", value: "through the old ref" });
      expect(ref.send({ op: "note", value: "and a send" })).toBe(true);
      expect(ref.equals(again)).toBe(true);
      await env.stop(ref);
      expect((await notesUntilStopped(gate)).slice(-2)).toEqual([]);
      expect((await notesUntilStopped(gate)).slice(-2)).toEqual(["through the old ref", "and a send"]);
    }));

  test("waits for what is in flight until its timeout, then gives it up and runs onStop all the same", () =>
    withLife(async (ref, gate, env) => {
      const stuck = failureOf(ref.ask({ op: "wait" }));
      await gate.reached();
      const queued = failureOf(ref.ask({ op: "note", value: "never" }));
      const stopping = env.stop(ref, { timeoutMs: 100 });
      expect((await stuck).code).toBe("ERR_RPC_NO_REPLY");
      expect((await queued).code).toBe("ERR_RPC_NO_REPLY");
      await stopping;
      expect(await gate.note()).toEqual({ onError: expect.stringContaining("not finished") });
      expect(await gate.note()).toBe("stopped");
    }));

  test("survives an onStop that throws: a dead letter tells of it", () =>
    withLife(async (ref, _gate, env) => {
      const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
      await env.stop(ref);
      expect((await letter).error.message).toContain("no stop");
    }, "onStop"));

  test("can be done hundreds of times to one name, and its memory is used again", async () => {
    await using env = await RpcEnv.create({ numThreads: 2 });
    let ref: RpcEndpointRef<Calls["default"]> | null = null;
    for (let n = 0; n < 300; n++) {
      const module = n % 2 === 0 ? "call-service" : "call-service-serial";
      ref = await env.setupEndpoint<Calls>("again", fixtureUrl(module));
      const sums = await Promise.all(Array.from({ length: 20 }, (_, i) => ref!.call.plain(n, i)));
      expect(sums).toEqual(sums.map((_, i) => n + i));
      await env.stop(ref);
    }
  });
});

describe("shutdown", () => {
  test("handles the backlog of every endpoint, refuses what comes after, and is idempotent", async () => {
    using gate = new Gate();
    const env = await RpcEnv.create({ numThreads: 2 });
    const serial = await setUpLife(env, gate);
    const shared = await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"));
    const asks = Array.from({ length: 5_000 }, (_, n) => [
      serial.ask({ op: "note", value: n }),
      shared.call.plain(n, 1),
    ]).flat();
    const down = [env.shutdown(), env.shutdown(), env.awaitTermination()];
    const refused = await failureOf(shared.call.plain(1, 1));
    expect([refused.code, refused.maybeExecuted]).toEqual(["ERR_RPC_ENV_STOPPED", false]);
    expect((await failureOf(env.setupEndpoint("late", fixtureUrl("call-service")))).code).toBe("ERR_RPC_ENV_STOPPED");
    const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
    expect(serial.send({ op: "note", value: "late" })).toBe(false);
    expect((await letter).reason).toBe("ERR_RPC_ENV_STOPPED");
    expect((await failureOf(serial.ready())).code).toBe("ERR_RPC_ENV_STOPPED");
    await Promise.all(asks);
    await Promise.all(down);
    expect(await notesUntilStopped(gate)).toHaveLength(5_001);
    await env.shutdown();
    expect((await failureOf(shared.call.plain(1, 1))).code).toBe("ERR_RPC_ENV_STOPPED");
  });

  test("settles everything at its timeout, whatever a handler does", async () => {
    using gate = new Gate();
    const env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"), { concurrency: 1 });
    const asks = [ref.call.gate(gate.name), ref.call.plain(1, 2)].map(failureOf);
    await gate.reached();
    await env.shutdown({ timeoutMs: 100 });
    for (const error of await Promise.all(asks)) expect(error.code).toBe("ERR_RPC_NO_REPLY");
  });

  test("of an env that never had an endpoint, or had one that is just starting, ends as well", async () => {
    const idle = await RpcEnv.create({ numThreads: 2 });
    await idle.shutdown();
    const starting = await RpcEnv.create({ numThreads: 2 });
    const setup = failureOf(starting.setupEndpoint<Calls>("calls", fixtureUrl("call-service")));
    await starting.shutdown();
    expect((await setup).code).toBe("ERR_RPC_ENV_STOPPED");
  });
});

describe("a full Inbox", () => {
  test("send says false, ready resolves when there is room, an ask waits; nothing is lost and order is kept", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Life>("life", fixtureUrl("start-endpoint"), {
      args: { gate: gate.name },
      inboxBytes: 4_096,
    });
    await gate.note();
    const running = ref.ask({ op: "wait" });
    await gate.reached();
    let accepted = 0;
    while (ref.send({ op: "note", value: accepted })) accepted++;
    expect(accepted).toBeGreaterThan(10);
    expect(accepted).toBeLessThan(200);
    const asks = Array.from({ length: 1_000 }, (_, n) => ref.ask({ op: "note", value: accepted + n }));
    expect(ref.send({ op: "note", value: "refused" })).toBe(false);
    expect(env.stats().endpoints).toMatchObject([
      { name: "life", state: "running", depth: accepted + 1_000, rejected: 2 },
    ]);
    const timedOut = await failureOf(ref.ready({ timeoutMs: 50 }));
    expect(timedOut.code).toBe("ERR_RPC_TIMEOUT");
    await expect(ref.ready({ signal: AbortSignal.abort("no") })).rejects.toBe("no");
    const ready = ref.ready();
    gate.open();
    await ready;
    expect(ref.send({ op: "note", value: accepted + 1_000 })).toBe(true);
    await Promise.all([running, ...asks]);
    for (let n = 0; n <= accepted + 1_000; n++) expect(await gate.note()).toBe(n);
  });

  test("stats count what was handled, what failed, and what waits", () =>
    withLife(async (ref, _gate, env) => {
      await ref.ask({ op: "note", value: 1 });
      ref.send({ op: "defer" });
      await ref.ask({ op: "note", value: 2 });
      expect(env.stats().endpoints).toMatchObject([
        {
          name: "life",
          state: "running",
          depth: 0,
          oldestAgeMs: 0,
          processed: expect.any(Number),
          failed: 1,
          rejected: 0,
          asks: { sent: 2, replied: 2, failed: 0, timedOut: 0, aborted: 0, rejected: 0 },
          oneWays: { accepted: 1, handled: 0, failed: 1, deadLettered: 0 },
        },
      ]);
      expect(env.stats().endpoints[0]?.processed).toBeGreaterThanOrEqual(1);
      expect(env.stats().loops.map(({ index }) => index)).toEqual([1, 2]);
      await expect.poll(() => env.stats().loops.map(({ state }) => state)).toEqual(["parked", "parked"]);
      await expect.poll(() => env.stats().endpoints[0]?.processed).toBe(2);
    }));
});
