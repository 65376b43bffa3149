/**
 * Writes a value as MessagePack, with our extensions where MessagePack has no word for it. Steps 1 and 7 of the data flow.
 *
 * msgpackr reads what is written here, but does not write it: what it would pack wrongly (own keys `__proto__` and
 * `constructor`, halves of a surrogate pair, Maps, Error fields, too many levels) can only be seen while the value is
 * walked, and one walk is all that the price of an ask allows. docs/adr/0003-values-and-records.md has the measurements.
 *
 * One thread only. Getters of a value may run user code that encodes another value: that one needs a writer of its own
 * (`busy`). A value that changes while it is walked may arrive as it was or as it is, field by field.
 */
import { DECODE_DEPTH_MAX } from "../common/limits.js";
import type { Attachments } from "./attachments.js";
import { beginError, endError } from "./error-packing.js";
import { Extension } from "./payload-check.js";
import { ONE_BYTE_SHAPES, type RecordShapes } from "./record-shapes.js";
import { handleParts, type RefPacking } from "./ref-handle.js";
import { TokenWriter, tooLarge } from "./token-writer.js";
import { Shape, shapeOf, typedArrayKind, ValueKind } from "./value-kinds.js";

/** Thrown for a value that cannot travel; the slow walk finds out which. */
export class Unencodable extends Error {}

/** msgpackr's token of the first shape: its number is in the byte, or in its low bits and the byte behind it. */
const RECORD_TOKEN = 0x40;
const MAP_16 = 0xde;
const MAP_32 = 0xdf;
const hasOwn = Object.prototype.hasOwnProperty;

type Fields = Readonly<Record<string, unknown>>;

export class ValueWriter extends TokenWriter {
  /** A value is being written. */
  busy = false;
  /** Records were written into the last value. */
  hasRecords = false;
  readonly #refs: RefPacking | null;
  readonly #shapes: RecordShapes | null;
  readonly #stacks: boolean;
  #attachments: Attachments | null = null;

  /** @param stacks Errors travel with their stacks. */
  constructor(
    scratch: ArrayBuffer,
    refs: RefPacking | null,
    shapes: RecordShapes | null,
    bytesMax: number,
    stacks: boolean,
  ) {
    super(scratch, bytesMax, shapes === null ? 0x80 : RECORD_TOKEN);
    this.#refs = refs;
    this.#shapes = shapes;
    this.#stacks = stacks;
  }

  /**
   * Writes `value` to `bytes[0 .. position)`.
   *
   * @param attachments takes large bytes out of the value; null: they are written like small ones.
   * Throws Unencodable, an RpcError, or what a getter of the value throws.
   */
  write(value: unknown, attachments: Attachments | null): void {
    this.busy = true;
    this.hasRecords = false;
    this.#attachments = attachments;
    this.restart();
    try {
      this.#value(value, 0);
    } finally {
      this.busy = false;
      this.#attachments = null;
    }
    if (this.position > this.bytesMax) throw tooLarge(this.position, this.bytesMax);
  }

  #value(value: unknown, depth: number): void {
    if (this.position > this.end) this.grow(0);
    switch (typeof value) {
      case "string":
        this.string(value);
        break;
      case "number":
        this.number(value);
        break;
      case "object":
        if (value === null) this.bytes[this.position++] = 0xc0;
        else this.#object(value, depth);
        break;
      case "boolean":
        this.bytes[this.position++] = value ? 0xc3 : 0xc2;
        break;
      case "undefined":
        this.tag(Extension.UNDEFINED);
        break;
      case "bigint":
        this.bigint(value);
        break;
      default:
        throw new Unencodable();
    }
  }

  // ── Objects ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #object(value: object, depth: number): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) this.#fields(value as Fields, depth);
    else if (prototype === Array.prototype && Array.isArray(value)) this.#items(value, depth);
    else this.#special(value, depth);
  }

  #fields(value: Fields, depth: number): void {
    if (depth === DECODE_DEPTH_MAX) throw new Unencodable();
    const shapes = this.#shapes;
    if (shapes !== null) {
      const shape = shapes.find(value);
      if (shape !== -1 && this.#record(value, shape, shapes.structures[shape] as readonly string[], depth)) return;
    }
    const start = this.position;
    this.bytes[start] = MAP_16;
    this.position = start + 3;
    let count = 0;
    for (const key in value) {
      if (!hasOwn.call(value, key)) continue;
      const at = this.position;
      this.string(key);
      // What was attached behind `start` stays attached: rare, and it costs a copy only.
      if (key === "__proto__" || isExtension(this.bytes[at] as number)) {
        this.position = start;
        this.#entries(value, depth);
        return;
      }
      this.#value(value[key], depth + 1);
      count++;
    }
    if (count > 0xffff) {
      this.position = start;
      this.#wideFields(value, depth);
      return;
    }
    this.bytes[start + 1] = count >> 8;
    this.bytes[start + 2] = count;
  }

  /** False, and nothing written, if a getter has changed the object's keys meanwhile. */
  #record(value: Fields, shape: number, keys: readonly string[], depth: number): boolean {
    const start = this.position;
    this.hasRecords = true;
    if (shape < ONE_BYTE_SHAPES) {
      this.bytes[this.position++] = RECORD_TOKEN + shape;
    } else {
      this.bytes[this.position++] = RECORD_TOKEN + ONE_BYTE_SHAPES + (shape & 31);
      this.bytes[this.position++] = (shape - ONE_BYTE_SHAPES) >> 5;
    }
    let index = 0;
    // Not by the keys of the shape: inside for-in a field is found by its place in the object.
    for (const key in value) {
      if (key !== keys[index]) {
        if (!hasOwn.call(value, key)) continue;
        break;
      }
      index++;
      this.#value(value[key], depth + 1);
    }
    if (index === keys.length) return true;
    this.position = start;
    return false;
  }

  #wideFields(value: Fields, depth: number): void {
    const keys = Object.keys(value);
    this.bytes[this.position] = MAP_32;
    this.view.setUint32(this.position + 1, keys.length);
    this.position += 5;
    for (const key of keys) {
      this.#value(key, depth);
      this.#value(value[key], depth + 1);
    }
  }

  /** An object with a key that no reader may assign, or that UTF-8 cannot say: keys and values as a list. */
  #entries(value: Fields, depth: number): void {
    this.#parts(
      ValueKind.ENTRIES,
      Object.keys(value).flatMap((key) => [key, value[key]]),
      depth,
    );
  }

  #items(items: readonly unknown[], depth: number): void {
    const count = items.length;
    if (depth === DECODE_DEPTH_MAX) throw new Unencodable();
    this.arrayHeader(count);
    // By index, so that holes count.
    for (let index = 0; index < count; index++) this.#value(items[index], depth + 1);
  }

  #special(value: object, depth: number): void {
    const shape = shapeOf(value);
    switch (shape) {
      case Shape.FIELDS:
        this.#fields(value as Fields, depth);
        break;
      case Shape.ARRAY:
        this.#items(value as unknown[], depth);
        break;
      case Shape.MAP: {
        const parts: unknown[] = [];
        for (const [key, item] of Map.prototype.entries.call(value)) parts.push(key, item);
        this.#parts(ValueKind.MAP, parts, depth);
        break;
      }
      case Shape.SET:
        this.#parts(ValueKind.SET, [...Set.prototype.values.call(value)], depth);
        break;
      case Shape.DATE:
        this.#parts(ValueKind.DATE, [Date.prototype.getTime.call(value)], depth);
        break;
      case Shape.ERROR:
        this.#error(value as Error, depth);
        break;
      case Shape.REF:
        if (this.#refs === null) throw new Unencodable();
        this.#parts(ValueKind.REF, handleParts(this.#refs.pack(value)), depth);
        break;
      case Shape.BYTES:
        this.#binary(ValueKind.BYTES, value as Uint8Array, depth);
        break;
      case Shape.ARRAY_BUFFER:
        this.#binary(ValueKind.ARRAY_BUFFER, new Uint8Array(value as ArrayBuffer), depth);
        break;
      case Shape.DATA_VIEW:
        this.#binary(ValueKind.DATA_VIEW, value as DataView, depth);
        break;
      case Shape.TYPED_ARRAY:
        this.#binary(typedArrayKind(value as ArrayBufferView), value as ArrayBufferView, depth);
        break;
      default:
        throw new Unencodable();
    }
  }

  #error(error: Error, depth: number): void {
    const parts = beginError(error, this.#refs !== null, DECODE_DEPTH_MAX - depth - 1, this.#stacks);
    try {
      this.#parts(ValueKind.ERROR, parts, depth);
    } finally {
      endError();
    }
  }

  /** Small bytes are written; large ones, and those whose buffer is moved, are attached and referred to. */
  #binary(kind: number, view: ArrayBufferView, depth: number): void {
    const attachments = this.#attachments;
    // What says where an attachment belongs is a level of its own: on the last one, bytes that are copied stay inside.
    const inside = depth === DECODE_DEPTH_MAX && attachments?.moves(view) !== true;
    const index = inside ? -1 : (attachments?.attach(view) ?? -1);
    if (index !== -1) {
      const offset = attachments?.offsetOf(index, view) ?? 0;
      this.#parts(ValueKind.ATTACHED, [kind, index, offset, view.byteLength], depth);
      return;
    }
    const length = view.byteLength;
    if (this.position + length > this.end) this.grow(length);
    if (kind !== ValueKind.BYTES) {
      if (depth === DECODE_DEPTH_MAX) throw new Unencodable();
      this.tag(Extension.VALUE);
      this.bytes[this.position++] = 0x92;
      this.bytes[this.position++] = kind;
    }
    this.bin(view);
  }

  // ── Tokens ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #parts(kind: number, parts: readonly unknown[], depth: number): void {
    if (this.position > this.end) this.grow(0);
    if (depth === DECODE_DEPTH_MAX) throw new Unencodable();
    this.tag(Extension.VALUE);
    this.arrayHeader(parts.length + 1);
    this.bytes[this.position++] = kind;
    for (const part of parts) this.#value(part, depth + 1);
  }
}

/** The token of a string that is not well-formed. */
function isExtension(token: number): boolean {
  return token >= 0xc7 && token <= 0xc9;
}
