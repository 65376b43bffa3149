/**
 * Goal: a loop that died comes back with new instances of its endpoints, and what waited meanwhile is served.
 * Method: endpoints that note each start and die when told to; threads are also ended from outside.
 *
 * Allowed for a message that was posted and not taken when the loop died: it is served after the restart, in order.
 * Forbidden: no answer, an onStop, state of the dead instance, and any notice taken by endpoints on other loops.
 */
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import type { CrashArgs } from "../fixtures/crash-life.js";
import { CRASHED, outcome, outcomes, Reports, Threads } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Serial = typeof import("../fixtures/crash-serial.js");
type Replicas = typeof import("../fixtures/crash-replicas.js");

const threads = new Threads();

function setUp(env: RpcEnv, name: string, args: CrashArgs, options: { loop?: number; inboxBytes?: number } = {}) {
  return env.setupEndpoint<Serial>(name, fixtureUrl("crash-serial"), { args, ...options });
}

describe("a loop that died", () => {
  test("restarts its endpoint: a new instance, onStart with number and reason, no onStop; the backlog is served", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await setUp(env, "serial", { gate: gate.name }, { inboxBytes: 4_096 });
    expect(await gate.note()).toEqual({ restarts: 0, reason: null });
    expect([await ref.ask({ op: "count" }), await ref.ask({ op: "count" })]).toEqual([1, 2]);
    const dying = outcome(ref.ask({ op: "exit", code: 7 }));
    const sent = Array.from({ length: 3 }, () => ref.send({ op: "count" }));
    // More than its ring holds, and bodies by ticket.
    const behind = Array.from({ length: 500 }, (_, n) =>
      n % 50 === 0 ? ref.ask({ op: "echo", value: new Uint8Array(5_000) }) : ref.ask({ op: "count" }),
    );
    expect(await dying).toBe(CRASHED);
    expect(await reports.crash()).toMatchObject({ loop: 1, blamed: "serial", restarted: ["serial"], stuck: false });
    const counts = (await Promise.all(behind)).filter((answer) => typeof answer === "number");
    expect(sent).toEqual([true, true, true]);
    expect(counts).toEqual(counts.map((_, n) => n + 4));
    expect(gate.notes).toEqual([{ restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" }]);
    expect(reports.letters).toEqual([]);
    expect(env.stats().endpoints).toMatchObject([{ name: "serial", state: "running" }]);
    expect(ref.send({ op: "count" })).toBe(true);
    expect(await ref.ask({ op: "count" })).toBe(counts.length + 5);
  });

  test("tells each of its instances how often it was started again", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setUp(env, "serial", { gate: gate.name });
    for (let restarts = 0; restarts < 4; restarts++) {
      expect(await gate.note()).toMatchObject({ restarts });
      expect(await outcome(ref.ask({ op: "exit", code: 0 }))).toBe(CRASHED);
    }
    expect(await ref.ask({ op: "count" })).toBe(1);
  });

  test("is no affair of endpoints on other loops, and theirs is none of its own", async () => {
    using first = new Gate();
    using second = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const reports = new Reports(env);
    const dying = await setUp(env, "dying", { gate: first.name }, { loop: 1 });
    const beside = await setUp(env, "beside", { gate: first.name }, { loop: 1 });
    const living = await setUp(env, "living", { gate: second.name }, { loop: 2 });
    const alive = Array.from({ length: 1_000 }, () => living.ask({ op: "count" }));
    const crashed = outcome(dying.ask({ op: "exit", code: 1 }));
    expect(await Promise.all(alive)).toEqual(alive.map((_, n) => n + 1));
    expect(await crashed).toBe(CRASHED);
    expect(await reports.crash()).toMatchObject({ loop: 1, blamed: "dying", restarted: ["dying", "beside"] });
    expect(await beside.ask({ op: "count" })).toBe(1);
    expect(await living.ask({ op: "count" })).toBe(1_001);
    expect(second.notes).toEqual([{ restarts: 0, reason: null }]);
  });

  test("restarts the replicas it had; the others go on meanwhile", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const reports = new Reports(env);
    const ref = await env.setupEndpoint<Replicas>("replicas", fixtureUrl("crash-replicas"), {
      args: { gate: gate.name },
    });
    expect([await gate.note(), await gate.note()]).toEqual([
      { restarts: 0, reason: null },
      { restarts: 0, reason: null },
    ]);
    const dying = outcome(ref.ask({ op: "exit", code: 1 }));
    expect(new Set(await outcomes(Array.from({ length: 1_000 }, () => ref.ask({ op: "echo", value: 1 }))))).toEqual(
      new Set(["ok"]),
    );
    expect(await dying).toBe(CRASHED);
    expect(await reports.crash()).toMatchObject({ blamed: "replicas", restarted: ["replicas"] });
    expect(await gate.note()).toEqual({ restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" });
    // Both serve: two that hold their threads are met at the gate.
    const held = [ref.ask({ op: "spin" }), ref.ask({ op: "spin" })];
    await gate.reached(2);
    gate.open();
    await Promise.all(held);
  });

  test("that was parked when it was ended from outside comes back as well; nobody is blamed", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const reports = new Reports(env);
    const ref = await setUp(env, "serial", { gate: gate.name }, { loop: 2 });
    const thread = threads.get((await ref.ask({ op: "thread" })) as number);
    await expect.poll(() => env.stats().loops.map(({ state }) => state)).toEqual(["parked", "parked"]);
    void thread.terminate();
    expect(await reports.crash()).toMatchObject({ loop: 2, blamed: null, restarted: ["serial"], stuck: false });
    expect(await ref.ask({ op: "count" })).toBe(1);
  });

  test("while bodies were on their way fails exactly what it had taken; the others are served", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Replicas>("replicas", fixtureUrl("crash-replicas"), {
      args: { gate: gate.name },
    });
    const thread = threads.get((await ref.ask({ op: "thread" })) as number);
    const value = new Uint8Array(300_000);
    const large = outcomes(Array.from({ length: 200 }, () => ref.ask({ op: "echo", value })));
    void thread.terminate();
    for (const one of await large) expect(["ok", CRASHED]).toContain(one);
    expect(((await ref.ask({ op: "echo", value })) as Uint8Array).length).toBe(300_000);
    expect(env.stats().endpoints).toMatchObject([{ name: "replicas", state: "running" }]);
  });
});

describe("a one-way message", () => {
  test("that a dying loop had taken is a dead letter; those behind it are handled", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await setUp(env, "serial", { gate: gate.name });
    expect([ref.send({ op: "exit", code: 1 }), ref.send({ op: "count" })]).toEqual([true, true]);
    const { endpoint, reason, count, error } = await reports.letter();
    expect([endpoint, reason, count, error.maybeExecuted]).toEqual(["serial", "ERR_RPC_WORKER_CRASHED", 1, true]);
    expect(await ref.ask({ op: "count" })).toBe(2);
    expect(reports.letters).toHaveLength(1);
  });
});

describe("an endpoint to blame for too many crashes", () => {
  test("is FAILED: it answers fast, its neighbours live, and it can be stopped and set up again", async () => {
    using gate = new Gate();
    using other = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const guilty = await setUp(env, "guilty", { gate: gate.name });
    const neighbour = await setUp(env, "neighbour", { gate: other.name });
    for (let crash = 1; crash < 5; crash++) {
      expect(await outcome(guilty.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
      expect((await reports.crash(crash)).restarted).toEqual(["guilty", "neighbour"]);
    }
    const last = outcome(guilty.ask({ op: "exit", code: 1 }));
    const behind = outcomes(Array.from({ length: 10 }, () => guilty.ask({ op: "count" })));
    expect([guilty.send({ op: "count" }), guilty.send({ op: "count" })]).toEqual([true, true]);
    expect(await last).toBe(CRASHED);
    expect(new Set(await behind)).toEqual(new Set(["ERR_RPC_ENDPOINT_FAILED-"]));
    expect(await reports.failure()).toBe("guilty");
    expect(reports.crashes.at(-1)).toMatchObject({ blamed: "guilty", restarted: ["neighbour"] });
    expect(await reports.letter()).toMatchObject({ endpoint: "guilty", reason: "ERR_RPC_ENDPOINT_FAILED", count: 2 });
    const failure = await failureOf(guilty.ask({ op: "count" }));
    expect([failure.code, failure.maybeExecuted]).toEqual(["ERR_RPC_ENDPOINT_FAILED", false]);
    expect(failure.cause).toMatchObject({ code: "ERR_RPC_WORKER_CRASHED" });
    expect((failure.cause as Error).message).toMatch(/^message loop 1 of "guilty" died: /);
    expect((await failureOf(guilty.ready())).code).toBe("ERR_RPC_ENDPOINT_FAILED");
    expect(guilty.send({ op: "count" })).toBe(false);
    expect(await neighbour.ask({ op: "count" })).toBe(1);
    expect(env.stats().endpoints).toMatchObject([{ state: "failed" }, { state: "running" }]);
    expect((await failureOf(setUp(env, "guilty", { gate: gate.name }))).code).toBe("ERR_RPC_ENDPOINT_EXISTS");

    await env.stop(guilty);
    const again = await setUp(env, "guilty", { gate: gate.name });
    expect(await again.ask({ op: "count" })).toBe(1);
    expect(await guilty.ask({ op: "count" })).toBe(2);
  });

  test("has its living replicas stopped, onStop last", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const reports = new Reports(env);
    // One replica dies, and then in each of its restarts; the other lives all the time.
    const ref = await env.setupEndpoint<Replicas>("replicas", fixtureUrl("crash-replicas"), {
      args: { gate: gate.name, does: "exit", at: 1 },
    });
    expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    expect(await reports.failure()).toBe("replicas");
    expect(new Set(reports.crashes.map(({ loop }) => loop)).size).toBe(1);
    const notes: unknown[] = [];
    while (!notes.includes("stopped")) notes.push(await gate.note());
    expect((await failureOf(ref.ask({ op: "count" }))).code).toBe("ERR_RPC_ENDPOINT_FAILED");
    await env.stop(ref);
    expect(env.stats().endpoints).toEqual([]);
  });

  test("is one whose onStart goes on failing after a crash; one that starts in the end is not", async () => {
    using gate = new Gate();
    using other = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const late = await setUp(env, "late", { gate: other.name, does: "throw", at: 1, until: 4 });
    const never = await setUp(env, "never", { gate: gate.name, does: "throw", at: 1 });
    expect(await outcome(late.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    const waiting = outcome(never.ask({ op: "count" }));
    expect(await late.ask({ op: "count" })).toBe(1);
    expect(await reports.failure()).toBe("never");
    expect(await waiting).toBe("ERR_RPC_ENDPOINT_FAILED-");
    expect((await failureOf(never.ask({ op: "count" }))).message).toContain("out of service");
    expect(reports.crashes).toHaveLength(1);
    await env.stop(never);
  });

  test.each(["exit", "throw later", "construct and exit"] as const)(
    "is one that dies in its start (%s): set-up fails, and the loop serves others again",
    async (does) => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ numThreads: 1 });
      const reports = new Reports(env);
      const neighbour = await setUp(env, "neighbour", { gate: gate.name });
      const error = await failureOf(setUp(env, "dying", { gate: gate.name, does }));
      expect([error.code, error.message]).toEqual(["ERR_RPC_ENDPOINT_START", expect.stringContaining("loop 1 died")]);
      const blamed = does === "throw later" ? null : "dying";
      expect(await reports.crash()).toMatchObject({ loop: 1, blamed, restarted: ["neighbour"] });
      expect(await neighbour.ask({ op: "count" })).toBe(1);
      expect(await (await setUp(env, "dying", { gate: gate.name })).ask({ op: "count" })).toBe(1);
    },
  );

  test("is one that dies in each restart", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await setUp(env, "dying", { gate: gate.name, does: "exit", at: 1 });
    expect(await outcome(ref.ask({ op: "throw later" }))).toBe(CRASHED);
    expect((await reports.crash()).blamed).toBe(null);
    expect(await outcome(ref.ask({ op: "count" }))).toBe("ERR_RPC_ENDPOINT_FAILED-");
    expect(reports.crashes.map(({ blamed }) => blamed)).toEqual([null, ...Array.from({ length: 5 }, () => "dying")]);
    expect(reports.crashes.at(-1)?.restarted).toEqual([]);
  });
});
