/**
 * Goal: a stream as a Readable brings every byte, holds up its peer while it is not read, and can be given up.
 * Method: real sockets; streams whose server counts what it has read of them, so that what was not sent is seen.
 */
import { createHash, randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { STREAM_DRAIN_BYTES_MAX } from "../../../dist/src/common/limits.js";
import {
  type ManagedBuffer,
  NioManagedBuffer,
  openStreamReadable,
  StreamManager,
} from "../../../dist/src/network/index.js";
import { ask, failureOf, ScriptedHandler, stream, Transports, until } from "../../fixtures/transport.js";
import { Zeros } from "../../fixtures/zeros.js";

const FILE = randomBytes(5_000_000);
const FAR_MORE = 64 * STREAM_DRAIN_BYTES_MAX;

class Streams extends StreamManager {
  readonly asked: string[] = [];
  readonly #streams: Record<string, ManagedBuffer>;

  constructor(streams: Record<string, ManagedBuffer>) {
    super();
    this.#streams = streams;
  }

  getChunk(): null {
    return null;
  }

  override openStream(streamId: string): ManagedBuffer | null {
    this.asked.push(streamId);
    return this.#streams[streamId] ?? null;
  }
}

async function serving(transports: Transports, buffers: Record<string, ManagedBuffer> = {}) {
  const streams = new Streams({
    file: new NioManagedBuffer(FILE),
    empty: new NioManagedBuffer(Buffer.alloc(0)),
    ...buffers,
  });
  const handler = new ScriptedHandler({
    streams,
    receive: (_client, message, reply) => {
      if (message !== "nothing") reply.onSuccess(Buffer.from(message));
    },
  });
  const server = await transports.serve(handler);
  return { streams, handler, client: await transports.client(server) };
}

async function bytesOf(readable: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of readable) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("openStreamReadable", () => {
  test("brings a stream's bytes in their order, and its end; and the next one after it", async () => {
    await using transports = new Transports();
    const { client } = await serving(transports);
    const readable = openStreamReadable(client, "file");
    expect((await bytesOf(readable)).equals(FILE)).toBe(true);
    expect(await bytesOf(openStreamReadable(client, "empty"))).toHaveLength(0);
    const kept = createHash("sha256");
    const slow = new Writable({
      highWaterMark: 1,
      write(piece: Buffer, _encoding, done) {
        kept.update(piece);
        setImmediate(done);
      },
    });
    await pipeline(openStreamReadable(client, "file", { highWaterMark: 1_000 }), slow);
    expect(kept.digest("hex")).toBe(createHash("sha256").update(FILE).digest("hex"));
    expect(client.outstandingCount).toBe(0);
  });

  test("asks when it is read, so that one that nobody reads holds up nobody", async () => {
    await using transports = new Transports();
    const { client, streams } = await serving(transports);
    const unread = openStreamReadable(client, "file");
    expect(await stream(client, "empty")).toHaveLength(0);
    unread.destroy();
    expect(await ask(client, "hello")).toBe("hello");
    expect(streams.asked).toEqual(["empty"]);
    expect(client.isActive).toBe(true);
  });

  test("holds up the peer while it is not read", async () => {
    await using transports = new Transports();
    const zeros = new Zeros(FAR_MORE);
    const { client } = await serving(transports, { zeros });
    const readable = openStreamReadable(client, "zeros");
    const iterator = readable[Symbol.asyncIterator]();
    let taken = ((await iterator.next()).value as Buffer).length;
    // What is under way fits the buffers of two sockets and of the queue: it comes to a stop, far from the end.
    let before = -1;
    for (let still = 0; still < 50; still = zeros.sent === before ? still + 1 : 0) {
      before = zeros.sent;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(zeros.sent).toBeLessThan(FAR_MORE / 2);
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) taken += next.value.length;
    expect(taken).toBe(FAR_MORE);
  });

  test("fails with what the peer says, or with the connection", async () => {
    await using transports = new Transports();
    const { client, handler } = await serving(transports, { zeros: new Zeros(FAR_MORE) });
    expect(await failureOf(bytesOf(openStreamReadable(client, "gone")))).toMatchObject({
      code: "ERR_RPC_STREAM",
      message: "Stream 'gone' was not found.",
    });
    const readable = openStreamReadable(client, "zeros");
    const iterator = readable[Symbol.asyncIterator]();
    await iterator.next();
    handler.clients[0]!.connection.fail(new Error("cut"));
    const rest = async () => {
      while ((await iterator.next()).done !== true);
    };
    expect(await failureOf(rest())).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(await failureOf(bytesOf(openStreamReadable(client, "file")))).toMatchObject({
      code: "ERR_RPC_CONNECTION_LOST",
    });
  });

  test("given up with little left costs no connection: the rest is thrown away", async () => {
    await using transports = new Transports();
    const { client } = await serving(transports, {
      little: new Zeros(STREAM_DRAIN_BYTES_MAX),
      other: new Zeros(STREAM_DRAIN_BYTES_MAX),
    });
    for await (const _ of openStreamReadable(client, "little")) break;
    expect(await ask(client, "hello")).toBe("hello");
    // Destroyed before its first byte has come, it has all of them left.
    const early = openStreamReadable(client, "other");
    early.read();
    early.destroy();
    expect(await ask(client, "hello again")).toBe("hello again");
    expect(client.isActive).toBe(true);
  });

  test.each(["when its bytes come", "before they do"])(
    "given up with much left it closes its client, %s",
    async (when) => {
      await using transports = new Transports();
      const zeros = new Zeros(FAR_MORE);
      const { client } = await serving(transports, { zeros });
      const readable = openStreamReadable(client, "zeros");
      readable.read();
      if (when === "when its bytes come") await new Promise<void>((resolve) => readable.once("readable", resolve));
      readable.destroy();
      await until(() => !client.isActive);
      expect(zeros.sent).toBeLessThan(FAR_MORE);
      expect(readable.errored).toBeNull();
    },
  );

  test("given up with much left, while others wait for answers, it costs them nothing: all of it is thrown away", async () => {
    await using transports = new Transports();
    const zeros = new Zeros(FAR_MORE);
    const { client } = await serving(transports, { zeros });
    const readable = openStreamReadable(client, "zeros");
    readable.read();
    const behind = ask(client, "behind");
    await new Promise<void>((resolve) => readable.once("readable", resolve));
    readable.destroy(new Error("enough"));
    expect(await failureOf(new Promise((_, reject) => readable.once("error", reject)))).toMatchObject({
      message: "enough",
    });
    expect(await behind).toBe("behind");
    expect([zeros.sent, client.isActive]).toEqual([FAR_MORE, true]);
  });
});
