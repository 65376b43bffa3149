/**
 * Goal: what a connection proved in its handshake decides which streams it may read, as chunks and by name.
 * Method: real servers with a secret or certificates, streams registered for one application, clients of another.
 */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { monotonicMs, systemClock } from "../../../dist/src/common/clock.js";
import {
  createSecurity,
  genStreamChunkId,
  NioManagedBuffer,
  OneForOneStreamManager,
  type SecurityOptions,
  type TransportServerOptions,
} from "../../../dist/src/network/index.js";
import { authority, leaf } from "../../fixtures/certificates.js";
import { failureOf, fetchChunk, ScriptedHandler, stream, Transports, until } from "../../fixtures/transport.js";

const clock = systemClock(monotonicMs());
const secret = randomBytes(32);
const ours = authority("ours");
const certificate = (name: string): SecurityOptions => ({
  tls: { ...leaf(ours, name, { names: [`URI:spiffe://${name}/node:7`, "IP:127.0.0.1"] }), ca: ours.cert },
});

interface Form {
  readonly own: SecurityOptions;
  readonly stranger: SecurityOptions;
  readonly ownId: string;
}
const FORMS: [name: string, form: Form][] = [
  ["a secret", { own: { secret, appId: "app:1" }, stranger: { secret, appId: "app:2" }, ownId: "app:1" }],
  // A name in a certificate is an application as it is, with whatever stands behind a colon in it.
  ["certificates", { own: certificate("one"), stranger: certificate("two"), ownId: "spiffe://one/node:7" }],
];

describe.each(FORMS)("with %s", (_, { own, stranger, ownId }) => {
  async function serving(transports: Transports, options: TransportServerOptions = {}) {
    const streams = new OneForOneStreamManager(() => 0);
    const handler = new ScriptedHandler({ streams });
    const context = transports.context({ rpcHandler: handler, security: createSecurity(own, clock) });
    const server = await transports.server(context, options);
    const buffers = ["0", "1"].map((text) => new NioManagedBuffer(Buffer.from(text)));
    const streamId = streams.registerStream({ appId: ownId, buffers });
    const client = (security: SecurityOptions) =>
      transports.client(server, transports.context({ security: createSecurity(security, clock) }));
    return { streams, handler, streamId, client };
  }

  test("a client reads the streams of its application", async () => {
    await using transports = new Transports();
    const { streams, handler, streamId, client } = await serving(transports);
    const mine = await client(own);
    expect((await fetchChunk(mine, streamId, 0)).toString()).toBe("0");
    expect((await stream(mine, genStreamChunkId(streamId, 1))).toString()).toBe("1");
    expect(handler.clients.map(({ clientId }) => clientId)).toEqual([ownId]);
    expect(streams.streamCount).toBe(0);
  });

  test("a client of another application reads none, neither a chunk nor by name", async () => {
    await using transports = new Transports();
    const { streams, streamId, client } = await serving(transports);
    const other = await client(stranger);
    const name = genStreamChunkId(streamId, 0);
    expect((await failureOf(fetchChunk(other, streamId, 0))).message).toContain("java.lang.SecurityException");
    const refused = await failureOf(stream(other, name));
    expect(refused.message).toContain("java.lang.SecurityException");
    expect(refused.message).toContain(`not authorized to read stream ${streamId}`);
    // Spark's text for an id that nobody has, and what stands for no id at all.
    expect((await failureOf(stream(other, "4711_0"))).message).toBe(
      "java.lang.IllegalArgumentException: Unknown stream ID: streamId=4711",
    );
    expect((await failureOf(stream(other, "/jars/a.jar"))).message).toContain("java.lang.IllegalArgumentException");
    // Nothing was taken, and the connection serves on.
    expect(streams.getChunk(streamId, 0)?.size).toBe(1);
    expect(other.isActive).toBe(true);
  });

  test("the owner of a server decides what an identity stands for", async () => {
    await using transports = new Transports();
    const seen: string[] = [];
    const { handler, streamId, client } = await serving(transports, {
      clientIdOf(identity) {
        seen.push(identity);
        return null;
      },
    });
    const other = await client(stranger);
    expect((await fetchChunk(other, streamId, 0)).toString()).toBe("0");
    expect(handler.clients.map(({ clientId }) => clientId)).toEqual([null]);
    expect(seen).toEqual([handler.clients[0]!.identity]);
  });

  test("a client whose identity the owner cannot place is turned away", async () => {
    await using transports = new Transports();
    const { handler, client } = await serving(transports, {
      clientIdOf() {
        throw new Error("nobody of ours");
      },
    });
    // With certificates a client may hear of it while it still waits for the server's verdict.
    const other = await client(stranger).catch(() => null);
    await until(() => other?.isActive !== true);
    expect(handler.clients).toEqual([]);
  });
});

test("where nobody proves anything, everything registered may be read", async () => {
  await using transports = new Transports();
  const streams = new OneForOneStreamManager(() => 0);
  const handler = new ScriptedHandler({ streams });
  const clientIdOf = (): string => "somebody";
  const server = await transports.server(transports.context({ rpcHandler: handler }), { clientIdOf });
  const streamId = streams.registerStream({ appId: "app", buffers: [new NioManagedBuffer(Buffer.from("0"))] });
  expect((await stream(await transports.client(server), genStreamChunkId(streamId, 0))).toString()).toBe("0");
  expect(handler.clients.map(({ clientId }) => clientId)).toEqual([null]);
});
