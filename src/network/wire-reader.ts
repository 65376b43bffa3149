/**
 * Reads the fields of a message that a stranger wrote. Every length and count is compared with the bytes that are left
 * before anything is made for it. What does not fit is ERR_RPC_PROTOCOL with the field's name and its value.
 */
import { assert } from "../common/assert.js";
import { WIRE_LIST_ITEMS_MAX, WIRE_TEXTS_MAX } from "../common/block-limits.js";
import { i32At, i64At } from "./big-endian.js";
import { protocolError } from "./frame-errors.js";

const I32_BYTES = 4;
const I64_BYTES = 8;

export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #of: string;
  #position: number;
  /** Items of lists that have been read or are being so. */
  #items = 0;
  /** The same bytes: what decodes text. */
  #text: Buffer | null = null;

  /** @param of What is read, for error texts. Fields lie in bytes[start .. end). */
  constructor(of: string, bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#of = of;
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Signed. */
  i8(field: string): number {
    const at = this.#take(field, 1);
    return ((this.#bytes[at] as number) << 24) >> 24;
  }

  /** As Java: whatever is not 0 is true. */
  bool(field: string): boolean {
    return this.i8(field) !== 0;
  }

  i32(field: string): number {
    return i32At(this.#bytes, this.#take(field, I32_BYTES));
  }

  i64(field: string): bigint {
    return i64At(this.#bytes, this.#take(field, I64_BYTES));
  }

  /** 64 bits that count something: as a number, exactly. */
  byteCount(field: string): number {
    const value = this.i64(field);
    if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw this.#error(field, `${value} bytes, 0 to ${Number.MAX_SAFE_INTEGER} can be counted`);
  }

  /** A view. */
  byteArray(field: string): Uint8Array {
    return this.raw(field, this.#count(field, 1));
  }

  /** UTF-8; what is none becomes U+FFFD, as in Java. */
  string(field: string): string {
    const length = this.#count(field, 1);
    if (length === 0) return "";
    const at = this.#take(field, length);
    const { buffer, byteOffset } = this.#bytes;
    this.#text ??= Buffer.from(buffer, byteOffset, this.#end);
    return this.#text.toString("utf8", at, at + length);
  }

  strings(field: string): string[] {
    return this.list(field, I32_BYTES, () => this.string(field), WIRE_TEXTS_MAX);
  }

  ints(field: string): number[] {
    return this.list(field, I32_BYTES, () => this.i32(field));
  }

  longs(field: string): bigint[] {
    return this.list(field, I64_BYTES, () => this.i64(field));
  }

  /**
   * A count and so many items.
   * @param itemBytesMin The least that one takes: bounds the count by what is left.
   * @param countMax of this list; all lists together have WIRE_LIST_ITEMS_MAX.
   * @param check throws where the count is not what it has to be, before any item is read.
   */
  list<T>(
    field: string,
    itemBytesMin: number,
    item: () => T,
    countMax = WIRE_LIST_ITEMS_MAX,
    check?: (count: number) => void,
  ): T[] {
    const count = this.#count(field, itemBytesMin);
    const max = Math.min(countMax, WIRE_LIST_ITEMS_MAX - this.#items);
    if (count > max) throw this.#error(field, `a count of ${count}, ${max} are the most`);
    check?.(count);
    this.#items += count;
    const items: T[] = [];
    for (let index = 0; index < count; index++) items.push(item());
    return items;
  }

  /** The next `length` bytes, as a view. */
  raw(field: string, length: number): Uint8Array {
    const at = this.#take(field, length);
    return this.#bytes.subarray(at, at + length);
  }

  #take(field: string, length: number): number {
    const at = this.#position;
    assert(length >= 0, "a length is not negative");
    if (length > this.#end - at) throw this.#error(field, `${length} bytes wanted, ${this.#end - at} are left`);
    this.#position = at + length;
    return at;
  }

  #count(field: string, itemBytesMin: number): number {
    const count = this.i32(field);
    if (count >= 0 && count <= this.remaining / itemBytesMin) return count;
    const unit = itemBytesMin === 1 ? "a length" : "a count";
    throw this.#error(field, `${unit} of ${count}, ${this.remaining} bytes are left`);
  }

  #error(field: string, text: string): Error {
    return protocolError(`${this.#of}: ${field}: ${text}`);
  }
}
