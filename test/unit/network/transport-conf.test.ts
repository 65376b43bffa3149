/** Goal: a transport is set by its module's keys as Spark's is, and what asks for protection in Spark's way is refused by name. */
import { RpcConf, type RpcConfValues } from "ringpost";
import { describe, expect, test } from "vitest";
import { FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES_MAX } from "../../../dist/src/common/limits.js";
import { TransportConf, type TransportModule } from "../../../dist/src/network/transport-conf.js";

const MIB = 1024 ** 2;

function refusal(key: string, value: string): string {
  try {
    new TransportConf("rpc", { [key]: value } as RpcConfValues);
  } catch (error) {
    expect(error).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    return (error as Error).message;
  }
  throw new Error(`${key} was taken`);
}

describe("TransportConfSuite", () => {
  test.each([
    ["testKeyStorePath", "keyStore", "/path/to/keystore"],
    ["testPrivateKeyPath", "privateKey", "/path/to/key"],
    ["testCertChainPath", "certChain", "/path/to/chain"],
    ["testTrustStorePath", "trustStore", "/path/to/trust"],
    ["testTrustStoreReloadingEnabled", "trustStoreReloadingEnabled", "true"],
    ["testOpenSslEnabled", "openSslEnabled", "true"],
    ["testSslRpcEnabled", "enabled", "true"],
    ["testSslKeyStorePassword", "keyStorePassword", "a password"],
    ["testSslKeyPassword", "keyPassword", "a password"],
    ["testSslTrustStorePassword", "trustStorePassword", "a password"],
    ["testSsltrustStoreReloadIntervalMs", "trustStoreReloadIntervalMs", "20000"],
  ])("[net TransportConfSuite.%s] spark.ssl.rpc.%s is refused by name, and its value not shown", (_, key, value) => {
    const text = refusal(`spark.ssl.rpc.${key}`, value);
    expect(text).toContain(`spark.ssl.rpc.${key} asks for protection that is not given by this key here`);
    if (value !== "true") expect(text).not.toContain(value);
  });

  test("[net TransportConfSuite.testSslRpcEnabled] what is switched off asks for nothing", () => {
    expect(() => new TransportConf("rpc", { "spark.ssl.rpc.enabled": false })).not.toThrow();
  });

  test("[net TransportConfSuite.testDefaultIOMode] the module's io.mode counts before spark.io.mode.default, that before NIO", () => {
    const mode = (values: RpcConfValues) => new RpcConf(values).getText("shuffle.io.mode");
    expect(mode({})).toBe("NIO");
    expect(mode({ "spark.io.mode.default": "EPOLL" })).toBe("EPOLL");
    expect(mode({ "spark.io.mode.default": "EPOLL", "spark.shuffle.io.mode": "KQUEUE" })).toBe("KQUEUE");
  });
});

describe("a transport", () => {
  test("has Spark's defaults, and a connect that gives up sooner", () => {
    expect(new TransportConf("shuffle")).toEqual({
      module: "shuffle",
      connectionTimeoutMs: 120_000,
      connectionCreationTimeoutMs: 5_000,
      numConnectionsPerPeer: 1,
      backLog: -1,
      enableTcpKeepAlive: false,
      retryWaitMs: 5_000,
      maxRetries: 3,
      maxChunksBeingTransferred: Number.MAX_SAFE_INTEGER,
      useOldFetchProtocol: false,
      maxRemoteBlockSizeFetchToMemBytes: 200 * 1_024 * 1_024,
      portMaxRetries: 16,
      frameBytesMax: FRAME_BYTES_MAX,
      writeTimeoutMs: 120_000,
    });
  });

  test("that moves bulk lets a peer take nothing for as long as it may be quiet; messages have a limit of their own", () => {
    expect(new TransportConf("files", { "files.io.connectionTimeout": "7s" }).writeTimeoutMs).toBe(7_000);
    expect(new TransportConf("shuffle", { "shuffle.io.connectionTimeout": 0 }).writeTimeoutMs).toBe(Infinity);
    expect(new TransportConf("rpc").writeTimeoutMs).toBe(30_000);
    expect(new TransportConf("rpc", { "rpc.write.timeout": "9s" }).writeTimeoutMs).toBe(9_000);
  });

  test("is set by the keys of its own module, in either spelling", () => {
    const conf = new TransportConf("shuffle", {
      "spark.shuffle.io.connectionTimeout": "30",
      "shuffle.io.connectionCreationTimeout": "700ms",
      "spark.shuffle.io.numConnectionsPerPeer": 3,
      "spark.shuffle.io.backLog": 128,
      "spark.shuffle.io.enableTcpKeepAlive": true,
      "spark.shuffle.io.retryWait": "1s",
      "spark.shuffle.io.maxRetries": 0,
      "spark.shuffle.maxChunksBeingTransferred": 4,
      "spark.shuffle.useOldFetchProtocol": true,
      "spark.maxRemoteBlockSizeFetchToMem": "1m",
      "spark.port.maxRetries": 2,
      "spark.rpc.io.backLog": 1,
    });
    expect(conf).toMatchObject({ connectionTimeoutMs: 30_000, connectionCreationTimeoutMs: 700 });
    expect(conf).toMatchObject({ numConnectionsPerPeer: 3, backLog: 128, enableTcpKeepAlive: true });
    expect(conf).toMatchObject({ retryWaitMs: 1_000, maxRetries: 0, maxChunksBeingTransferred: 4, portMaxRetries: 2 });
    expect(conf).toMatchObject({ useOldFetchProtocol: true, maxRemoteBlockSizeFetchToMemBytes: 1_048_576 });
  });

  test("takes its times from each other and from network.timeout, and 0 or less means none, as in Spark", () => {
    const times = (values: RpcConfValues) => {
      const { connectionTimeoutMs, connectionCreationTimeoutMs } = new TransportConf("rpc", values);
      return [connectionTimeoutMs, connectionCreationTimeoutMs];
    };
    expect(times({ "spark.network.timeout": "40s" })).toEqual([40_000, 40_000]);
    expect(times({ "spark.rpc.io.connectionTimeout": "30s" })).toEqual([30_000, 30_000]);
    expect(times({ "spark.rpc.io.connectionTimeout": -1 })).toEqual([
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
    expect(times({ "spark.rpc.io.connectionCreationTimeout": 0 })).toEqual([120_000, Number.POSITIVE_INFINITY]);
  });

  test("of messages has one connection to a peer, and reads 16 MiB unless it is told to read more", () => {
    const { numConnectionsPerPeer, frameBytesMax } = new TransportConf("rpc", { "rpc.io.numConnectionsPerPeer": 4 });
    expect([numConnectionsPerPeer, frameBytesMax]).toEqual([1, 16 * MIB + FRAME_OVERHEAD_BYTES_MAX]);
    for (const maxSize of [1, 64]) {
      const conf = new TransportConf("rpc", { "spark.rpc.message.maxSize": maxSize });
      expect(conf.frameBytesMax).toBe(maxSize * MIB + FRAME_OVERHEAD_BYTES_MAX);
    }
  });

  test("of no module that there is is refused", () => {
    expect(() => new TransportConf("shuffel" as TransportModule)).toThrow(
      "a transport is that of rpc, shuffle, files, network: module=shuffel",
    );
  });
});
