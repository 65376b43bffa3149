/**
 * Reads what value-writer.ts has written: msgpackr with our extensions. Steps 6 and 8 of the data flow.
 *
 * msgpackr's table of extensions is one for all its users in this process: ours are under codes that MessagePack leaves
 * to applications, and are reached only by bytes that carry them. One thread only; nothing here runs user code.
 */
import { addExtension, Unpackr } from "msgpackr";
import { readError } from "./error-packing.js";
import { Extension } from "./payload-check.js";
import type { RecordShapes } from "./record-shapes.js";
import { type RefPacking, readHandle } from "./ref-handle.js";
import { TYPED_ARRAY_NAMES, ValueKind } from "./value-kinds.js";

type Buffers = readonly ArrayBuffer[];

const NO_BUFFERS: Buffers = [];
/** Of the value that is read now. */
let refs: RefPacking | null = null;
let attachments: Buffers = NO_BUFFERS;

export class ValueReader {
  readonly #refs: RefPacking | null;
  readonly #unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true });
  readonly #shapes: RecordShapes | null;
  readonly #recordUnpackr: Unpackr;

  constructor(refPacking: RefPacking | null, shapes: RecordShapes | null) {
    this.#refs = refPacking;
    this.#shapes = shapes;
    const structures = shapes?.structures ?? [];
    // msgpackr's types do not name `trusted`: without it, it would cut the list to the length it had when this was made.
    const options = { structures, mapsAsObjects: true, copyBuffers: true, trusted: true };
    this.#recordUnpackr = new Unpackr(options);
  }

  /**
   * @param source Prepared by the codec; good bytes, or checked ones.
   * @param records The payload may hold records.
   * Throws for what no writer has written.
   */
  read(source: Uint8Array, length: number, records: boolean, buffers: Buffers | undefined): unknown {
    refs = this.#refs;
    // Whoever wrote a record knew its shape, so the list has it now.
    if (records) this.#shapes?.refresh();
    const unpackr = records ? this.#recordUnpackr : this.#unpackr;
    if (buffers === undefined) return unpackr.unpack(source, length);
    attachments = buffers;
    try {
      return unpackr.unpack(source, length);
    } finally {
      attachments = NO_BUFFERS;
    }
  }
}

/** Throws a TypeError for a kind that is unknown or not followed by what belongs to it. */
function readSpecial(parts: unknown): unknown {
  if (!Array.isArray(parts)) throw new TypeError("a tagged value is no array");
  const kind: unknown = parts[0];
  switch (kind) {
    case ValueKind.MAP:
      return readMap(parts);
    case ValueKind.SET:
      return new Set(parts.slice(1));
    case ValueKind.DATE:
      if (typeof parts[1] !== "number" || parts.length !== 2) throw new TypeError("a Date is no number");
      return new Date(parts[1]);
    case ValueKind.ERROR:
      return readError(parts, 1);
    case ValueKind.REF:
      if (refs === null) throw new TypeError("there is no environment to make a reference for");
      return refs.unpack(readHandle(parts, 1));
    case ValueKind.ENTRIES:
      return readEntries(parts);
    case ValueKind.ATTACHED:
      return readAttached(parts);
    default: {
      const bytes = parts[1];
      // Bytes that were read are a copy with a buffer of their own, which makes them aligned as well.
      if (!(bytes instanceof Uint8Array) || parts.length !== 2 || kind === ValueKind.BYTES) {
        throw new TypeError("bytes are missing");
      }
      return viewOf(kind, bytes.buffer as ArrayBuffer, 0, bytes.length);
    }
  }
}

function readMap(parts: readonly unknown[]): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>();
  if (parts.length % 2 !== 1) throw new TypeError("a Map has a key without a value");
  for (let at = 1; at < parts.length; at += 2) map.set(parts[at], parts[at + 1]);
  return map;
}

/** Every key becomes the object's own, whatever it means elsewhere. */
function readEntries(parts: readonly unknown[]): object {
  const object = {};
  if (parts.length % 2 !== 1) throw new TypeError("an object has a key without a value");
  for (let at = 1; at < parts.length; at += 2) {
    const key = parts[at];
    if (typeof key !== "string") throw new TypeError("a key of an object is no string");
    const value = parts[at + 1];
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return object;
}

function readAttached(parts: readonly unknown[]): unknown {
  const [, kind, index, offset, length] = parts;
  const buffer = typeof index === "number" ? attachments[index] : undefined;
  if (parts.length !== 5 || buffer === undefined) throw new TypeError("an attachment is missing");
  if (typeof offset !== "number" || typeof length !== "number") throw new TypeError("an attachment has no place");
  return viewOf(kind, buffer, offset, length);
}

type TypedArrayClass = {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): ArrayBufferView;
  readonly BYTES_PER_ELEMENT: number;
};

function viewOf(kind: unknown, buffer: ArrayBuffer, offset: number, lengthBytes: number): unknown {
  switch (kind) {
    case ValueKind.BYTES:
      return new Uint8Array(buffer, offset, lengthBytes);
    case ValueKind.ARRAY_BUFFER:
      return buffer;
    case ValueKind.DATA_VIEW:
      return new DataView(buffer, offset, lengthBytes);
  }
  const name = typeof kind === "number" ? TYPED_ARRAY_NAMES[kind - ValueKind.TYPED_ARRAY] : undefined;
  const type = name === undefined ? undefined : (globalThis as unknown as Record<string, TypedArrayClass>)[name];
  if (type === undefined) throw new TypeError(`unknown kind of value: ${String(kind)}`);
  if (lengthBytes % type.BYTES_PER_ELEMENT !== 0) throw new TypeError(`${name} of ${lengthBytes} bytes`);
  return new type(buffer, offset, lengthBytes / type.BYTES_PER_ELEMENT);
}

addExtension({ type: Extension.VALUE, read: readSpecial });
addExtension({
  type: Extension.UTF16,
  unpack: (units: Uint8Array) => Buffer.from(units.buffer, units.byteOffset, units.byteLength).toString("utf16le"),
});
