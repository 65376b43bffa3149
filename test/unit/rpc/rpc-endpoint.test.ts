/** Goal: an endpoint class says how it is run, and what it does not override is refused with a typed error. */
import { expect, test } from "vitest";
import { isRpcError, type RpcErrorCode } from "../../../dist/src/common/errors.js";
import type { RpcCallContext, RpcSendContext } from "../../../dist/src/rpc/rpc-context.js";
import {
  bindEndpoint,
  endpointKind,
  isEndpointInstance,
  RpcEndpoint,
  ThreadSafeRpcEndpoint,
  unsupportedMessage,
} from "../../../dist/src/rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../../../dist/src/rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../../../dist/src/rpc/rpc-env-view.js";

class Everywhere extends RpcEndpoint {}
class Once extends ThreadSafeRpcEndpoint {}

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

test("replica is known from onStart on, and reading it earlier says so", () => {
  const endpoint = new Everywhere();
  expect(expectCode(() => endpoint.replica, "ERR_RPC_ENDPOINT_START")).toContain("Everywhere.replica is not known");
  bindEndpoint(endpoint, { replica: { index: 3, count: 4 }, self, rpcEnv });
  expect(endpoint.replica).toEqual({ index: 3, count: 4 });
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
});
