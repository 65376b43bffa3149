/** Goal: a service is a table of own functions, whatever object it was written as. */
import { describe, expect, test } from "vitest";
import { isRpcError, type RpcErrorCode } from "../../../dist/src/common/errors.js";
import type { RpcContext } from "../../../dist/src/rpc/rpc-context.js";
import type { RpcEndpointRef } from "../../../dist/src/rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../../../dist/src/rpc/rpc-env-view.js";
import type { RpcService } from "../../../dist/src/rpc/rpc-protocol.js";
import {
  defineService,
  defineStatefulService,
  isRpcService,
  type ServiceMethods,
  serviceInternals,
  takesContext,
  withContext,
} from "../../../dist/src/rpc/rpc-service.js";

const self = { name: "self" } as RpcEndpointRef;
const rpcEnv = { name: "env" } as RpcEnvView;

async function methodsOf(service: RpcService, args?: unknown): Promise<ServiceMethods> {
  return await serviceInternals(service as RpcService).create({ args, self, rpcEnv });
}

function codeAndText(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return isRpcError(error) ? `${error.code}: ${error.message}` : `not typed: ${String(error)}`;
  }
  return "nothing was thrown";
}

const INVALID: RpcErrorCode = "ERR_RPC_INVALID_ARGUMENT";
const START: RpcErrorCode = "ERR_RPC_ENDPOINT_START";

describe("defineService", () => {
  test("makes something that is recognised, and nothing else is", async () => {
    const service = defineService({ a: () => 1 });
    expect(isRpcService(service)).toBe(true);
    for (const other of [null, undefined, {}, { a: () => 1 }, () => 1, class {}])
      expect(isRpcService(other)).toBe(false);
    const url = new URL("../../../dist/src/rpc/rpc-service.js?another-copy", import.meta.url).href;
    const copy = (await import(url)) as typeof import("../../../dist/src/rpc/rpc-service.js");
    expect(isRpcService(copy.defineService({ a: () => 1 }))).toBe(true);
  });

  test("keeps own functions only, without a prototype", async () => {
    const methods = await methodsOf(defineService({ add: (a: number, b: number) => a + b }));
    expect(methods.add?.(1, 2)).toBe(3);
    expect(Object.keys(methods)).toEqual(["add"]);
    expect(Object.getPrototypeOf(methods)).toBeNull();
    expect(Object.isFrozen(methods)).toBe(true);
  });

  test("is concurrent unless it says serial", () => {
    expect(serviceInternals(defineService({ a: () => 1 })).serial).toBe(false);
    expect(serviceInternals(defineService({ a: () => 1 }, { serial: true })).serial).toBe(true);
    expect(codeAndText(() => defineService({ a: () => 1 }, { serial: 1 as never }))).toContain("not number");
  });

  test("lets methods call each other by this", async () => {
    const methods = await methodsOf(
      defineService({
        twice(n: number): number {
          return n * 2;
        },
        fourTimes(n: number): number {
          return this.twice(this.twice(n));
        },
      }),
    );
    const { fourTimes } = methods;
    expect(fourTimes?.(2)).toBe(8);
  });

  test.each<[string, unknown, string]>([
    // biome-ignore lint/suspicious/noThenProperty: the subject of the test
    ["then", Object.fromEntries([["then", () => 1]]), "may not be called then"],
    ["constructor", { constructor: () => 1 }, "may not be called constructor"],
    ["an own __proto__", JSON.parse('{"__proto__": 1}'), "may not be called __proto__"],
    ["a __proto__ in a literal", { __proto__: () => 1 }, "plain object of functions"],
    ["a member that is no function", { a: () => 1, b: 5 }, "a service holds functions only: b is number"],
    [
      "an instance of a class",
      new (class Methods {
        a(): number {
          return 1;
        }
      })(),
      "not an instance of Methods",
    ],
    ["a function", () => 1, "not function"],
    ["null", null, "not null"],
    ["nothing", {}, "at least one method"],
  ])("refuses %s", (_name, methods, text) => {
    const said = codeAndText(() => defineService(methods as never));
    expect(said.startsWith(INVALID)).toBe(true);
    expect(said).toContain(text);
  });
});

describe("defineStatefulService", () => {
  test("makes each instance its own state, from its args", async () => {
    const service = defineStatefulService(({ args }: { readonly args: { from: number } }) => {
      let count = args.from;
      return { next: () => count++ };
    });
    const [a, b] = [await methodsOf(service, { from: 1 }), await methodsOf(service, { from: 5 })];
    expect([a.next?.(), a.next?.(), b.next?.()]).toEqual([1, 2, 5]);
  });

  test("may take its time", async () => {
    const methods = await methodsOf(defineStatefulService(async () => ({ a: () => 1 })));
    expect(methods.a?.()).toBe(1);
  });

  test("is told at once when it is no function, and at its start what is wrong with its methods", async () => {
    expect(codeAndText(() => defineStatefulService({} as never))).toContain(`${INVALID}: defineStatefulService takes`);
    const service = defineStatefulService((() => ({ b: 1 })) as never);
    expect(codeAndText(() => serviceInternals(service as RpcService).create({ args: 0, self, rpcEnv }))).toContain(
      `${START}: a service holds functions only: b is number`,
    );
    const late = defineStatefulService((async () => null) as never);
    await expect(methodsOf(late)).rejects.toMatchObject({ code: START });
  });
});

describe("withContext", () => {
  const method = withContext((context, text: string) => `${text} ${context.oneWay} ${context.remainingMs}`);

  test("marks a method in the table, which takes the context first", async () => {
    const methods = await methodsOf(defineService({ method, plain: (n: number) => n }));
    const [marked, plain] = [methods.method, methods.plain];
    expect([takesContext(marked!), takesContext(plain!)]).toEqual([true, false]);
    expect(marked!({ oneWay: false, remainingMs: 7 } as RpcContext, "hi")).toBe("hi false 7");
  });

  test("called directly, the context is inert", () => {
    expect(method("hi")).toBe("hi true Infinity");
    const seen = withContext((context) => [context.cancelled, context.signal.aborted, context.senderAddress])();
    expect(seen).toEqual([false, false, null]);
  });

  test("keeps this", async () => {
    const service = {
      base: () => 10,
      plus: withContext(function (this: { base(): number }, _context: RpcContext, n: number) {
        return this.base() + n;
      }),
    };
    const methods = await methodsOf(defineService(service));
    expect(methods.plus?.({}, 5)).toBe(15);
  });
});

test("threads of its own are checked", () => {
  expect(serviceInternals(defineService({ a: () => 1 }, { threadCount: 4 })).threadCount).toBe(4);
  expect(serviceInternals(defineService({ a: () => 1 })).threadCount).toBeNull();
  for (const threadCount of [0, 1.5, 256, "2"]) {
    expect(codeAndText(() => defineService({ a: () => 1 }, { threadCount } as never))).toContain(
      `${INVALID}: a service's option threadCount must be an integer from 1 to 255: threadCount=${JSON.stringify(threadCount)}`,
    );
  }
  expect(codeAndText(() => defineService({ a: () => 1 }, { threads: 2 } as never))).toContain(
    `${INVALID}: a service has no key threads; it has: serial, threadCount`,
  );
  expect(codeAndText(() => defineService({ a: () => 1 }, { serial: true, threadCount: 2 } as never))).toContain(
    "a serial service runs one message at a time on one thread: threadCount=2",
  );
});
