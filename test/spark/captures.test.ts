/**
 * Goal: what test/unit/network/spark-captures.test.ts replays without a JVM is what Spark still says.
 * Method: the same exchanges through a relay, for each pair of client and server. What the askers are told has to be what was
 * recorded; RINGPOST_RECORD=1 writes the files instead.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { TransportContext } from "../../dist/src/network/index.js";
import { type Asker, ClientAsker } from "../fixtures/spark-asker.js";
import { type Capture, captureFile, readCaptures, written } from "../fixtures/spark-captures.js";
import { PeerHandler } from "../fixtures/spark-peer.js";
import { SCENARIOS } from "../fixtures/spark-scenarios.js";
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
    if (IS_RECORDING) {
      mkdirSync(dirname(captureFile(name)), { recursive: true });
      writeFileSync(captureFile(name), written(captures));
    }
    const results = (all: readonly Capture[]): unknown[] =>
      all.map(({ scenario, result }) => [scenario, JSON.parse(result)]);
    expect(results(captures)).toEqual(results(readCaptures(name)));
  });
});
