/**
 * Goal: a module that ends or holds its thread fails its own set-up, in time; the loop serves its other endpoints again.
 * Method: modules that do so while they load, and endpoints that do so in onStart; a start timeout of a second.
 */
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import type { CrashArgs } from "../fixtures/crash-life.js";
import { CRASHED, outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Serial = typeof import("../fixtures/crash-serial.js");

const serial = fixtureUrl("crash-serial");
const START_TIMEOUT_S = 1;

async function withNeighbour(
  run: (env: RpcEnv, gate: Gate, reports: Reports) => Promise<void>,
  restarts: number,
): Promise<void> {
  using gate = new Gate();
  using other = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": START_TIMEOUT_S } });
  const reports = new Reports(env);
  const neighbour = await env.setupEndpoint<Serial>("neighbour", serial, { args: { gate: other.name } });
  await run(env, gate, reports);
  gate.open();
  expect(await neighbour.ask({ op: "count" })).toBe(1);
  expect(other.notes).toHaveLength(restarts + 1);
  // The name is free.
  const again = await env.setupEndpoint<Serial>("broken", serial, { args: { gate: gate.name } });
  expect(await again.ask({ op: "count" })).toBe(1);
}

describe("a module that", () => {
  test("exits while it loads fails its set-up and is blamed", () =>
    withNeighbour(async (env, _gate, reports) => {
      const error = await failureOf(env.setupEndpoint("broken", fixtureUrl("exits-at-load")));
      expect([error.code, error.message]).toEqual(["ERR_RPC_ENDPOINT_START", expect.stringContaining("loop 1 died")]);
      expect(await reports.crash()).toMatchObject({
        loop: 1,
        blamed: "broken",
        restarted: ["neighbour"],
        stuck: false,
      });
    }, 1));

  test("holds its thread while it loads is ended after the start timeout and blamed", () =>
    withNeighbour(async (env, _gate, reports) => {
      const error = await failureOf(env.setupEndpoint("broken", fixtureUrl("hangs-at-load")));
      expect([error.code, error.message]).toEqual([
        "ERR_RPC_ENDPOINT_START",
        expect.stringContaining("within 1000 ms"),
      ]);
      expect(await reports.crash()).toMatchObject({
        loop: 1,
        blamed: "broken",
        restarted: ["neighbour"],
        stuck: false,
      });
    }, 1));

  test("waits for ever while it loads fails its set-up; its loop lives", () =>
    withNeighbour(async (env, _gate, reports) => {
      const error = await failureOf(env.setupEndpoint("broken", fixtureUrl("waits-at-load")));
      expect([error.code, error.message]).toEqual([
        "ERR_RPC_ENDPOINT_START",
        expect.stringContaining("within 1000 ms"),
      ]);
      expect(reports.crashes).toEqual([]);
    }, 0));
});

describe("an onStart that", () => {
  test.each([
    ["holds its thread", "spin", 1],
    ["never settles", "hang", 0],
  ] as const)("%s fails its set-up after the start timeout", (_what, does, crashes) =>
    withNeighbour(async (env, gate, reports) => {
      const args: CrashArgs = { gate: gate.name, does };
      const error = await failureOf(env.setupEndpoint<Serial>("broken", serial, { args }));
      expect([error.code, error.message]).toEqual([
        "ERR_RPC_ENDPOINT_START",
        expect.stringContaining("within 1000 ms"),
      ]);
      if (crashes > 0) expect(await reports.crash()).toMatchObject({ blamed: "broken", restarted: ["neighbour"] });
      expect(reports.crashes).toHaveLength(crashes);
    }, crashes),
  );

  test("holds its thread in a restart is ended and tried again, until it starts", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": START_TIMEOUT_S } });
    const reports = new Reports(env);
    const args: CrashArgs = { gate: gate.name, does: "spin", at: 1, until: 2 };
    const ref = await env.setupEndpoint<Serial>("slow", serial, { args });
    expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    expect(await ref.ask({ op: "count" })).toBe(1);
    expect(reports.crashes.map(({ blamed }) => blamed)).toEqual(["slow", "slow"]);
  });

  test("never settles in a restart is tried again, until it starts", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": START_TIMEOUT_S } });
    const reports = new Reports(env);
    const args: CrashArgs = { gate: gate.name, does: "hang", at: 1, until: 2 };
    const ref = await env.setupEndpoint<Serial>("slow", serial, { args });
    expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    expect(await ref.ask({ op: "count" })).toBe(1);
    expect(reports.crashes).toHaveLength(1);
    for (const restarts of [0, 1, 2]) expect(await gate.note()).toMatchObject({ restarts });
  });
});
