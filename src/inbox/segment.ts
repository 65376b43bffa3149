/**
 * Segments: the few large SharedArrayBuffers from which every shared region is carved.
 *
 * Large buffers are fresh pages that the kernel commits when they are first touched, so an endpoint that was never
 * used costs its header page only; many small buffers come from the heap and are committed whole.
 * Only loop 0 allocates and frees. The other loops map a segment when the first endpoint in it is attached to them.
 */
import { assert } from "../common/assert.js";
import { SEGMENT_BYTES } from "../common/limits.js";
import { COUNTER_COUNT, LINE_WORDS } from "./layout.js";

/** A segment as one thread sees it: three views of the same memory, made once. */
export interface Segment {
  readonly index: number;
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** For copies of whole units: V8 copies shared memory byte by byte unless both sides are 8-aligned. */
  readonly longs: BigInt64Array;
}

/** Where a region lies: `word` is the index of its first word in the segment. Plain data, so that it can be posted. */
export interface Region {
  readonly segment: number;
  readonly word: number;
  readonly byteLength: number;
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
  };
}

/** The counters of one endpoint on one loop (layout.ts). Doubles, because 2^31 messages pass within hours. */
export function counterView(segment: Segment, region: Region): Float64Array {
  return new Float64Array(segment.buffer, region.word * 4, COUNTER_COUNT);
}

const REGION_ALIGNMENT_BYTES = LINE_WORDS * 4;

export class SegmentAllocator {
  readonly #segments: Segment[] = [];
  readonly #segmentBytes: number;
  /** Bytes already carved from the newest segment. */
  #used = 0;
  /** Regions given back, by length; a region is never split or joined, since the lengths in use are few. */
  readonly #free = new Map<number, Region[]>();

  constructor(segmentBytes: number = SEGMENT_BYTES) {
    this.#segmentBytes = segmentBytes;
    this.#used = segmentBytes;
  }

  segment(index: number): Segment {
    const segment = this.#segments[index];
    assert(segment !== undefined, `no segment ${index}`);
    return segment;
  }

  /** A region of at least `byteLength` bytes on a line of its own. Its words may hold old values: initialise them. */
  allocate(byteLength: number): Region {
    const rounded = Math.ceil(byteLength / REGION_ALIGNMENT_BYTES) * REGION_ALIGNMENT_BYTES;
    const reused = this.#free.get(rounded)?.pop();
    if (reused !== undefined) return reused;
    if (this.#used + rounded > this.#segmentBytes) this.#addSegment(rounded);
    const segment = this.#segments.length - 1;
    const region = { segment, word: this.#used / 4, byteLength: rounded };
    this.#used += rounded;
    return region;
  }

  /** Gives a region back once no thread can touch it any more. */
  release(region: Region): void {
    const list = this.#free.get(region.byteLength);
    if (list === undefined) this.#free.set(region.byteLength, [region]);
    else list.push(region);
  }

  #addSegment(byteLengthMin: number): void {
    const buffer = new SharedArrayBuffer(Math.max(this.#segmentBytes, byteLengthMin));
    this.#segments.push(mapSegment({ index: this.#segments.length, buffer }));
    this.#used = 0;
  }
}
