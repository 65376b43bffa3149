/**
 * Goal: a shutdown leaves nobody behind: what was accepted and will never run is a dead letter, and who is just starting
 * does not start any more.
 * Method: handlers that hold their threads beyond the timeout, and an instance on loop 0 that waits in its onStart.
 */
import { RpcEnv, ThreadSafeRpcEndpoint } from "ringpost";
import { expect, test } from "vitest";
import { outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate, passGate } from "../fixtures/gate.js";

type Replicas = typeof import("../fixtures/crash-replicas.js");

test("one-ways that a shutdown gives up are dead letters, those that run and those that wait", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const reports = new Reports(env);
  const args = { gate: gate.name };
  const ref = await env.setupEndpoint<Replicas>("held", fixtureUrl("crash-replicas"), { args });
  for (let i = 0; i < 5; i++) expect(ref.send({ op: "spin" })).toBe(true);
  await gate.reached(2);
  await env.shutdown({ timeoutMs: 100 });
  expect(reports.letters.map(({ reason, count }) => [reason, count])).toEqual([
    ["ERR_RPC_WORKER_CRASHED", 1],
    ["ERR_RPC_WORKER_CRASHED", 1],
    ["ERR_RPC_ENV_STOPPED", 3],
  ]);
  expect(reports.crashes).toEqual([]);
  // Nobody sweeps for the sake of what is still marked as waiting.
  expect(env.stats().endpoints).toEqual([]);
});

class Waiting extends ThreadSafeRpcEndpoint {
  readonly #gate: string;

  constructor(gate: string) {
    super();
    this.#gate = gate;
  }

  override onStart(): Promise<void> {
    return passGate(this.#gate);
  }
}

test("an instance on the main thread that is starting when its env is shut down does not start", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const setup = outcome(env.setupEndpoint("late", new Waiting(gate.name)));
  await gate.reached();
  await env.shutdown();
  gate.open();
  expect(await setup).toBe("ERR_RPC_ENV_STOPPED-");
  expect(env.stats().endpoints).toEqual([]);
});
