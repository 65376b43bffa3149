/**
 * Goal: setting endpoints up works as promised, and every way to get it wrong says what is wrong.
 * Method: whole environments through the public surface.
 */
import { inspect } from "node:util";
import { isRpcError, RpcEnv, type RpcEnvOptions, type RpcError } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Life = typeof import("../fixtures/start-endpoint.js");
type Counter = typeof import("../fixtures/counter-service.js");
type Bare = typeof import("../fixtures/bare-endpoint.js");
type Calls = typeof import("../fixtures/call-service.js");

const life = fixtureUrl("start-endpoint");
let env: RpcEnv;
beforeAll(async () => {
  env = await RpcEnv.create({ name: "setup", numThreads: 2 });
});
afterAll(() => env.shutdown());

describe("an endpoint", () => {
  test("is set up once onStart has finished; its replica is known there", async () => {
    using gate = new Gate();
    const ref = await env.setupEndpoint<Life>("life", life, { args: { gate: gate.name } });
    expect(await gate.note()).toEqual({ started: { restarts: 0, reason: null }, replica: { index: 0, count: 1 } });
    expect([ref.name, ref.uri, String(ref), ref.address]).toEqual(["life", "ringpost://life", "ringpost://life", null]);
    expect(env.endpointRef<Life>("life")?.equals(ref)).toBe(true);
    expect(ref.equals(await env.setupEndpoint<Calls>("other", fixtureUrl("call-service")))).toBe(false);
    await env.stop(ref);
  });

  test("may be named by an absolute path as well as a URL", async () => {
    const ref = await env.setupEndpoint<Calls>("by path", fixtureUrl("call-service").pathname);
    expect(await ref.call.plain(2, 3)).toBe(5);
    await env.stop(ref);
  });

  test("of a concurrent class has a replica on each loop, or as many as the class says", async () => {
    const ref = await env.setupEndpoint<Bare>("bare", fixtureUrl("bare-endpoint"));
    expect(await ref.ask({ op: "sum" })).toBe(1);
    await env.stop(ref);
  });

  test("with state keeps it from message to message, and takes args", async () => {
    const ref = await env.setupEndpoint<Counter>("counter", fixtureUrl("counter-service"), { args: { start: 40 } });
    expect([await ref.call.add(1), await ref.call.add(1), await ref.call.get()]).toEqual([41, 42, 42]);
    await env.stop(ref);
  });

  test("is shown by its uri, in logs and in JSON", async () => {
    const ref = await env.setupEndpoint<Calls>("shown", fixtureUrl("call-service"));
    expect([`${ref}`, JSON.stringify({ ref }), inspect(ref)]).toEqual([
      "ringpost://shown",
      '{"ref":"ringpost://shown"}',
      "RpcEndpointRef(ringpost://shown)",
    ]);
    await env.stop(ref);
  });

  test("of a service has the methods it has, and nothing of the proxy behind its ref", async () => {
    const ref = await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"));
    expect(await ref.call.plain(1, 2)).toBe(3);
    const untyped = ref as unknown as {
      readonly call: Record<string | symbol, (...inputs: unknown[]) => Promise<unknown>>;
    };
    expect([untyped.call.then, untyped.call[Symbol.toPrimitive]]).toEqual([undefined, undefined]);
    const error = await failureOf((untyped.call.valueOf as () => unknown)() as Promise<unknown>);
    expect(error.code).toBe("ERR_RPC_NO_SUCH_METHOD");
    expect(error.message).toMatch(/no method valueOf; it has: echo, .*plain/);
    const asked = await failureOf((ref as unknown as { ask(message: unknown): Promise<unknown> }).ask({ op: "sum" }));
    expect(asked.code).toBe("ERR_RPC_UNSUPPORTED_MESSAGE");
    await env.stop(ref);
  });

  test("that does not understand a message says so and shows it; nothing else happens", async () => {
    const ref = await env.setupEndpoint("bare", fixtureUrl("bare-endpoint"));
    const error = await failureOf(ref.ask({ op: "product" }));
    expect(error.code).toBe("ERR_RPC_UNSUPPORTED_MESSAGE");
    expect(error.message).toContain("product");
    expect((await failureOf(ref.call.sum!())).code).toBe("ERR_RPC_NO_SUCH_METHOD");
    const letter = new Promise((resolve) => env.on("deadLetter", resolve));
    expect(ref.send({ op: "sum" })).toBe(true);
    expect(await letter).toMatchObject({ endpoint: "bare", reason: "ERR_RPC_UNSUPPORTED_MESSAGE", count: 1 });
    await env.stop(ref);
  });
});

describe("a start that fails", () => {
  const cases: [what: string, module: string, args: unknown, says: RegExp, cause: object | null][] = [
    [
      "onStart throws",
      "start-endpoint",
      { gate: "g", fail: "onStart" },
      /"broken" did not start: no start/,
      { name: "RangeError", code: "E_START" },
    ],
    [
      "the constructor throws",
      "start-endpoint",
      { gate: "g", fail: "constructor" },
      /no construction/,
      { name: "RangeError" },
    ],
    [
      "the module throws while loading",
      "throws-at-load",
      undefined,
      /cannot load .*throws-at-load.js: will not load/,
      { name: "TypeError", code: "E_LOAD" },
    ],
    [
      "the module is missing",
      "no-such-module",
      undefined,
      /cannot load .*no-such-module.js/,
      { code: "ERR_MODULE_NOT_FOUND" },
    ],
    ["there is no default export", "no-default", undefined, /no default export/, null],
    ["the default export is no endpoint", "no-endpoint", undefined, /the function or class Unrelated/, null],
  ];

  test.each(cases)(
    "rejects with ERR_RPC_ENDPOINT_START and the cause, and frees the name: %s",
    async (_what, module, args, says, cause) => {
      const error = await failureOf(env.setupEndpoint("broken", fixtureUrl(module), { args } as object));
      expect(error.code).toBe("ERR_RPC_ENDPOINT_START");
      expect(error.message).toMatch(says);
      if (cause !== null) expect(error.cause).toMatchObject(cause);
      expect(env.endpointRef("broken")).toBe(null);
      const ref = await env.setupEndpoint<Counter>("broken", fixtureUrl("counter-service"), { args: { start: 1 } });
      expect(await ref.call.get()).toBe(1);
      await env.stop(ref);
    },
  );

  test("of one name must not be mistaken for the next: a taken name is refused, while it starts too", async () => {
    using gate = new Gate();
    const first = env.setupEndpoint<Life>("twice", life, { args: { gate: gate.name } });
    const second = await failureOf(env.setupEndpoint<Life>("twice", life, { args: { gate: gate.name } }));
    expect([second.code, second.endpoint]).toEqual(["ERR_RPC_ENDPOINT_EXISTS", "twice"]);
    const ref = await first;
    const third = await failureOf(env.setupEndpoint<Life>("twice", life, { args: { gate: gate.name } }));
    expect(third.code).toBe("ERR_RPC_ENDPOINT_EXISTS");
    await env.stop(ref);
  });
});

describe("what the contract excludes", () => {
  const envCases: [options: unknown, says: string][] = [
    [{ numThreads: 0 }, "numThreads must be an integer from 1 to 255: numThreads=0"],
    [{ numThreads: 1.5 }, "numThreads=1.5"],
    [{ numThreads: 256 }, "numThreads=256"],
    [{ conf: { "rpc.dispatcher.throughput": 1 } }, "an integer from 32 to 65536: rpc.dispatcher.throughput=1"],
    [{ conf: { "rpc.inbox.bytes": 5_000 } }, "rpc.inbox.bytes must be a power of two from 4k to 16m"],
    [{ conf: { "rpc.loop.bytes": 2_048 } }, "rpc.loop.bytes=2048"],
    [{ conf: { "rpc.nonsense": 1 } }, "conf has no key rpc.nonsense; it has: rpc.dispatcher.numThreads"],
    [{ threads: 2 }, "RpcEnv.create has no key threads; it has: name, host"],
    [{ askTimeoutMs: 0 }, "askTimeoutMs must be a positive number up to 1073741823, or Infinity: askTimeoutMs=0"],
  ];
  test.each(envCases)("in RpcEnv.create: %j", async (options, says) => {
    const error = await failureOf(RpcEnv.create(options as RpcEnvOptions));
    expect(error.code).toBe("ERR_RPC_INVALID_ARGUMENT");
    expect(error.message).toContain(says);
  });

  const setupCases: [name: unknown, module: unknown, options: unknown, says: string][] = [
    ["", life, {}, "1 to 255 bytes: bytes=0"],
    ["ü".repeat(128), life, {}, "bytes=256"],
    [7, life, {}, "the name of an endpoint is a string"],
    ["x", "./relative.js", {}, "a file URL or an absolute path"],
    ["x", new URL("https://example.org/x.js"), {}, "a file URL or an absolute path"],
    ["x", undefined, {}, "a file URL or an absolute path"],
    ["x", { __proto__: null, default: 1 }, {}, "[Object: null prototype] { default: 1 }"],
    ["x", life, { inboxBytes: 4_095 }, "inboxBytes=4095"],
    ["x", life, { inboxBytes: 33_554_432 }, "inboxBytes=33554432"],
    ["x", life, { concurrency: 0 }, "concurrency must be an integer from 1 to 16384: concurrency=0"],
    ["x", life, { args: { gate: "g" }, loop: 3 }, "there is no loop 3; loops=1..2"],
    ["x", fixtureUrl("call-service"), { loop: 1 }, "only a serial one takes option loop"],
    ["x", life, { arguments: {} }, 'endpoint "x" has no key arguments; it has: inboxBytes, concurrency'],
  ];
  test.each(setupCases)("in setupEndpoint: %s %s %j", async (name, module, options, says) => {
    const error = await failureOf(env.setupEndpoint(name as string, module as URL, options as object));
    expect(error.code).toBe("ERR_RPC_INVALID_ARGUMENT");
    expect(error.message).toContain(says);
  });

  test("args that cannot travel are refused with their path", async () => {
    const error = await failureOf(env.setupEndpoint("x", life, { args: { gate: () => {} } } as object));
    expect(error.code).toBe("ERR_RPC_SERIALIZATION");
    expect(error.message).toMatch(/^args\.gate cannot travel/);
    expect(env.endpointRef("x")).toBe(null);
  });

  test("`with` refuses a bad timeout where it is written", async () => {
    const ref = await env.setupEndpoint<Calls>("with", fixtureUrl("call-service"));
    const refused = (): RpcError | undefined => {
      try {
        ref.with({ timeoutMs: -5 });
      } catch (error) {
        return isRpcError(error) ? error : undefined;
      }
      return undefined;
    };
    expect(refused()?.message).toContain("timeoutMs=-5");
    await env.stop(ref);
  });

  test("`on` refuses an event that there is not", () => {
    const on = env.on.bind(env) as (event: string, listener: () => void) => unknown;
    expect(() => on("deadLeter", () => {})).toThrow("an env has no event deadLeter; it has: deadLetter, loopCrashed");
  });

  test("`stop` refuses what is no ref of this env", async () => {
    await using other = await RpcEnv.create({ numThreads: 1 });
    const ref = await other.setupEndpoint<Calls>("elsewhere", fixtureUrl("call-service"));
    expect((await failureOf(env.stop(ref))).code).toBe("ERR_RPC_INVALID_ARGUMENT");
    expect(await ref.call.plain(1, 1)).toBe(2);
  });
});
