/**
 * Goal: an endpoint has its environment on any loop: it sets up and finds endpoints, stops them and itself, and shuts
 * everything down.
 * Method: real threads; the same tests for an endpoint on a message loop and for an instance on the main thread.
 */
import { isRpcError, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import { describe, expect, test } from "vitest";
import EnvEndpoint, { type EnvEndpointArgs } from "../fixtures/env-endpoint.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import peerService from "../fixtures/peer-service.js";

type Ref = RpcEndpointRef<RpcUntyped>;
type Place = "on a message loop" | "on the main thread";

const peerModule = fixtureUrl("peer-service");

function setupPeer(env: RpcEnv, place: Place): Promise<Ref> {
  if (place === "on a message loop") return env.setupEndpoint("peer", peerModule);
  return env.setupEndpoint("peer", peerService as never) as Promise<Ref>;
}

function setupEnvEndpoint(env: RpcEnv, place: Place, args: EnvEndpointArgs): Promise<Ref> {
  if (place === "on a message loop") return env.setupEndpoint("inner", fixtureUrl("env-endpoint"), { args });
  return env.setupEndpoint("inner", new EnvEndpoint(args)) as unknown as Promise<Ref>;
}

async function codeOf(promise: Promise<unknown> | undefined): Promise<unknown> {
  const error = await promise?.then(
    (value) => expect.fail(`resolved to ${String(value)}`),
    (reason: unknown) => reason,
  );
  if (!isRpcError(error)) throw error;
  const cause = error.code === "ERR_RPC_HANDLER" ? error.cause : error;
  return (cause as { readonly code: unknown }).code;
}

describe.each<[Place]>([["on a message loop"], ["on the main thread"]])("an endpoint %s", (place) => {
  test("knows its env, and sets up endpoints there", async () => {
    await using env = await RpcEnv.create({ numThreads: 2, name: "home" });
    const peer = await setupPeer(env, place);
    expect(await peer.call.envName?.()).toEqual(["home", "home", null]);
    const made = (await peer.call.setup?.("made", peerModule.href)) as Ref;
    expect(await made.call.echo?.("hello")).toBe("hello");
    expect(env.endpointRef("made")?.equals(made)).toBe(true);
    const withArgs = (await peer.call.setup?.("with args", fixtureUrl("ref-args-service").href, {
      args: { target: made },
    })) as Ref;
    expect(await withArgs.call.pass?.("through args")).toBe("through args");
  });

  test("is told why an endpoint could not be set up, with every field", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const peer = await setupPeer(env, place);
    expect(await codeOf(peer.call.setup?.("peer", peerModule.href))).toBe("ERR_RPC_ENDPOINT_EXISTS");
    expect(await codeOf(peer.call.setup?.("x", fixtureUrl("throws-at-load").href))).toBe("ERR_RPC_ENDPOINT_START");
    expect(await codeOf(peer.call.setup?.("", peerModule.href))).toBe("ERR_RPC_INVALID_ARGUMENT");
    expect(await codeOf(peer.call.setup?.("x", "relative.js"))).toBe("ERR_RPC_INVALID_ARGUMENT");
    expect(await codeOf(peer.call.setup?.("x", peerModule.href, { inboxBytes: 5 }))).toBe("ERR_RPC_INVALID_ARGUMENT");
    const failed = await peer.call
      .setup?.("x", fixtureUrl("start-endpoint").href, { args: { gate: "none", fail: "onStart" } })
      .then(undefined, (reason: unknown) => reason);
    expect((failed as Error).cause).toMatchObject({ code: "ERR_RPC_ENDPOINT_START", endpoint: "x" });
  });

  test("finds endpoints by name and by URI", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const peer = await setupPeer(env, place);
    const found = (await peer.call.lookUp?.("peer")) as Ref;
    expect(found.equals(peer)).toBe(true);
    expect(await codeOf(peer.call.lookUp?.("nobody"))).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
    expect(await codeOf(peer.call.lookUp?.(""))).toBe("ERR_RPC_INVALID_ARGUMENT");
    for (const uri of ["ringpost://peer", "spark://peer", "spark-client://peer"]) {
      const byUri = (await peer.call.lookUpUri?.(uri)) as Ref;
      expect(byUri.equals(peer)).toBe(true);
    }
    expect(await codeOf(peer.call.lookUpUri?.("ringpost://peer@127.0.0.1:7077"))).toBe("ERR_RPC_CONNECT");
    expect(await codeOf(peer.call.lookUpUri?.("http://peer"))).toBe("ERR_RPC_INVALID_ARGUMENT");
  });

  test("gets a ref of what is not there yet with verify: false, and can use it later", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const peer = await setupPeer(env, place);
    const early = (await peer.call.lookUp?.("later", { verify: false })) as Ref;
    expect(await codeOf(early.call.echo?.(1))).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
    expect(await codeOf(peer.call.call?.(early, "echo", 1))).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
    await env.setupEndpoint("later", peerModule);
    expect(await early.call.echo?.(1)).toBe(1);
    expect(await peer.call.call?.(early, "echo", 2)).toBe(2);
  });

  test("has env and self from onStart on, and may set up others there", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1, name: "home" });
    const child = { name: "child", module: peerModule.href };
    const inner = await setupEnvEndpoint(env, place, { gate: gate.name, child });
    expect(await gate.note()).toEqual(["started", "home", "inner"]);
    expect(await inner.ask("child")).toBe("from the child");
    expect(await inner.ask("same")).toBe(true);
  });

  test("stops itself: its answer arrives, its backlog is served, then onStop, then its name is free", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const inner = await setupEnvEndpoint(env, place, { gate: gate.name });
    await gate.note();
    expect(await inner.ask("stop")).toBe("stopping");
    expect(await gate.note()).toBe("stopped");
    await env.stop(inner);
    expect(env.endpointRef("inner")).toBe(null);
    await setupEnvEndpoint(env, place, { gate: gate.name });
  });

  test("stops others", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const inner = await setupEnvEndpoint(env, place, { gate: gate.name });
    await gate.note();
    const other: Ref = await env.setupEndpoint("other", peerModule);
    await other.call.stop?.(inner);
    expect(await gate.note()).toBe("stopped");
  });

  test("shuts the env down, without waiting for itself", async () => {
    const env = await RpcEnv.create({ numThreads: 2 });
    const peer = await setupPeer(env, place);
    await peer.call.shutdown?.(5_000);
    await env.awaitTermination();
    expect(await codeOf(peer.call.echo?.(1))).toBe("ERR_RPC_ENV_STOPPED");
  });
});

test("look-ups leave nothing behind on the loop that made them", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const peer: Ref = await env.setupEndpoint("peer", peerModule);
  const before = (await peer.call.heapAfterLookUps?.("peer", 1_000)) as number;
  const after = (await peer.call.heapAfterLookUps?.("peer", 10_000)) as number;
  // Each that was kept would be half a kilobyte.
  expect(after - before).toBeLessThan(2_000_000);
});

test("an endpoint whose name begins with a byte order mark is found by that name", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const peer: Ref = await env.setupEndpoint("peer", peerModule);
  const marked: Ref = await env.setupEndpoint("\uFEFFpeer", peerModule);
  const found = (await peer.call.lookUp?.("\uFEFFpeer", { verify: false })) as Ref;
  expect(found.equals(marked)).toBe(true);
  expect(await peer.call.call?.(found, "isSelf", marked)).toBe(true);
});
