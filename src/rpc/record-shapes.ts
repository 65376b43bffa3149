/**
 * Record shapes: lists of keys that the threads of one process share, so that a plain object with these keys travels as
 * the number of its shape and its values. Writing keys and reading them back is most of what a small object costs.
 *
 * A shape is suggested once it was met a few times; who owns the list (one thread) decides and appends. Until then, and
 * for every object whose shape is not in the list, keys travel with the object. A number means the same for ever, and a
 * payload that holds one is decoded where the list can be read: never on the wire.
 *
 * Objects used as dictionaries must neither fill the list nor cost much: only one miss in eight is looked at, what is
 * counted is forgotten when there is too much of it, and then one miss in 16 is looked at, and so on.
 */
import { RECORD_SHAPE_KEYS_MAX, RECORD_SHAPES_MAX } from "../common/limits.js";

/** The shared list, as one thread sees it. */
export interface ShapeList {
  /** How many shapes are in it. Cheap: it is looked at for every record that is read. */
  count(): number;
  /** The keys of the shapes that were appended since the last call, in order. */
  readNext(): readonly (readonly string[])[];
  /** This thread has met objects with these keys often. */
  suggest(keys: readonly string[]): void;
}

/** What msgpackr wants to know of a shape, and keeps with it. */
export type RecordStructure = string[] & { isShared?: boolean; highByte?: number };

/** A node of the tree of shapes, one key below another. Most have one key below them. */
class ShapeNode {
  key = "";
  only: ShapeNode | null = null;
  others: Map<string, ShapeNode> | null = null;
  /** Number of the shape that ends here, or -1. */
  id = -1;

  next(key: string): ShapeNode | null {
    if (this.key === key) return this.only;
    return this.others === null ? null : (this.others.get(key) ?? null);
  }

  add(key: string): ShapeNode {
    const known = this.next(key);
    if (known !== null) return known;
    const node = new ShapeNode();
    if (this.only === null) {
      this.key = key;
      this.only = node;
    } else {
      this.others ??= new Map();
      this.others.set(key, node);
    }
    return node;
  }
}

/** At first one miss in so many is looked at. */
const LOOKED_AT = 8;
/** Where hardly a shape is met twice, ever fewer are, down to one in so many. */
const LOOKED_AT_MAX = 1_024;
/** A shape that was looked at so often is suggested: after 32 objects, more or less. */
const SUGGESTED_AT = 4;
const CANDIDATES_MAX = 256;
/** UTF-16 units of all keys together. */
const KEYS_LENGTH_MAX = 512;
const hasOwn = Object.prototype.hasOwnProperty;

export class RecordShapes {
  /** By number; msgpackr reads from it. */
  readonly structures: RecordStructure[] & { sharedLength?: number } = [];
  readonly #list: ShapeList;
  readonly #root = new ShapeNode();
  readonly #candidates = new Map<string, number>();
  #misses = 0;
  #lookedAt = LOOKED_AT;

  constructor(list: ShapeList) {
    this.#list = list;
    this.refresh();
  }

  /** Learns what was appended since the last look. */
  refresh(): void {
    const { structures } = this;
    if (this.#list.count() === structures.length) return;
    for (const keys of this.#list.readNext()) {
      const id = structures.length;
      const structure: RecordStructure = [...keys];
      structure.isShared = true;
      if (id >= ONE_BYTE_SHAPES) structure.highByte = (id - ONE_BYTE_SHAPES) >> 5;
      structures.push(structure);
      let node = this.#root;
      for (const key of keys) node = node.add(key);
      node.id = id;
    }
    structures.sharedLength = structures.length;
  }

  /** Number of the shape of a plain object, or -1. */
  find(value: object): number {
    let node = this.#root;
    for (const key in value) {
      if (!hasOwn.call(value, key)) continue;
      const next = node.key === key ? node.only : node.next(key);
      if (next === null) {
        this.#missed(value);
        return -1;
      }
      node = next;
    }
    if (node.id === -1 && node !== this.#root) this.#missed(value);
    return node.id;
  }

  /** For whoever owns the list: true for keys that would be a shape of their own. */
  isNew(keys: unknown): keys is readonly string[] {
    if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string") || !isShape(keys)) return false;
    this.refresh();
    let node: ShapeNode | null = this.#root;
    for (const key of keys) {
      node = node.next(key);
      if (node === null) return true;
    }
    return node.id === -1;
  }

  #missed(value: object): void {
    if (++this.#misses < this.#lookedAt) return;
    this.#misses = 0;
    this.refresh();
    if (this.structures.length >= RECORD_SHAPES_MAX) return;
    const keys = Object.keys(value);
    if (!isShape(keys)) return;
    const name = JSON.stringify(keys);
    const count = (this.#candidates.get(name) ?? 0) + 1;
    if (count === SUGGESTED_AT) this.#list.suggest(keys);
    if (this.#candidates.size >= CANDIDATES_MAX) {
      this.#candidates.clear();
      this.#lookedAt = Math.min(this.#lookedAt * 2, LOOKED_AT_MAX);
    }
    this.#candidates.set(name, count);
  }
}

/** Numbers below it are one byte, above it two. */
export const ONE_BYTE_SHAPES = 32;

/** True for keys that may be a shape: few, short, and neither indices nor what a reader must not assign. */
function isShape(keys: readonly string[]): boolean {
  if (keys.length === 0 || keys.length > RECORD_SHAPE_KEYS_MAX) return false;
  let length = 0;
  for (const key of keys) {
    length += key.length;
    if (length > KEYS_LENGTH_MAX || key === "__proto__" || /^\d/.test(key) || !key.isWellFormed()) return false;
  }
  return true;
}
