/**
 * Goal: header and body leave in order and whole, in pieces of any size, from memory and from files; the body is given back
 * once; one that falls short is noticed.
 */
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterAll, describe, expect, test } from "vitest";
import {
  type BodyReader,
  decodeMessage,
  encodeMessage,
  type ManagedBuffer,
  type MergedBlockMetaSuccess,
  type MessageBody,
  MessageType,
  MessageWithHeader,
  RoaringBitmap,
  WireReader,
  WireWriter,
} from "../../../dist/src/network/index.js";
import { bytesOf, hex } from "./frames.js";

const folder = mkdtempSync(join(tmpdir(), "ringpost-wire-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The whole of a file, at most so many bytes for one reading. */
class FileBuffer implements ManagedBuffer {
  readonly size: number;
  closes = 0;
  releases = 0;
  readonly #path: string;
  readonly #bytesPerRead: number;

  constructor(name: string, bytes: Uint8Array, bytesPerRead = Number.MAX_SAFE_INTEGER) {
    this.size = bytes.length;
    this.#path = join(folder, name);
    this.#bytesPerRead = bytesPerRead;
    writeFileSync(this.#path, bytes);
  }

  async toBody(): Promise<BodyReader> {
    const file: FileHandle = await open(this.#path);
    return {
      read: async (bytesMax) => {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(bytesMax, this.#bytesPerRead)));
        return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
      },
      close: () => {
        this.closes++;
        void file.close();
      },
    };
  }

  bytes(): Promise<Uint8Array> {
    return readFile(this.#path);
  }

  createInputStream(): Readable {
    return createReadStream(this.#path);
  }

  retain(): this {
    return this;
  }

  release(): this {
    this.releases++;
    return this;
  }
}

const header = bytesOf("header");
const content = Buffer.from(Array.from({ length: 8_000 }, (_, index) => index));

async function outOf(message: MessageWithHeader, bytesMax?: number): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for (;;) {
    expect(message.transferredBytes).toBe(pieces.reduce((sum, piece) => sum + piece.length, 0));
    const piece = await message.next(bytesMax);
    if (piece === null) break;
    expect(piece.length).toBeGreaterThan(0);
    pieces.push(Buffer.from(piece));
  }
  expect(message.transferredBytes).toBe(message.size);
  expect(await message.next()).toBeNull();
  message.release();
  return pieces;
}

describe("Spark's suite", () => {
  test("[net MessageWithHeaderSuite.testSingleWrite] header and a file, in as few pieces as there are", async () => {
    const file = new FileBuffer("single", content);
    const pieces = await outOf(new MessageWithHeader(header, await file.toBody(), content.length, file));
    expect(pieces.map(hex)).toEqual([hex(header), hex(content)]);
  });

  test.each([
    [8, 1_000],
    [1, 8_000],
  ])(
    "[net MessageWithHeaderSuite.testShortWrite] a file that gives %d bytes a reading, header and all in pieces of 3",
    async (bytesPerRead, readings) => {
      const bytes = content.subarray(0, bytesPerRead * readings);
      const file = new FileBuffer(`short-${bytesPerRead}`, bytes, bytesPerRead);
      const pieces = await outOf(new MessageWithHeader(header, await file.toBody(), bytes.length, file), 3);
      expect(pieces.every((piece) => piece.length <= 3)).toBe(true);
      expect(hex(Buffer.concat(pieces))).toBe(hex(Buffer.concat([header, bytes])));
    },
  );

  const bodies: readonly [string, string, MessageBody][] = [
    ["testByteBufBody", "one buffer", content],
    ["testCompositeByteBufBodySingleBuffer", "a list of one", [content]],
    [
      "testCompositeByteBufBodyMultipleBuffers",
      "a list, empty ones among them",
      [content.subarray(0, 5), Buffer.alloc(0), content.subarray(5, 4_000), content.subarray(4_000), Buffer.alloc(0)],
    ],
  ];
  test.each(bodies)("[net MessageWithHeaderSuite.%s] a body in memory: %s", async (_row, _what, body) => {
    for (const bytesMax of [1, 7, 4_096, undefined]) {
      const message = new MessageWithHeader(header, body, content.length, null);
      expect(message.size).toBe(header.length + content.length);
      expect(hex(Buffer.concat(await outOf(message, bytesMax)))).toBe(hex(Buffer.concat([header, content])));
    }
  });

  test("[net MessageWithHeaderSuite.testDeallocateReleasesManagedBuffer] body and buffer are given back once, also in the middle", async () => {
    for (const pieces of [0, 1, 2]) {
      const file = new FileBuffer("release", content);
      const message = new MessageWithHeader(header, await file.toBody(), content.length, file);
      for (let piece = 0; piece < pieces; piece++) await message.next();
      message.release();
      message.release();
      expect([file.closes, file.releases]).toEqual([1, 1]);
    }
  });

  test("[net MergedBlockMetaSuccessSuite.testMergedBlocksMetaEncodeDecode] two bitmaps in a file arrive as they were", async () => {
    const sets = [
      [1, 2, 3],
      [4, 70_000],
    ];
    const writer = new WireWriter();
    for (const set of sets) RoaringBitmap.of(set).write(writer);
    const file = new FileBuffer("meta", writer.finish());
    const type = MessageType.MERGED_BLOCK_META_SUCCESS;
    const encoded = await encodeMessage({ type, requestId: 3n, chunkCount: 2, body: file });
    const bytes = Buffer.concat(await outOf(encoded));
    expect([file.closes, file.releases]).toEqual([1, 1]);

    const decoded = decodeMessage(bytes, 8) as MergedBlockMetaSuccess;
    expect([decoded.requestId, decoded.chunkCount]).toEqual([3n, 2]);
    const reader = new WireReader("chunks", decoded.body.bytes() as Uint8Array);
    const read = sets.map(() => [...RoaringBitmap.read(reader, "bitmap")]);
    expect(read).toEqual(sets);
    expect(reader.remaining).toBe(0);
  });
});

describe("a body that is not as long as was announced", () => {
  test("ends early in a file: what came is given out, then it fails", async () => {
    const file = new FileBuffer("truncated", content.subarray(0, 1_000));
    const message = new MessageWithHeader(header, await file.toBody(), content.length, file);
    await message.next();
    expect((await message.next())?.length).toBe(1_000);
    await expect(message.next()).rejects.toMatchObject({
      code: "ERR_RPC_STREAM",
      message: "body ends elsewhere than announced: bytes=1000, announced=8000",
    });
    message.release();
  });

  test("goes on in a file: no more than announced is given out", async () => {
    const file = new FileBuffer("grown", content);
    const message = new MessageWithHeader(header, await file.toBody(), 10, file);
    expect(hex(Buffer.concat(await outOf(message)))).toBe(hex(Buffer.concat([header, content.subarray(0, 10)])));
  });

  test("is refused at once where it is in memory", () => {
    expect(() => new MessageWithHeader(header, [content], 10, null)).toThrow("bytes=8000, announced=10");
  });
});

test("a reading error comes out as it is", async () => {
  const body: BodyReader = { read: () => Promise.reject(new RangeError("disk")), close: () => undefined };
  const message = new MessageWithHeader(header, body, 10, null);
  await message.next();
  await expect(message.next()).rejects.toThrow(RangeError);
});
