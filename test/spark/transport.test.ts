/**
 * Goal: Spark's transport and ours are one: either side of either makes no difference. TLS, which only Spark 4 has, changes
 * nothing.
 * Method: one suite for Spark's client with our server, our client with Spark's server, and, as the judge of the suite itself,
 * Spark with Spark. One JVM for each side, over real sockets.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { monotonicMs, systemClock } from "../../dist/src/common/clock.js";
import { createSecurity, TransportContext, type TransportServer } from "../../dist/src/network/index.js";
import { authority, leaf } from "../fixtures/certificates.js";
import { ClientAsker } from "../fixtures/spark-asker.js";
import { PeerHandler } from "../fixtures/spark-peer.js";
import { Jvm } from "./jvm.js";
import { JvmAsker } from "./jvm-asker.js";
import type { SparkLine } from "./spark-lines.js";
import { transportContract } from "./transport.contract.js";

const PAIRS: readonly (readonly [line: SparkLine, wire: "plain" | "TLS"])[] = [
  ["4.0", "plain"],
  ["3.5", "plain"],
  ["4.0", "TLS"],
];

const folder = mkdtempSync(join(tmpdir(), "ringpost-stores-"));
afterAll(() => rmSync(folder, { recursive: true }));

const root = authority("spark peers");
const node = { ...leaf(root, "node", { names: ["URI:spiffe://app/node", "IP:127.0.0.1"] }), ca: root.cert };

describe.each(PAIRS)("Spark %s, %s", (line, wire) => {
  const isSecure = wire === "TLS";
  const handler = new PeerHandler();
  const security = isSecure ? { security: createSecurity({ tls: node }, systemClock(monotonicMs())) } : {};
  const context = new TransportContext({ rpcHandler: handler, ...security });
  const factory = context.createClientFactory();
  let server: TransportServer;
  let jvmServer: Jvm;
  let jvmClient: Jvm;
  let jvmPort = 0;

  beforeAll(async () => {
    // To Spark a certificate proves no application: with the same, the answers are the same.
    server = await context.createServer({ clientIdOf: () => null });
    const options = isSecure ? { tls: { folder, ...node } } : {};
    [{ jvm: jvmServer, port: jvmPort }, { jvm: jvmClient }] = await Promise.all([
      Jvm.started(line, "TransportServerMain", options),
      Jvm.started(line, "TransportClientMain", options),
    ]);
  });
  afterAll(async () => {
    factory.close();
    await Promise.all([server?.close(), jvmServer?.kill(), jvmClient?.kill()]);
  });

  const ours = { events: async () => handler.takeEvents(), connections: async () => server.connectionCount };
  const theirs = {
    events: () => jvmServer.ask<object[]>("events"),
    connections: () => jvmServer.ask<number>("connections"),
  };

  describe("its client with our server", () => {
    transportContract({ ...ours, connect: () => JvmAsker.connect(jvmClient, server.port) });
  });

  describe("our client with its server", () => {
    transportContract({
      ...theirs,
      connect: async () => new ClientAsker(await factory.createUnmanagedClient("127.0.0.1", jvmPort)),
    });
  });

  describe("its client with its server", () => {
    transportContract({ ...theirs, connect: () => JvmAsker.connect(jvmClient, jvmPort) });
  });
});
