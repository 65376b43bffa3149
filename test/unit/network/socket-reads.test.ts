/**
 * Goal: what a dialled socket reads goes into the same memory again and again, but never into memory that anybody still looks
 * at; what comes before its owner listens is not lost.
 * Method: real sockets; views are kept, or not, and compared later with what was sent.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, test } from "vitest";
import { monotonicMs, systemClock } from "../../../dist/src/common/clock.js";
import { dialTcp } from "../../../dist/src/network/dial.js";
import {
  createSecurity,
  type ManagedBuffer,
  NioManagedBuffer,
  OneForOneStreamManager,
  openStreamReadable,
  type TransportClient,
  type TransportSecurity,
} from "../../../dist/src/network/index.js";
import { SocketReads } from "../../../dist/src/network/socket-reads.js";
import { ask, fetchChunk, ScriptedHandler, Transports } from "../../fixtures/transport.js";

const KIB = 1_024;

/** Each KiB says which one it is. */
function numbered(kib: number): Buffer {
  const bytes = Buffer.alloc(kib * KIB);
  for (let n = 0; n < kib; n++) bytes.fill(n % 251, n * KIB, (n + 1) * KIB);
  return bytes;
}

async function streaming(transports: Transports, bytes: Buffer) {
  const streams = new OneForOneStreamManager(() => 0);
  const cut = [bytes.subarray(0, 10 * KIB), bytes.subarray(10 * KIB)].map((part) => new NioManagedBuffer(part));
  const streamId = streams.registerStream({ buffers: [...cut, new NioManagedBuffer(bytes)] });
  const client = await transports.client(await transports.serve(new ScriptedHandler({ streams })));
  return { client, streamId };
}

function retained(client: TransportClient, streamId: bigint, index: number): Promise<ManagedBuffer> {
  return new Promise((resolve, reject) => {
    client.fetchChunk(streamId, index, {
      onSuccess: (_index, buffer) => resolve(buffer.retain()),
      onFailure: (_index, error) => reject(error),
    });
  });
}

/** Resolves when the stream has come whole. */
function received(client: TransportClient, stream: string, take: (part: Uint8Array) => void | Promise<void>) {
  return new Promise<void>((resolve, reject) => {
    client.stream(stream, {
      onData: (_id, part) => take(part),
      onComplete: () => resolve(),
      onFailure: (_id, error) => reject(error),
    });
  });
}

test("a consumer that keeps nothing is given the same memory each time", async () => {
  await using transports = new Transports();
  const bytes = numbered(2_000);
  const { client, streamId } = await streaming(transports, bytes);
  // The first two by the rules, then the stream.
  for (const index of [0, 1]) await fetchChunk(client, streamId, index);
  const memory = new Set<ArrayBufferLike>();
  let at = 0;
  let calls = 0;
  await received(client, `${streamId}_2`, (part) => {
    calls++;
    memory.add(part.buffer);
    expect(Buffer.compare(part, bytes.subarray(at, at + part.length))).toBe(0);
    at += part.length;
  });
  expect(at).toBe(bytes.length);
  expect(calls).toBeGreaterThan(20);
  // What the chunks left over, then one for all.
  expect(memory.size).toBeLessThanOrEqual(2);
});

test("what is kept stays as it is: chunks, parts of a readable stream", async () => {
  await using transports = new Transports();
  const bytes = numbered(1_000);
  const { client, streamId } = await streaming(transports, bytes);
  // A chunk that comes whole, one that comes in parts.
  const chunks = [await retained(client, streamId, 0), await retained(client, streamId, 1)];
  const parts: Buffer[] = [];
  const readable = openStreamReadable(client, `${streamId}_2`, { highWaterMark: 2 * bytes.length });
  readable.pause();
  readable.read(0);
  await once(readable, "readable");
  while (readable.readableLength < bytes.length) await new Promise((resolve) => setImmediate(resolve));
  for await (const part of readable) parts.push(part);
  expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
  expect(Buffer.compare(Buffer.concat(chunks.map((chunk) => chunk.bytes() as Uint8Array)), bytes)).toBe(0);
});

test("a consumer that is busy with what he was given finds it as it was, and the next in the same memory", async () => {
  await using transports = new Transports();
  const bytes = numbered(2_000);
  const { client, streamId } = await streaming(transports, bytes);
  for (const index of [0, 1]) await fetchChunk(client, streamId, index);
  const memory = new Set<ArrayBufferLike>();
  let at = 0;
  await received(client, `${streamId}_2`, async (part) => {
    memory.add(part.buffer);
    // More would be read in any of these turns, were the connection not held.
    for (let turn = 0; turn < 5; turn++) await new Promise((next) => setImmediate(next));
    expect(Buffer.compare(part, bytes.subarray(at, at + part.length))).toBe(0);
    at += part.length;
  });
  expect(at).toBe(bytes.length);
  // What the chunks left over, one for all, and another for each read that held more than the stream.
  expect(memory.size).toBeLessThanOrEqual(4);
});

test.each(["while it is busy", "in the call"])(
  "a consumer whose connection is closed %s finds its bytes as they were until it is ready",
  async (when) => {
    await using transports = new Transports();
    const bytes = numbered(8_000);
    const streams = new OneForOneStreamManager(() => 0);
    const streamId = streams.registerStream({ buffers: [new NioManagedBuffer(bytes)] });
    const handler = new ScriptedHandler({
      streams,
      receive: (_c, message, reply) => reply.onSuccess(Buffer.from(message)),
    });
    const server = await transports.serve(handler);
    const client = await transports.client(server);
    let given: Uint8Array = new Uint8Array(0);
    let ready = (): void => {};
    const isBusy = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const ended = new Promise<Error>((resolve, reject) => {
      client.stream(`${streamId}_0`, {
        onData: (_id, part) => {
          given = part;
          if (when === "in the call") client.close();
          else setImmediate(() => client.close());
          return isBusy;
        },
        onComplete: () => reject(new Error("it did not come whole")),
        onFailure: (_id, error) => resolve(error),
      });
    });
    // The other side goes on sending, and all could be read while others are served.
    const other = await transports.client(server, transports.context());
    for (let n = 0; n < 20; n++) expect(await ask(other, `${n}`)).toBe(`${n}`);
    expect(client.isActive).toBe(false);
    expect(given.length).toBeGreaterThan(0);
    expect(Buffer.compare(given, bytes.subarray(0, given.length))).toBe(0);
    ready();
    expect(await ended).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    await expect.poll(() => handler.events).toContain("inactive");
  },
);

test("what comes before anybody listens waits for him, in order", async () => {
  const server = createServer((socket) => socket.write("early "));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "connection");
  const socket = await dialTcp({ host: "127.0.0.1", port, timeoutMs: 5_000 }, systemClock(monotonicMs()), true);
  const [far] = await accepted;
  while (socket.bytesRead < 6) await new Promise((resolve) => setImmediate(resolve));
  let text = "";
  const all = new Promise<void>((resolve) => {
    SocketReads.of(socket)?.begin((bytes) => {
      text += bytes.toString("latin1");
      if (text.endsWith("late")) resolve();
      return false;
    });
  });
  socket.resume();
  far.write("late");
  await all;
  expect(text).toBe("early late");
  socket.destroy();
  server.close();
});

test("small chunks that are kept lie side by side, and hold little more than their bytes", async () => {
  await using transports = new Transports();
  const streams = new OneForOneStreamManager(() => 0);
  const bytes = numbered(4 * 64);
  const parts = Array.from(
    { length: 64 },
    (_, n) => new NioManagedBuffer(bytes.subarray(n * 4 * KIB, (n + 1) * 4 * KIB)),
  );
  const streamId = streams.registerStream({ buffers: parts });
  const client = await transports.client(await transports.serve(new ScriptedHandler({ streams })));
  const chunks: Uint8Array[] = [];
  // One at a time, so that each comes in a read of its own.
  for (let n = 0; n < parts.length; n++) chunks.push((await retained(client, streamId, n)).bytes() as Uint8Array);
  const memory = new Map(chunks.map(({ buffer }) => [buffer, buffer.byteLength]));
  expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0);
  expect([...memory.values()].reduce((sum, each) => sum + each, 0)).toBeLessThan(2 * bytes.length);
});

test("a security of one's own around another needs to know nothing of them", async () => {
  await using transports = new Transports();
  const server = await transports.serve(
    new ScriptedHandler({ receive: (_c, message, reply) => reply.onSuccess(Buffer.from(message)) }),
  );
  const plain = createSecurity({}, transports.clock);
  const security: TransportSecurity = {
    authenticates: false,
    createServer: (hooks) => plain.createServer(hooks),
    connect: async (options) => ({ socket: (await plain.connect(options)).socket, identity: "known otherwise" }),
    appIdOf: () => null,
    explain: () => null,
  };
  const client = await transports.client(server, transports.context({ security }));
  expect(await ask(client, "heard")).toBe("heard");
});
