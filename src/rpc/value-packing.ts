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
import { Shape, shapeOf, TYPED_ARRAY_NAMES, typedArrayKind, ValueKind } from "./value-kinds.js";

/** Thrown through msgpackr by a value that cannot travel; the slow walk finds out which. */
export class Unencodable extends Error {}

type Room = { readonly target: Uint8Array; readonly targetView: DataView; readonly position: number };
type Allocate = (byteLength: number) => Room;
type PackInner = (value: unknown) => void;

/** How many of our packers are packing: one, or more while a getter in a message sends a message. */
let packing = 0;
/** The map that is read next was written as a Map. */
let readMap = false;

/** Packed in place of a value to have its tag written. */
const MAP_TAG = new (class MapTag {})();
/** Packed once by every packer, to learn the function with which it packs what is inside a value. */
const PROBE = new (class Probe {})();
let probed: PackInner | null = null;

/** A packer and unpacker that knows our extensions. */
export class ValuePackr extends Packr {
  #packInner: PackInner = () => {};

  constructor() {
    super({ useRecords: false, copyBuffers: true, useToJSON: false, useBigIntExtension: true });
    this.packValue(PROBE, 0);
    if (probed === null) throw new Unencodable("msgpackr did not ask our extension");
    this.#packInner = probed;
  }

  /** As `pack`. Whatever it throws, the packer can be used again. */
  packValue(value: unknown, mode: number): Uint8Array {
    packing++;
    try {
      return this.pack(value, mode);
    } finally {
      packing--;
    }
  }

  /** As `unpack`: what is read is from bytes that `checkPayload` found good. */
  unpackValue(source: Uint8Array, length: number): unknown {
    readMap = false;
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

function packSpecial(value: object, allocate: Allocate, packInner: PackInner): void {
  if (value === MAP_TAG) return tag(allocate(3), Extension.MAP);
  if (value === PROBE) {
    allocate(0);
    probed = packInner;
    return;
  }
  switch (shapeOf(value)) {
    case Shape.FIELDS: {
      const keys = Object.keys(value);
      header(allocate, 0xde, keys.length);
      for (const key of keys) {
        packInner(key);
        packInner((value as Record<string, unknown>)[key]);
      }
      return;
    }
    case Shape.ARRAY: {
      const items = value as readonly unknown[];
      const count = items.length;
      header(allocate, 0xdc, count);
      for (let index = 0; index < count; index++) packInner(items[index]);
      return;
    }
    case Shape.MAP: {
      const entries = [...(value as Map<unknown, unknown>)];
      tag(allocate(3), Extension.MAP);
      return packLater(packInner, 0xde, entries.length, entries.flat(1));
    }
    case Shape.SET:
      return packArray(allocate, packInner, ValueKind.SET, [...(value as Set<unknown>)]);
    case Shape.DATE:
      return packArray(allocate, packInner, ValueKind.DATE, [Date.prototype.getTime.call(value)]);
    case Shape.ERROR: {
      const parts = beginError(value as Error);
      packArray(allocate, packInner, ValueKind.ERROR, parts);
      return endError();
    }
    case Shape.BYTES:
      return packBytes(allocate, 0, value as Uint8Array);
    case Shape.ARRAY_BUFFER:
      return packBytes(allocate, ValueKind.ARRAY_BUFFER, new Uint8Array(value as ArrayBuffer));
    case Shape.DATA_VIEW:
      return packBytes(allocate, ValueKind.DATA_VIEW, bytesOf(value as ArrayBufferView));
    case Shape.TYPED_ARRAY:
      return packBytes(allocate, typedArrayKind(value as ArrayBufferView), bytesOf(value as ArrayBufferView));
    default:
      throw new Unencodable();
  }
}
