/** Goal: RpcConf is a SparkConf for what means something here: names, units, order of alternatives, and what is refused. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isRpcError, RpcConf } from "ringpost";
import { describe, expect, test } from "vitest";

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!isRpcError(error, "ERR_RPC_INVALID_ARGUMENT")) throw error;
    return error.message;
  }
  throw new Error("nothing was thrown");
}

function withVariables<T>(variables: Record<string, string>, run: () => T): T {
  Object.assign(process.env, variables);
  try {
    return run();
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
  }
}

describe("set and get", () => {
  test("keep the text, whatever it was set by", () => {
    const conf = new RpcConf({ "rpc.askTimeout": 30, "rpc.inbox.bytes": " 64k " }).set("spark.app.name", "x");
    expect(conf.get("rpc.askTimeout")).toBe("30");
    expect(conf.get("rpc.inbox.bytes")).toBe("64k");
    expect(conf.get("spark.app.name")).toBe("x");
    expect(conf.get("rpc.loop.bytes")).toBeUndefined();
    expect(conf.set("rpc.askTimeout", "1min").get("rpc.askTimeout")).toBe("1min");
  });

  test("contains says whether a key or one of its aliases is set", () => {
    const conf = new RpcConf({ "spark.rpc.askTimeout": "30s" });
    expect(["rpc.askTimeout", "spark.rpc.askTimeout"].map((key) => conf.contains(key))).toEqual([true, true]);
    expect(["rpc.lookupTimeout", "no.such.key", "toString"].map((key) => conf.contains(key))).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("a clone goes its own way", () => {
    const conf = new RpcConf({ "rpc.askTimeout": "1s" });
    const clone = conf.clone().set("rpc.askTimeout", "2s");
    expect([conf.getTimeMs("rpc.askTimeout"), clone.getTimeMs("rpc.askTimeout")]).toEqual([1_000, 2_000]);
  });

  test("undefined is not set, and settings of another copy of the package are read", async () => {
    expect(new RpcConf({ "rpc.askTimeout": undefined }).contains("rpc.askTimeout")).toBe(false);
    const url = new URL("../../../dist/src/common/rpc-conf.js?another-copy", import.meta.url).href;
    const other = (await import(url)) as typeof import("../../../dist/src/common/rpc-conf.js");
    const foreign = new other.RpcConf({ "rpc.askTimeout": "7s" });
    expect(foreign).not.toBeInstanceOf(RpcConf);
    expect(RpcConf.from(foreign as unknown as RpcConf).getTimeMs("rpc.askTimeout")).toBe(7_000);
  });
});

describe("units", () => {
  test("a bare number means Spark's unit of that key", () => {
    const conf = new RpcConf({ "rpc.askTimeout": 5, "rpc.message.maxSize": "64", "rpc.inbox.bytes": 65_536 });
    expect(conf.getTimeMs("rpc.askTimeout")).toBe(5_000);
    expect(conf.getSizeBytes("rpc.message.maxSize")).toBe(64 * 1024 ** 2);
    expect(conf.getSizeBytes("rpc.inbox.bytes")).toBe(65_536);
    expect(conf.set("rpc.message.maxSize", "512k").getSizeBytes("rpc.message.maxSize")).toBe(512 * 1024);
  });

  test("a key that only Spark knows is read as SparkConf would", () => {
    const conf = new RpcConf({ "spark.some.time": "50", "spark.some.size": "50", "spark.some.count": "50" });
    expect(conf.getTimeMs("spark.some.time")).toBe(50);
    expect(conf.getSizeBytes("spark.some.size")).toBe(50);
    expect(conf.getCount("spark.some.count")).toBe(50);
    expect(refusal(() => conf.set("spark.some.time", "soon").getTimeMs("spark.some.time"))).toBe(
      "spark.some.time is no time: spark.some.time=soon",
    );
  });

  test("a key is read as what it is", () => {
    expect(refusal(() => new RpcConf().getTimeMs("rpc.inbox.bytes"))).toBe("rpc.inbox.bytes is a size, not a time");
  });
});

describe("which name counts", () => {
  test("the key, then Spark's, then the fallback's, then the default", () => {
    const conf = new RpcConf();
    const timeout = () => conf.getTimeout("rpc.askTimeout");
    expect(timeout()).toEqual({ ms: 120_000, setBy: "rpc.askTimeout" });
    conf.set("spark.network.timeout", "4s");
    expect(timeout()).toEqual({ ms: 4_000, setBy: "spark.network.timeout" });
    conf.set("network.timeout", "3s");
    expect(timeout()).toEqual({ ms: 3_000, setBy: "network.timeout" });
    conf.set("spark.rpc.askTimeout", "2s");
    expect(timeout()).toEqual({ ms: 2_000, setBy: "spark.rpc.askTimeout" });
    conf.set("rpc.askTimeout", "1s");
    expect(timeout()).toEqual({ ms: 1_000, setBy: "rpc.askTimeout" });
    expect(conf.get("spark.rpc.askTimeout")).toBe("2s");
  });

  test("io timeouts fall back by way of their module", () => {
    const conf = new RpcConf({ "spark.network.timeout": "9s" });
    expect(conf.getTimeMs("rpc.io.connectionCreationTimeout")).toBe(9_000);
    conf.set("spark.rpc.io.connectionTimeout", "8s");
    expect(conf.getTimeMs("rpc.io.connectionCreationTimeout")).toBe(8_000);
    expect(conf.getTimeMs("shuffle.io.connectionCreationTimeout")).toBe(9_000);
    conf.set("network.timeout", "Infinity");
    expect(conf.getTimeMs("files.io.connectionTimeout")).toBe(Number.POSITIVE_INFINITY);
  });

  test("a role has threads of its own once spark.executor.id says which it is", () => {
    const conf = new RpcConf({
      "spark.rpc.netty.dispatcher.numThreads": 3,
      "spark.driver.rpc.netty.dispatcher.numThreads": 5,
      "spark.executor.rpc.netty.dispatcher.numThreads": 7,
    });
    const key = "rpc.dispatcher.numThreads";
    expect(conf.getCount(key)).toBe(3);
    expect(conf.ignored).toEqual([
      "spark.driver.rpc.netty.dispatcher.numThreads",
      "spark.executor.rpc.netty.dispatcher.numThreads",
    ]);
    expect(conf.set("spark.executor.id", "driver").getCount(key)).toBe(5);
    expect(conf.set("spark.executor.id", "12").getCount(key)).toBe(7);
    expect(conf.ignored).toEqual(["spark.driver.rpc.netty.dispatcher.numThreads"]);
    expect(conf.set(key, 2).getCount(key)).toBe(2);
  });
});

describe("timeouts, as Spark's RpcTimeoutSuite constructs them", () => {
  test("from one key", () => {
    const conf = new RpcConf({ "spark.my.timeout": "10s" });
    expect(conf.getTimeout("spark.my.timeout")).toEqual({ ms: 10_000, setBy: "spark.my.timeout" });
  });

  test("from a list, whose first key that is set counts", () => {
    const conf = new RpcConf({ "spark.second.timeout": "20s", "spark.third.timeout": "30s" });
    const keys = ["spark.first.timeout", "spark.second.timeout", "spark.third.timeout"] as const;
    expect(conf.getTimeout(keys, 1)).toEqual({ ms: 20_000, setBy: "spark.second.timeout" });
  });

  test("from a default, which bears the first key's name", () => {
    const keys = ["spark.first.timeout", "spark.second.timeout"] as const;
    expect(new RpcConf().getTimeout(keys, 1_000)).toEqual({ ms: 1_000, setBy: "spark.first.timeout" });
    expect(new RpcConf().getTimeout("rpc.askTimeout", 1_000)).toEqual({ ms: 1_000, setBy: "rpc.askTimeout" });
  });

  test("a key without value and default is an error that names it", () => {
    expect(refusal(() => new RpcConf().getTimeout("spark.my.timeout"))).toBe("conf has no value for spark.my.timeout");
    expect(refusal(() => new RpcConf().getTimeout([]))).toBe("getTimeout takes at least one key");
    expect(refusal(() => new RpcConf().getCount("rpc.dispatcher.numThreads"))).toContain("no fixed default");
  });
});

describe("refused, with key, value and range", () => {
  test.each<[key: string, value: unknown, says: string]>([
    ["rpc.nonsense", 1, "conf has no key rpc.nonsense; it has: rpc.dispatcher.numThreads"],
    ["constructor", 1, "conf has no key constructor"],
    ["rcp.io.mode", "NIO", "conf has no key rcp.io.mode"],
    ["rpc.io.nonsense", 1, "conf has no key rpc.io.nonsense"],
    ["rpc.dispatcher.numThreads", 0, "must be an integer from 1 to 255: rpc.dispatcher.numThreads=0"],
    ["rpc.dispatcher.numThreads", "2s", "must be an integer from 1 to 255: rpc.dispatcher.numThreads=2s"],
    ["spark.rpc.netty.dispatcher.numThreads", 256, "from 1 to 255: spark.rpc.netty.dispatcher.numThreads=256"],
    [
      "rpc.askTimeout",
      "0",
      "rpc.askTimeout must be a time from 1us to 1073741823ms, or Infinity (without a suffix it is in s",
    ],
    ["rpc.askTimeout", 0.5, "no fractions): rpc.askTimeout=0.5"],
    ["rpc.askTimeout", "13d", "rpc.askTimeout=13d"],
    ["rpc.startTimeout", "Infinity", "rpc.startTimeout must be a time from 1us to 1073741823ms (without"],
    ["rpc.inbox.bytes", "5000", "rpc.inbox.bytes must be a power of two from 4k to 16m (without a suffix it is in b"],
    ["rpc.inbox.bytes", "32m", "rpc.inbox.bytes=32m"],
    ["spark.rpc.message.maxSize", "2047", "from 1k to 128m (without a suffix it is in m"],
    ["rpc.io.preferDirectBufs", "yes", "must be true or false: rpc.io.preferDirectBufs=yes"],
    ["rpc.askTimeout", null, "a conf value is a string, a number or a boolean: rpc.askTimeout is null"],
    ["spark.x", {}, "spark.x is object"],
  ])("%s = %j", (key, value, says) => {
    expect(refusal(() => new RpcConf().set(key as "rpc.askTimeout", value as string))).toContain(says);
    expect(refusal(() => new RpcConf({ [key]: value } as object))).toContain(says);
  });

  test.each(["5", null])("%j instead of an object", (conf) => {
    expect(refusal(() => new RpcConf(conf as never))).toBe(`conf is an object of keys: conf=${conf}`);
  });

  test.each([
    ["spark.authenticate", "true"],
    ["spark.authenticate.secret", "hunter2"],
    ["spark.authenticate.enableSaslEncryption", "true"],
    ["spark.network.crypto.enabled", "true"],
    ["spark.network.crypto.cipher", "AES/CTR/NoPadding"],
    ["spark.network.sasl.serverAlwaysEncrypt", "true"],
    ["spark.network.auth.rpcTimeout", "30s"],
    ["spark.ssl.enabled", "true"],
    ["spark.io.encryption.enabled", "true"],
    ["spark.ssl.rpc.keyStorePassword", "false"],
  ])("%s=%s, which asks for protection, without showing the value", (key, value) => {
    const text = refusal(() => new RpcConf().set(key as "spark.x", value));
    expect(text).toBe(
      `${key} asks for protection that is not given by this key here; use \`secret\` or \`tls\` instead of it`,
    );
  });

  test("but a protection that is switched off is not asked for", () => {
    const conf = new RpcConf({ "spark.authenticate": false, "spark.network.crypto.enabled": "False" });
    expect(conf.ignored).toEqual(["spark.authenticate", "spark.network.crypto.enabled"]);
  });
});

test("flags and texts are read with fallback and default, and as what they are only", () => {
  const conf = new RpcConf({ "spark.rpc.io.enableTcpKeepAlive": "True", "io.mode.default": "EPOLL" });
  expect(conf.getFlag("rpc.io.enableTcpKeepAlive")).toBe(true);
  expect(conf.getFlag("shuffle.io.enableTcpKeepAlive")).toBe(false);
  expect(conf.getFlag("spark.some.flag", true)).toBe(true);
  expect(conf.getText("rpc.io.mode")).toBe("EPOLL");
  expect(conf.getText("spark.some.text", "default")).toBe("default");
  conf.set("spark.some.flag", "yes").set("spark.some.text", "text");
  expect(conf.getText("spark.some.text")).toBe("text");
  expect(refusal(() => conf.getFlag("spark.some.flag"))).toBe("spark.some.flag is no flag: spark.some.flag=yes");
  expect(refusal(() => conf.getFlag("rpc.io.mode"))).toBe("rpc.io.mode is a text, not a flag");
});

test("Spark's other keys are kept and listed, and known ones without effect say why", () => {
  const conf = new RpcConf({
    "spark.app.name": "x",
    "spark.executor.memory": "4g",
    "spark.rpc.askTimeout": "1s",
    "rpc.io.mode": "EPOLL",
    "spark.rpc.io.serverThreads": 4,
    "network.timeoutInterval": 3,
  });
  expect(conf.ignored).toEqual(["spark.app.name", "spark.executor.memory"]);
  expect(conf.withoutEffect).toEqual([
    { key: "rpc.io.mode", reason: "libuv chooses: epoll, kqueue or IOCP." },
    { key: "spark.rpc.io.serverThreads", reason: "All I/O is on the main thread." },
    { key: "network.timeoutInterval", reason: "it takes effect with the network" },
  ]);
});

describe("fromEnv", () => {
  test("reads names without regard to case and separators, aliases too", () => {
    const variables = {
      RINGPOST_RPC_ASK_TIMEOUT: "5s",
      RINGPOST_RPC_DISPATCHER_NUMTHREADS: "3",
      RINGPOST_SPARK_NETWORK_TIMEOUT: "7",
      RINGPOST_RPC_IO_MODE: "NIO",
    };
    const conf = withVariables(variables, () => RpcConf.fromEnv());
    expect(conf.getTimeMs("rpc.askTimeout")).toBe(5_000);
    expect(conf.getCount("rpc.dispatcher.numThreads")).toBe(3);
    expect(conf.getTimeMs("network.timeout")).toBe(7_000);
    expect(conf.get("rpc.io.mode")).toBe("NIO");
    const other = withVariables({ APP_rpc_asktimeout: "6s" }, () => RpcConf.fromEnv("APP_"));
    expect(other.getTimeMs("rpc.askTimeout")).toBe(6_000);
  });

  test("names the variable that is wrong", () => {
    const text = (variables: Record<string, string>) =>
      withVariables(variables, () => refusal(() => RpcConf.fromEnv()));
    expect(text({ RINGPOST_RPC_NONSENSE: "1" })).toContain("the environment variable RINGPOST_RPC_NONSENSE is no key");
    expect(text({ RINGPOST_RPC_ASKTIMEOUT: "soon" })).toMatch(
      /^the environment variable RINGPOST_RPC_ASKTIMEOUT: rpc.askTim/,
    );
    expect(text({ RINGPOST_RPC_ASKTIMEOUT: "1", RINGPOST_RPC_ASK_TIMEOUT: "2" })).toContain(
      "sets rpc.askTimeout a second time",
    );
  });
});

describe("fromFile", () => {
  async function read(text: string): Promise<RpcConf> {
    const folder = mkdtempSync(join(tmpdir(), "ringpost-conf-"));
    try {
      writeFileSync(join(folder, "x.conf"), text);
      return await RpcConf.fromFile(join(folder, "x.conf"));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  test("reads what spark-defaults.conf looks like", async () => {
    const conf = await read(
      [
        "\uFEFF# a comment",
        "! another",
        "",
        "spark.rpc.askTimeout     30s",
        "rpc.inbox.bytes=64k",
        "  rpc.loop.bytes : 1m  \r",
        "spark.driver.extraJavaOptions  -Dkey=value -Dnumbers='one two'",
        "spark.empty",
        "rpc.inbox.bytes 128k",
      ].join("\n"),
    );
    expect(conf.getTimeMs("rpc.askTimeout")).toBe(30_000);
    expect(conf.getSizeBytes("rpc.inbox.bytes")).toBe(128 * 1024);
    expect(conf.getSizeBytes("rpc.loop.bytes")).toBe(1024 ** 2);
    expect(conf.get("spark.driver.extraJavaOptions")).toBe("-Dkey=value -Dnumbers='one two'");
    expect(conf.get("spark.empty")).toBe("");
  });

  test("names file and line of what is wrong", async () => {
    await expect(read("# first\nrpc.nonsense 1\n")).rejects.toMatchObject({
      code: "ERR_RPC_INVALID_ARGUMENT",
      message: expect.stringMatching(/x\.conf:2: conf has no key rpc\.nonsense/),
    });
    await expect(read("= 1")).rejects.toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    await expect(RpcConf.fromFile(join(tmpdir(), "ringpost-no-such.conf"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
