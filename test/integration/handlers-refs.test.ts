/**
 * Goal: references travel inside anything, in every direction, and are usable wherever they arrive.
 * Method: real threads; refs go through handlers on several message loops and come back.
 */
import { isRpcEndpointRef, isRpcError, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";

type Ref = RpcEndpointRef<RpcUntyped>;

const peerModule = fixtureUrl("peer-service");
const serialModule = fixtureUrl("peer-service-serial");

/** Every reference inside a value. */
function refsIn(value: unknown): Ref[] {
  if (isRpcEndpointRef(value)) return [value];
  if (typeof value !== "object" || value === null) return [];
  const inner = value instanceof Map || value instanceof Set ? value.values() : Object.values(value);
  return [...inner].flatMap(refsIn);
}

describe("a reference in a message", () => {
  let env: RpcEnv;
  let a: Ref;
  let b: Ref;
  beforeAll(async () => {
    env = await RpcEnv.create({ numThreads: 2, name: "refs" });
    a = await env.setupEndpoint("a", serialModule, { loop: 1 });
    b = await env.setupEndpoint("b ü€/@", serialModule, { loop: 2 });
  });
  afterAll(() => env.shutdown());

  test("is a usable reference for the handler, equal to the one that was sent", async () => {
    expect(await a.call.describe?.(b)).toEqual({ name: b.name, uri: b.uri, text: b.uri, address: null });
    expect(await a.call.call?.(b, "echo", 5)).toBe(5);
    expect(await b.call.isSelf?.(b)).toBe(true);
    expect(await a.call.isSelf?.(b)).toBe(false);
  });

  test.each<[string, (ref: Ref) => unknown]>([
    ["an array", (ref) => [1, [ref]]],
    ["a Map", (ref) => new Map([["ref", { ref }]])],
    ["a Set", (ref) => new Set([ref])],
    ["a deep object", (ref) => ({ a: { b: { c: [{ ref }] } } })],
  ])("travels to a handler and back inside %s", async (_what, wrap) => {
    const [ref] = refsIn(await a.call.echo?.(wrap(b)));
    expect(ref?.equals(b)).toBe(true);
    expect(await ref?.call.echo?.("again")).toBe("again");
  });

  test("that a handler returns of itself is its endpoint", async () => {
    const self = (await a.call.self?.()) as Ref;
    expect(self.equals(a)).toBe(true);
    expect(await self.call.echo?.(1)).toBe(1);
  });

  test("is relayed from loop to loop, and used at the end", async () => {
    const c: Ref = await env.setupEndpoint("c", peerModule);
    expect(await a.call.call?.(b, "call", c, "echo", 7)).toBe(7);
    const back = (await a.call.call?.(b, "call", c, "echo", a)) as Ref;
    expect(back.equals(a)).toBe(true);
    expect(await a.call.chain?.([b, c, c, c], 0)).toBe(4);
  });

  test("travels in the fields of a handler's error, at any depth", async () => {
    const error = await a.call.throwRef?.(b).then(undefined, (reason: unknown) => reason);
    if (!isRpcError(error, "ERR_RPC_HANDLER")) throw error;
    const cause = error.cause as Error & { readonly ref: Ref; readonly nested: { readonly refs: readonly Ref[] } };
    expect(cause.ref.equals(b)).toBe(true);
    expect(await cause.nested.refs[0]?.call.echo?.("from an error")).toBe("from an error");
  });

  test("travels in args, to every replica", async () => {
    const withArgs = await env.setupEndpoint("with args", fixtureUrl("ref-args-service"), { args: { target: b } });
    const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => withArgs.call.pass?.(n)));
    expect(answers).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await env.stop(withArgs);
  });

  test("follows its name when the endpoint is set up again, on every loop", async () => {
    const first: Ref = await env.setupEndpoint("again", peerModule);
    const keeper: Ref = await env.setupEndpoint("keeper", fixtureUrl("ref-args-service"), { args: { target: first } });
    expect(await keeper.call.pass?.("one")).toBe("one");
    await env.stop(first);
    const gone = await keeper.call.pass?.("none").then(undefined, (reason: unknown) => reason);
    expect(isRpcError(gone, "ERR_RPC_HANDLER")).toBe(true);
    expect((gone as Error).cause).toMatchObject({ code: "ERR_RPC_ENDPOINT_NOT_FOUND", endpoint: "again" });
    const second: Ref = await env.setupEndpoint("again", serialModule);
    expect(await keeper.call.pass?.("two")).toBe("two");
    expect(first.equals(second)).toBe(true);
    expect(await first.call.echo?.("three")).toBe("three");
  });

  test("of another env that does not listen may be passed on, and used where its env has a connection to", async () => {
    await using other = await RpcEnv.create({ numThreads: 1, name: "refs" });
    const foreign: Ref = await other.setupEndpoint("a", serialModule);
    expect(foreign.equals(a)).toBe(false);
    const [back] = ((await a.call.echo?.([foreign])) ?? []) as Ref[];
    expect(back?.equals(foreign)).toBe(true);
    const error: unknown = await back?.call.echo?.("there?").then(undefined, (reason: unknown) => reason);
    expect(isRpcError(error, "ERR_RPC_CONNECT")).toBe(true);
    expect((error as Error).message).toContain("an environment that does not listen");
    await expect(env.stop(foreign)).rejects.toThrow("a ref of this env");
  });
});
