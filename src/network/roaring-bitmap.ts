/**
 * A set of unsigned 32-bit integers in Roaring's portable format: how push-based shuffle says which map outputs a merged chunk
 * holds. No more than that needs: built from its values, written, read, asked and listed.
 *
 * Values with the same upper 16 bits, the key, share a container, which stays in its serialized form (little-endian):
 *
 * kind   | bytes                | holds
 * -------|----------------------|---------------------------------------------------------
 * ARRAY  | 2 × cardinality      | up to 4,096 values, ascending
 * BITMAP | 8,192                | a bit for each value; more than 4,096 are set
 * RUNS   | 2 + 4 × runs         | count, then first value and length - 1 of each, ascending
 *
 * Before the containers: a cookie (12346, or 12347 with the number of containers - 1 above it if there are RUNS), the number
 * of containers in the first case, a bit for each container that holds RUNS in the second; then key and cardinality - 1
 * of each; then the offset of each, left out if there are RUNS and fewer than 4 containers.
 */
import { assert } from "../common/assert.js";
import { protocolError } from "./frame-errors.js";
import type { WireReader } from "./wire-reader.js";
import type { WireWriter } from "./wire-writer.js";

const COOKIE_WITHOUT_RUNS = 12_346;
const COOKIE_WITH_RUNS = 12_347;
const ARRAY_CARDINALITY_MAX = 4_096;
const BITMAP_BYTES = 8_192;
const CONTAINERS_MAX = 65_536;
const OFFSETS_CONTAINERS_MIN = 4;

/** The least that a bitmap takes: an empty one. */
export const ROARING_BITMAP_BYTES_MIN = 8;

const Kind = { ARRAY: 0, BITMAP: 1, RUNS: 2 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];

interface Container {
  readonly key: number;
  readonly kind: Kind;
  readonly cardinality: number;
  readonly bytes: Uint8Array;
}

export class RoaringBitmap implements Iterable<number> {
  readonly #containers: readonly Container[];

  private constructor(containers: readonly Container[]) {
    this.#containers = containers;
  }

  /** @param values Integers from 0 to 2^32 - 1, in any order. */
  static of(values: Iterable<number>): RoaringBitmap {
    const lows = new Map<number, number[]>();
    for (const value of [...new Set(values)].sort((one, other) => one - other)) {
      assert(value >>> 0 === value, "a bitmap holds unsigned 32-bit integers");
      const key = value >>> 16;
      const of = lows.get(key);
      if (of === undefined) lows.set(key, [value & 0xffff]);
      else of.push(value & 0xffff);
    }
    return new RoaringBitmap([...lows].map(([key, of]) => smallestContainer(key, of)));
  }

  /**
   * Reads one, which ends where its last container ends. Containers are views of what is read.
   *
   * Throws ERR_RPC_PROTOCOL for what no writer writes.
   */
  static read(reader: WireReader, field: string): RoaringBitmap {
    const u16 = (): number => {
      const [low = 0, high = 0] = reader.raw(field, 2);
      return low | (high << 8);
    };
    const cookie = u16();
    const above = u16();
    const hasRuns = cookie === COOKIE_WITH_RUNS;
    if (!hasRuns && (cookie !== COOKIE_WITHOUT_RUNS || above !== 0)) throw broken(field, `cookie ${cookie}`);
    const count = hasRuns ? above + 1 : u16() + u16() * 65_536;
    if (count > CONTAINERS_MAX || count * 4 > reader.remaining) throw broken(field, `${count} containers`);
    const runFlags = hasRuns ? reader.raw(field, (count + 7) >> 3) : new Uint8Array((count + 7) >> 3);
    const heads = reader.raw(field, count * 4);
    if (!hasRuns || count >= OFFSETS_CONTAINERS_MIN) reader.raw(field, count * 4);

    const containers: Container[] = [];
    for (let index = 0; index < count; index++) {
      const key = u16At(heads, index * 4);
      if (key <= (containers.at(-1)?.key ?? -1)) throw broken(field, `key ${key} out of order`);
      const cardinality = u16At(heads, index * 4 + 2) + 1;
      if ((((runFlags[index >> 3] as number) >> (index & 7)) & 1) === 1) {
        const runs = u16();
        const bytes = reader.raw(field, runs * 4);
        containers.push({ key, kind: Kind.RUNS, cardinality, bytes });
      } else if (cardinality > ARRAY_CARDINALITY_MAX) {
        containers.push({ key, kind: Kind.BITMAP, cardinality, bytes: reader.raw(field, BITMAP_BYTES) });
      } else {
        containers.push({ key, kind: Kind.ARRAY, cardinality, bytes: reader.raw(field, cardinality * 2) });
      }
      checkContainer(field, containers.at(-1) as Container);
    }
    return new RoaringBitmap(containers);
  }

  /** How many values it holds. */
  get cardinality(): number {
    return this.#containers.reduce((sum, container) => sum + container.cardinality, 0);
  }

  has(value: number): boolean {
    const container = this.#containers.find(({ key }) => key === value >>> 16);
    return container !== undefined && holds(container, value & 0xffff);
  }

  /** Ascending. */
  *[Symbol.iterator](): Iterator<number> {
    for (const container of this.#containers) {
      for (const low of lowsOf(container)) yield container.key * 65_536 + low;
    }
  }

  write(writer: WireWriter): void {
    const containers = this.#containers;
    const count = containers.length;
    const u16 = (value: number): void => {
      writer.i8(value);
      writer.i8(value >> 8);
    };
    const start = writer.position;
    const hasRuns = containers.some(({ kind }) => kind === Kind.RUNS);
    if (hasRuns) {
      u16(COOKIE_WITH_RUNS);
      u16(count - 1);
      const flags = new Uint8Array((count + 7) >> 3);
      for (const [index, { kind }] of containers.entries()) {
        if (kind === Kind.RUNS) flags[index >> 3] = (flags[index >> 3] as number) | (1 << (index & 7));
      }
      writer.raw(flags);
    } else {
      for (const half of [COOKIE_WITHOUT_RUNS, 0, count, count >> 16]) u16(half);
    }
    for (const { key, cardinality } of containers) {
      u16(key);
      u16(cardinality - 1);
    }
    if (!hasRuns || count >= OFFSETS_CONTAINERS_MIN) {
      let offset = writer.position - start + count * 4;
      for (const container of containers) {
        u16(offset);
        u16(offset >>> 16);
        offset += serializedBytes(container);
      }
    }
    for (const { kind, bytes } of containers) {
      if (kind === Kind.RUNS) u16(bytes.length / 4);
      writer.raw(bytes);
    }
  }
}

function serializedBytes({ kind, bytes }: Container): number {
  return bytes.length + (kind === Kind.RUNS ? 2 : 0);
}

/** As Java's runOptimize: runs only where they are shorter. */
function smallestContainer(key: number, lows: readonly number[]): Container {
  const cardinality = lows.length;
  const firsts = lows.filter((low, index) => index === 0 || low !== (lows[index - 1] as number) + 1);
  const plainBytes = cardinality > ARRAY_CARDINALITY_MAX ? BITMAP_BYTES : cardinality * 2;
  if (2 + firsts.length * 4 < plainBytes) {
    const lasts = lows.filter((low, index) => low + 1 !== lows[index + 1]);
    const pairs = firsts.flatMap((first, run) => [first, (lasts[run] as number) - first]);
    return { key, kind: Kind.RUNS, cardinality, bytes: littleEndian(pairs) };
  }
  if (cardinality <= ARRAY_CARDINALITY_MAX) return { key, kind: Kind.ARRAY, cardinality, bytes: littleEndian(lows) };
  const bytes = new Uint8Array(BITMAP_BYTES);
  for (const low of lows) bytes[low >> 3] = (bytes[low >> 3] as number) | (1 << (low & 7));
  return { key, kind: Kind.BITMAP, cardinality, bytes };
}

function littleEndian(values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value & 0xff, value >> 8]));
}

function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function holds({ kind, bytes }: Container, low: number): boolean {
  if (kind === Kind.BITMAP) return (((bytes[low >> 3] as number) >> (low & 7)) & 1) === 1;
  const step = kind === Kind.RUNS ? 4 : 2;
  let from = 0;
  let to = bytes.length / step;
  // Between them stands the first entry that begins behind `low`.
  while (from < to) {
    const middle = (from + to) >> 1;
    if (u16At(bytes, middle * step) <= low) from = middle + 1;
    else to = middle;
  }
  if (from === 0) return false;
  const at = (from - 1) * step;
  return low - u16At(bytes, at) <= (kind === Kind.RUNS ? u16At(bytes, at + 2) : 0);
}

function* lowsOf({ kind, bytes }: Container): Generator<number> {
  if (kind === Kind.ARRAY) {
    for (let at = 0; at < bytes.length; at += 2) yield u16At(bytes, at);
  } else if (kind === Kind.RUNS) {
    for (let at = 0; at < bytes.length; at += 4) {
      const first = u16At(bytes, at);
      for (let more = 0; more <= u16At(bytes, at + 2); more++) yield first + more;
    }
  } else {
    for (let low = 0; low < CONTAINERS_MAX; low++) {
      if ((((bytes[low >> 3] as number) >> (low & 7)) & 1) === 1) yield low;
    }
  }
}

/** Ascending, and as many as its head says: what `has` and the sum of the heads rely on. */
function checkContainer(field: string, { key, kind, cardinality, bytes }: Container): void {
  let last = -1;
  let count = 0;
  if (kind === Kind.BITMAP) {
    for (let byte of bytes) for (; byte !== 0; byte &= byte - 1) count++;
  } else {
    const step = kind === Kind.RUNS ? 4 : 2;
    for (let at = 0; at < bytes.length; at += step) {
      const first = u16At(bytes, at);
      const more = kind === Kind.RUNS ? u16At(bytes, at + 2) : 0;
      if (first <= last || first + more > 0xffff) throw broken(field, `value ${first} out of order`);
      last = first + more;
      count += more + 1;
    }
  }
  if (count !== cardinality)
    throw broken(field, `container ${key} holds ${count} values, its head says ${cardinality}`);
}

function broken(field: string, text: string): Error {
  return protocolError(`${field}: no Roaring bitmap: ${text}`);
}
