/**
 * Goal: references work wherever they have travelled, or say why they cannot; a handler knows who sent a message.
 * Method: up to four environments on loopback; the endpoints run on message loops and on the main thread.
 */
import { type RpcAddress, RpcEnv, type RpcEnvOptions } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf, notesUntil, onLoopZero, onMessageLoops } from "../../conformance/form.js";
import { Told } from "../../fixtures/faults.js";
import { fixtureUrl } from "../../fixtures/fixture-url.js";
import { Gate } from "../../fixtures/gate.js";
import type { SparkRef } from "../../fixtures/spark-behaviour.js";
import { WireTap } from "../../fixtures/wire-tap.js";

type Peer = typeof import("../../fixtures/peer-service.js");

const server = (options: RpcEnvOptions = {}) => RpcEnv.create({ numThreads: 1, host: "127.0.0.1", ...options });
const client = () => RpcEnv.create({ numThreads: 1 });
const find = async (env: RpcEnv, at: RpcEnv, name: string) =>
  (await env.setupEndpointRef(at.address, name)) as SparkRef;

describe.each([onMessageLoops, onLoopZero])("references between environments, $name", ({ setUp }) => {
  test("a reference to a third one leads straight there, from any depth of a message, and home again", async () => {
    using gate = new Gate();
    const args = { gate: gate.name };
    await using a = await server();
    await using b = await server();
    await using c = await server();
    await setUp(b, "b", args);
    await setUp(c, "c", args);
    const toB = await find(a, b, "b");
    const toC = await find(a, c, "c");
    // C asks B on A's behalf: B hears of C, not of A.
    expect(await toC.ask({ op: "ask", ref: toB, message: { op: "sender" } })).toEqual(c.address);
    const nested = { deep: new Map([["refs", [[toB], { own: toC }]]]) };
    const back = (await toC.ask({ op: "echo", value: nested })) as typeof nested;
    const [[again], { own }] = back.deep.get("refs") as unknown as [[SparkRef], { own: SparkRef }];
    expect([again.equals(toB), own.equals(toC), again.uri]).toEqual([true, true, toB.uri]);
    expect(await again.ask({ op: "echo", value: 1 })).toBe(1);
    // In its own environment it is one of its own.
    expect(((await toB.ask({ op: "echo", value: toB })) as SparkRef).equals(toB)).toBe(true);
  });

  test("one of an environment that does not listen works over that one's connection, and nowhere else", async () => {
    using gate = new Gate();
    const args = { gate: gate.name };
    await using home = await client();
    await using b = await server();
    await using c = await server();
    const own = await setUp(home, "own", args);
    await setUp(b, "b", args);
    await setUp(c, "c", args);
    const toB = await find(home, b, "b");
    expect(await toB.ask({ op: "ask", ref: own, message: { op: "echo", value: "over its own" } })).toBe("over its own");
    // B passes it on to C, to whom it has no connection.
    await toB.ask({ op: "keep", ref: own });
    const kept = (await (await find(b, b, "b")).ask({ op: "kept" })) as SparkRef;
    const toC = await find(b, c, "c");
    const error = await failureOf(toC.ask({ op: "ask", ref: kept, message: { op: "echo" } }));
    expect(error.message).toContain("does not listen");
    // What the asker learned of it, on whichever thread it is: another attempt would fail as well.
    const asked = "retryable" in (error.cause as object) ? error.cause : error;
    expect(asked).toMatchObject({ code: "ERR_RPC_CONNECT", retryable: false, maybeExecuted: false });
    // C passes it back, and there it works again.
    const returned = (await toC.ask({ op: "echo", value: kept })) as SparkRef;
    expect(await returned.ask({ op: "echo", value: "back" })).toBe("back");
    // Once C is connected to, too, it works there as well.
    await find(home, c, "c");
    expect(await toC.ask({ op: "ask", ref: kept, message: { op: "echo", value: "now" } })).toBe("now");
  });

  test("one of an environment that came by two connections works over the other when the newer ends", async () => {
    using gate = new Gate();
    const args = { gate: gate.name };
    await using home = await client();
    await using b = await server();
    const own = await setUp(home, "own", args);
    await setUp(b, "b", args);
    const toB = await find(home, b, "b");
    const echo = (value: string) => toB.ask({ op: "ask", ref: own, message: { op: "echo", value } });
    const tap = await WireTap.to(b.address as RpcAddress);
    // Another address, so another connection; the reference is used over whichever is known.
    const again = (await home.setupEndpointRef(tap.address, "b")) as SparkRef;
    expect(await again.ask({ op: "ask", ref: own, message: { op: "echo", value: "by both" } })).toBe("by both");
    const told = new Told(b);
    await tap[Symbol.asyncDispose]();
    await told.times("disconnected", 1);
    expect(await echo("over the other")).toBe("over the other");
  });

  test("a sender is known by where it listens, one that does not by its socket, one of this environment as it is itself", async () => {
    using gate = new Gate();
    await using env = await server();
    await using listening = await server();
    await using silent = await client();
    const own = await setUp(env, "spark", { gate: gate.name });
    expect(await own.ask({ op: "sender" })).toEqual(env.address);
    const connected: RpcAddress[] = [];
    env.on("connected", (address) => connected.push(address));
    for (const sender of [listening, silent]) {
      const ref = await find(sender, env, "spark");
      const address = await ref.ask({ op: "sender" });
      expect(address).toEqual(sender.address ?? connected.at(-1));
      ref.send({ op: "noteSender" });
      const told = await notesUntil(gate, (note: object) => "sender" in note);
      expect(told.at(-1)).toEqual({ sender: address });
    }
    expect(silent.address).toBe(null);
  });

  test("a reference made before anybody listens works as soon as somebody does", async () => {
    using gate = new Gate();
    await using env = await client();
    const first = await server();
    const { port } = first.address as RpcAddress;
    await first.shutdown();
    const uri = `ringpost://spark@127.0.0.1:${port}`;
    const ref = (await env.setupEndpointRefByURI(uri, { verify: false })) as SparkRef;
    expect((await failureOf(ref.ask({ op: "echo" }))).code).toBe("ERR_RPC_CONNECT");
    await using second = await server({ port, conf: { "port.maxRetries": 0 } });
    await setUp(second, "spark", { gate: gate.name });
    // For a moment after a failure the peer is not dialled again, and says so.
    await expect
      .poll(() => ref.ask({ op: "echo", value: "there" }).catch(() => "not yet"), { timeout: 30_000 })
      .toBe("there");
    for (const form of [uri, uri.replace("ringpost:", "spark:")]) {
      expect((await env.setupEndpointRefByURI(form)).uri).toBe(uri);
    }
  });

  test("who shuts down answers what it has and refuses what comes then with ERR_RPC_ENV_STOPPED", async () => {
    using gate = new Gate();
    const env = await server();
    await using other = await client();
    await setUp(env, "spark", { gate: gate.name });
    const ref = await find(other, env, "spark");
    const running = ref.ask({ op: "wait" });
    await gate.reached();
    const down = env.shutdown();
    expect((await failureOf(ref.ask({ op: "echo" }))).code).toMatch(/^ERR_RPC_(ENV_STOPPED|ENDPOINT_NOT_FOUND)$/);
    gate.open();
    expect(await running).toBe(undefined);
    await down;
  });
});

describe("handlers on message loops", () => {
  test("what a thread that dies had asked of others elsewhere is given up there, and answers to others still come", async () => {
    using gate = new Gate();
    using hold = new Gate();
    await using there = await server();
    await using here = await client();
    await there.setupEndpoint<Peer>("silent", fixtureUrl("peer-service"));
    const target = await here.setupEndpointRef<Peer>(there.address, "silent");
    const asking = await here.setupEndpoint<Peer>("asking", fixtureUrl("peer-service"));
    const asked = failureOf(asking.call.call(target as never, "untilCancelled", gate.name));
    await gate.reached();
    gate.open();
    const mine = target.call.gate(hold.name);
    await hold.reached();
    const died = failureOf(asking.call.die());
    expect((await died).code).toBe("ERR_RPC_WORKER_CRASHED");
    expect((await asked).code).toBe("ERR_RPC_WORKER_CRASHED");
    expect(await gate.note()).toBe("cancelled");
    hold.open();
    expect(await mine).toBe("passed");
    expect(await asking.call.call(target as never, "echo", "again")).toBe("again");
  });
});
