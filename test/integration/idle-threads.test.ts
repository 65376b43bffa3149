/**
 * Goal: a thread that sleeps in Atomics.waitAsync does not exit: that holds no event loop, so something else must.
 * Method: a loop falls asleep again and again, in builds in which what holds its thread is let go. Two do: the ports of
 * piscina and our own control port. Each alone is enough, so ours is tried without piscina's, and then without either.
 */
import { expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { type Mutation, PausedBuild } from "../fixtures/paused/paused-build.js";

type Process = typeof import("../fixtures/process-service.js");

const EXPOSE = "    expose(new LoopEndpoints({ loop, memory, refs, rpcEnv, host }), start.controlPort);\n";
const LET_GO = "    for (const handle of process._getActiveHandles()) handle.unref?.();\n";

function build(to: string): Promise<PausedBuild> {
  const mutation: Mutation = { file: "dispatcher/start-message-loop.js", from: EXPOSE, to };
  return PausedBuild.create(mutation);
}

/** What comes of a loop that is asked something each time it has fallen asleep. */
async function sleepAndAsk({ ringpost }: PausedBuild): Promise<"answers" | "is gone"> {
  // A thread may be gone before it has said that it is there, and so may those that take its place.
  await using env = await ringpost.RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": "10s" } });
  let gone = false;
  const lost = (): null => {
    gone = true;
    return null;
  };
  env.on("loopCrashed", lost);
  // It may be gone before its endpoint has started, and whoever waits for it hears of that before the event.
  const ref = await env.setupEndpoint<Process>("asked", fixtureUrl("process-service")).catch(lost);
  for (let round = 0; round < 20 && ref !== null && !gone; round++) {
    const asleep = () => gone || env.stats().loops.some(({ index, state }) => index === 1 && state === "parked");
    await expect.poll(asleep, { timeout: 15_000 }).toBe(true);
    await ref.call.echo(round).catch(lost);
  }
  return gone ? "is gone" : "answers";
}

test("a loop's control port alone holds its thread", async () => {
  await using letGoBefore = await build(LET_GO + EXPOSE);
  expect(await sleepAndAsk(letGoBefore)).toBe("answers");
});

test("a thread that nothing holds is gone in its sleep", async () => {
  await using letGoAfter = await build(EXPOSE + LET_GO);
  expect(await sleepAndAsk(letGoAfter)).toBe("is gone");
});
