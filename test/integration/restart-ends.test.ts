/**
 * Goal: an endpoint that runs has an instance, is being given one, or has failed; nothing else can become of it.
 * Method: restarts and replacements that hang, or die while loop 0 still asks whether their loop turns; a listener that
 * stops the endpoint whose crash it is told of.
 */
import { setImmediate } from "node:timers/promises";
import { BroadcastChannel, receiveMessageOnPort } from "node:worker_threads";
import { type RpcEndpointRef, RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import type { CrashArgs } from "../fixtures/crash-life.js";
import { CRASHED, outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Serial = typeof import("../fixtures/crash-serial.js");

const serial = fixtureUrl("crash-serial");

test("a restart whose loop dies after the start timeout, while it is asked whether it turns, is tried again", {
  timeout: 60_000,
}, async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": 2 } });
  const args: CrashArgs = { gate: gate.name, does: "spin and exit", at: 1, until: 2 };
  const ref = await env.setupEndpoint<Serial>("restarting", serial, { args });
  expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
  await gate.reached();
  // Ends after the start timeout and before the ping that follows it.
  expect(await outcome(ref.ask({ op: "count" }, { timeoutMs: 2_200 }))).toMatch("ERR_RPC_TIMEOUT");
  gate.open();
  expect(await ref.ask({ op: "echo", value: "alive" }, { timeoutMs: 30_000 })).toBe("alive");
});

test("a new instance in place of one that was given up has the start timeout; then its endpoint fails", {
  timeout: 60_000,
}, async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": 2 } });
  const reports = new Reports(env);
  const args: CrashArgs = { gate: gate.name, does: "hang", at: 1 };
  const ref = await env.setupEndpoint<Serial>("replaced", serial, { args, handlerTimeoutMs: 100 });
  expect(await outcome(ref.ask({ op: "wait" }))).toBe("ERR_RPC_HANDLER_TIMEOUT+");
  const next = outcome(ref.ask({ op: "count" }));
  expect(await reports.failure()).toBe("replaced");
  expect(await next).toBe("ERR_RPC_ENDPOINT_FAILED-");
  await env.stop(ref);
  expect(env.stats().endpoints).toEqual([]);
});

test("an endpoint that is stopped by who is told of its last crash does not fail besides", {
  timeout: 60_000,
}, async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const reports = new Reports(env);
  const args = { gate: gate.name };
  const ref: RpcEndpointRef<Serial["default"]["prototype"]> = await env.setupEndpoint<Serial>("mortal", serial, {
    args,
  });
  const stopped = new Promise<void>((resolve, reject) => {
    env.on("loopCrashed", () => {
      if (reports.crashes.length === 5) env.stop(ref).then(resolve, reject);
    });
  });
  for (let crash = 0; crash < 5; crash++) expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
  await stopped;
  expect(reports.failures).toEqual([]);
  expect(env.stats().endpoints).toEqual([]);
});

/**
 * Opens the gate, and holds this thread until somebody has reached it again, and for `ms` at least: its env hears of
 * nothing meanwhile.
 */
function openAndSpin(gate: Gate, ms = 0): void {
  const endsMs = performance.now() + ms;
  const channel = new BroadcastChannel(gate.name);
  const port = channel as unknown as Parameters<typeof receiveMessageOnPort>[0];
  gate.open();
  while ((receiveMessageOnPort(port)?.message as { type: string } | undefined)?.type !== "reached");
  while (performance.now() < endsMs);
  channel.close();
}

test("a stop finds an instance that serves already, although the answer of its start has not come", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const reports = new Reports(env);
  const args: CrashArgs = { gate: gate.name, does: "wait", at: 1 };
  const ref = await env.setupEndpoint<Serial>("serving", serial, { args });
  expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
  const waiting = [outcome(ref.ask({ op: "wait" })), outcome(ref.ask({ op: "wait" }))];
  await gate.reached();
  openAndSpin(gate);
  await env.stop(ref);
  expect(await Promise.all(waiting)).toEqual(["ok", "ok"]);
  expect([await gate.note(), await gate.note(), await gate.note()]).toMatchObject([
    { restarts: 0 },
    { restarts: 1 },
    "stopped",
  ]);
  expect(reports.letters).toEqual([]);
});

test("an instance that has started again serves, although its time was up before the answer of its start came", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": 2 } });
  const reports = new Reports(env);
  const args: CrashArgs = { gate: gate.name, does: "wait", at: 1 };
  const ref = await env.setupEndpoint<Serial>("late", serial, { args });
  expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
  const waiting = outcome(ref.ask({ op: "wait" }));
  await gate.reached();
  // In this phase of the event loop, timers that are due run before messages that have come.
  await setImmediate();
  openAndSpin(gate, 2_000);
  expect(await waiting).toBe("ok");
  // Far more than it takes to ask the loop whether it turns, and then for the instance.
  for (let count = 1; count <= 2_000; count++) expect(await ref.ask({ op: "count" })).toBe(count);
  await env.stop(ref);
  expect([await gate.note(), await gate.note(), await gate.note()]).toMatchObject([
    { restarts: 0 },
    { restarts: 1 },
    "stopped",
  ]);
  expect(reports.letters).toEqual([]);
});
