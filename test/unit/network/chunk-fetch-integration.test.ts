/**
 * Goal: chunks from memory and from files arrive as Spark's ChunkFetchIntegrationSuite demands, over real sockets.
 * Method: stream 1 has a buffer as chunk 0 and a part of a file as chunk 1, which are handed out as often as one likes.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FileSegmentManagedBuffer,
  type ManagedBuffer,
  NioManagedBuffer,
  StreamManager,
} from "../../../dist/src/network/index.js";
import { ask, failureOf, fetchChunk, ScriptedHandler, Transports } from "../../fixtures/transport.js";

const STREAM = 1n;
const BUFFER = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
const FILE = Buffer.from(Array.from({ length: 1_024 }, (_, index) => (index * 7) % 256));
const SEGMENT = FILE.subarray(10, 1_024 - 15);

let folder = "";
let path = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-"));
  path = join(folder, "chunks");
  writeFileSync(path, FILE);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Chunks by index, again and again; what is there for others throws. */
class Chunks extends StreamManager {
  readonly chunks: Record<number, () => ManagedBuffer>;

  constructor(chunks: Record<number, () => ManagedBuffer>) {
    super();
    this.chunks = chunks;
  }

  getChunk(streamId: bigint, chunkIndex: number): ManagedBuffer {
    const chunk = this.chunks[chunkIndex];
    if (streamId !== STREAM || chunk === undefined) throw new Error(`Invalid chunk index: ${chunkIndex}`);
    return chunk();
  }
}

async function connected(transports: Transports, more: Record<number, () => ManagedBuffer> = {}) {
  const streams = new Chunks({
    0: () => new NioManagedBuffer(BUFFER),
    1: () => new FileSegmentManagedBuffer(path, 10, 1_024 - 25),
    ...more,
  });
  const handler = new ScriptedHandler({
    streams,
    receive: (_client, message, reply) => reply.onSuccess(Buffer.from(message)),
  });
  return transports.client(await transports.serve(handler));
}

describe.each([
  ["ChunkFetchIntegrationSuite", false],
  ["SslChunkFetchIntegrationSuite", true],
] as const)("%s", (suite, isSecure) => {
  test(`[net ${suite}.fetchBufferChunk] a chunk from memory arrives`, async () => {
    await using transports = new Transports(isSecure);
    const client = await connected(transports);
    expect((await fetchChunk(client, STREAM, 0)).equals(BUFFER)).toBe(true);
  });

  test(`[net ${suite}.fetchFileChunk] a chunk from a file arrives`, async () => {
    await using transports = new Transports(isSecure);
    const client = await connected(transports);
    expect((await fetchChunk(client, STREAM, 1)).equals(SEGMENT)).toBe(true);
  });

  test(`[net ${suite}.fetchNonExistentChunk] a chunk that is not there fails, and only that`, async () => {
    await using transports = new Transports(isSecure);
    const client = await connected(transports);
    expect(await failureOf(fetchChunk(client, STREAM, 12_345))).toMatchObject({
      code: "ERR_RPC_STREAM",
      retryable: false,
      message: expect.stringContaining("Invalid chunk index: 12345"),
    });
    expect(client.isActive).toBe(true);
  });

  test(`[net ${suite}.fetchBothChunks] both arrive over one connection`, async () => {
    await using transports = new Transports(isSecure);
    const client = await connected(transports);
    const [buffer, segment] = await Promise.all([fetchChunk(client, STREAM, 0), fetchChunk(client, STREAM, 1)]);
    expect([buffer.equals(BUFFER), segment.equals(SEGMENT)]).toEqual([true, true]);
  });

  test(`[net ${suite}.fetchChunkAndNonExistent] one arrives, the other fails`, async () => {
    await using transports = new Transports(isSecure);
    const client = await connected(transports);
    const [buffer, error] = await Promise.all([
      fetchChunk(client, STREAM, 0),
      failureOf(fetchChunk(client, STREAM, 12_345)),
    ]);
    expect(buffer.equals(BUFFER)).toBe(true);
    expect(error.message).toContain("Failure while fetching StreamChunkId[streamId=1,chunkIndex=12345]");
  });
});

describe("files that are not what they were", () => {
  test("a file that is gone, or shorter than its segment, fails that chunk, and answers keep their order", async () => {
    await using transports = new Transports();
    const client = await connected(transports, {
      2: () => new FileSegmentManagedBuffer(join(folder, "gone"), 0, 10),
      3: () => new FileSegmentManagedBuffer(path, 1_000, 100),
    });
    const ends = await Promise.all([
      failureOf(fetchChunk(client, STREAM, 2)),
      ask(client, "between"),
      failureOf(fetchChunk(client, STREAM, 3)),
      fetchChunk(client, STREAM, 1),
    ]);
    expect((ends[0] as Error).message).toMatch(/Error in reading FileSegmentManagedBuffer\[.*gone.*ENOENT/);
    expect(ends[1]).toBe("between");
    expect((ends[2] as Error).message).toContain("actual file length 1024");
    expect((ends[3] as Buffer).equals(SEGMENT)).toBe(true);
  });

  test("a file that shrinks while it is sent ends the connection: its header is out", async () => {
    await using transports = new Transports();
    const shrinking = join(folder, "shrinking");
    writeFileSync(shrinking, Buffer.alloc(64 * 1_024 * 1_024));
    const body = new FileSegmentManagedBuffer(shrinking, 0, 64 * 1_024 * 1_024);
    const streams = new Chunks({});
    streams.openStream = () => body;
    const server = await transports.serve(new ScriptedHandler({ streams }));
    const client = await transports.client(server);
    const error = await failureOf(
      new Promise((resolve, reject) => {
        client.stream("shrinking", {
          onData: () => truncateSync(shrinking, 1_024),
          onComplete: resolve,
          onFailure: (_id, failure) => reject(failure),
        });
      }),
    );
    expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(client.isActive).toBe(false);
  });

  test("a file segment in memory and as a stream is the file's part, or an error that says how long the file is", async () => {
    const segment = new FileSegmentManagedBuffer(path, 10, 1_024 - 25);
    expect(Buffer.from(await segment.bytes()).equals(SEGMENT)).toBe(true);
    const pieces: Buffer[] = [];
    for await (const piece of segment.createInputStream()) pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).equals(SEGMENT)).toBe(true);
    const beyond = new FileSegmentManagedBuffer(path, 1_000, 100);
    expect((await failureOf(Promise.resolve(beyond.bytes()))).message).toContain("actual file length 1024");
    expect(() => new FileSegmentManagedBuffer(path, -1, 100)).toThrow("offset of a file segment");
  });
});
