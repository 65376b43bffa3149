/** Goal: an endpoint class says how it is run, and what it does not override is refused with a typed error. */
import { expect, test } from "vitest";
import { isRpcError, RpcError, type RpcErrorCode } from "../../../dist/src/common/errors.js";
import type { RpcCallContext, RpcSendContext } from "../../../dist/src/rpc/rpc-context.js";
import {
  bindEndpoint,
  endpointKind,
  IsolatedRpcEndpoint,
  IsolatedThreadSafeRpcEndpoint,
  isEndpointInstance,
  overriddenEvents,
  RpcEndpoint,
  ThreadSafeRpcEndpoint,
  unsupportedMessage,
} from "../../../dist/src/rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../../../dist/src/rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../../../dist/src/rpc/rpc-env-view.js";

class Everywhere extends RpcEndpoint {}
class Once extends ThreadSafeRpcEndpoint {}
class Apart extends IsolatedRpcEndpoint {}
class OnceApart extends IsolatedThreadSafeRpcEndpoint {}

const self = { name: "self" } as RpcEndpointRef;
const rpcEnv = { name: "env" } as RpcEnvView;
const sendContext = {} as RpcSendContext;
const callContext = {} as RpcCallContext<never>;

function expectCode(run: () => unknown, code: RpcErrorCode): string {
  try {
    run();
  } catch (error) {
    expect(isRpcError(error, code)).toBe(true);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

test("the kind is that of the class extended, for class and instance", () => {
  expect([endpointKind(Everywhere), endpointKind(new Everywhere())]).toEqual(["concurrent", "concurrent"]);
  expect([endpointKind(Once), endpointKind(new Once())]).toEqual(["serial", "serial"]);
  expect([endpointKind(Apart), endpointKind(new Apart())]).toEqual(["isolated", "isolated"]);
  expect([endpointKind(OnceApart), endpointKind(new OnceApart())]).toEqual(["isolated-serial", "isolated-serial"]);
  expect(endpointKind(class extends Once {})).toBe("serial");
});

test("anything else has none", () => {
  for (const other of [null, undefined, 5, {}, class {}, () => {}, Object.create(null)]) {
    expect(endpointKind(other)).toBeNull();
    expect(isEndpointInstance(other)).toBe(false);
  }
  expect(isEndpointInstance(Once)).toBe(false);
  expect(isEndpointInstance(new Once())).toBe(true);
});

test("a class of another copy of the package is recognised and can be bound", async () => {
  const url = new URL("../../../dist/src/rpc/rpc-endpoint.js?another-copy", import.meta.url).href;
  const other = (await import(url)) as typeof import("../../../dist/src/rpc/rpc-endpoint.js");
  class Foreign extends other.ThreadSafeRpcEndpoint {}
  const instance = new Foreign();
  expect(instance).not.toBeInstanceOf(RpcEndpoint);
  expect(endpointKind(Foreign)).toBe("serial");
  bindEndpoint(instance as unknown as RpcEndpoint, { replica: { index: 1, count: 2 }, self, rpcEnv });
  expect(instance.replica).toEqual({ index: 1, count: 2 });
});

test("self, rpcEnv, replica and stop are known from onStart on, and using them earlier says so", () => {
  const stopped: unknown[] = [];
  class Curious extends RpcEndpoint {
    look(what: "self" | "rpcEnv" | "replica"): unknown {
      return this[what];
    }
  }
  const endpoint = new Curious();
  for (const what of ["self", "rpcEnv", "replica"] as const) {
    const text = expectCode(() => endpoint.look(what), "ERR_RPC_ENDPOINT_START");
    expect(text).toBe(`Curious.${what} is not known before onStart; use it there instead of in the constructor`);
  }
  expect(expectCode(() => endpoint.stop(), "ERR_RPC_ENDPOINT_START")).toContain("Curious.stop() is not known");
  const view = { ...rpcEnv, stop: (ref: RpcEndpointRef) => stopped.push(ref) } as unknown as RpcEnvView;
  bindEndpoint(endpoint, { replica: { index: 3, count: 4 }, self, rpcEnv: view });
  expect(endpoint.look("self")).toBe(self);
  expect(endpoint.look("rpcEnv")).toBe(view);
  expect(endpoint.replica).toEqual({ index: 3, count: 4 });
  endpoint.stop();
  expect(stopped).toEqual([self]);
});

test("a constructor that reads self is told where to read it", () => {
  class Hasty extends ThreadSafeRpcEndpoint {
    readonly mine = this.self;
  }
  expect(expectCode(() => new Hasty(), "ERR_RPC_ENDPOINT_START")).toContain("Hasty.self is not known before onStart");
});

test("the events a class or an instance is told are those it has a method for", async () => {
  class Listens extends Once {
    override onConnected(): void {}
  }
  class ListensMore extends Listens {
    override onNetworkError(): void {}
  }
  const own = Object.assign(new Apart(), { onDisconnected: () => {} });
  expect(overriddenEvents(Once)).toEqual([]);
  expect(overriddenEvents(Listens)).toEqual(["onConnected"]);
  expect(overriddenEvents(new ListensMore())).toEqual(["onConnected", "onNetworkError"]);
  expect(overriddenEvents(own)).toEqual(["onDisconnected"]);
  expect(overriddenEvents({ onConnected: () => {} })).toEqual([]);
  const url = new URL("../../../dist/src/rpc/rpc-endpoint.js?a-third-copy", import.meta.url).href;
  const other = (await import(url)) as typeof import("../../../dist/src/rpc/rpc-endpoint.js");
  expect(overriddenEvents(class extends other.RpcEndpoint {})).toEqual([]);
});

test("what is not overridden refuses every message and shows it", () => {
  const endpoint = new Once();
  const send = expectCode(() => endpoint.receive({ op: "add" } as never, sendContext), "ERR_RPC_UNSUPPORTED_MESSAGE");
  expect(send).toBe("Once takes no one-way messages; override receive, or ask: message={ op: 'add' }");
  const ask = expectCode(() => endpoint.receiveAndReply(1 as never, callContext), "ERR_RPC_UNSUPPORTED_MESSAGE");
  expect(ask).toBe("Once answers no asks; override receiveAndReply, or send: message=1");
});

test("a refused message is shown in part when it is long", () => {
  const text = expectCode(
    () => unsupportedMessage(new Array(1_000).fill("x".repeat(999)) as never),
    "ERR_RPC_UNSUPPORTED_MESSAGE",
  );
  expect(text.length).toBeLessThan(300);
  expect(text).toContain("the endpoint does not understand this message: message=[ 'xxx");
});

test("life cycle methods may be left out", () => {
  const endpoint = new Once();
  expect(endpoint.onStart({ restarts: 0, reason: null })).toBeUndefined();
  expect(endpoint.onStop()).toBeUndefined();
  expect(endpoint.onError(new Error("x"))).toBeUndefined();
  const address = { host: "a", port: 1 };
  expect([endpoint.onConnected(address), endpoint.onDisconnected(address)]).toEqual([undefined, undefined]);
  expect(endpoint.onNetworkError(new RpcError("ERR_RPC_CONNECT", "x"), address)).toBeUndefined();
});
