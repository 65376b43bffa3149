/**
 * Goal: whatever ends a loop, exactly the messages it had taken fail as possibly executed; what it had not taken is
 * served later; nothing hangs, and the rest of the environment does not notice.
 * Method: handlers end their thread in each way a handler can, and threads are ended from outside; what was taken is
 * known from gates and from order.
 *
 * Allowed for an ask that was posted and not yet taken when the loop died: an answer, of a surviving loop or after the
 * restart. Forbidden: no answer, any other error, and maybeExecuted false for what ran.
 */
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { CRASHED, outcome, outcomes, Reports, Threads } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Service = typeof import("../fixtures/process-service.js");
type ServiceRef = Awaited<ReturnType<typeof setUp>>;

const threads = new Threads();

function setUp(env: RpcEnv, name: string, form: "concurrent" | "serial", options = {}) {
  return env.setupEndpoint<Service>(
    name,
    fixtureUrl(form === "serial" ? "process-service-serial" : "process-service"),
    options,
  );
}

/** Ways to die. Each handler's ask counts as taken. `blamed`: the handler is on the stack. */
const DEATHS: [how: string, die: (ref: ServiceRef, gate: Gate) => Promise<unknown>, says: string, blamed: boolean][] = [
  ["process.exit(7)", (ref) => ref.call.exit(7), "code 7", true],
  ["process.exit(0)", (ref) => ref.call.exit(0), "code 0", true],
  ["a throw outside of a handler", (ref) => ref.call.throwLater(), "thrown outside of a handler", false],
  ["an unhandled rejection", (ref) => ref.call.rejectUnhandled(), "nobody handled this", false],
  ["ended from outside, in a handler that holds it", endFromOutside, "code 1", true],
];

async function endFromOutside(ref: ServiceRef, gate: Gate): Promise<unknown> {
  const held = ref.call.hold(gate.name);
  held.catch(() => {});
  const thread = threads.get((await gate.note()) as number);
  await gate.reached();
  void thread.terminate();
  return held;
}

describe.each(DEATHS)("the only loop dies: %s", (_how, die, says, blamed) => {
  test("a serial endpoint: the message it had fails as possibly executed, those behind it are served in order", async () => {
    using gate = new Gate();
    using deathGate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await setUp(env, "serial", "serial", { inboxBytes: 4_096 });
    const dying = outcome(die(ref, deathGate));
    const sends = Array.from({ length: 3 }, (_, n) => ref.cast.note(gate.name, n));
    // More than its ring holds, and large bodies: spill and tickets survive as well.
    const value = (n: number): unknown => (n % 50 === 0 ? new Uint8Array(5_000).fill(n) : n);
    const behind = Array.from({ length: 500 }, (_, n) => ref.call.echo(value(n)));
    expect(await dying).toBe(CRASHED);
    expect(await Promise.all(behind)).toEqual(behind.map((_, n) => value(n)));
    expect(sends).toEqual([true, true, true]);
    expect([await gate.note(), await gate.note(), await gate.note()]).toEqual([0, 1, 2]);
    const crash = await reports.crash();
    expect(crash).toMatchObject({ loop: 1, blamed: blamed ? "serial" : null, restarted: ["serial"], stuck: false });
    expect(String(crash.error)).toContain(says);
    expect([reports.letters, reports.failures]).toEqual([[], []]);
  });

  test("a concurrent endpoint: all it had in flight fails as possibly executed, the rest is answered", async () => {
    using gate = new Gate();
    using deathGate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await setUp(env, "concurrent", "concurrent");
    const waiting = outcomes(Array.from({ length: 10 }, () => ref.call.wait(gate.name)));
    await gate.reached(10);
    const dying = outcome(die(ref, deathGate));
    const behind = outcomes(Array.from({ length: 500 }, (_, n) => ref.call.echo(n)));
    expect([await dying, ...(await waiting)]).toEqual(Array.from({ length: 11 }, () => CRASHED));
    expect(new Set(await behind)).toEqual(new Set(["ok"]));
    await reports.crash();
    expect(reports.letters).toEqual([]);
  });
});

describe.each(DEATHS)("one of two loops dies: %s", (_how, die) => {
  test("the other serves what was not taken; the endpoints of the dead one come back; the other's notice nothing", async () => {
    using gate = new Gate();
    using deathGate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const reports = new Reports(env);
    const shared = await setUp(env, "shared", "concurrent");
    const onFirst = await setUp(env, "on first", "serial", { loop: 1 });
    const onSecond = await setUp(env, "on second", "serial", { loop: 2 });
    // More than one loop holds at a time, so that each has some.
    const waiting = outcomes(Array.from({ length: 100 }, () => shared.call.wait(gate.name)));
    await gate.reached(100);
    const asks = [
      outcome(die(onFirst, deathGate)),
      ...Array.from({ length: 20 }, (_, n) => outcome(onFirst.call.echo(n))),
    ];
    const undisturbed = outcomes(Array.from({ length: 500 }, (_, n) => onSecond.call.echo(n)));
    const others = outcomes(Array.from({ length: 1_000 }, (_, n) => shared.call.echo(n)));
    expect((await reports.crash()).loop).toBe(1);
    // The survivor may hold as many as it can: it goes on with the rest when these end.
    gate.open();
    const [dead, ...untaken] = await Promise.all(asks);
    expect(dead).toBe(CRASHED);
    expect(new Set(untaken)).toEqual(new Set(["ok"]));
    expect(new Set(await undisturbed)).toEqual(new Set(["ok"]));
    // One that the dead loop had taken and whose handler ran with it may be among them; none is without an answer.
    for (const one of await others) expect(["ok", CRASHED]).toContain(one);
    expect(new Set(await waiting)).toEqual(new Set(["ok", CRASHED]));

    // Afterwards everything serves again, with the in-flight limits it had.
    expect(new Set(await outcomes(Array.from({ length: 1_000 }, (_, n) => shared.call.echo(n))))).toEqual(
      new Set(["ok"]),
    );
    expect(await onFirst.call.echo("again")).toBe("again");
    expect(await onSecond.call.echo("still here")).toBe("still here");
    expect(env.stats().loops.map(({ state }) => state === "stopped")).toEqual([false, false]);
    expect(reports.letters).toEqual([]);
  });
});

describe("an endpoint that stops while its loop dies", () => {
  test.each(["serial", "concurrent"] as const)("is stopped, and its name is free: %s", async (form) => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const ref = await setUp(env, "stopping", form);
    const neighbour = await setUp(env, "neighbour", "concurrent");
    const dying = outcome(endFromOutside(ref, gate));
    await gate.reached();
    const behind = outcomes(Array.from({ length: 100 }, (_, n) => ref.call.echo(n)));
    await env.stop(ref);
    expect(await dying).toBe(CRASHED);
    for (const one of await behind) expect(["ok", "ERR_RPC_WORKER_CRASHED-"]).toContain(one);
    expect(await neighbour.call.echo(1)).toBe(1);
    const again = await setUp(env, "stopping", form);
    expect(await again.call.echo("again")).toBe("again");
  });

  test("or is just starting again ends at once, without onStop and without another start", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await env.setupEndpoint<typeof import("../fixtures/crash-serial.js")>(
      "slow",
      fixtureUrl("crash-serial"),
      {
        args: { gate: gate.name, does: "wait", at: 1 },
      },
    );
    const neighbour = await setUp(env, "neighbour", "serial");
    expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    const waiting = [outcome(ref.ask({ op: "count" })), outcome(ref.ask({ op: "count" }))];
    expect(ref.send({ op: "count" })).toBe(true);
    await gate.reached();
    await env.stop(ref);
    expect(await Promise.all(waiting)).toEqual(["ERR_RPC_WORKER_CRASHED-", "ERR_RPC_WORKER_CRASHED-"]);
    expect(await reports.letter()).toMatchObject({ endpoint: "slow", reason: "ERR_RPC_WORKER_CRASHED", count: 1 });
    gate.open();
    expect(await neighbour.call.echo(1)).toBe(1);
    expect(gate.notes).toEqual([
      { restarts: 0, reason: null },
      { restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" },
    ]);
    expect(env.endpointRef("slow")).toBe(null);
  });
});
