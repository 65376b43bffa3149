/** Goal: a module's default export is described as plain data, or refused with what it should have been. */
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { describeDefinition } from "../../../dist/src/rpc/rpc-definition.js";
import { RpcEndpoint, ThreadSafeRpcEndpoint } from "../../../dist/src/rpc/rpc-endpoint.js";
import { defineService, defineStatefulService } from "../../../dist/src/rpc/rpc-service.js";

class Everywhere extends RpcEndpoint {}
class Twice extends RpcEndpoint {
  static override readonly replicas = 2;
}
class Once extends ThreadSafeRpcEndpoint {}

test.each([
  [
    "a concurrent class",
    Everywhere,
    { form: "class", kind: "concurrent", methods: null, replicas: null, threadCount: null, events: [] },
  ],
  [
    "one of fewer replicas",
    Twice,
    { form: "class", kind: "concurrent", methods: null, replicas: 2, threadCount: null, events: [] },
  ],
  [
    "a serial class",
    Once,
    { form: "class", kind: "serial", methods: null, replicas: null, threadCount: null, events: [] },
  ],
  [
    "a service",
    defineService({ a: () => 1, b: () => 2 }),
    { form: "service", kind: "concurrent", methods: ["a", "b"], replicas: null, threadCount: null, events: [] },
  ],
  [
    "a stateful serial service",
    defineStatefulService(() => ({ a: () => 1 }), { serial: true }),
    { form: "service", kind: "serial", methods: null, replicas: null, threadCount: null, events: [] },
  ],
])("describes %s", (_name, definition, expected) => {
  const description = describeDefinition(definition);
  expect(description).toEqual(expected);
  expect(structuredClone(description)).toEqual(expected);
});

describe("refuses", () => {
  test.each<[string, unknown, string]>([
    ["nothing", undefined, "no default"],
    ["null", null, "null"],
    ["a class of its own", class Stranger {}, "the function or class Stranger"],
    ["an instance", new Once(), "an instance; export the class itself"],
    ["plain methods", { a: () => 1 }, "did you mean defineService({ … })?"],
    ["a string", "counter", "a string"],
  ])("%s", (_name, definition, text) => {
    expectRefusal(definition, text);
    expectRefusal(definition, "a class that extends RpcEndpoint or ThreadSafeRpcEndpoint");
  });

  test.each([0, -1, 1.5, "2", Infinity])("%s replicas", (replicas) => {
    class Wrong extends RpcEndpoint {}
    Object.assign(Wrong, { replicas });
    expectRefusal(Wrong, `Wrong.replicas must be a positive integer: ${replicas}`);
  });

  test("replicas of what exists once", () => {
    class Wrong extends ThreadSafeRpcEndpoint {
      static override readonly replicas = 2;
    }
    expectRefusal(Wrong, "has one instance, but says replicas=2; extend RpcEndpoint for more");
  });
});

function expectRefusal(definition: unknown, text: string): void {
  try {
    describeDefinition(definition);
  } catch (error) {
    expect(isRpcError(error, "ERR_RPC_ENDPOINT_START")).toBe(true);
    expect((error as Error).message).toContain(text);
    return;
  }
  throw new Error("nothing was thrown");
}
