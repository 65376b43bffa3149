/**
 * Goal: what an environment is configured with is what it does, an option wins over a key, and a timeout says what set it.
 * Method: whole environments; each limit is set low and met. Timeouts against an endpoint on a worker and one on loop 0.
 */
import {
  defineService,
  RpcConf,
  type RpcEndpointRef,
  RpcEnv,
  type RpcEnvOptions,
  type RpcLogger,
  withContext,
} from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate, passGate } from "../fixtures/gate.js";

type Calls = typeof import("../fixtures/call-service.js");
type Process = typeof import("../fixtures/process-service.js");
type Peer = typeof import("../fixtures/peer-service.js");
type Gated = typeof import("../fixtures/gated-start-service.js");

/** What both endpoints of the timeout tests can do. */
const gateService = defineService({
  gate: withContext(async (_context, name: string) => {
    await passGate(name);
    return "passed";
  }),
});
type Gates = RpcEndpointRef<typeof gateService>;

const PLACES: readonly [string, (env: RpcEnv) => Promise<Gates>][] = [
  ["a worker", async (env) => (await env.setupEndpoint<Calls>("gate", fixtureUrl("call-service"))) as unknown as Gates],
  ["loop 0", (env) => env.setupEndpoint("gate", gateService)],
];

describe.each(PLACES)("an ask of an endpoint on %s that times out names what set its limit", (_place, setup) => {
  const cases: [options: RpcEnvOptions, setBy: string, ms: number][] = [
    [{ conf: { "rpc.askTimeout": "60ms" } }, "rpc.askTimeout", 60],
    [{ conf: { "spark.rpc.askTimeout": "61ms" } }, "spark.rpc.askTimeout", 61],
    [{ conf: { "spark.network.timeout": "62ms", "rpc.lookupTimeout": "1ms" } }, "spark.network.timeout", 62],
    [{ conf: new RpcConf({ "network.timeout": "63ms" }) }, "network.timeout", 63],
    [{ askTimeoutMs: 64, conf: { "rpc.askTimeout": "10min" } }, "askTimeoutMs", 64],
  ];
  test.each(cases)("of the environment: %j", async (options, setBy, ms) => {
    await using env = await RpcEnv.create({ numThreads: 1, ...options });
    using gate = new Gate();
    const ref = await setup(env);
    const error = await failureOf(ref.call.gate(gate.name));
    expect(error.code).toBe("ERR_RPC_TIMEOUT");
    expect(error.message).toBe(`no reply of "gate" within ${ms} ms. This timeout is controlled by ${setBy}`);
    gate.open();
    // Within the limit nothing is different.
    expect(await ref.with({ timeoutMs: 60_000 }).call.gate(gate.name)).toBe("passed");
  });

  test("of the call", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    using gate = new Gate();
    const ref = await setup(env);
    const error = await failureOf(ref.with({ timeoutMs: 65 }).call.gate(gate.name));
    expect(error.message).toBe('no reply of "gate" within 65 ms. This timeout is controlled by timeoutMs');
    // It is said once, also when a handler passes the error on.
    const passing = await env.setupEndpoint(
      "passing",
      defineService({ ask: () => ref.with({ timeoutMs: 66 }).call.gate(gate.name) }),
    );
    const passedOn = await failureOf(passing.call.ask());
    expect(passedOn.code).toBe("ERR_RPC_HANDLER");
    expect(passedOn.message.match(/This timeout is controlled by/g)).toHaveLength(1);
  });

  test("of the ask that a handler serves, which its own asks inherit", async () => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    using gate = new Gate();
    const ref = await setup(env);
    let tell: (error: Error) => void = () => {};
    const inner = new Promise<Error>((resolve) => {
      tell = resolve;
    });
    const serve = async (): Promise<void> => {
      await ref.call.gate(gate.name).catch(tell);
    };
    const serving = await env.setupEndpoint("serving", defineService({ serve }));
    const outer = await failureOf(serving.with({ timeoutMs: 100 }).call.serve());
    expect(outer.message).toContain("within 100 ms. This timeout is controlled by timeoutMs");
    expect((await inner).message).toMatch(
      /within [\d.]+ ms\. This timeout is controlled by the deadline of the ask that it was made for$/,
    );
  });
});

describe("a limit that a key sets is met:", () => {
  test("rpc.message.maxSize, by asker and handler", async () => {
    await using env = await RpcEnv.create({ numThreads: 1, conf: { "spark.rpc.message.maxSize": "64k" } });
    const ref = await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"));
    const asked = await failureOf(ref.call.echo(new Uint8Array(70_000)));
    expect([asked.code, asked.message.includes("65536")]).toEqual(["ERR_RPC_MESSAGE_TOO_LARGE", true]);
    const half = new Uint8Array(40_000);
    expect(await ref.call.echo(half)).toEqual(half);
    const local = await env.setupEndpoint("local", defineService({ twice: (n: number) => new Uint8Array(2 * n) }));
    expect(await local.call.twice(20_000)).toHaveLength(40_000);
    const peer = await env.setupEndpoint<Peer>("peer", fixtureUrl("peer-service"));
    for (const answer of [local.call.twice(40_000), peer.call.bytes(80_000)]) {
      const { code, message, maybeExecuted, retryable } = await failureOf(answer);
      expect([code, maybeExecuted, retryable]).toEqual(["ERR_RPC_MESSAGE_TOO_LARGE", true, false]);
      expect(message).toContain("maxBytes=65536");
    }
    // Of what a handler asked in turn its own asker learns as of any other failure.
    const asks = async (): Promise<unknown> => ref.call.echo(new Uint8Array(70_000));
    const asking = await env.setupEndpoint("asking", defineService({ asks }));
    expect((await failureOf(asking.call.asks())).code).toBe("ERR_RPC_HANDLER");
  });

  test("rpc.startTimeout", async () => {
    await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.startTimeout": "100ms" } });
    using gate = new Gate();
    const args = { gate: gate.name };
    const error = await failureOf(env.setupEndpoint<Gated>("gated", fixtureUrl("gated-start-service"), { args }));
    expect(error.code).toBe("ERR_RPC_ENDPOINT_START");
    expect(error.message).toContain("within 100 ms; rpc.startTimeout says how long it may take");
  });

  test("rpc.spill.messages and rpc.inbox.bytes", async () => {
    const conf = { "rpc.spill.messages": 3, "rpc.inbox.bytes": "4k" } as const;
    await using env = await RpcEnv.create({ numThreads: 1, conf });
    using gate = new Gate();
    const ref = await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service-serial"));
    const running = ref.call.gate(gate.name);
    await gate.reached();
    const asks = Array.from({ length: 200 }, () => ref.call.echo("x".repeat(100)));
    const settled = Promise.allSettled(asks);
    gate.open();
    await running;
    const refused = (await settled).filter((result) => result.status === "rejected");
    // 4,096 bytes of ring hold about 28 of them, and 3 wait behind it.
    expect(refused.length).toBeGreaterThan(150);
    expect(refused.length).toBeLessThan(200);
    for (const { reason } of refused) {
      expect(reason).toMatchObject({
        code: "ERR_RPC_INBOX_FULL",
        message: expect.stringContaining("messagesMax=3, bytesMax=268435456"),
      });
    }
  });

  describe("of crashes:", () => {
    const setup = async (conf: RpcEnvOptions["conf"]) => {
      const env = await RpcEnv.create({ numThreads: 1, conf });
      env.on("loopCrashed", () => {});
      env.on("endpointFailed", () => {});
      return { env, ref: await env.setupEndpoint<Process>("mortal", fixtureUrl("process-service-serial")) };
    };

    test("rpc.crash.maxBlamed, within rpc.crash.window", async () => {
      const conf = { "rpc.crash.maxBlamed": 2, "rpc.crash.window": "10min", "rpc.restart.wait": "1ms" } as const;
      const { env, ref } = await setup(conf);
      await using _env = env;
      for (let crash = 0; crash < 2; crash++) await failureOf(ref.call.exit(3));
      const error = await failureOf(ref.call.echo(1));
      expect(error.code).toBe("ERR_RPC_ENDPOINT_FAILED");
      expect(error.message).toContain("out of service after 2 crashes or failed restarts within 600000 ms");
    });

    test("rpc.crash.window, outside of which a crash is forgotten", async () => {
      const { env, ref } = await setup({ "rpc.crash.maxBlamed": 2, "rpc.crash.window": "1ms" });
      await using _env = env;
      for (let crash = 0; crash < 6; crash++) await failureOf(ref.call.exit(3));
      expect(await ref.call.echo("lives")).toBe("lives");
    });

    test("rpc.restart.wait, up to rpc.restart.maxWait", async () => {
      const waits = await setup({ "rpc.restart.wait": "10min", "rpc.restart.maxWait": "10min" });
      const goesOn = await setup({ "rpc.restart.wait": "10min", "rpc.restart.maxWait": "1ms" });
      await using _waiting = waits.env;
      await using _goingOn = goesOn.env;
      for (const { ref } of [waits, goesOn]) await failureOf(ref.call.exit(3));
      const untaken = failureOf(waits.ref.call.echo("never"));
      // Time for many restarts of the other.
      for (let crash = 0; crash < 3; crash++) await failureOf(goesOn.ref.call.exit(3));
      expect(await goesOn.ref.call.echo("at once")).toBe("at once");
      expect(waits.env.stats().loops.map(({ epoch }) => epoch)).toContain(1);
      expect(goesOn.env.stats().loops.map(({ epoch }) => epoch)).toContain(5);
      await waits.env.shutdown({ timeoutMs: 100 });
      expect(await untaken).toMatchObject({ maybeExecuted: false });
    });
  });

  test("rpc.dispatcher.numThreads, by Spark's name, unless the option says otherwise", async () => {
    const conf = { "spark.rpc.netty.dispatcher.numThreads": 3 } as const;
    const loopsOf = async (options: RpcEnvOptions) => {
      await using env = await RpcEnv.create(options);
      await env.setupEndpoint<Calls>("calls", fixtureUrl("call-service"));
      return env.stats().loops.filter(({ index }) => index > 0).length;
    };
    expect(await loopsOf({ conf })).toBe(3);
    expect(await loopsOf({ conf, numThreads: 1 })).toBe(1);
  });
});

test("the logger is told which keys change nothing, and why", async () => {
  const told: unknown[] = [];
  const logger: RpcLogger = { debug: () => {}, info: (fields) => told.push(fields), warn: () => {}, error: () => {} };
  const conf = {
    "spark.rpc.io.mode": "EPOLL",
    "spark.network.timeoutInterval": 1,
    "spark.app.name": "x",
    "rpc.askTimeout": 1,
  };
  await using _env = await RpcEnv.create({ numThreads: 1, logger, conf });
  expect(told).toEqual([
    { key: "spark.rpc.io.mode", reason: "libuv chooses: epoll, kqueue or IOCP." },
    { key: "spark.network.timeoutInterval", reason: "it takes effect with the network" },
    { keys: ["spark.app.name"] },
  ]);
});

test("a conf that changes after an environment was made of it does not change the environment", async () => {
  const conf = new RpcConf({ "rpc.askTimeout": "50ms" });
  await using env = await RpcEnv.create({ numThreads: 1, conf });
  conf.set("rpc.askTimeout", "10min");
  using gate = new Gate();
  const ref = await env.setupEndpoint("gate", gateService);
  expect((await failureOf(ref.call.gate(gate.name))).message).toContain("within 50 ms");
});

describe("what the contract excludes", () => {
  test.each<[options: object, says: string]>([
    [
      { conf: { "spark.authenticate": true } },
      "spark.authenticate asks for protection that is not given by this key here",
    ],
    [{ conf: { "rpc.askTimeout": "soon" } }, "rpc.askTimeout=soon"],
    [{ name: 5 }, "name must be a string: name=5"],
    [{ logger: {} }, "logger must have the functions debug, info, warn, error"],
    [{ logger: null }, "logger must have the functions"],
  ])("%j", async (options, says) => {
    const error = await failureOf(RpcEnv.create(options as RpcEnvOptions));
    expect([error.code, error.message.includes(says)]).toEqual(["ERR_RPC_INVALID_ARGUMENT", true]);
  });

  test.each<[options: object, says: string]>([
    [{ kind: "own" }, 'kind must be one of concurrent, serial, isolated, isolated-serial: kind="own"'],
    [{ throughput: 0 }, "throughput must be an integer from 1 to 65536: throughput=0"],
    [
      { handlerTimeoutMs: 0 },
      "handlerTimeoutMs must be a positive number up to 1073741823, or Infinity: handlerTimeoutMs=0",
    ],
  ])("of an endpoint: %j", async (options, says) => {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const error = await failureOf(env.setupEndpoint<Calls>("gate", fixtureUrl("call-service"), options));
    expect([error.code, error.message]).toEqual(["ERR_RPC_INVALID_ARGUMENT", says]);
  });
});
