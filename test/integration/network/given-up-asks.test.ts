/**
 * Goal: asks that are given up by the thousand cost a connection nothing, though a peer may have 10,000 unanswered ones only.
 * Method: handlers that end when they are cancelled; what waits behind them never runs.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { type FaultService, serving, until } from "../../fixtures/faults.js";
import { Gate } from "../../fixtures/gate.js";

test("a connection goes on after 11,000 asks that were given up: they do not count as unanswered", async () => {
  using gate = new Gate();
  await using server = await serving();
  await using client = await RpcEnv.create({ numThreads: 1 });
  const ref = await client.setupEndpointRef<FaultService>(server.address, "service");
  for (let round = 0; round < 11; round++) {
    const controller = new AbortController();
    const { call } = ref.with({ signal: controller.signal });
    const asks = Array.from({ length: 1_000 }, () => call.signal(gate.name));
    // Answered behind them on the same connection: all of them have come.
    await client.setupEndpointRef(server.address, "service");
    controller.abort(round);
    const ends = await Promise.allSettled(asks);
    expect(ends.every((end) => end.status === "rejected" && end.reason === round)).toBe(true);
  }
  expect(await ref.call.echo("still there")).toBe("still there");
  await until(() => server.env.stats().endpoints[0]?.asks.aborted === 11_000);
});
