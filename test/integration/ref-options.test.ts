/**
 * Goal: options that mean nothing are refused, by references on either side of a connection, before anything is posted: nothing
 * stays behind, and the next ask is served.
 * Method: one endpoint on a loop, one on the main thread, and the first of them from another environment.
 */
import { type RpcAskOptions, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import service from "../fixtures/call-service.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

let env: RpcEnv;
let caller: RpcEnv;
const refs = new Map<string, RpcEndpointRef<RpcUntyped>>();

beforeAll(async () => {
  env = await RpcEnv.create({ numThreads: 1, port: 0 });
  caller = await RpcEnv.create({ numThreads: 1 });
  refs.set("on a loop", await env.setupEndpoint("loop", fixtureUrl("call-service")));
  const main: RpcEndpointRef = await env.setupEndpoint("main", service);
  refs.set("on the main thread", main as RpcEndpointRef<RpcUntyped>);
  refs.set("on another node", await caller.setupEndpointRef(env.address, "loop"));
});
afterAll(async () => {
  await caller.shutdown();
  await env.shutdown();
});

const asked = (): number => env.stats().endpoints.reduce((sum, { asks }) => sum + asks.sent, 0);

const BAD: readonly (readonly [options: unknown, says: RegExp])[] = [
  [{ timeout: 5 }, /^(ask|with|ready) has no key timeout; it has: timeoutMs, signal/],
  [{ timeoutMs: "5" }, /^timeoutMs must be a positive number .* Infinity: timeoutMs="5"$/],
  [{ signal: {} }, /^signal must be an AbortSignal: signal=an object$/],
  [{ signal: { aborted: false } }, /^signal must be an AbortSignal/],
  [{ signal: "soon" }, /^signal must be an AbortSignal: signal="soon"$/],
  [5, /^(ask|with|ready) takes an object of options: 5; it has/],
  [null, /takes an object of options: null/],
  [[], /takes an object of options: an array/],
];

describe.each(["on a loop", "on the main thread", "on another node"])("a reference to an endpoint %s", (where) => {
  const ref = (): RpcEndpointRef<RpcUntyped> => refs.get(where) as RpcEndpointRef<RpcUntyped>;

  test.each(BAD)("refuses %j", async (options, says) => {
    const before = asked();
    const bad = options as RpcAskOptions;
    // `ask` and `ready` refuse by their promise, `with` at once.
    const refused = [ref().ask("unused", bad), ref().askAbortable("unused", bad).promise, ref().ready(bad)];
    for (const promise of refused) {
      const { code, message, retryable, maybeExecuted } = await failureOf(promise);
      expect({ code, retryable, maybeExecuted }).toEqual({
        code: "ERR_RPC_INVALID_ARGUMENT",
        retryable: false,
        maybeExecuted: false,
      });
      expect(message).toMatch(says);
    }
    expect(() => ref().with(bad)).toThrow(says);
    expect(asked()).toBe(before);
    expect(await ref().call.echo?.("next")).toBe("next");
  });

  test("takes a signal of another realm, and one that is not there", async () => {
    using gate = new Gate();
    const inner = new AbortController();
    const foreign = {
      get aborted() {
        return inner.signal.aborted;
      },
      get reason() {
        return inner.signal.reason as unknown;
      },
      addEventListener: inner.signal.addEventListener.bind(inner.signal),
      removeEventListener: inner.signal.removeEventListener.bind(inner.signal),
    } as AbortSignal;
    const ask = ref().with({ signal: foreign }).call.gate?.(gate.name) as Promise<unknown>;
    inner.abort("enough");
    await expect(ask).rejects.toBe("enough");
    expect(
      await ref()
        .with({ signal: null } as never)
        .call.echo?.(1),
    ).toBe(1);
  });

  test("gives up nobody else's ask when its own was refused", async () => {
    using gate = new Gate();
    const first = ref().call.gate?.(gate.name);
    const refused = ref().askAbortable("unused", { timeoutMs: -1 });
    refused.abort("not yours");
    await failureOf(refused.promise);
    gate.open();
    expect(await first).toBe("passed");
  });
});

test("a look-up, a stop and a shutdown refuse what they do not know", async () => {
  for (const target of [env, caller]) {
    const look = (options: unknown) =>
      failureOf(target.setupEndpointRef(env.address, "loop", options as RpcAskOptions));
    expect((await look({ verfy: false })).message).toBe(
      "a look-up has no key verfy; it has: timeoutMs, signal, verify",
    );
    expect((await look({ signal: {} })).message).toBe("signal must be an AbortSignal: signal=an object");
  }
  const stop = await failureOf(env.stop(refs.get("on a loop") as RpcEndpointRef, { timeout: 5 } as never));
  expect([stop.code, stop.message]).toEqual([
    "ERR_RPC_INVALID_ARGUMENT",
    "stop and shutdown has no key timeout; it has: timeoutMs",
  ]);
  expect((await failureOf(env.shutdown({ timeout: 5 } as never))).code).toBe("ERR_RPC_INVALID_ARGUMENT");
  expect(await refs.get("on a loop")?.call.echo?.(3)).toBe(3);
});

test.each([
  [null, "RpcEnv.create takes an object of options: null; it has: name, host"],
  [3, "RpcEnv.create takes an object of options: 3; it has: name, host"],
  [{ numThreads: "2" }, 'numThreads must be an integer from 1 to 255: numThreads="2"'],
  [{ askTimeoutMs: "5" }, 'askTimeoutMs="5"'],
  [{ port: "7077" }, 'port="7077"'],
  [{ port: 0, tls: { kye: "k" } }, "tls has no key kye; it has: key, cert, ca, passphrase, serverName"],
])("RpcEnv.create refuses %j", async (options, says) => {
  const error = await failureOf(RpcEnv.create(options as never));
  expect(error.code).toBe("ERR_RPC_INVALID_ARGUMENT");
  expect(error.message).toContain(says);
});
