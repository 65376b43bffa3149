/**
 * Goal: what is special to messages between environments: their limits, who may send them, who decodes them, and what is told
 * of connections.
 * Method: environments on loopback; a relay counts the bytes between them, a spy the messages that the main thread decodes.
 */
import { randomBytes } from "node:crypto";
import { type RpcAddress, RpcEnv, type RpcEnvOptions, type RpcPeer } from "ringpost";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MessageCodec } from "../../../dist/src/rpc/codec.js";
import {
  failureOf,
  notesUntil,
  onLoopZero,
  onMessageLoops,
  secretOnLoopZero,
  tlsOnMessageLoops,
} from "../../conformance/form.js";
import { fixtureUrl } from "../../fixtures/fixture-url.js";
import { Gate } from "../../fixtures/gate.js";
import type { SparkRef } from "../../fixtures/spark-behaviour.js";
import { WireTap } from "../../fixtures/wire-tap.js";

type Peer = typeof import("../../fixtures/peer-service.js");
type Calls = typeof import("../../fixtures/call-service.js");

const MIB = 1024 ** 2;
const server = (options: RpcEnvOptions = {}) => RpcEnv.create({ numThreads: 2, host: "127.0.0.1", ...options });

afterEach(() => vi.restoreAllMocks());

describe("limits", () => {
  test("a message beyond the limit is refused before its first byte leaves, an answer beyond it by its handler's side", async () => {
    await using env = await server();
    await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"));
    await using tap = await WireTap.to(env.address as RpcAddress);
    await using other = await RpcEnv.create({});
    const ref = await other.setupEndpointRef<Calls>(tap.address, "calls");
    const passed = tap.passed.length;
    const body = new Uint8Array(16 * MIB + 1);
    expect((await failureOf(ref.call.echo(body))).code).toBe("ERR_RPC_MESSAGE_TOO_LARGE");
    expect(() => ref.cast.echo(body)).toThrow(expect.objectContaining({ code: "ERR_RPC_MESSAGE_TOO_LARGE" }));
    expect(tap.passed.length).toBe(passed);
    await env.setupEndpoint<Peer>("peer", fixtureUrl("peer-service"));
    const peer = await other.setupEndpointRef<Peer>(tap.address, "peer");
    const before = tap.passed.length;
    const { code, maybeExecuted } = await failureOf(peer.call.bytes(16 * MIB + 1));
    expect([code, maybeExecuted]).toEqual(["ERR_RPC_MESSAGE_TOO_LARGE", true]);
    expect(tap.passed.length - before).toBeLessThan(2_000);
    expect(await ref.call.echo("still there")).toBe("still there");
  });

  test("64 MiB go and come where both sides allow it", async () => {
    const conf = { "rpc.message.maxSize": "80m" };
    await using env = await server({ conf });
    await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"));
    await using other = await RpcEnv.create({ conf });
    const ref = await other.setupEndpointRef<Calls>(env.address, "calls");
    const body = randomBytes(64 * MIB);
    expect(body.equals((await ref.call.echo(new Uint8Array(body))) as Uint8Array)).toBe(true);
  });
});

describe("who may send", () => {
  test.each([
    ["nobody proves anything", {}, null],
    ["by secret", secretOnLoopZero.security, /^ringpost:\S+$/],
    ["by certificate", tlsOnMessageLoops.security, /^ringpost:\/\/conformance$/],
  ] as const)("`allow` is asked once for each connection, with who is there: %s", async (_what, security, identity) => {
    using gate = new Gate();
    const asked: RpcPeer[] = [];
    await using env = await server(security);
    const letters: string[] = [];
    env.on("deadLetter", ({ reason }) => letters.push(reason));
    const allow = (peer: RpcPeer) => asked.push({ ...peer }) > 0;
    await onLoopZero.setUp(env, "open", { gate: gate.name }, "serial", { allow });
    await onMessageLoops.setUp(env, "shut", { gate: gate.name }, "serial", { allow: () => false });
    await using other = await RpcEnv.create(security);
    const open = (await other.setupEndpointRef(env.address, "open")) as SparkRef;
    const shut = (await other.setupEndpointRef(env.address, "shut")) as SparkRef;
    for (let n = 0; n < 3; n++) expect(await open.ask({ op: "echo", value: n })).toBe(n);
    expect(asked).toHaveLength(1);
    if (identity === null) expect(asked[0]?.identity).toBe(null);
    else expect(asked[0]?.identity).toMatch(identity);
    const error = await failureOf(shut.ask({ op: "echo" }));
    expect([error.code, error.maybeExecuted]).toEqual(["ERR_RPC_FORBIDDEN", false]);
    shut.send({ op: "note", value: "never" });
    await expect.poll(() => letters).toEqual(["ERR_RPC_FORBIDDEN"]);
    // Who is in the same environment is asked nothing.
    expect(await (env.endpointRef("shut") as SparkRef).ask({ op: "echo", value: 1 })).toBe(1);
  });

  test.each(["0.0.0.0", "::"])("%s is not listened on unless peers prove who they are", async (host) => {
    expect((await failureOf(RpcEnv.create({ host }))).code).toBe("ERR_RPC_INSECURE_BIND");
  });
});

describe("on the way", () => {
  test.each([
    [onMessageLoops, 0],
    [onLoopZero, 1],
  ])(
    "the main thread of the endpoint decodes a message only for an endpoint of its own: $name",
    async (place, decodings) => {
      using gate = new Gate();
      await using env = await server();
      await place.setUp(env, "spark", { gate: gate.name });
      await using other = await RpcEnv.create({});
      const ref = (await other.setupEndpointRef(env.address, "spark")) as SparkRef;
      const decode = vi.spyOn(MessageCodec.prototype, "decode");
      for (let n = 0; n < 50; n++) expect(await ref.ask({ op: "echo", value: n })).toBe(n);
      // The asker decodes each answer, on the same thread.
      expect(decode.mock.calls.length).toBe(50 * (1 + decodings));
      for (let n = 0; n < 50; n++) ref.send({ op: "note", value: n });
      ref.send({ op: "note", value: "last" });
      await notesUntil(gate, (note) => note === "last");
      expect(decode.mock.calls.length).toBe(50 + (50 + 51) * decodings);
    },
  );

  test("a broadcast reaches every replica elsewhere", async () => {
    using gate = new Gate();
    await using env = await server();
    await onMessageLoops.setUp(env, "spark", { gate: gate.name }, "concurrent");
    await using other = await RpcEnv.create({});
    const ref = (await other.setupEndpointRef(env.address, "spark")) as SparkRef;
    expect(ref.broadcast({ op: "note", value: "to all" })).toBe(2);
    let heard = 0;
    await notesUntil(gate, (note) => note === "to all" && ++heard === 2);
  });

  test("env.stats() shows each peer that something was sent to, and what waits for it", async () => {
    using gate = new Gate();
    await using env = await server();
    await onLoopZero.setUp(env, "spark", { gate: gate.name });
    await using other = await RpcEnv.create({});
    const ref = (await other.setupEndpointRef(env.address, "spark")) as SparkRef;
    const asked = ref.ask({ op: "wait" });
    await gate.reached();
    const address = env.address as RpcAddress;
    const quiet = { address, state: "connected", outboxMessages: 0, outboxBytes: 0 };
    expect(other.stats().peers).toEqual([{ ...quiet, asksInFlight: 1 }]);
    gate.open();
    await asked;
    expect(other.stats().peers).toEqual([{ ...quiet, asksInFlight: 0 }]);
    expect(env.stats().peers).toEqual([]);
  });

  test("two that dial each other are told once that the other is there", async () => {
    await using a = await server();
    await using b = await server();
    const told: unknown[] = [];
    a.on("connected", (address) => told.push(["a", address]));
    b.on("connected", (address) => told.push(["b", address]));
    const verifier = "endpoint-verifier";
    await Promise.all([a.setupEndpointRef(b.address, verifier), b.setupEndpointRef(a.address, verifier)]);
    await Promise.all([a.setupEndpointRef(b.address, verifier), b.setupEndpointRef(a.address, verifier)]);
    expect(told.sort()).toEqual([
      ["a", b.address],
      ["b", a.address],
    ]);
  });

  test("IPv6 loopback is an address like any", async () => {
    using gate = new Gate();
    await using env = await server({ host: "::1" });
    expect(env.address?.host).toBe("::1");
    const own = await onLoopZero.setUp(env, "spark", { gate: gate.name });
    await using other = await RpcEnv.create({});
    const ref = (await other.setupEndpointRefByURI(own.uri)) as SparkRef;
    expect(ref.uri).toBe(`ringpost://spark@[::1]:${env.address?.port}`);
    expect(await ref.ask({ op: "sender" })).toEqual({ host: "::1", port: expect.any(Number) });
  });
});
