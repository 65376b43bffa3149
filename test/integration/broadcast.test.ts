/**
 * Goal: a broadcast reaches every replica once, in order among broadcasts, whatever a replica has in flight; so do network
 * events. Nothing of it is lost without a count.
 * Method: replicas that tell a gate what they were given; some held at other gates meanwhile.
 */
import { type RpcDeadLetter, RpcEnv, ThreadSafeRpcEndpoint } from "ringpost";
import { expect, test } from "vitest";
import { postNetworkEvent } from "../../dist/src/internal.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Replicas = typeof import("../fixtures/replica-endpoint.js");

async function notes(gate: Gate, count: number): Promise<unknown[]> {
  const got: unknown[] = [];
  while (got.length < count) got.push(await gate.note());
  return got;
}

const byReplica = (a: unknown, b: unknown): number =>
  (a as { replica: number }).replica - (b as { replica: number }).replica;

test("every replica gets it once, and all get them in the same order", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 3 });
  const ref = await env.setupEndpoint<Replicas>("all", fixtureUrl("replica-endpoint"), { args: gate.name });
  for (let n = 0; n < 100; n++) expect(ref.broadcast({ op: "note", value: n })).toBe(3);
  const got = (await notes(gate, 300)) as { replica: number; value: number }[];
  for (let replica = 0; replica < 3; replica++) {
    const values = got.filter((note) => note.replica === replica).map(({ value }) => value);
    expect(values).toEqual(Array.from({ length: 100 }, (_, n) => n));
  }
  // A note is sent while its handler runs; it is counted right after.
  const oneWays = (): unknown => env.stats().endpoints[0]?.oneWays;
  await expect.poll(oneWays).toEqual({ accepted: 300, handled: 300, failed: 0, deadLettered: 0 });
});

test("it passes a full replica by: it starts at once, beside what that has in flight", async () => {
  using gate = new Gate();
  using wait = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const options = { args: gate.name, concurrency: 1 };
  const ref = await env.setupEndpoint<Replicas>("full", fixtureUrl("replica-endpoint"), options);
  const asks = [ref.ask({ wait: wait.name }), ref.ask({ wait: wait.name })];
  await wait.reached(2);
  expect(ref.broadcast({ op: "note", value: "now" })).toBe(2);
  expect((await notes(gate, 2)).sort(byReplica)).toEqual([
    { replica: 0, value: "now" },
    { replica: 1, value: "now" },
  ]);
  wait.open();
  expect((await Promise.all(asks)).sort()).toEqual([0, 1]);
});

test("large ones travel too, and a handler that fails is counted and told", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Replicas>("large", fixtureUrl("replica-endpoint"), { args: gate.name });
  expect(ref.broadcast({ op: "note", value: new Uint8Array(3_000_000) })).toBe(2);
  expect((await notes(gate, 2)).sort(byReplica)).toEqual([
    { replica: 0, value: 3_000_000 },
    { replica: 1, value: 3_000_000 },
  ]);
  const letters: RpcDeadLetter[] = [];
  env.on("deadLetter", (letter) => letters.push(letter));
  expect(ref.broadcast({ op: "throw" })).toBe(2);
  expect((await notes(gate, 2)).sort(byReplica)).toEqual([
    { replica: 0, told: "replica 0 throws" },
    { replica: 1, told: "replica 1 throws" },
  ]);
  await expect.poll(() => letters.length).toBe(2);
  expect(letters.map(({ reason }) => reason)).toEqual(["ERR_RPC_HANDLER", "ERR_RPC_HANDLER"]);
  expect(env.stats().endpoints[0]?.oneWays).toEqual({ accepted: 4, handled: 2, failed: 2, deadLettered: 0 });
});

test("onStop waits for a broadcast that still runs, and after the stop there is nobody to tell", async () => {
  using gate = new Gate();
  using wait = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Replicas>("stop", fixtureUrl("replica-endpoint"), { args: gate.name });
  expect(ref.broadcast({ op: "wait", gate: wait.name })).toBe(2);
  await wait.reached(2);
  const stopped = env.stop(ref);
  let letter: RpcDeadLetter | null = null;
  env.on("deadLetter", (dead) => {
    letter = dead;
  });
  expect(ref.broadcast({ op: "note", value: "late" })).toBe(0);
  expect(letter).toMatchObject({ endpoint: "stop", reason: "ERR_RPC_ENDPOINT_NOT_FOUND", count: 1 });
  expect((letter as RpcDeadLetter | null)?.message()).toEqual({ op: "note", value: "late" });
  expect(gate.notes).toEqual([]);
  wait.open();
  await stopped;
  expect((await notes(gate, 2)).sort(byReplica)).toEqual([
    { replica: 0, stopped: true },
    { replica: 1, stopped: true },
  ]);
});

test("an endpoint of one instance gets it like any message, in order with the others", async () => {
  const got: unknown[] = [];
  class Keeper extends ThreadSafeRpcEndpoint {
    override receive(message: unknown): void {
      got.push(message);
    }
    override receiveAndReply(): number {
      return got.length;
    }
  }
  await using env = await RpcEnv.create({ numThreads: 1 });
  const ref = await env.setupEndpoint("one", new Keeper());
  ref.send(1);
  expect(ref.broadcast(2)).toBe(1);
  ref.send(3);
  expect(await ref.ask({})).toBe(3);
  expect(got).toEqual([1, 2, 3]);
});

test("network events go to every replica that overrides their method, and to nobody else", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Replicas>("events", fixtureUrl("replica-endpoint"), { args: gate.name });
  const told: string[] = [];
  class Listener extends ThreadSafeRpcEndpoint {
    override onDisconnected({ host, port }: { host: string; port: number }): void {
      told.push(`${host}:${port}`);
    }
    override receiveAndReply(): string[] {
      return told;
    }
  }
  const listener = await env.setupEndpoint("listener", new Listener());
  const address = { host: "10.0.0.1", port: 7 };
  postNetworkEvent(env, ["onConnected", address, null]);
  postNetworkEvent(env, ["onDisconnected", address, null]);
  expect((await notes(gate, 2)).sort(byReplica)).toEqual([
    { replica: 0, connected: address },
    { replica: 1, connected: address },
  ]);
  expect(await listener.ask({})).toEqual(["10.0.0.1:7"]);
  expect(env.stats().endpoints.map(({ oneWays }) => oneWays.accepted)).toEqual([0, 0]);
  await env.stop(ref);
});
