/**
 * Goal: a handler that never settles costs its asker a timeout and nobody else anything: a concurrent endpoint takes its
 * slot back after the grace of 5 s, a late result is ignored; a serial endpoint stays suspended, and the env says so.
 * Method: handlers wait at a gate that opens only when the test is over with them; the grace is waited for, in one test
 * for all forms.
 */
import {
  RpcEndpoint,
  type RpcEndpointRef,
  type RpcEndpointStuck,
  RpcEnv,
  type RpcUntyped,
  ThreadSafeRpcEndpoint,
} from "ringpost";
import { expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate, passGate } from "../fixtures/gate.js";

test("slots come back, serial endpoints are reported, late results are ignored", { timeout: 30_000 }, async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  class Here extends RpcEndpoint {
    override receiveAndReply(message: { method: string; inputs: unknown[] }): unknown {
      return message.method === "gate" ? passGate(gate.name) : message.inputs[0];
    }
  }
  class HereSerial extends ThreadSafeRpcEndpoint {
    override receiveAndReply(message: { method: string; inputs: unknown[] }): unknown {
      return message.method === "gate" ? passGate(gate.name) : message.inputs[0];
    }
  }
  const concurrent = [
    await env.setupEndpoint("worker", fixtureUrl("call-endpoint"), { concurrency: 1 }),
    await env.setupEndpoint("main", new Here(), { concurrency: 1 }),
  ];
  const serial = [
    await env.setupEndpoint("worker-serial", fixtureUrl("call-endpoint-serial")),
    await env.setupEndpoint("main-serial", new HereSerial()),
  ];
  const stuck: RpcEndpointStuck[] = [];
  env.on("endpointStuck", (event) => stuck.push(event));
  const ask = (ref: unknown, method: string, input: unknown, timeoutMs: number): Promise<unknown> =>
    (ref as RpcEndpointRef<RpcUntyped>).ask({ method, inputs: [input] }, { timeoutMs });

  const hanging = [...concurrent, ...serial].map((ref) => ask(ref, "gate", gate.name, 50));
  for (const asked of hanging) expect((await failureOf(asked)).code).toBe("ERR_RPC_TIMEOUT");
  await gate.reached(4);
  // Behind the one that hangs: these wait for the slot.
  const waiting = concurrent.map((ref) => ask(ref, "echo", "next", 20_000));
  expect(await Promise.all(waiting)).toEqual(["next", "next"]);
  await expect.poll(() => stuck.length, { timeout: 10_000 }).toBe(2);
  expect(stuck.map(({ endpoint }) => endpoint).sort()).toEqual(["main-serial", "worker-serial"]);
  for (const { ageMs } of stuck) expect(ageMs).toBeGreaterThanOrEqual(4_900);
  for (const ref of serial) expect((await failureOf(ask(ref, "echo", 1, 50))).code).toBe("ERR_RPC_TIMEOUT");
  // The handlers settle after all: the serial ones go on, the results of all are late and ignored.
  gate.open();
  expect(await Promise.all(serial.map((ref) => ask(ref, "echo", "again", 10_000)))).toEqual(["again", "again"]);
  for (const { asks, oneWays } of env.stats().endpoints) {
    const { sent, replied, failed, timedOut, aborted, rejected } = asks;
    expect(replied + failed + timedOut + aborted + rejected).toBe(sent);
    expect(oneWays).toEqual({ accepted: 0, handled: 0, failed: 0, deadLettered: 0 });
  }
  // Each passes the gate by itself, the concurrent one perhaps after those that are awaited above.
  await expect.poll(() => env.stats().loops.map(({ inFlight }) => inFlight)).toEqual([0]);
});
