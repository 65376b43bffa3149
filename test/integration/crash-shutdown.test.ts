/**
 * Goal: an environment shuts down at whatever moment of a loop's life: nothing hangs, nothing is leaked.
 * Method: endpoints whose start or restart waits at a gate, holds its thread, or never settles. Ports that are open
 * afterwards are counted.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import type { CrashArgs } from "../fixtures/crash-life.js";
import { CRASHED, outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Serial = typeof import("../fixtures/crash-serial.js");
type Isolated = typeof import("../fixtures/crash-isolated.js");

const serial = fixtureUrl("crash-serial");

function openPorts(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === "MessagePort").length;
}

/** Runs a scenario in an env of its own, which it shuts down, and looks for what is left. */
async function leavesNothing(run: (env: RpcEnv, gate: Gate, reports: Reports) => Promise<void>): Promise<void> {
  using gate = new Gate();
  const before = openPorts();
  const env = await RpcEnv.create({ numThreads: 2, conf: { "rpc.startTimeout": 1 } });
  await run(env, gate, new Reports(env));
  await env.shutdown();
  expect(env.stats().loops).toEqual([]);
  await expect.poll(openPorts).toBe(before);
}

const STARTS: [what: string, does: CrashArgs["does"]][] = [
  ["waits", "wait"],
  ["never settles", "hang"],
  ["holds its thread", "spin"],
];

test.each(STARTS)("shutdown while an onStart %s: set-up fails with ERR_RPC_ENV_STOPPED", (_what, does) =>
  leavesNothing(async (env, gate) => {
    const args = { gate: gate.name, does } as CrashArgs;
    const setup = outcome(env.setupEndpoint<Serial>("starting", serial, { args }));
    const own = outcome(
      env.setupEndpoint<Isolated>("isolated", fixtureUrl("crash-isolated"), { args, kind: "isolated" }),
    );
    for (let started = 0; started < 3; started++) await gate.note();
    await env.shutdown({ timeoutMs: 100 });
    expect([await setup, await own]).toEqual(["ERR_RPC_ENV_STOPPED-", "ERR_RPC_ENV_STOPPED-"]);
  }),
);

test.each(STARTS)("shutdown while the onStart of a restart %s: what waits fails as not executed", (_what, does) =>
  leavesNothing(async (env, gate) => {
    const args = { gate: gate.name, does, at: 1 } as CrashArgs;
    const ref = await env.setupEndpoint<Serial>("restarting", serial, { args });
    expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    const waiting = outcome(ref.ask({ op: "count" }));
    expect([await gate.note(), await gate.note()]).toMatchObject([{ restarts: 0 }, { restarts: 1 }]);
    await env.shutdown({ timeoutMs: 100 });
    expect(await waiting).toBe("ERR_RPC_WORKER_CRASHED-");
  }),
);

test("shutdown in the back-off of shared and isolated loops: what waits fails as not executed", () =>
  leavesNothing(async (env, gate, reports) => {
    const args = { gate: gate.name };
    const refs = [
      await env.setupEndpoint<Serial>("shared", serial, { args }),
      await env.setupEndpoint<Isolated>("isolated", fixtureUrl("crash-isolated"), { args, kind: "isolated" }),
    ];
    const dying = refs.flatMap((ref) =>
      [ref.ask({ op: "exit", code: 1 }), ref.ask({ op: "exit", code: 1 })].map(outcome),
    );
    await reports.crash(3);
    const waiting = refs.map((ref) => outcome(ref.ask({ op: "count" })));
    await env.shutdown();
    for (const one of [...(await Promise.all(dying)), ...(await Promise.all(waiting))]) {
      expect(["ok", CRASHED, "ERR_RPC_WORKER_CRASHED-"]).toContain(one);
    }
  }));

test("shutdown of an env with a FAILED endpoint", () =>
  leavesNothing(async (env, gate, reports) => {
    const ref = await env.setupEndpoint<Serial>("failed", serial, { args: { gate: gate.name, does: "exit", at: 1 } });
    expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    await reports.failure();
    await env.shutdown();
    expect(await outcome(ref.ask({ op: "count" }))).toBe("ERR_RPC_ENV_STOPPED-");
  }));
