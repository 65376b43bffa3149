/**
 * Goal: each step of crash recovery is needed, and its loss is seen: a test that passes without the code it tests proves
 * nothing.
 * Method: a build in which one step is taken out or made wrong (test/fixtures/paused), and the crash that needs the step.
 * The unchanged build passes each of these scenarios; the mutant must not.
 */
import { isRpcError, type RpcEndpointRef, type RpcEnv } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { type Mutation, PausedBuild } from "../fixtures/paused/paused-build.js";
import type { PausePointName } from "../fixtures/paused/plan.js";

type Process = typeof import("../fixtures/process-service.js");
type Replicas = typeof import("../fixtures/replica-endpoint.js");

/** What hangs in a mutant does so for this long. */
const HANG_MS = 1_500;

interface Mutant {
  readonly what: string;
  readonly change: Omit<Mutation, "file">;
  readonly point: PausePointName;
  readonly scenario: (build: PausedBuild, point: PausePointName) => Promise<unknown>;
  /** What the scenario comes to in the unchanged build. */
  readonly right: unknown;
}

/** How the asks of an endpoint end whose loop, or one of whose loops, is terminated at the point. */
async function asksOf(
  build: PausedBuild,
  point: PausePointName,
  loops: number,
  module: string,
  nth = 5,
): Promise<unknown> {
  const env = await build.ringpost.RpcEnv.create({ numThreads: loops });
  // What hangs in a mutant would hold up its shutdown as well.
  await using _down = { [Symbol.asyncDispose]: () => env.shutdown({ timeoutMs: 100 }).catch(() => {}) };
  const ref = await env.setupEndpoint<Process>("asked", fixtureUrl(module));
  using hold = build.hold(point, nth);
  const calls = ref.with({ timeoutMs: HANG_MS });
  const asks = Array.from({ length: 30 }, (_, n) => calls.call.echo(n).then(() => "ok", codeOf));
  await hold.reached();
  await hold.terminate();
  const counts: Record<string, number> = {};
  for (const one of await Promise.all(asks)) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

const sharedAsks = (build: PausedBuild, point: PausePointName) => asksOf(build, point, 2, "process-service");
const firstReply = (build: PausedBuild, point: PausePointName) => asksOf(build, point, 1, "process-service-serial", 1);
const serialAsks = (build: PausedBuild, point: PausePointName) => asksOf(build, point, 1, "process-service-serial");

/** The accounts of an endpoint's one-way messages, when they have come out even or enough time has passed. */
async function accounts(env: RpcEnv): Promise<unknown> {
  const endsMs = performance.now() + HANG_MS;
  const even = (): boolean => {
    const { accepted, handled, failed, deadLettered } = env.stats().endpoints[0]!.oneWays;
    return accepted === handled + failed + deadLettered || performance.now() > endsMs;
  };
  await expect.poll(even, { timeout: HANG_MS * 10 }).toBe(true);
  return env.stats().endpoints[0]?.oneWays;
}

async function sends(build: PausedBuild, point: PausePointName): Promise<unknown> {
  await using env = await build.ringpost.RpcEnv.create({ numThreads: 1 });
  const ref: RpcEndpointRef<Process["default"]> = await env.setupEndpoint<Process>(
    "sent",
    fixtureUrl("process-service"),
  );
  using hold = build.hold(point, 5);
  for (let n = 0; n < 30; n++) ref.cast.echo(n);
  await hold.reached();
  await hold.terminate();
  return await accounts(env);
}

async function broadcast(build: PausedBuild, point: PausePointName): Promise<unknown> {
  using notes = new Gate();
  await using env = await build.ringpost.RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Replicas>("all", fixtureUrl("replica-endpoint"), { args: notes.name });
  using hold = build.hold(point);
  ref.broadcast({ op: "note", value: "hello" });
  await hold.reached();
  await hold.terminate();
  return await accounts(env);
}

const TAKING = "entry TAKING, HEAD not moved";
const TAKEN = "entry TAKEN, handler not run";
const oneCrashed = { ok: 29, "ERR_RPC_WORKER_CRASHED+": 1 };

const MUTANTS: readonly Mutant[] = [
  {
    what: "what it had published is not read",
    change: { from: "this.#loopZero.drainLoop(loop.index); // 1", to: "" },
    point: "TAIL stored, ready bit not set",
    scenario: firstReply,
    right: { ok: 30 },
  },
  {
    what: "every entry counts as taken",
    change: { from: "return isVoidEntry(entry, memory.words(ring), ring.word, owner)", to: "return false" },
    point: TAKING,
    scenario: serialAsks,
    right: { ok: 30 },
  },
  {
    what: "every entry counts as void",
    change: { from: "return isVoidEntry(entry, memory.words(ring), ring.word, owner)", to: "return true" },
    point: TAKEN,
    scenario: serialAsks,
    right: oneCrashed,
  },
  {
    what: "its take lock is kept",
    change: { from: "releaseDeadLock(memory.words", to: "void (memory.words" },
    point: "take lock won",
    scenario: sharedAsks,
    right: { ok: 30 },
  },
  {
    what: "what it left in its Inbox is not marked",
    change: { from: "this.#leave(endpoint, loop); // 7", to: "{}" },
    point: TAKING,
    scenario: serialAsks,
    right: { ok: 30 },
  },
  {
    what: "a one-way message that it had taken is forgotten",
    change: { from: "dispatcher.deadLetter(endpoint, crashError(endpoint.name, loop.index, error, true), 1)", to: "" },
    point: TAKEN,
    scenario: sends,
    right: { accepted: 30, handled: 29, failed: 0, deadLettered: 1 },
  },
  {
    what: "a one-way message that it had counted is a dead letter all the same",
    change: { from: "if (entry.count !== 0)", to: "if (false)" },
    point: "handled and counted, entry not freed",
    scenario: sends,
    right: { accepted: 30, handled: 30, failed: 0, deadLettered: 0 },
  },
  {
    what: "its mailbox is not emptied",
    change: { from: "this.#emptyMailbox(loop, error); // 6", to: "" },
    point: TAKING,
    scenario: broadcast,
    right: { accepted: 2, handled: 1, failed: 0, deadLettered: 1 },
  },
];

describe("the unchanged build", () => {
  let build: PausedBuild;
  beforeAll(async () => {
    build = await PausedBuild.create();
  });
  afterAll(() => build[Symbol.asyncDispose]());

  test.each(MUTANTS)("passes the scenario of: $what", async ({ point, scenario, right }) => {
    expect(await scenario(build, point)).toEqual(right);
  });
});

describe("a build in which, after a crash,", () => {
  test.each(MUTANTS)("$what, is noticed", async ({ change, point, scenario, right }) => {
    await using build = await PausedBuild.create({ file: "dispatcher/crash-recovery.js", ...change });
    expect(await scenario(build, point)).not.toEqual(right);
  });
});

function codeOf(error: unknown): string {
  return isRpcError(error) ? `${error.code}${error.maybeExecuted ? "+" : "-"}` : String(error);
}
