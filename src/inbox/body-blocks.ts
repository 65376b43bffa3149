/**
 * Body blocks: shared memory for bodies that are too large for their ring and small enough to be copied twice. It is used
 * again and again, so its pages are there: a fresh buffer of 1 MiB costs ten times as much as the copy into it, and the
 * way by port two hops more.
 *
 * Who may touch what, when:
 *  1. Loop 0 claims a block and writes the body; the TAIL store that publishes the record publishes the block too (R1).
 *  2. Who took the record copies the body out, and then says TICKET_ENDED: the block is loop 0's again.
 *  3. The block of a record that nobody takes any more, or whose taker died, is loop 0's when that thread has exited, or was
 *     told to end so long ago that only a native call can hold it: it runs no JavaScript any more.
 *
 * | blocks of     | number       | offset                                     |
 * |--------------:|--------------|--------------------------------------------|
 * | 64 KiB × 2^k  | 8k to 8k + 7 | 512 KiB × (2^k − 1), and one after another |
 *
 * A body has parts: its payload, and its attachments. Each begins on a unit. The payload of the record is the name of the
 * body, in words: the block's number, and the length of each part.
 */
import {
  BODY_BLOCK_BYTES_MAX,
  BODY_BLOCK_BYTES_MIN,
  BODY_BLOCK_PARTS_MAX,
  BODY_BLOCKS_PER_SIZE,
} from "../common/limits.js";
import { UNIT_BYTES } from "./layout.js";
import { type OutgoingRecord, RecordFlag, type TakenRecord } from "./record.js";
import type { Region, Segment } from "./segment.js";

const SIZES = Math.log2(BODY_BLOCK_BYTES_MAX / BODY_BLOCK_BYTES_MIN) + 1;
/** A payload up to here is copied into memory that is used again, if there are attachments. */
const SCRATCH_BYTES = 4_096;

export const BODY_BLOCKS_BYTES = BODY_BLOCKS_PER_SIZE * BODY_BLOCK_BYTES_MIN * (2 ** SIZES - 1);

/** A body in private memory. */
export interface BodyCopy {
  /** The payload is `bytes[0 .. length)`. */
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly attachments: readonly ArrayBuffer[];
}

/** Any thread: where the blocks are, and what is in them. */
export class BodyBlocks {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #name = new Uint8Array(4 * (1 + BODY_BLOCK_PARTS_MAX));
  readonly #nameWords = new Int32Array(this.#name.buffer);
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  /**
   * The last copy, until there is another: malloc gives free memory at its end back to the system, and gets it again page
   * by page. With one copy at that end in use, those that the collector frees are there for the next.
   */
  kept: BodyCopy | null = null;

  constructor(segment: Segment, region: Region) {
    this.#bytes = segment.bytes;
    this.#base = region.word * 4;
  }

  /** The body that a taken record names. Its payload must be read before the next call. */
  read(record: TakenRecord): BodyCopy {
    const nameBytes = blockNameBytes(record);
    const [block = 0, length = 0, ...lengths] = new Int32Array(record.scratch.buffer, 0, nameBytes / 4);
    const all = this.#bytes;
    let offset = this.#offset(block);
    const bytes = lengths.length > 0 && length <= SCRATCH_BYTES ? this.#scratch : freshBytes(length);
    bytes.set(all.subarray(offset, offset + length));
    const attachments = lengths.map((part, index) => {
      offset += wholeUnits(index === 0 ? length : (lengths[index - 1] as number));
      const attachment = freshBytes(part);
      attachment.set(all.subarray(offset, offset + part));
      return attachment.buffer;
    });
    this.kept = { bytes, length, attachments };
    return this.kept;
  }

  /** Loop 0: writes a body into a block that was claimed for it, and makes its name the payload of `record`. */
  write(block: number, parts: readonly Uint8Array[], record: OutgoingRecord, trailer: Uint8Array): void {
    const words = this.#nameWords;
    words[0] = block;
    let offset = this.#offset(block);
    let index = 1;
    for (const part of parts) {
      this.#bytes.set(part, offset);
      offset += wholeUnits(part.length);
      words[index++] = part.length;
    }
    record.setPayload(record.codec, this.#name, index * 4, trailer);
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

  /** A block for these parts, or -1: they are too many or too large, or all blocks of their size are in use. */
  claim(parts: readonly Uint8Array[]): number {
    const bytes = parts.reduce((sum, { length }) => sum + wholeUnits(length), 0);
    if (bytes > BODY_BLOCK_BYTES_MAX || parts.length > BODY_BLOCK_PARTS_MAX) return -1;
    const size = Math.max(0, Math.ceil(Math.log2(bytes / BODY_BLOCK_BYTES_MIN)));
    return this.#free[size]?.pop() ?? -1;
  }

  release(block: number): void {
    this.#free[Math.floor(block / BODY_BLOCKS_PER_SIZE)]?.push(block);
  }
}

/** Bytes of a body's name. One from the network has one part, and its sender stands behind the name. */
export function blockNameBytes({ flags, payloadBytes }: TakenRecord): number {
  return (flags & RecordFlag.REMOTE) === 0 ? payloadBytes : 8;
}

function wholeUnits(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES) * UNIT_BYTES;
}

/** Not zeroed before it is written: that would be one more pass over all of it. */
function freshBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
