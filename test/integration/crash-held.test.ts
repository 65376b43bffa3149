/**
 * Goal: a thread that dies between two steps of the shared-memory protocol leaves nothing behind that hangs, is lost or
 * is handled twice.
 * Method: a build of the package whose worker threads can be held at a named step (test/fixtures/paused); the thread is
 * terminated there by force. Messages carry ids; handlers tell each id they run by a channel of their own.
 *
 * Allowed: the message that the dead thread had taken fails as possibly executed. Forbidden: an ask without an answer, an
 * id handled twice, an id that failed as not executed and was handled, more than one message lost per crash.
 */
import type { RpcEndpointRef, RpcEnv } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { type Hold, PausedBuild } from "../fixtures/paused/paused-build.js";
import type { PausePointName } from "../fixtures/paused/plan.js";

type Process = typeof import("../fixtures/process-service.js");
type Replicas = typeof import("../fixtures/replica-endpoint.js");
type ProcessRef = RpcEndpointRef<Process["default"]>;

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

/** How often each outcome came. */
function tally(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of outcomes) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

async function allParked(env: RpcEnv): Promise<void> {
  await expect
    .poll(() => env.stats().loops.map(({ state }) => state))
    .not.toContainEqual(expect.not.stringMatching("parked"));
}

const TAKE_POINTS: [point: PausePointName, nth: number, failed: number][] = [
  ["take lock won", 1, 0],
  ["take lock won", 40, 0],
  ["entry TAKING, HEAD not moved", 1, 0],
  ["entry TAKING, HEAD not moved", 40, 0],
  ["entry TAKEN, handler not run", 1, 1],
  ["entry TAKEN, handler not run", 40, 1],
  ["TAIL stored, ready bit not set", 1, 0],
  ["TAIL stored, ready bit not set", 40, 0],
];

describe("one of two loops of a concurrent endpoint is terminated", () => {
  test.each(TAKE_POINTS)(`held at "%s", time %i`, async (point, nth, failed) => {
    using notes = new Gate();
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    using hold = build.hold(point, nth);
    const asks = Array.from({ length: 300 }, (_, id) => outcome(ref.call.note(notes.name, id)));
    await hold.reached();
    await hold.terminate();
    const outcomes = tally(await Promise.all(asks));
    expect(outcomes).toEqual(failed === 0 ? { ok: 300 } : { ok: 300 - failed, "ERR_RPC_WORKER_CRASHED+": failed });
    // What ran, ran once: all that was answered, and nothing of what failed here, for its handler had not begun.
    const ran = new Set<unknown>();
    for (let n = 0; n < 300 - failed; n++) {
      const id = await notes.note();
      expect(ran.has(id)).toBe(false);
      ran.add(id);
    }
    await ref.call.note(notes.name, "fence");
    expect(await notes.note()).toBe("fence");
  });

  test("between a reply's TAIL and loop 0's bit: the ask is answered", async () => {
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 1 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    using hold = build.hold("TAIL stored, ready bit not set");
    const ask = outcome(ref.call.echo(1));
    await hold.reached();
    await hold.terminate();
    expect(await ask).toBe("ok");
  });
});

describe("one-way messages of a loop that is terminated are accounted for once each", () => {
  const POINTS: [point: PausePointName, nth: number, lost: number][] = [
    ["entry TAKING, HEAD not moved", 40, 0],
    ["entry TAKEN, handler not run", 40, 1],
    ["handled and counted, entry not freed", 40, 0],
  ];

  test.each(POINTS)(`sends, held at "%s", time %i`, async (point, nth, lost) => {
    using notes = new Gate();
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    let letters = 0;
    env.on("deadLetter", ({ count }) => {
      letters += count;
    });
    using hold = build.hold(point, nth);
    for (let id = 0; id < 300; id++) expect(ref.cast.note(notes.name, id)).toBe(true);
    await hold.reached();
    await hold.terminate();
    const expected = { accepted: 300, handled: 300 - lost, failed: 0, deadLettered: lost };
    await expect.poll(() => env.stats().endpoints[0]?.oneWays).toEqual(expected);
    const ran = new Set<unknown>();
    while (ran.size < 300 - lost) ran.add(await notes.note());
    await ref.call.note(notes.name, "fence");
    expect(await notes.note()).toBe("fence");
    expect(letters).toBe(lost);
  });

  test.each<[PausePointName, lost: number]>([
    ["entry TAKING, HEAD not moved", 1],
    ["entry TAKEN, handler not run", 1],
    ["handled and counted, entry not freed", 0],
  ])(`a broadcast, held at "%s"`, async (point, lost) => {
    using notes = new Gate();
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
    const options = { args: notes.name };
    const ref = await env.setupEndpoint<Replicas>("replicas", fixtureUrl("replica-endpoint"), options);
    using hold = build.hold(point);
    expect(ref.broadcast({ op: "note", value: "hello" })).toBe(2);
    await hold.reached();
    await hold.terminate();
    const expected = { accepted: 2, handled: 2 - lost, failed: 0, deadLettered: lost };
    await expect.poll(() => env.stats().endpoints[0]?.oneWays).toEqual(expected);
    for (let n = 0; n < 2 - lost; n++) expect(await notes.note()).toMatchObject({ value: "hello" });
  });
});

describe("the only loop of a serial endpoint is terminated, and starts again", () => {
  const POINTS = TAKE_POINTS.filter(([point]) => point !== "take lock won");
  test.each(POINTS)(`held at "%s", time %i`, async (point, nth, failed) => {
    using notes = new Gate();
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 1 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("pinned", fixtureUrl("process-service-serial"));
    using hold = build.hold(point, nth);
    const asks = Array.from({ length: 300 }, (_, id) => outcome(ref.call.note(notes.name, id)));
    await hold.reached();
    await hold.terminate();
    const outcomes = await Promise.all(asks);
    expect(tally(outcomes)).toEqual(
      failed === 0 ? { ok: 300 } : { ok: 300 - failed, "ERR_RPC_WORKER_CRASHED+": failed },
    );
    // In order, across the restart: what was answered, and nothing else.
    for (const [id, one] of outcomes.entries()) if (one === "ok") expect(await notes.note()).toBe(id);
    await ref.call.note(notes.name, "fence");
    expect(await notes.note()).toBe("fence");
  });
});

describe("a loop that is terminated owes a bell", () => {
  test("loop 0's bit is cleared and its bell not rung: the reply arrives all the same", async () => {
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    await allParked(env);
    using hold = build.hold("PARKED bit of loop 0 cleared, bell not rung");
    // Long enough for loop 0 to fall asleep.
    const ask = outcome(ref.call.spin(100));
    await hold.reached();
    await hold.terminate();
    expect(await ask).toBe("ok");
    expect(await outcome(ref.call.echo(1))).toBe("ok");
  });

  test("a sleeping sibling's bit is cleared and its bell not rung: it serves what waits", async () => {
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 4 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    await allParked(env);
    // Four loops, so that one still sleeps when loop 0 has rung twice because the first was slow to wake.
    using hold = build.hold("PARKED bit of a sibling cleared, bell not rung");
    const asks = Array.from({ length: 100 }, (_, n) => outcome(ref.call.echo(n)));
    await hold.reached();
    await hold.terminate();
    expect(tally(await Promise.all(asks))).toEqual({ ok: 99, "ERR_RPC_WORKER_CRASHED+": 1 });
  });

  test("its own bit is set and it is not yet asleep: the other serves what waits", async () => {
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    await allParked(env);
    using hold = build.hold("PARKED bit set, not yet asleep");
    await ref.call.echo(0);
    await hold.reached();
    const asks = Array.from({ length: 100 }, (_, n) => outcome(ref.call.echo(n)));
    await hold.terminate();
    expect(tally(await Promise.all(asks))).toEqual({ ok: 100 });
  });
});

describe("a pause without a crash", () => {
  test.each(TAKE_POINTS)(`at "%s", time %i, only delays`, async (point, nth) => {
    await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
    const ref: ProcessRef = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
    const hold: Hold = build.hold(point, nth);
    const asks = Array.from({ length: 300 }, (_, n) => outcome(ref.call.echo(n)));
    await hold.reached();
    hold.release();
    expect(tally(await Promise.all(asks))).toEqual({ ok: 300 });
  });
});
