/**
 * Goal: when a loop dies, exactly the messages it had taken fail as possibly executed; what it had not taken is served
 * by the others or fails as not executed; nothing hangs, and the rest of the environment does not notice.
 * Method: handlers end their thread in each way a handler can; what was taken is known from gates and from order.
 *
 * Allowed for an ask that was posted and not yet taken when the loop died: an answer of a surviving loop; with none left,
 * ERR_RPC_WORKER_CRASHED with maybeExecuted false. Forbidden: no answer, and maybeExecuted false for what ran.
 */
import { isRpcError, type RpcDeadLetter, RpcEnv, type RpcLoopCrash } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Service = typeof import("../fixtures/process-service.js");
type ServiceRef = Awaited<ReturnType<typeof setUp>>;

function setUp(env: RpcEnv, name: string, form: "concurrent" | "serial", options = {}) {
  return env.setupEndpoint<Service>(
    name,
    fixtureUrl(form === "serial" ? "process-service-serial" : "process-service"),
    options,
  );
}

/** Ways to die. Each handler's ask counts as taken. */
const DEATHS: [how: string, die: (ref: ServiceRef) => Promise<unknown>, says: string][] = [
  ["process.exit", (ref) => ref.call.exit(7), "exit"],
  ["a throw outside of a handler", (ref) => ref.call.throwLater(), "thrown outside of a handler"],
  ["an unhandled rejection", (ref) => ref.call.rejectUnhandled(), "nobody handled this"],
];

/** "ok", or the code with + for maybe executed and - for not. */
async function outcome(ask: Promise<unknown>): Promise<string> {
  try {
    await ask;
    return "ok";
  } catch (error) {
    return isRpcError(error) ? `${error.code}${error.maybeExecuted ? "+" : "-"}` : String(error);
  }
}

function outcomes(asks: readonly Promise<unknown>[]): Promise<string[]> {
  return Promise.all(asks.map(outcome));
}

function crashOf(env: RpcEnv): Promise<RpcLoopCrash> {
  return new Promise((resolve) => env.on("loopCrashed", resolve));
}

describe.each(DEATHS)("the only loop dies: %s", (_how, die, says) => {
  test("a serial endpoint: the message it had fails as possibly executed, those behind it as not executed", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setUp(env, "serial", "serial", { inboxBytes: 4_096 });
    const crashed = crashOf(env);
    const failed = new Promise<{ endpoint: string }>((resolve) => env.on("endpointFailed", resolve));
    const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
    const dying = outcome(die(ref));
    const sends = Array.from({ length: 3 }, (_, n) => ref.cast.echo(n));
    // More than its ring holds, and large bodies: spill and tickets end as well.
    const behind = outcomes(
      Array.from({ length: 500 }, (_, n) => ref.call.echo(n % 50 === 0 ? new Uint8Array(5_000) : n)),
    );
    expect(await dying).toBe("ERR_RPC_WORKER_CRASHED+");
    expect(new Set(await behind)).toEqual(new Set(["ERR_RPC_WORKER_CRASHED-"]));
    expect(sends).toEqual([true, true, true]);
    expect(await letter).toMatchObject({ endpoint: "serial", reason: "ERR_RPC_WORKER_CRASHED", count: 3 });
    const crash = await crashed;
    expect(crash.loop).toBe(1);
    expect(String(crash.error)).toContain(says);
    expect((await failed).endpoint).toBe("serial");
    expect(env.stats().endpoints).toMatchObject([{ name: "serial", state: "failed" }]);
    expect((await failureOf(ref.call.echo(1))).code).toBe("ERR_RPC_ENDPOINT_FAILED");
    expect((await failureOf(ref.ready())).code).toBe("ERR_RPC_ENDPOINT_FAILED");
    expect(ref.cast.echo(1)).toBe(false);
    await env.stop(ref);
    expect((await failureOf(setUp(env, "serial", "serial"))).message).toContain("crashed");
  });

  test("a concurrent endpoint: what it had in flight fails as possibly executed, the rest is answered or never ran", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await setUp(env, "concurrent", "concurrent");
    const waiting = outcomes(Array.from({ length: 10 }, () => ref.call.wait(gate.name)));
    await gate.reached(10);
    const dying = outcome(die(ref));
    const behind = outcomes(Array.from({ length: 500 }, (_, n) => ref.call.echo(n)));
    expect([await dying, ...(await waiting)]).toEqual(Array.from({ length: 11 }, () => "ERR_RPC_WORKER_CRASHED+"));
    for (const one of await behind) expect(["ok", "ERR_RPC_WORKER_CRASHED-"]).toContain(one);
  });
});

describe.each(DEATHS)("one of two loops dies: %s", (_how, die) => {
  test("the other serves what was not taken; a serial endpoint of the dead loop fails, its name can be set up again", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const shared = await setUp(env, "shared", "concurrent");
    const onFirst = await setUp(env, "on first", "serial", { loop: 1 });
    const onSecond = await setUp(env, "on second", "serial", { loop: 2 });
    const crashed = crashOf(env);
    // More than one loop holds at a time, so that each has some.
    const waiting = outcomes(Array.from({ length: 100 }, () => shared.call.wait(gate.name)));
    await gate.reached(100);
    const asks = [outcome(die(onFirst)), ...Array.from({ length: 20 }, (_, n) => outcome(onFirst.call.echo(n)))];
    const others = outcomes(Array.from({ length: 1_000 }, (_, n) => (n % 3 === 0 ? onSecond : shared).call.echo(n)));
    expect((await crashed).loop).toBe(1);
    // The survivor may hold as many as it can: it goes on with the rest when these end.
    gate.open();
    const [dead, ...untaken] = await Promise.all(asks);
    expect(dead).toBe("ERR_RPC_WORKER_CRASHED+");
    expect(new Set(untaken)).toEqual(new Set(["ERR_RPC_WORKER_CRASHED-"]));
    // One that the dead loop had taken and whose handler ran with it may be among them; none is without an answer.
    for (const one of await others) expect(["ok", "ERR_RPC_WORKER_CRASHED+"]).toContain(one);
    expect((await failureOf(onFirst.call.echo(1))).code).toBe("ERR_RPC_ENDPOINT_FAILED");
    expect(new Set(await waiting)).toEqual(new Set(["ok", "ERR_RPC_WORKER_CRASHED+"]));

    // Afterwards: the survivor serves everything, with the in-flight limits it had.
    expect(new Set(await outcomes(Array.from({ length: 1_000 }, (_, n) => shared.call.echo(n))))).toEqual(
      new Set(["ok"]),
    );
    expect(await onSecond.call.echo("still here")).toBe("still here");
    await env.stop(onFirst);
    const again = await setUp(env, "on first", "serial");
    expect(await again.call.echo("again")).toBe("again");
    expect(await onFirst.call.echo("through the old ref")).toBe("through the old ref");
    expect(env.stats().loops.map(({ state }) => state === "stopped")).toEqual([true, false]);
    await env.stop(shared);
  });

  test("while it has an ask whose body is on its way, or an endpoint that stops, both end", async () => {
    await using env = await RpcEnv.create({ numThreads: 2 });
    const shared = await setUp(env, "shared", "concurrent");
    const pinned = await setUp(env, "pinned", "serial", { loop: 1 });
    const large = Array.from({ length: 50 }, () => outcome(shared.call.echo(new Uint8Array(300_000))));
    const dying = outcome(die(pinned));
    const stopping = env.stop(pinned);
    expect(await dying).toBe("ERR_RPC_WORKER_CRASHED+");
    await stopping;
    for (const one of await Promise.all(large)) expect(["ok", "ERR_RPC_WORKER_CRASHED+"]).toContain(one);
    expect(((await shared.call.echo(new Uint8Array(300_000))) as Uint8Array).length).toBe(300_000);
  });
});

test("the endpoint whose handler was on the stack is blamed", async () => {
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await setUp(env, "guilty", "serial", { loop: 2 });
  await setUp(env, "bystander", "serial", { loop: 2 });
  const crashed = crashOf(env);
  expect(await outcome(ref.call.exit(1))).toBe("ERR_RPC_WORKER_CRASHED+");
  expect(await crashed).toMatchObject({ loop: 2, blamed: "guilty" });
});

test("a one-way message that a dying loop had taken is a dead letter", async () => {
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await setUp(env, "service", "concurrent");
  const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
  expect(ref.cast.exit(1)).toBe(true);
  const { endpoint, reason, count, error } = await letter;
  expect([endpoint, reason, count, error.maybeExecuted]).toEqual(["service", "ERR_RPC_WORKER_CRASHED", 1, true]);
});
