/**
 * Goal: threads that do not come up, or run out of heap, are tried again within bounds; nothing hangs, and the process
 * ends by itself afterwards.
 * Method: child processes, each one scenario of test/fixtures/crash-main.ts. A module that node loads into every thread
 * keeps threads from coming up while a variable of the environment says so; a flag of node makes heaps small.
 */
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { runMain } from "../fixtures/run-main.js";

const breaksThreads = ["--import", fixtureUrl("breaks-threads").href];

/** Parsed lines of a scenario that ended by itself and said nothing else. */
async function run(scenario: string, how: string, flags: readonly string[] = breaksThreads): Promise<unknown[]> {
  const { code, lines, errors } = await runMain("crash-main", [scenario, how], flags);
  expect([code, errors]).toEqual([0, ""]);
  return lines.map((line) => JSON.parse(line) as unknown);
}

describe.each(["throw", "exit"])("a thread that does not come up: %s", (how) => {
  test("fails set-ups after five attempts, with the reason; set-ups after it has come up succeed", async () => {
    const why = how === "throw" ? "RangeError: this thread will not start" : "its thread exited with code 0";
    const failure = (name: string, loop: number) => [
      "ERR_RPC_ENDPOINT_START",
      expect.stringMatching(
        `endpoint "${name}" did not start: message loop ${loop} cannot be started: attempts=5, .*${why}`,
      ),
      expect.stringContaining(why),
    ];
    expect(await run("neverBoots", how)).toEqual([failure("service", 1), failure("isolated", 3), "boots at last"]);
  });

  test("fails nothing when a later attempt succeeds", async () => {
    expect(await run("bootsLate", how)).toEqual(["boots late"]);
  });

  test("delays a restart, and what waited is served", async () => {
    expect(await run("restartsLate", how)).toEqual([
      { blamed: null, restarted: ["service"] },
      "ERR_RPC_WORKER_CRASHED",
      "restarts late",
    ]);
  });

  test("does not keep the process when its env is shut down, in back-off or at its first start", async () => {
    expect(await run("shutsDownInBackOff", how)).toEqual(["ERR_RPC_WORKER_CRASHED", "ERR_RPC_WORKER_CRASHED", "down"]);
    expect(await run("shutsDownWhileItBoots", how)).toEqual(["ERR_RPC_ENV_STOPPED", "down"]);
  });
});

test("a thread that never says a word is ended after the start timeout, and another is started", async () => {
  const lines = await run("hangsWhileItBoots", "hang");
  expect(lines).toContainEqual({ stuck: false });
  expect(lines.filter((line) => typeof line === "string")).toEqual(["ERR_RPC_ENDPOINT_START", "boots at last"]);
});

test("a heap that fills up gradually ends its loop alone, and the endpoint is started again", async () => {
  expect(await run("runsOutOfHeap", "", ["--max-old-space-size=64"])).toEqual([
    { blamed: "service", restarted: ["service"], code: "ERR_WORKER_OUT_OF_MEMORY" },
    "ERR_RPC_WORKER_CRASHED",
    "after",
    "beside",
  ]);
});
