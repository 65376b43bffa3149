/** The conformance suites, for an endpoint whose module runs on message loops; and what only threads can do: die. */
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { addressesSuite } from "./addresses.contract.js";
import { eventsAndConfSuite } from "./events-and-conf.contract.js";
import { failureOf, onMessageLoops } from "./form.js";
import { gapsSuite } from "./gaps.contract.js";
import { inboxSuite } from "./inbox.contract.js";
import { rpcEnvSuite } from "./rpc-env.contract.js";

rpcEnvSuite(onMessageLoops);
inboxSuite(onMessageLoops);
eventsAndConfSuite(onMessageLoops);
addressesSuite(onMessageLoops);
gapsSuite(onMessageLoops);

type Process = typeof import("../fixtures/process-service.js");

describe("what Spark's suites leave open, crashes, on message loops", () => {
  test("[gap worker crash] what the dead thread had taken fails as possibly executed, what waited is served afterwards", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Process>("crashing", fixtureUrl("process-service-serial"));
    const running = ref.call.wait(gate.name);
    await gate.reached();
    const dying = failureOf(ref.call.exit(1));
    const behind = Array.from({ length: 100 }, (_, n) => ref.call.echo(n));
    gate.open();
    await running;
    const { code, maybeExecuted } = await dying;
    expect([code, maybeExecuted]).toEqual(["ERR_RPC_WORKER_CRASHED", true]);
    expect(await Promise.all(behind)).toEqual(behind.map((_, n) => n));
    await expect.poll(() => env.stats().loops.every(({ inFlight }) => inFlight === 0)).toBe(true);
    await env.stop(ref);
  });
});
