/**
 * Goal: an endpoint of this environment is found by name and by uri, and what cannot be found says why.
 * Method: whole environments through the public surface.
 */
import { defineService, type RpcAddress, RpcEnv, type RpcLookupOptions } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";

type Calls = typeof import("../fixtures/call-service.js");

let env: RpcEnv;
beforeAll(async () => {
  env = await RpcEnv.create({ name: "lookup", numThreads: 1 });
});
afterAll(() => env.shutdown());

describe("an endpoint that is there", () => {
  test.each(["calls", "my calls", "a@b:1/c?d#e", "100%", "ünï ☃"])("called %j is found", async (name) => {
    const ref = await env.setupEndpoint<Calls>(name, fixtureUrl("call-service"));
    const byName = await env.setupEndpointRef<Calls>(null, name);
    const byUri = await env.setupEndpointRefByURI<Calls>(ref.uri);
    const unverified = await env.setupEndpointRef<Calls>(null, name, { verify: false });
    expect([byName.equals(ref), byUri.equals(ref), unverified.equals(ref)]).toEqual([true, true, true]);
    expect(await byUri.call.plain(1, 2)).toBe(3);
    await env.stop(ref);
  });

  test("is found by Spark's uri of an endpoint that does not listen", async () => {
    const ref = await env.setupEndpoint("local", defineService({ one: () => 1 }));
    expect((await env.setupEndpointRefByURI("spark-client://local")).equals(ref)).toBe(true);
    await env.stop(ref);
  });
});

describe("what is not there", () => {
  test("is ERR_RPC_ENDPOINT_NOT_FOUND", async () => {
    for (const lookUp of [env.setupEndpointRef(null, "nobody"), env.setupEndpointRefByURI("ringpost://nobody")]) {
      const error = await failureOf(lookUp);
      expect([error.code, error.endpoint]).toEqual(["ERR_RPC_ENDPOINT_NOT_FOUND", "nobody"]);
    }
  });

  test("or would be elsewhere, where nobody listens, is ERR_RPC_CONNECT with the address", async () => {
    const address = { host: "127.0.0.1", port: 1 };
    for (const lookUp of [
      () => env.setupEndpointRef(address, "x"),
      () => env.setupEndpointRefByURI("spark://x@127.0.0.1:1"),
    ]) {
      const error = await failureOf(lookUp());
      expect([error.code, error.retryable, error.address, error.endpoint]).toEqual([
        "ERR_RPC_CONNECT",
        true,
        address,
        "x",
      ]);
      expect(error.message).toContain("cannot look ringpost://x@127.0.0.1:1 up:");
    }
  });

  test("is not waited for when nobody waits any more", async () => {
    const reason = new Error("enough");
    await expect(env.setupEndpointRef(null, "nobody", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("what the contract excludes", () => {
  test.each<[address: unknown, name: unknown, options: RpcLookupOptions, says: string]>([
    [null, "x", { timeoutMs: 0 }, "timeoutMs=0"],
    [null, 5, {}, "the name of an endpoint is a string of 1 to 255 bytes: bytes=0"],
    ["host:1", "x", {}, "an address has a host and a port: host:1"],
    [{ host: "a" }, "x", {}, "an address has a host and a port"],
    [undefined, "x", {}, "an address has a host and a port: undefined; null means this environment"],
  ])("%j %j %j", async (address, name, options, says) => {
    const error = await failureOf(env.setupEndpointRef(address as RpcAddress, name as string, options));
    expect([error.code, error.message]).toEqual(["ERR_RPC_INVALID_ARGUMENT", expect.stringContaining(says)]);
  });

  test("a uri that is none", async () => {
    const error = await failureOf(env.setupEndpointRefByURI("x@host:1"));
    expect([error.code, error.message]).toEqual([
      "ERR_RPC_INVALID_ARGUMENT",
      expect.stringContaining('not the uri of an endpoint: "x@host:1"'),
    ]);
  });
});
