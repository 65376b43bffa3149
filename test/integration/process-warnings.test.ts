/**
 * Goal: without a logger and a listener, what goes wrong is a warning of the process; dead letters once for each endpoint
 * and code. With either, the process is not bothered.
 * Method: the process's own `warning` event.
 */
import { defineService, RpcEnv } from "ringpost";
import { expect, test } from "vitest";

const failing = defineService({
  fail: (): never => {
    throw new RangeError("no luck");
  },
});

async function warningsOf(prepare: (env: RpcEnv) => void): Promise<Error[]> {
  const warnings: Error[] = [];
  const listener = (warning: Error): void => {
    if (warning.name === "RingpostWarning") warnings.push(warning);
  };
  process.on("warning", listener);
  try {
    await using env = await RpcEnv.create({ name: "quiet", numThreads: 1 });
    prepare(env);
    const refs = [await env.setupEndpoint("a", failing), await env.setupEndpoint("b", failing)];
    for (const ref of refs) for (let n = 0; n < 5; n++) ref.cast.fail();
    const failed = (): number => env.stats().endpoints.reduce((sum, { oneWays }) => sum + oneWays.failed, 0);
    await expect.poll(failed).toBe(10);
    // A warning is emitted in the next tick.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("warning", listener);
  }
  return warnings;
}

test("one for each endpoint and code when nobody listens", async () => {
  const warnings = await warningsOf(() => {});
  expect(warnings.map(({ message }) => message)).toEqual([
    'env "quiet", deadLetter: handler of "a" failed: RangeError: no luck',
    'env "quiet", deadLetter: handler of "b" failed: RangeError: no luck',
  ]);
  expect(warnings).toMatchObject([{ code: "ERR_RPC_HANDLER" }, { code: "ERR_RPC_HANDLER" }]);
});

test("none when somebody listens", async () => {
  const letters: string[] = [];
  expect(await warningsOf((env) => env.on("deadLetter", ({ endpoint }) => letters.push(endpoint)))).toEqual([]);
  expect(letters).toHaveLength(10);
});
