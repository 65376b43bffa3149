/**
 * Goal: a thread that a native call holds cannot be ended, and holds up nobody: what it had taken fails at once, its
 * endpoints go on elsewhere, and when it has exited its loop is used again.
 * Method: `sleep` as a child process that is waited for synchronously. Loop 0 decides to end the loop because of a start
 * that does not come back within its timeout of a second. A thread is stuck 5 s after that.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { CRASHED, outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Serial = typeof import("../fixtures/crash-serial.js");
type Replicas = typeof import("../fixtures/crash-replicas.js");
type IsolatedSerial = typeof import("../fixtures/crash-isolated-serial.js");

const serial = fixtureUrl("crash-serial");
const conf = { "rpc.startTimeout": 1 };

test("endpoints of a stuck loop go on on another, with what they had not taken; the loop comes back when its thread ends", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2, conf });
  const reports = new Reports(env);
  const args = { gate: gate.name };
  const pinned = await env.setupEndpoint<Serial>("pinned", serial, { args, loop: 1, inboxBytes: 4_096 });
  const shared = await env.setupEndpoint<Replicas>("shared", fixtureUrl("crash-replicas"), { args });
  const beside = await env.setupEndpoint<Serial>("beside", serial, { args, loop: 2 });
  for (let starts = 0; starts < 4; starts++) await gate.note();
  const taken = outcome(pinned.ask({ op: "wait" }));
  await gate.reached();
  // The start takes the loop into its native call while `pinned` waits at the gate.
  const stuckStart = failureOf(
    env.setupEndpoint<Serial>("sleeper", serial, { args: { gate: gate.name, does: "sleep" }, loop: 1 }),
  );
  expect(await gate.note()).toEqual({ restarts: 0, reason: null });
  const counts = Array.from({ length: 200 }, () => pinned.ask({ op: "count" }));
  const large = pinned.ask({ op: "echo", value: new Uint8Array(100_000) });
  expect((await stuckStart).message).toContain("within 1000 ms");
  // At once, long before the thread exits.
  expect(await taken).toBe(CRASHED);
  expect(reports.crashes).toEqual([]);
  expect(await shared.ask({ op: "echo", value: 1 })).toBe(1);
  expect(await beside.ask({ op: "count" })).toBe(1);

  expect(await reports.crash()).toMatchObject({ loop: 1, blamed: "sleeper", restarted: ["pinned"], stuck: true });
  expect(await Promise.all(counts)).toEqual(counts.map((_, n) => n + 1));
  expect(((await large) as Uint8Array).length).toBe(100_000);
  expect(await gate.note()).toEqual({ restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" });
  expect(env.stats().loops.map(({ state }) => state === "stopped")).toEqual([true, false]);
  expect(new Set([await pinned.ask({ op: "thread" })])).toEqual(new Set([await beside.ask({ op: "thread" })]));
  expect((await failureOf(env.setupEndpoint<Serial>("on 1", serial, { args, loop: 1 }))).code).toBe(
    "ERR_RPC_ENDPOINT_START",
  );

  // Its child process ends, the thread with it, and the loop is started again with the replica that it had.
  expect(await gate.note()).toEqual({ restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" });
  const again = await env.setupEndpoint<Serial>("on 1", serial, { args, loop: 1 });
  expect(await again.ask({ op: "count" })).toBe(1);
  expect(reports.crashes).toHaveLength(1);
  expect(reports.letters).toEqual([]);
});

test("an isolated endpoint whose only thread is stuck goes on on another of its own", async () => {
  using gate = new Gate();
  const env = await RpcEnv.create({ numThreads: 1, conf });
  const reports = new Reports(env);
  const ref = await env.setupEndpoint<IsolatedSerial>("isolated", fixtureUrl("crash-isolated-serial"), {
    args: { gate: gate.name, does: "sleep", at: 1, until: 2 },
    kind: "isolated-serial",
  });
  expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
  // It does not come back from its restart, and is moved.
  expect(await ref.ask({ op: "count" })).toBe(1);
  expect(reports.crashes).toMatchObject([
    { loop: 2, blamed: "isolated", stuck: false },
    { loop: 2, blamed: "isolated", restarted: ["isolated"], stuck: true },
  ]);
  expect(env.stats().loops.map(({ index, state }) => [index, state === "stopped"])).toEqual([
    [2, true],
    [3, false],
  ]);
  // Shutdown does not wait for the sleeper. Expected: at once, since the loop is known to be stuck.
  const startedMs = performance.now();
  await env.shutdown({ timeoutMs: 1_000 });
  expect(performance.now() - startedMs).toBeLessThan(8_000);
});

test("a shutdown ends at its timeout when a native call holds a thread, and names the loop", async () => {
  using gate = new Gate();
  const env = await RpcEnv.create({ numThreads: 1 });
  const reports = new Reports(env);
  const ref = await env.setupEndpoint<Serial>("sleeper", serial, { args: { gate: gate.name } });
  await gate.note();
  const asks = [outcome(ref.ask({ op: "sleep", seconds: 25 })), outcome(ref.ask({ op: "count" }))];
  expect(await gate.note()).toBe("sleeps");
  const startedMs = performance.now();
  await env.shutdown({ timeoutMs: 500 });
  // The timeout, the grace of a stop, the grace of a thread.
  expect(performance.now() - startedMs).toBeLessThan(20_000);
  expect(await Promise.all(asks)).toEqual(["ERR_RPC_NO_REPLY+", "ERR_RPC_NO_REPLY+"]);
  expect(reports.crashes).toMatchObject([{ loop: 1, stuck: true }]);
});
