/**
 * Goal: Spark's transport and ours are one: either side of either makes no difference.
 * Method: one suite for Spark's client with our server, our client with Spark's server, and, as the judge of the suite itself,
 * Spark with Spark. One JVM for each side, over real sockets.
 */
import { afterAll, beforeAll, describe } from "vitest";
import { TransportContext, type TransportServer } from "../../dist/src/network/index.js";
import { ClientAsker } from "../fixtures/spark-asker.js";
import { PeerHandler } from "../fixtures/spark-peer.js";
import { Jvm } from "./jvm.js";
import { JvmAsker } from "./jvm-asker.js";
import { SPARK_LINES } from "./spark-lines.js";
import { transportContract } from "./transport.contract.js";

describe.each(SPARK_LINES)("Spark %s", (line) => {
  const handler = new PeerHandler();
  const context = new TransportContext({ rpcHandler: handler });
  const factory = context.createClientFactory();
  let server: TransportServer;
  let jvmServer: Jvm;
  let jvmClient: Jvm;
  let jvmPort = 0;

  beforeAll(async () => {
    server = await context.createServer();
    [{ jvm: jvmServer, port: jvmPort }, { jvm: jvmClient }] = await Promise.all([
      Jvm.started(line, "TransportServerMain"),
      Jvm.started(line, "TransportClientMain"),
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
