/**
 * Goal: what the tests spark-captures.test.ts of test/unit/network and test/unit/blocks replay without a JVM is what Spark still says.
 * Method: the same exchanges through a relay, for each pair of client and server. What the askers are told has to be what was
 * recorded; RINGPOST_RECORD=1 writes the files instead.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { TransportContext } from "../../dist/src/network/index.js";
import type { ShuffleData } from "../fixtures/shuffle-data.js";
import { type Asker, ClientAsker } from "../fixtures/spark-asker.js";
import { capturedBlocks } from "../fixtures/spark-captured-blocks.js";
import { type Capture, captureFile, readCaptures, written } from "../fixtures/spark-captures.js";
import { PeerHandler } from "../fixtures/spark-peer.js";
import { SCENARIOS } from "../fixtures/spark-scenarios.js";
import { JvmBlockAsker } from "./block-asker.js";
import { Jvm } from "./jvm.js";
import { JvmAsker } from "./jvm-asker.js";
import { Relay } from "./relay.js";
import { SPARK_LINES } from "./spark-lines.js";

const IS_RECORDING = process.env.RINGPOST_RECORD === "1";

async function exchanges(serverPort: number, connect: (port: number) => Promise<Asker>): Promise<Capture[]> {
  const captures: Capture[] = [];
  for (const [scenario, run] of Object.entries(SCENARIOS)) {
    await using relay = await Relay.to(serverPort);
    const asker = await connect(relay.port);
    const result = JSON.stringify(await run(asker));
    captures.push({ scenario, pieces: relay.passed, result });
    await asker.close();
  }
  return captures;
}

describe.each(SPARK_LINES)("Spark %s", (line) => {
  test.each([
    ["spark", "ours"],
    ["ours", "spark"],
    ["spark", "spark"],
  ])("client %s, server %s: the exchanges end as they did when they were recorded", async (client, server) => {
    const context = new TransportContext({ rpcHandler: new PeerHandler() });
    const factory = context.createClientFactory();
    const ourServer = await context.createServer();
    const [theirServer, theirClient] = await Promise.all([
      Jvm.started(line, "TransportServerMain"),
      Jvm.started(line, "TransportClientMain"),
    ]);
    await using _ = theirServer.jvm;
    await using jvmClient = theirClient.jvm;
    const captures = await exchanges(server === "ours" ? ourServer.port : theirServer.port, async (port) =>
      client === "spark"
        ? JvmAsker.connect(jvmClient, port)
        : new ClientAsker(await factory.createUnmanagedClient("127.0.0.1", port)),
    );
    factory.close();
    await ourServer.close();
    const name = `spark-${line}-client-${client}-server-${server}`;
    expectAsRecorded(name, captures);
  });
});

/** Or records them. */
function expectAsRecorded(name: string, captures: readonly Capture[]): void {
  if (IS_RECORDING) {
    mkdirSync(dirname(captureFile(name)), { recursive: true });
    writeFileSync(captureFile(name), written(captures));
  }
  const results = (all: readonly Capture[]): unknown[] =>
    all.map(({ scenario, result }) => [scenario, JSON.parse(result)]);
  expect(results(captures)).toEqual(results(readCaptures(name)));
}

describe.each(SPARK_LINES)("Spark %s, its shuffle client with its service", (line) => {
  test.each(["FetchShuffleBlocks", "OpenBlocks"])(
    "%s: the exchange ends as it did when it was recorded",
    async (by) => {
      const conf = { "spark.shuffle.useOldFetchProtocol": String(by === "OpenBlocks") };
      const [service, client] = await Promise.all([
        Jvm.started(line, "BlockServerMain"),
        Jvm.started(line, "BlockClientMain", { conf }, "app"),
      ]);
      await using _ = service.jvm;
      await using jvmClient = client.jvm;
      await using data = await capturedBlocks();
      await using relay = await Relay.to(service.port);
      const told = await blockExchange(new JvmBlockAsker(jvmClient), relay.port, data);
      // Where the executor's files are, and where a service's ids begin, is chance.
      const text = JSON.stringify(told).replaceAll(/\bstreamId=\d+/g, "streamId=<stream>");
      const result = text.replaceAll(data.localDirs[0] as string, "<dir>");
      expectAsRecorded(`blocks/spark-${line}-${by}`, [{ scenario: "blocks", pieces: relay.passed, result }]);
    },
  );
});

/** Each message of an executor's client to a shuffle service, and how each is answered. */
async function blockExchange(asker: JvmBlockAsker, port: number, data: ShuffleData): Promise<unknown> {
  await asker.register(port, "executor", data.localDirs, data.subDirsPerLocalDir);
  const sum = (reduce: number, checksum: number): Promise<string> =>
    asker.diagnose(port, {
      executor: "executor",
      shuffle: 0,
      map: 0,
      reduce,
      checksum: `${checksum}`,
      algorithm: "CRC32",
    });
  return [
    await asker.fetch(port, "executor", ["shuffle_0_0_0", "shuffle_0_0_1", "shuffle_0_0_2", "shuffle_0_7_0"]),
    await asker.fetch(port, "executor", ["rdd_1_2"]),
    await asker.fetch(port, "nobody", ["shuffle_0_0_0"]),
    await asker.localDirs(port, ["executor"]),
    await sum(0, 42),
    await sum(1, 0),
    await asker.remove(port, "executor", ["rdd_1_2", "rdd_9_9"]),
    await asker.fetch(port, "executor", ["rdd_1_2"]),
  ];
}
