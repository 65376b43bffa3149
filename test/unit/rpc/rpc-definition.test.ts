/** Goal: a module's default export is described as plain data, or refused with what it should have been. */
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { describeDefinition, describeInstance } from "../../../dist/src/rpc/rpc-definition.js";
import {
  IsolatedRpcEndpoint,
  IsolatedThreadSafeRpcEndpoint,
  RpcEndpoint,
  ThreadSafeRpcEndpoint,
} from "../../../dist/src/rpc/rpc-endpoint.js";
import { defineService, defineStatefulService } from "../../../dist/src/rpc/rpc-service.js";

class Everywhere extends RpcEndpoint {}
class Twice extends RpcEndpoint {
  static override readonly replicas = 2;
}
class Once extends ThreadSafeRpcEndpoint {
  override onConnected(): void {}
  override onNetworkError(): void {}
}
class Apart extends IsolatedRpcEndpoint {
  static override readonly threadCount = 3;
}
class OnceApart extends IsolatedThreadSafeRpcEndpoint {}
const EVENTS = ["onConnected", "onNetworkError"];

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
    { form: "class", kind: "serial", methods: null, replicas: null, threadCount: null, events: EVENTS },
  ],
  [
    "an isolated class",
    Apart,
    { form: "class", kind: "isolated", methods: null, replicas: null, threadCount: 3, events: [] },
  ],
  [
    "an isolated serial class",
    OnceApart,
    { form: "class", kind: "isolated-serial", methods: null, replicas: null, threadCount: 1, events: [] },
  ],
  [
    "a service with threads of its own",
    defineService({ a: () => 1 }, { threadCount: 2 }),
    { form: "service", kind: "isolated", methods: ["a"], replicas: null, threadCount: 2, events: [] },
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

  test.each([0, -1, 1.5, 256, "2", Infinity])("%s threads", (threadCount) => {
    class Wrong extends IsolatedRpcEndpoint {}
    Object.assign(Wrong, { threadCount });
    expectRefusal(Wrong, `Wrong.threadCount must be an integer from 1 to 255: ${threadCount}`);
  });

  test("threads of their own for what is not isolated, and more than one for what is serial", () => {
    class Shared extends RpcEndpoint {
      static readonly threadCount = 2;
    }
    expectRefusal(Shared, "Shared says threadCount=2, but only isolated endpoints have threads of their own");
    class Serial extends IsolatedThreadSafeRpcEndpoint {}
    Object.assign(Serial, { threadCount: 2 });
    expectRefusal(Serial, "has one thread, but says threadCount=2; extend IsolatedRpcEndpoint for more");
  });

  test("replicas of what has one on each of its threads", () => {
    class Wrong extends IsolatedRpcEndpoint {
      static override readonly replicas = 2;
    }
    expectRefusal(Wrong, "one replica on each of its own threads, but says replicas=2; say threadCount instead");
  });
});

describe("instead of a module", () => {
  test("an instance and a service are one instance on the main thread", () => {
    const shared = { form: "class", methods: null, replicas: 1, threadCount: null };
    expect(describeInstance(new Twice())).toEqual({ ...shared, kind: "concurrent", events: [] });
    expect(describeInstance(new Once())).toEqual({ ...shared, kind: "serial", events: EVENTS });
    const service = { form: "service", kind: "serial", methods: ["a"], replicas: 1, threadCount: null, events: [] };
    expect(describeInstance(defineService({ a: () => 1 }, { serial: true }))).toEqual(service);
  });

  test.each<[string, unknown, string]>([
    ["an isolated instance", new Apart(), "an isolated endpoint has its own threads"],
    ["an isolated service", defineService({ a: () => 1 }, { threadCount: 1 }), "pass the URL of its module"],
    ["a class", Once, "not a class; pass an instance of it, or the URL of its module"],
    ["plain methods", { a: () => 1 }, "did you mean defineService({ … })?"],
  ])("%s is refused", (_name, given, text) => {
    expect(() => describeInstance(given)).toThrow(
      expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT", message: expect.stringContaining(text) }),
    );
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
