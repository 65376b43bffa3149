/**
 * Writes the fields of a message, as Spark's Encoders do: integers big-endian; string and byte array with their length
 * before them, arrays with their count, each in 32 bits.
 */
import { assert } from "../common/assert.js";
import { putI32, putI64 } from "./big-endian.js";

export class WireWriter {
  #bytes: Buffer;
  #position = 0;

  /** @param roomBytes What it will hold; more grows it. */
  constructor(roomBytes = 64) {
    this.#bytes = Buffer.allocUnsafe(roomBytes);
  }

  /** Bytes written so far. */
  get position(): number {
    return this.#position;
  }

  i8(value: number): void {
    const at = this.#claim(1);
    this.#bytes[at] = value;
  }

  bool(value: boolean): void {
    this.i8(value ? 1 : 0);
  }

  i32(value: number): void {
    const at = this.#claim(4);
    putI32(this.#bytes, at, value);
  }

  i64(value: bigint): void {
    const at = this.#claim(8);
    putI64(this.#bytes, at, value);
  }

  /** Bytes without their length. */
  raw(bytes: Uint8Array): void {
    const at = this.#claim(bytes.length);
    this.#bytes.set(bytes, at);
  }

  byteArray(bytes: Uint8Array): void {
    this.i32(bytes.length);
    this.raw(bytes);
  }

  /** UTF-8; half a surrogate pair becomes U+FFFD. */
  string(text: string): void {
    const length = Buffer.byteLength(text);
    this.i32(length);
    const at = this.#claim(length);
    this.#bytes.write(text, at, length);
  }

  strings(texts: readonly string[]): void {
    this.i32(texts.length);
    for (const text of texts) this.string(text);
  }

  ints(values: readonly number[]): void {
    this.i32(values.length);
    for (const value of values) this.i32(value);
  }

  longs(values: readonly bigint[]): void {
    this.i32(values.length);
    for (const value of values) this.i64(value);
  }

  /** What was written, as a view; the writer is not used after it. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#position);
  }

  #claim(length: number): number {
    const at = this.#position;
    const end = at + length;
    assert(end < 2 ** 31, "fields of a message fit a frame");
    if (end > this.#bytes.length) {
      const wider = Buffer.allocUnsafe(Math.max(end, 2 * this.#bytes.length));
      this.#bytes.copy(wider, 0, 0, at);
      this.#bytes = wider;
    }
    this.#position = end;
    return at;
  }
}
