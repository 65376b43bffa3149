/**
 * The structure log: the record shapes (lists of keys) that all loops of an env share, in shared memory. Append-only, so
 * that the number of a shape means the same for ever. What shapes are for stands in src/rpc/record-shapes.ts.
 *
 * Who may touch what, when:
 *  1. Loop 0 alone appends: it writes the entry plainly behind the others, then stores COUNT; that publishes it.
 *  2. Any loop reads entries after it has loaded COUNT, and never those beyond it. Entries never change.
 *  3. `count` reads COUNT plainly. Who must know a shape because a record names it has loaded the TAIL that published
 *     the record, and its writer had loaded COUNT, or stored it, before: so the plain read is not older than that.
 */
import { RECORD_SHAPE_KEYS_MAX, RECORD_SHAPES_BYTES, RECORD_SHAPES_MAX } from "../common/limits.js";
import { load, store } from "./atomics.js";
import { STRUCTURE_COUNT, STRUCTURE_DATA } from "./layout.js";
import type { Segment } from "./segment.js";

/** Any loop's side. */
export class StructureLog {
  protected readonly words: Int32Array;
  protected readonly base: number;
  protected readonly bytes: Uint8Array;
  /** Entries that were read, and where the next one begins. */
  #readCount = 0;
  #readAt = 0;

  /** @param word first word of the region, which began as zeros. */
  constructor(segment: Segment, word: number) {
    this.words = segment.words;
    this.base = word;
    const offset = (word + STRUCTURE_DATA) * 4;
    this.bytes = segment.bytes.subarray(offset, offset + RECORD_SHAPES_BYTES - STRUCTURE_DATA * 4);
  }

  /** Rule 3. */
  count(): number {
    return this.words[this.base + STRUCTURE_COUNT] as number;
  }

  /** The shapes that were not read before, in order. */
  readNext(): string[][] {
    const count = load(this.words, this.base + STRUCTURE_COUNT);
    const shapes: string[][] = [];
    for (; this.#readCount < count; this.#readCount++) shapes.push(this.#readOne());
    return shapes;
  }

  #readOne(): string[] {
    const { bytes } = this;
    const keys: string[] = [];
    const keyCount = bytes[this.#readAt++] as number;
    for (let index = 0; index < keyCount; index++) {
      const length = (bytes[this.#readAt] as number) | ((bytes[this.#readAt + 1] as number) << 8);
      this.#readAt += 2;
      // Decoders refuse shared memory: a copy of a few bytes.
      keys.push(Buffer.from(bytes.slice(this.#readAt, this.#readAt + length)).toString("utf8"));
      this.#readAt += length;
    }
    return keys;
  }
}

/** Loop 0's side. */
export class StructureLogOwner extends StructureLog {
  #count = 0;
  #end = 0;

  /** Rule 1. False when the log is full, or this shape too large. */
  append(keys: readonly string[]): boolean {
    const encoded = keys.map((key) => Buffer.from(key, "utf8"));
    const length = encoded.reduce((sum, key) => sum + 2 + key.length, 1);
    if (this.#count === RECORD_SHAPES_MAX || keys.length > RECORD_SHAPE_KEYS_MAX) return false;
    if (this.#end + length > this.bytes.length) return false;
    const { bytes } = this;
    bytes[this.#end++] = keys.length;
    for (const key of encoded) {
      bytes[this.#end++] = key.length;
      bytes[this.#end++] = key.length >> 8;
      bytes.set(key, this.#end);
      this.#end += key.length;
    }
    store(this.words, this.base + STRUCTURE_COUNT, ++this.#count);
    return true;
  }
}
