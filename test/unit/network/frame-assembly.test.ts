/**
 * Goal: a long frame comes out as it went in, whether its parts were kept or copied; what it holds is what came, not what
 * was announced, however small the parts are; a chunk's body is not copied together.
 * Method: random parts of a frame of a few hundred KiB, among them single bytes; pieces looked at one by one.
 */
import { expect, test } from "vitest";
import { FRAME_ASSEMBLY_BYTES_MIN, FRAME_PART_KEPT_BYTES_MIN } from "../../../dist/src/common/limits.js";
import { decodeMessageInPieces } from "../../../dist/src/network/decode.js";
import { FrameAssembly } from "../../../dist/src/network/frame-assembly.js";
import {
  type ChunkFetchSuccess,
  encodeMessage,
  type FrameSink,
  MessageType,
  type MessageWithHeader,
  NioManagedBuffer,
  TransportFrameDecoder,
} from "../../../dist/src/network/index.js";
import { printedRandom } from "../../fixtures/random.js";
import { frame } from "./frames.js";

const KIB = 1024;
const random = printedRandom("frame assembly");

function someBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = random.integer(0, 255);
  return bytes;
}

test("random parts make the frame again, and hold no more than they are", () => {
  for (let round = 0; round < 50; round++) {
    const bytes = someBytes(random.integer(1, 400 * KIB));
    const assembly = new FrameAssembly(bytes.length);
    let at = 0;
    while (!assembly.isWhole) {
      const end = Math.min(bytes.length, at + random.logarithmic(1, 70 * KIB));
      at = assembly.add(bytes, at, end);
      expect(at).toBe(end);
      expect(assembly.heldBytes).toBeLessThanOrEqual(at + FRAME_ASSEMBLY_BYTES_MIN);
    }
    expect(Buffer.concat(assembly.pieces()).equals(bytes)).toBe(true);
  }
});

test("bytes one by one are copied together, and make no array each", () => {
  const bytes = someBytes(200 * KIB);
  const assembly = new FrameAssembly(bytes.length);
  for (let at = 0; at < bytes.length; at++) assembly.add(bytes, at, at + 1);
  const pieces = assembly.pieces();
  expect(pieces.length).toBe(Math.ceil(bytes.length / FRAME_ASSEMBLY_BYTES_MIN));
  expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
});

test("rooms are used up, also between long parts", () => {
  const bytes = someBytes(FRAME_PART_KEPT_BYTES_MIN);
  const assembly = new FrameAssembly(100 * bytes.length);
  const memory = new Set<ArrayBufferLike>();
  for (let round = 0; round < 50; round++) {
    assembly.add(bytes, 0, bytes.length);
    assembly.add(bytes, 0, 1);
  }
  for (const { buffer } of assembly.pieces()) memory.add(buffer);
  // The long parts' own, and one room for 50 bytes.
  expect(memory.size).toBe(2);
});

test("a long part of a long frame stays where it lies; of a short frame it does not", () => {
  const bytes = someBytes(FRAME_ASSEMBLY_BYTES_MIN + FRAME_PART_KEPT_BYTES_MIN);
  const long = new FrameAssembly(bytes.length);
  long.add(bytes, 0, FRAME_PART_KEPT_BYTES_MIN);
  expect(long.pieces()[0]?.buffer).toBe(bytes.buffer);
  const short = new FrameAssembly(FRAME_ASSEMBLY_BYTES_MIN);
  short.add(bytes, 0, FRAME_PART_KEPT_BYTES_MIN);
  expect(short.pieces()[0]?.buffer).not.toBe(bytes.buffer);
});

test("it takes its own bytes only", () => {
  const assembly = new FrameAssembly(10);
  const bytes = someBytes(30);
  expect(assembly.add(bytes, 5, 30)).toBe(15);
  expect(assembly.isWhole).toBe(true);
  expect(Buffer.concat(assembly.pieces()).equals(bytes.subarray(5, 15))).toBe(true);
});

test("a chunk's body is what was sent, wherever its frame is cut", () => {
  const body = someBytes(150 * KIB);
  const message = {
    type: MessageType.CHUNK_FETCH_SUCCESS,
    streamId: 7n,
    chunkIndex: 3,
    body: new NioManagedBuffer(body),
  };
  const { header } = encodeMessage(message) as MessageWithHeader;
  const stream = Buffer.concat([header, body, frame(Buffer.from([9]))]);
  // Inside the length, the header, the first bytes of the body, and then long parts.
  for (const cut of [3, 8, 9, 15, 21, 22, 8 + FRAME_PART_KEPT_BYTES_MIN, 100 * KIB]) {
    const chunks: ChunkFetchSuccess[] = [];
    const frames: number[] = [];
    const sink: FrameSink = {
      frame: (_bytes, start, end) => frames.push(end - start),
      frameInPieces: (pieces) => chunks.push(decodeMessageInPieces(pieces) as ChunkFetchSuccess),
      bodyBytes: () => undefined,
      bodyEnd: () => undefined,
    };
    const decoder = new TransportFrameDecoder(sink);
    for (const part of [
      stream.subarray(0, cut),
      stream.subarray(cut, 60 * KIB + cut),
      stream.subarray(60 * KIB + cut),
    ]) {
      decoder.push(part);
    }
    expect(frames).toEqual([1]);
    expect(chunks).toHaveLength(1);
    expect(chunks[0]).toMatchObject({ type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 7n, chunkIndex: 3 });
    expect(chunks[0]?.body.size).toBe(body.length);
    // In pieces, not copied together.
    expect(chunks[0]?.body.toBody()).not.toHaveLength(1);
    expect(Buffer.compare(chunks[0]?.body.bytes() as Uint8Array, body)).toBe(0);
  }
});
