/**
 * Goal: a body comes out of its block as it went in, whatever its parts; blocks never overlap, and are few.
 * Method: every block of the region in use at once; then random parts.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BODY_BLOCK_BYTES_MAX, BODY_BLOCK_PARTS_MAX, BODY_BLOCKS_PER_SIZE } from "../../../dist/src/common/limits.js";
import { BODY_BLOCKS_BYTES, BodyBlocks, FreeBodyBlocks } from "../../../dist/src/inbox/body-blocks.js";
import { OutgoingRecord, TakenRecord } from "../../../dist/src/inbox/record.js";
import { SegmentAllocator } from "../../../dist/src/inbox/segment.js";

const KIB = 1_024;

function made() {
  const allocator = new SegmentAllocator();
  allocator.allocate(1_000);
  const region = allocator.allocate(BODY_BLOCKS_BYTES);
  const blocks = new BodyBlocks(allocator.segment(region.segment), region);
  return { blocks, free: new FreeBodyBlocks(), after: region.word * 4 + BODY_BLOCKS_BYTES, allocator };
}

/** The record of a body, as its taker has it. */
function taken(name: OutgoingRecord): TakenRecord {
  const record = new TakenRecord();
  record.scratch.set(name.bytes.subarray(0, name.length));
  record.payloadBytes = name.length;
  return record;
}

test("all blocks in use at once keep what was written to them", () => {
  const { blocks, free, after, allocator } = made();
  const next = allocator.allocate(1_000);
  const bodies: { record: TakenRecord; byte: number; length: number }[] = [];
  for (let length = 64 * KIB; length <= BODY_BLOCK_BYTES_MAX; length *= 2) {
    for (let index = 0; index < BODY_BLOCKS_PER_SIZE; index++) {
      const byte = bodies.length + 1;
      const parts = [new Uint8Array(length).fill(byte)];
      const name = new OutgoingRecord();
      blocks.write(free.claim(parts), parts, name, new Uint8Array(0));
      bodies.push({ record: taken(name), byte, length });
    }
    expect(free.claim([new Uint8Array(length)])).toBe(-1);
  }
  for (const { record, byte, length } of bodies) {
    const { bytes, attachments } = blocks.read(record);
    expect(attachments).toEqual([]);
    expect(Buffer.compare(bytes, Buffer.alloc(length, byte))).toBe(0);
  }
  const { bytes } = allocator.segment(next.segment);
  expect(bytes[after]).toBe(0);
});

test("payload and attachments come back in memory of their own, each whole", () => {
  const { blocks, free } = made();
  const length = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 9_000 }), fc.nat({ max: 100_000 }));
  const part = fc.tuple(length, fc.nat({ max: 255 })).map(([size, byte]) => new Uint8Array(size).fill(byte));
  const body = fc.array(part, { minLength: 1, maxLength: BODY_BLOCK_PARTS_MAX });
  fc.assert(
    fc.property(body, (parts) => {
      const block = free.claim(parts);
      const name = new OutgoingRecord();
      blocks.write(block, parts, name, new Uint8Array(0));
      const record = taken(name);
      const copy = blocks.read(record);
      free.release(block);
      const [payload = new Uint8Array(0), ...attached] = parts;
      expect(Buffer.compare(copy.bytes.subarray(0, copy.length), payload)).toBe(0);
      expect(copy.attachments.map(({ byteLength }) => byteLength)).toEqual(attached.map(({ length }) => length));
      for (const [index, bytes] of attached.entries()) {
        expect(Buffer.compare(new Uint8Array(copy.attachments[index] as ArrayBuffer), bytes)).toBe(0);
      }
    }),
  );
});

test("a block given back is the next to be claimed; what is too large, or in too many parts, gets none", () => {
  const { free } = made();
  const parts = [new Uint8Array(100 * KIB)];
  const first = free.claim(parts);
  expect(free.claim(parts)).not.toBe(first);
  free.release(first);
  expect(free.claim(parts)).toBe(first);
  expect(free.claim([new Uint8Array(BODY_BLOCK_BYTES_MAX)])).not.toBe(-1);
  expect(free.claim([new Uint8Array(BODY_BLOCK_BYTES_MAX + 1)])).toBe(-1);
  expect(free.claim([new Uint8Array(BODY_BLOCK_BYTES_MAX), new Uint8Array(1)])).toBe(-1);
  expect(free.claim(Array.from({ length: BODY_BLOCK_PARTS_MAX + 1 }, () => new Uint8Array(5_000)))).toBe(-1);
});
