/**
 * Goal: a message is not left beside a loop that sleeps, though the loop that was rung for it hears nothing (R18).
 * Method: real threads. While they sleep, code of their user's outside of any handler holds all loops but the last, whose
 * bell is so the last to be rung; and a build in which loop 0's second look is missing, or does not go on.
 *
 * No outcome depends on time: whoever holds a loop goes on until the message was answered or given up.
 */
import { isRpcError } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { PausedBuild } from "../fixtures/paused/paused-build.js";

type Process = typeof import("../fixtures/process-service.js");

/** What nobody hears of is given up after this long; what somebody hears of takes at most a sweep. */
const HANG_MS = 1_500;

const SWEEP = "        this.#reRing();\n        this.#loopZero.wake();";
const NO_LOOK = { file: "dispatcher/poster.js", from: "#reRing() {", to: "#reRing() {\n        return;" };
const NO_LOOK_IN_THE_SWEEP = { file: "dispatcher/poster.js", from: SWEEP, to: "        this.#loopZero.wake();" };

/** How the ask of a shared endpoint ends while all loops but the last eat their bells. */
async function askPast(deafLoops: number, { ringpost }: PausedBuild): Promise<string> {
  using start = new Gate();
  using held = new Gate();
  const loops = deafLoops + 1;
  await using env = await ringpost.RpcEnv.create({ numThreads: loops });
  const shared = await env.setupEndpoint<Process>("shared", fixtureUrl("process-service"));
  for (let loop = 1; loop <= deafLoops; loop++) {
    const holder = await env.setupEndpoint<Process>(`holder ${loop}`, fixtureUrl("process-service-serial"), { loop });
    await holder.call.holdLater(start.name, held.name);
  }
  await start.reached(deafLoops);
  // Asleep, and so with their PARKED bits set, which user code does not take back.
  const parked = () => env.stats().loops.filter(({ state }) => state === "parked").length;
  await expect.poll(parked, { timeout: HANG_MS * 10 }).toBe(loops);
  start.open();
  await held.reached(deafLoops);
  const outcome = await shared.with({ timeoutMs: HANG_MS }).call.echo("answered").catch(codeOf);
  held.open();
  return outcome as string;
}

function codeOf(error: unknown): string {
  return isRpcError(error) ? error.code : String(error);
}

describe("a message whose bell was eaten is answered by the loop that still hears", () => {
  let build: PausedBuild;
  beforeAll(async () => {
    build = await PausedBuild.create();
  });
  afterAll(() => build[Symbol.asyncDispose]());

  test.each([1, 2])("loops that hear nothing: %s", async (deafLoops) => {
    expect(await askPast(deafLoops, build)).toBe("answered");
  });
});

describe("it is not in a build in which loop 0", () => {
  test("does not look again", async () => {
    await using build = await PausedBuild.create(NO_LOOK);
    expect(await askPast(1, build)).toBe("ERR_RPC_TIMEOUT");
  });

  test("looks again a millisecond later, and not in its sweeps: the second bell may be eaten as well", async () => {
    await using build = await PausedBuild.create(NO_LOOK_IN_THE_SWEEP);
    expect(await askPast(1, build)).toBe("answered");
    expect(await askPast(2, build)).toBe("ERR_RPC_TIMEOUT");
  });
});
