/**
 * Body blocks: shared memory for bodies that are too large for their ring and small enough to be copied twice. It is used
 * again and again, so its pages are there: a fresh buffer of 1 MiB costs ten times as much as the copy into it, and the
 * way by port two hops more.
 *
 * Who may touch what, when:
 *  1. Loop 0 claims a block and writes the body; the TAIL store that publishes the record publishes the block too (R1).
 *  2. Who took the record copies the body out, and then says TICKET_ENDED: the block is loop 0's again.
 *  3. The block of a record that nobody takes any more, or whose taker died, is loop 0's when that thread has exited.
 *
 * | blocks of         | number                    | offset                                     |
 * |------------------:|---------------------------|--------------------------------------------|
 * | 64 KiB × 2^k      | 8k to 8k + 7              | 512 KiB × (2^k − 1), and one after another |
 */
import { BODY_BLOCK_BYTES_MAX, BODY_BLOCK_BYTES_MIN, BODY_BLOCKS_PER_SIZE } from "../common/limits.js";
import type { OutgoingRecord, TakenRecord } from "./record.js";
import type { Region, Segment } from "./segment.js";

const SIZES = Math.log2(BODY_BLOCK_BYTES_MAX / BODY_BLOCK_BYTES_MIN) + 1;

/** Payload of a record whose body is in a block: the block's number, and the body's length. */
const BLOCK_NAME_BYTES = 8;

export const BODY_BLOCKS_BYTES = BODY_BLOCKS_PER_SIZE * BODY_BLOCK_BYTES_MIN * (2 ** SIZES - 1);

/** Any thread: where the blocks are, and what is in them. */
export class BodyBlocks {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #name = new Uint8Array(BLOCK_NAME_BYTES);
  readonly #nameWords = new Int32Array(this.#name.buffer);
  /**
   * The last copy, until there is another: malloc gives free memory at its end back to the system, and gets it again page
   * by page. With one copy at that end in use, those that the collector frees are there for the next.
   */
  kept: Uint8Array | null = null;

  constructor(segment: Segment, region: Region) {
    this.#bytes = segment.bytes;
    this.#base = region.word * 4;
  }

  /** The body that a taken record names, in private memory. */
  read(record: TakenRecord): Uint8Array<ArrayBuffer> {
    const [block, length] = new Int32Array(record.scratch.buffer, 0, BLOCK_NAME_BYTES / 4) as unknown as [
      number,
      number,
    ];
    const offset = this.#offset(block);
    // Not zeroed before: that would be one more pass over all of it.
    const { buffer } = Buffer.allocUnsafeSlow(length);
    const bytes = new Uint8Array(buffer);
    bytes.set(this.#bytes.subarray(offset, offset + length));
    this.kept = bytes;
    return bytes;
  }

  /** Loop 0: writes a body into a block that was claimed for it, and names it in the payload of `record`. */
  write(block: number, bytes: Uint8Array, length: number, record: OutgoingRecord): void {
    this.#bytes.set(bytes.length === length ? bytes : bytes.subarray(0, length), this.#offset(block));
    this.#nameWords[0] = block;
    this.#nameWords[1] = length;
    record.setPayload(record.codec, this.#name, BLOCK_NAME_BYTES);
  }

  #offset(block: number): number {
    const size = Math.floor(block / BODY_BLOCKS_PER_SIZE);
    const before = BODY_BLOCKS_PER_SIZE * (2 ** size - 1) + (block % BODY_BLOCKS_PER_SIZE) * 2 ** size;
    return this.#base + before * BODY_BLOCK_BYTES_MIN;
  }
}

/** Loop 0: which blocks are free. */
export class FreeBodyBlocks {
  /** By size; the one used last, whose pages are in a cache, is used next. */
  readonly #free = Array.from({ length: SIZES }, (_, size) =>
    Array.from({ length: BODY_BLOCKS_PER_SIZE }, (_, index) => (size + 1) * BODY_BLOCKS_PER_SIZE - 1 - index),
  );

  /** A block for a body of so many bytes, or -1: the body is too large, or all blocks of its size are in use. */
  claim(length: number): number {
    if (length > BODY_BLOCK_BYTES_MAX) return -1;
    const size = Math.max(0, Math.ceil(Math.log2(length / BODY_BLOCK_BYTES_MIN)));
    return this.#free[size]?.pop() ?? -1;
  }

  release(block: number): void {
    this.#free[Math.floor(block / BODY_BLOCKS_PER_SIZE)]?.push(block);
  }
}
