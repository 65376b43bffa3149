/**
 * Segments: the few large SharedArrayBuffers from which every shared region is carved.
 *
 * Large buffers are fresh pages that the kernel commits when they are first touched; many small buffers come from the
 * heap and are committed whole. A segment is used from both ends: the data of rings lies at its end, everything else,
 * their headers too, at its start. So an endpoint that was never used costs its header, and no page of its own.
 *
 *   | header | counters | header | counters | …  →        ←  … |     data     |     data     |
 *
 * Only loop 0 allocates and frees. The other loops map a segment when the first endpoint in it is attached to them.
 */
import { assert } from "../common/assert.js";
import { SEGMENT_BYTES } from "../common/limits.js";
import { LINE_WORDS, RING_DATA, RING_HEADER_WORDS } from "./layout.js";

/** A segment as one thread sees it: views of the same memory, made once, so that nobody needs one of his own. */
export interface Segment {
  readonly index: number;
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** For copies of whole units: V8 copies shared memory byte by byte unless both sides are 8-aligned. */
  readonly longs: BigInt64Array;
  /** For counters: doubles, because 2^31 messages pass within hours. */
  readonly doubles: Float64Array;
}

/** A place in a segment: `word` is an index of its words. Plain data, so that it can be posted. */
export interface Place {
  readonly segment: number;
  readonly word: number;
}

/** Where a region begins, and its length. */
export interface Region extends Place {
  readonly byteLength: number;
}

/** Where the header of a ring begins, and its size. */
export interface RingRegion extends Place {
  readonly capacityBytes: number;
}

/** What another thread needs to map a segment. */
export interface SegmentHandle {
  readonly index: number;
  readonly buffer: SharedArrayBuffer;
}

export function mapSegment(handle: SegmentHandle): Segment {
  const { index, buffer } = handle;
  return {
    index,
    buffer,
    words: new Int32Array(buffer),
    bytes: new Uint8Array(buffer),
    longs: new BigInt64Array(buffer),
    doubles: new Float64Array(buffer),
  };
}

/** Where the counters of one endpoint on one loop (layout.ts) begin in the doubles of their segment. */
export function countersAt({ word }: Place): number {
  return word / 2;
}

const REGION_ALIGNMENT_BYTES = LINE_WORDS * 4;

export class SegmentAllocator {
  readonly #segments: Segment[] = [];
  readonly #segmentBytes: number;
  /** The bytes of the newest segment between `#begin` and `#end` are nobody's yet. */
  #begin = 0;
  #end = 0;
  /** Regions given back, by length; a region is never split or joined, since the lengths in use are few. */
  readonly #free = new Map<number, Region[]>();
  /** Rings given back, by capacity: a header keeps its data. */
  readonly #freeRings = new Map<number, RingRegion[]>();

  constructor(segmentBytes: number = SEGMENT_BYTES) {
    this.#segmentBytes = segmentBytes;
  }

  segment(index: number): Segment {
    const segment = this.#segments[index];
    assert(segment !== undefined, `no segment ${index}`);
    return segment;
  }

  /** A region of at least `byteLength` bytes on a line of its own. Its words may hold old values: initialise them. */
  allocate(byteLength: number): Region {
    const rounded = roundUp(byteLength);
    const reused = this.#free.get(rounded)?.pop();
    if (reused !== undefined) return reused;
    if (this.#begin + rounded > this.#end) this.#addSegment(rounded);
    const region = { segment: this.#segments.length - 1, word: this.#begin / 4, byteLength: rounded };
    this.#begin += rounded;
    return region;
  }

  /** A header that knows its data, of at least `dataBytes`. Its other words may hold old values. */
  allocateRing(capacityBytes: number, dataBytes: number): RingRegion {
    const reused = this.#freeRings.get(capacityBytes)?.pop();
    if (reused !== undefined) return reused;
    const headerBytes = RING_HEADER_WORDS * 4;
    const rounded = roundUp(dataBytes);
    if (this.#begin + headerBytes + rounded > this.#end) this.#addSegment(headerBytes + rounded);
    const ring = { segment: this.#segments.length - 1, word: this.#begin / 4, capacityBytes };
    this.#begin += headerBytes;
    this.#end -= rounded;
    this.segment(ring.segment).words[ring.word + RING_DATA] = this.#end / 4;
    return ring;
  }

  /** Gives a region back once no thread can touch it any more. */
  release(region: Region): void {
    keep(this.#free, region.byteLength, region);
  }

  /** The same of a ring. */
  releaseRing(ring: RingRegion): void {
    keep(this.#freeRings, ring.capacityBytes, ring);
  }

  #addSegment(byteLengthMin: number): void {
    const buffer = new SharedArrayBuffer(Math.max(this.#segmentBytes, byteLengthMin));
    this.#segments.push(mapSegment({ index: this.#segments.length, buffer }));
    this.#begin = 0;
    this.#end = buffer.byteLength;
  }
}

function roundUp(byteLength: number): number {
  return Math.ceil(byteLength / REGION_ALIGNMENT_BYTES) * REGION_ALIGNMENT_BYTES;
}

function keep<T>(free: Map<number, T[]>, size: number, region: T): void {
  const list = free.get(size);
  if (list === undefined) free.set(size, [region]);
  else list.push(region);
}
