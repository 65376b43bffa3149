/**
 * What msgpackr does not do as we need it, put in at four places that it offers (all of them are read by msgpackr at the
 * moment of use; its version is pinned and the tests of the codec cover each):
 *
 * 1. One extension for every object that is neither plain, an array nor a Map. msgpackr asks `instanceof` for classes it
 *    was given; ours is no class but a test, and says yes only while one of our packers packs. So other users of msgpackr
 *    in this process, which share its table of extensions, never meet it.
 * 2. `mapAsEmptyObject`, read when a Map is packed: our getter writes the tag that tells a Map from an object.
 * 3. The extension of that tag has a getter `read`, which msgpackr reads before it reads the value behind the tag; it
 *    makes `mapsAsObjects` false for that one map.
 * 4. `copy` of the buffer that is being outgrown, which msgpackr calls to move on: the only sign of growth there is.
 */
import { addExtension, Packr } from "msgpackr";
import { beginError, endError, readError } from "./error-packing.js";
import { Extension } from "./payload-check.js";
import { handleParts, type RefPacking, readHandle } from "./ref-handle.js";
import { Shape, shapeOf, TYPED_ARRAY_NAMES, typedArrayKind, ValueKind } from "./value-kinds.js";

/** Thrown through msgpackr by a value that cannot travel; the slow walk finds out which. */
export class Unencodable extends Error {}

type Room = { readonly target: Uint8Array; readonly targetView: DataView; readonly position: number };
type Allocate = (byteLength: number) => Room;
type PackInner = (value: unknown) => void;

/** How many of our packers are packing: one, or more while a getter in a message sends a message. */
let packing = 0;
/** How the packer that works now packs references; null: it does not. */
let refs: RefPacking | null = null;
/** The map that is read next was written as a Map. */
let readMap = false;

/** True inside a getter of a message: msgpackr works on the buffer of whatever codec packs that message. */
export function isPacking(): boolean {
  return packing > 0;
}

/** Packed in place of a value to have its tag written. */
const MAP_TAG = new (class MapTag {})();
/** Packed once by every packer, to learn the function with which it packs what is inside a value. */
const PROBE = new (class Probe {})();
let probed: PackInner | null = null;

/** A packer and unpacker that knows our extensions. */
export class ValuePackr extends Packr {
  #packInner: PackInner = () => {};
  readonly #refs: RefPacking | null;

  /** @param wide Objects may have more than 65,535 keys, at some cost for all. */
  constructor(refPacking: RefPacking | null, wide = false) {
    super({ useRecords: false, copyBuffers: true, useToJSON: false, useBigIntExtension: true, variableMapSize: wide });
    this.#refs = refPacking;
    this.packValue(PROBE, 0);
    if (probed === null) throw new Unencodable("msgpackr did not ask our extension");
    this.#packInner = probed;
  }

  /** As `pack`. Whatever it throws, the packer can be used again. */
  packValue(value: unknown, mode: number): Uint8Array {
    const outerRefs = refs;
    refs = this.#refs;
    packing++;
    try {
      return this.pack(value, mode);
    } finally {
      packing--;
      refs = outerRefs;
    }
  }

  /** As `unpack`: what is read is from bytes that `checkPayload` found good. */
  unpackValue(source: Uint8Array, length: number): unknown {
    readMap = false;
    // Nothing of ours is packed or unpacked while this runs, so there is nothing to give back.
    refs = this.#refs;
    return this.unpack(source, length);
  }

  get mapAsEmptyObject(): boolean {
    this.#packInner(MAP_TAG);
    return false;
  }

  get mapsAsObjects(): boolean {
    if (!readMap) return true;
    readMap = false;
    return false;
  }

  /** msgpackr's constructor sets the default. */
  set mapsAsObjects(_value: boolean) {}
}

// ── Packing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Called by msgpackr for what its own code does not write. `allocate` may be called once, before `packInner`. */
function packSpecial(value: object, allocate: Allocate, packInner: PackInner): void {
  if (value === MAP_TAG) {
    const { target, position } = allocate(TAG_BYTES);
    writeTag(target, position, Extension.MAP);
    return;
  }
  if (value === PROBE) {
    allocate(0);
    probed = packInner;
    return;
  }
  switch (shapeOf(value)) {
    case Shape.FIELDS:
      packFields(allocate, packInner, value as Record<string, unknown>);
      break;
    case Shape.ARRAY:
      packItems(allocate, packInner, value as unknown[]);
      break;
    case Shape.MAP:
      packMap(allocate, packInner, [...(value as Map<unknown, unknown>)]);
      break;
    case Shape.SET:
      packParts(allocate, packInner, ValueKind.SET, [...(value as Set<unknown>)]);
      break;
    case Shape.DATE:
      packParts(allocate, packInner, ValueKind.DATE, [Date.prototype.getTime.call(value)]);
      break;
    case Shape.ERROR:
      packError(allocate, packInner, value as Error);
      break;
    case Shape.BYTES:
      packBytes(allocate, 0, value as Uint8Array);
      break;
    case Shape.ARRAY_BUFFER:
      packBytes(allocate, ValueKind.ARRAY_BUFFER, new Uint8Array(value as ArrayBuffer));
      break;
    case Shape.DATA_VIEW:
      packBytes(allocate, ValueKind.DATA_VIEW, bytesOf(value as DataView));
      break;
    case Shape.REF:
      packRef(allocate, packInner, value);
      break;
    case Shape.TYPED_ARRAY:
      packBytes(allocate, typedArrayKind(value as ArrayBufferView), bytesOf(value as ArrayBufferView));
      break;
    default:
      throw new Unencodable();
  }
}

function packFields(allocate: Allocate, packInner: PackInner, value: Record<string, unknown>): void {
  const keys = Object.keys(value);
  const room = allocate(headerBytes(keys.length));
  writeHeader(room, room.position, MAP_HEADER, keys.length);
  for (const key of keys) {
    packInner(key);
    packInner(value[key]);
  }
}

function packItems(allocate: Allocate, packInner: PackInner, items: readonly unknown[]): void {
  const count = items.length;
  const room = allocate(headerBytes(count));
  writeHeader(room, room.position, ARRAY_HEADER, count);
  // By index, so that holes count.
  for (let index = 0; index < count; index++) packInner(items[index]);
}

function packMap(allocate: Allocate, packInner: PackInner, entries: readonly (readonly [unknown, unknown])[]): void {
  const room = allocate(TAG_BYTES + headerBytes(entries.length));
  writeTag(room.target, room.position, Extension.MAP);
  writeHeader(room, room.position + TAG_BYTES, MAP_HEADER, entries.length);
  for (const [key, item] of entries) {
    packInner(key);
    packInner(item);
  }
}

function packParts(allocate: Allocate, packInner: PackInner, kind: number, parts: readonly unknown[]): void {
  const count = parts.length + 1;
  const room = allocate(TAG_BYTES + headerBytes(count) + 1);
  writeTag(room.target, room.position, Extension.VALUE);
  writeHeader(room, room.position + TAG_BYTES, ARRAY_HEADER, count);
  room.target[room.position + TAG_BYTES + headerBytes(count)] = kind;
  for (const part of parts) packInner(part);
}

function packError(allocate: Allocate, packInner: PackInner, error: Error): void {
  const parts = beginError(error, refs !== null);
  try {
    packParts(allocate, packInner, ValueKind.ERROR, parts);
  } finally {
    endError();
  }
}

function packRef(allocate: Allocate, packInner: PackInner, ref: object): void {
  if (refs === null) throw new Unencodable();
  packParts(allocate, packInner, ValueKind.REF, handleParts(refs.pack(ref)));
}

/** Bytes by themselves are MessagePack's own; of another kind they stand in a [kind, bytes]. */
function packBytes(allocate: Allocate, kind: number, bytes: Uint8Array): void {
  const short = bytes.length < 256;
  const prefix = kind === 0 ? 0 : TAG_BYTES + 2;
  const room = allocate(prefix + (short ? 2 : 5) + bytes.length);
  const { target, targetView } = room;
  let position = room.position;
  if (prefix !== 0) {
    writeTag(target, position, Extension.VALUE);
    target[position + TAG_BYTES] = ARRAY_HEADER.short | 2;
    target[position + TAG_BYTES + 1] = kind;
    position += prefix;
  }
  if (short) {
    target[position++] = 0xc4;
    target[position++] = bytes.length;
  } else {
    target[position++] = 0xc6;
    targetView.setUint32(position, bytes.length);
    position += 4;
  }
  target.set(bytes, position);
}

function writeTag(target: Uint8Array, position: number, type: number): void {
  target[position] = 0xd4;
  target[position + 1] = type;
  target[position + 2] = 0;
}

/** Tokens of a container: of up to 15 elements, and with a count of 32 bits behind it. */
type Header = { readonly short: number; readonly long: number };
const ARRAY_HEADER: Header = { short: 0x90, long: 0xdd };
const MAP_HEADER: Header = { short: 0x80, long: 0xdf };
const TAG_BYTES = 3;

function headerBytes(count: number): number {
  return count < 16 ? 1 : 5;
}

function writeHeader({ target, targetView }: Room, position: number, header: Header, count: number): void {
  if (count < 16) {
    target[position] = header.short | count;
  } else {
    target[position] = header.long;
    targetView.setUint32(position + 1, count);
  }
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// ── Unpacking ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Throws a TypeError for a kind that is unknown or not followed by what belongs to it. */
function readSpecial(parts: unknown): unknown {
  if (!Array.isArray(parts)) throw new TypeError("a tagged value is no array");
  const kind: unknown = parts[0];
  switch (kind) {
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
    case ValueKind.ARRAY_BUFFER:
      return bytesIn(parts).buffer;
    case ValueKind.DATA_VIEW:
      return new DataView(bytesIn(parts).buffer);
    default:
      return readTypedArray(kind, bytesIn(parts));
  }
}

type TypedArrayClass = { new (buffer: ArrayBuffer): ArrayBufferView; readonly BYTES_PER_ELEMENT: number };

function readTypedArray(kind: unknown, bytes: Uint8Array<ArrayBuffer>): ArrayBufferView {
  const name = typeof kind === "number" ? TYPED_ARRAY_NAMES[kind - ValueKind.TYPED_ARRAY] : undefined;
  const type = name === undefined ? undefined : (globalThis as unknown as Record<string, TypedArrayClass>)[name];
  if (type === undefined) throw new TypeError(`unknown kind of value: ${String(kind)}`);
  if (bytes.length % type.BYTES_PER_ELEMENT !== 0) throw new TypeError(`${name} of ${bytes.length} bytes`);
  return new type(bytes.buffer);
}

/** Bytes that were read are a copy with a buffer of their own, which makes them aligned as well. */
function bytesIn(parts: readonly unknown[]): Uint8Array<ArrayBuffer> {
  const bytes = parts[1];
  if (!(bytes instanceof Uint8Array) || parts.length !== 2) throw new TypeError("bytes are missing");
  return bytes as Uint8Array<ArrayBuffer>;
}

// ── Registration ─────────────────────────────────────────────────────────────────────────────────────────────────────

const specialValues = {
  // Not a class, but all that instanceof asks of one.
  Class: { [Symbol.hasInstance]: (): boolean => packing > 0 } as unknown as () => void,
  type: Extension.VALUE,
  pack: packSpecial as unknown as (value: unknown) => Uint8Array,
  read: readSpecial,
};

const mapTag = {
  type: Extension.MAP,
  get read(): (map: unknown) => unknown {
    readMap = true;
    return (map) => {
      if (map instanceof Map) return map;
      throw new TypeError("a tagged map is no Map");
    };
  },
};

addExtension(specialValues);
addExtension(mapTag);
