/**
 * Goal: the memory of chunks is read into again, and nobody ever sees other bytes than his own in what he was given.
 * Method: chunks of random lengths over a real connection, each kept in a random way and compared later; beside it the
 * buffer alone.
 */
import { expect, onTestFinished, test, vi } from "vitest";
import { SOCKET_READ_BYTES } from "../../../dist/src/common/limits.js";
import { type ManagedBuffer, NioManagedBuffer, OneForOneStreamManager } from "../../../dist/src/network/index.js";
import { socketReads } from "../../../dist/src/network/kept-buffers.js";
import { ReceivedBuffer } from "../../../dist/src/network/received-buffer.js";
import { printedRandom } from "../../fixtures/random.js";
import { ScriptedHandler, Transports } from "../../fixtures/transport.js";

const KIB = 1_024;
const MIB = 1_024 * KIB;

/** Somebody still has something of a chunk. */
interface Kept {
  bytes(): Promise<Buffer> | Buffer;
  done(): void;
}

async function readAll(readable: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of readable) parts.push(part);
  return Buffer.concat(parts);
}

const nothing = (): void => {};

/** What a user may do with a chunk's buffer while its callback runs. */
const USES: readonly ((buffer: ManagedBuffer) => Kept | null)[] = [
  () => null,
  (buffer) => {
    buffer.bytes();
    return null;
  },
  (buffer) => {
    buffer.retain();
    return { bytes: () => buffer.bytes() as Buffer, done: () => void buffer.release() };
  },
  (buffer) => {
    const bytes = buffer.bytes() as Buffer;
    return { bytes: () => bytes, done: nothing };
  },
  (buffer) => {
    const stream = buffer.createInputStream();
    return { bytes: () => readAll(stream), done: nothing };
  },
  (buffer) => {
    const pieces = buffer.toBody() as readonly Uint8Array[];
    return { bytes: () => Buffer.concat(pieces), done: nothing };
  },
];

test("what was taken of a chunk stays as it is, whatever becomes of the others", async () => {
  const random = printedRandom("chunks kept in all ways");
  await using transports = new Transports();
  const lengths = Array.from({ length: 300 }, () => random.logarithmic(KIB, 2 * MIB));
  const chunkOf = (index: number): Buffer => {
    const bytes = Buffer.allocUnsafe(lengths[index] as number);
    for (let at = 0; at < bytes.length; at += KIB)
      bytes.fill((index * 31 + at / KIB) % 251, at, Math.min(at + KIB, bytes.length));
    return bytes;
  };
  const streams = new OneForOneStreamManager(() => 0);
  const buffers = (function* () {
    for (let index = 0; index < lengths.length; index++) yield new NioManagedBuffer(chunkOf(index));
  })();
  const streamId = streams.registerStream({ buffers });
  const client = await transports.client(await transports.serve(new ScriptedHandler({ streams })));
  const take = vi.spyOn(socketReads, "take");
  onTestFinished(() => take.mockRestore());

  const kept: { readonly index: number; readonly what: Kept }[] = [];
  const compare = async (at: number): Promise<void> => {
    const [{ index, what }] = kept.splice(at, 1) as [(typeof kept)[number]];
    expect(Buffer.compare(await what.bytes(), chunkOf(index)), `chunk ${index}`).toBe(0);
    what.done();
  };
  const fetched = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      client.fetchChunk(streamId, index, {
        onSuccess: (_index, buffer) => {
          const use = USES[random.integer(0, USES.length - 1)] as (typeof USES)[number];
          const what = use(buffer);
          if (what !== null) kept.push({ index, what });
          resolve();
        },
        onFailure: (_index, error) => reject(error),
      });
    });
  const DEPTH = 4;
  for (let index = 0; index < lengths.length; index += DEPTH) {
    await Promise.all(Array.from({ length: DEPTH }, (_, n) => fetched(index + n)));
    while (kept.length > 8) await compare(random.integer(0, kept.length - 1));
  }
  while (kept.length > 0) await compare(0);
  const memories = take.mock.results.map(({ value }) => (value as Buffer).buffer);
  // Else it would prove nothing.
  expect(memories.length - new Set(memories).size).toBeGreaterThan(100);
});

/** Memory that a socket has read into, whole, and parts of others before and behind it. */
function received() {
  const whole = socketReads.take();
  const before = Buffer.alloc(SOCKET_READ_BYTES, 2).subarray(100);
  const behind = Buffer.alloc(SOCKET_READ_BYTES, 3).subarray(0, 100);
  const halves = [whole.subarray(0, 40 * KIB), whole.subarray(40 * KIB)];
  return { whole, size: 2 * SOCKET_READ_BYTES, buffer: new ReceivedBuffer([before, ...halves, behind]) };
}

test("memory in which nothing else lies is read into again, after the last release", () => {
  const { whole, buffer } = received();
  buffer.retain();
  buffer.release();
  expect(socketReads.take().buffer).not.toBe(whole.buffer);
  buffer.release();
  expect(socketReads.take().buffer).toBe(whole.buffer);
  buffer.release();
  expect(socketReads.take().buffer).not.toBe(whole.buffer);
});

test.each([
  ["createInputStream", (buffer: ReceivedBuffer) => buffer.createInputStream()],
  ["toBody", (buffer: ReceivedBuffer) => buffer.toBody()],
])("memory of which %s gave views is not", (_name, lend) => {
  const { whole, buffer } = received();
  lend(buffer);
  buffer.release();
  expect(socketReads.take().buffer).not.toBe(whole.buffer);
});

test("a buffer in one piece gives views, and its memory is not used again", () => {
  const whole = socketReads.take();
  const buffer = new ReceivedBuffer([whole]);
  expect(buffer.bytes()).toBe(whole);
  buffer.release();
  expect(socketReads.take().buffer).not.toBe(whole.buffer);
});

test.each([KIB, MIB])("a chunk of %i bytes that nobody retained says so after its callback", async (length) => {
  await using transports = new Transports();
  const streams = new OneForOneStreamManager(() => 0);
  const streamId = streams.registerStream({ buffers: [new NioManagedBuffer(Buffer.alloc(length))] });
  const client = await transports.client(await transports.serve(new ScriptedHandler({ streams })));
  const chunk = await new Promise<ManagedBuffer>((resolve, reject) => {
    client.fetchChunk(streamId, 0, {
      onSuccess: (_index, buffer) => resolve(buffer),
      onFailure: (_index, error) => reject(error),
    });
  });
  expect(() => chunk.bytes()).toThrow(expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" }));
});

test("who comes after the last release is told so", () => {
  const { buffer, size } = received();
  expect(buffer.bytes()).toHaveLength(size);
  buffer.release();
  const refused = expect.objectContaining({
    code: "ERR_RPC_INVALID_ARGUMENT",
    message: expect.stringContaining(`size=${size}`),
  });
  expect(() => buffer.bytes()).toThrow(refused);
  expect(() => buffer.createInputStream()).toThrow(refused);
  expect(() => buffer.toBody()).toThrow(refused);
  expect(() => buffer.retain()).toThrow(refused);
  expect(buffer.release()).toBe(buffer);
  expect(buffer.size).toBe(size);
});
