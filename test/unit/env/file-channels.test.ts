/**
 * Goal: a connection over which a file has come is used for the next one, and closed once nobody needs it.
 * Method: a real server and real sockets; time is moved by hand.
 */
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { FileChannels } from "../../../dist/src/env/file-channels.js";
import {
  type ManagedBuffer,
  MessageType,
  NioManagedBuffer,
  StreamManager,
  TRANSPORT_DEFAULTS,
} from "../../../dist/src/network/index.js";
import { failureOf } from "../../contract/ask-send.contract.js";
import { RawPeer, ScriptedHandler, Transports } from "../../fixtures/transport.js";

const settings = { ...TRANSPORT_DEFAULTS, connectionTimeoutMs: 60_000, numConnectionsPerPeer: 2 };

/** A file of each name but "none", that name its content. */
class Names extends StreamManager {
  getChunk(): never {
    throw new Error("no chunks");
  }

  override openStream(streamId: string): ManagedBuffer | null {
    return streamId === "/none" ? null : new NioManagedBuffer(Buffer.from(streamId.slice(1)));
  }
}

function channelsOf(transports: Transports): FileChannels {
  const factory = transports.factory(transports.context({ settings }));
  return new FileChannels({ clock: transports.clock, factory, settings });
}

test("files that come one after the other come over one connection, also after one that was refused", async () => {
  await using transports = new Transports();
  const server = await transports.serve(new ScriptedHandler({ streams: new Names() }));
  const channels = channelsOf(transports);
  const handler = `ringpost://127.0.0.1:${server.port}`;
  for (const name of ["a", "b"]) expect(await text(channels.open(`${handler}/${name}`))).toBe(name);
  expect(await failureOf(text(channels.open(`${handler}/none`)))).toMatchObject({ code: "ERR_RPC_STREAM" });
  expect(await text(channels.open(`${handler}/c`))).toBe("c");
  expect([server.connectionCount, channels.openCount]).toEqual([1, 0]);
});

test("a connection that was idle for the connection timeout is closed, and the next file gets another", async () => {
  await using transports = new Transports();
  const server = await transports.serve(new ScriptedHandler({ streams: new Names() }));
  const channels = channelsOf(transports);
  const uri = `ringpost://127.0.0.1:${server.port}/a`;
  expect(await text(channels.open(uri))).toBe("a");
  transports.clock.advance(settings.connectionTimeoutMs - 1);
  expect(server.connectionCount).toBe(1);
  // Used again: its time begins anew.
  expect(await text(channels.open(uri))).toBe("a");
  transports.clock.advance(settings.connectionTimeoutMs - 1);
  expect(server.connectionCount).toBe(1);
  transports.clock.advance(1);
  await expect.poll(() => server.connectionCount).toBe(0);
  expect(await text(channels.open(uri))).toBe("a");
  expect(server.connectionCount).toBe(1);
});

test("a connection that ends just as it is used again is replaced; one that was never used is not", async () => {
  await using transports = new Transports();
  const { createServer } = await import("node:net");
  const asked: string[] = [];
  let isPatient = true;
  const server = createServer((socket) => {
    const peer = new RawPeer(socket);
    void (async () => {
      for (let count = 1; ; count++) {
        const request = (await peer.received(count))[count - 1];
        if (request?.type !== MessageType.STREAM_REQUEST) return;
        const { streamId } = request;
        asked.push(streamId);
        if (!isPatient) socket.destroy();
        const body = new NioManagedBuffer(Buffer.from(streamId));
        if (isPatient) await peer.send({ type: MessageType.STREAM_RESPONSE, streamId, byteCount: body.size, body });
        if (count === 2) isPatient = false;
      }
    })();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  try {
    const channels = channelsOf(transports);
    const uri = `ringpost://127.0.0.1:${(server.address() as { port: number }).port}`;
    expect([await text(channels.open(`${uri}/1`)), await text(channels.open(`${uri}/2`))]).toEqual(["/1", "/2"]);
    expect(await failureOf(text(channels.open(`${uri}/3`)))).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(asked).toEqual(["/1", "/2", "/3", "/3"]);
    isPatient = true;
    expect(await text(channels.open(`${uri}/4`))).toBe("/4");
  } finally {
    server.close();
  }
});
