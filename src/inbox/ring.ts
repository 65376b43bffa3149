/**
 * The ring: one producer writes records, whoever may consume reads them. Steps 3, 4, 5 and 7 of the data flow.
 *
 * Who may touch what, when (layout.ts draws the words):
 *  1. TAIL is stored by the producer only, after it wrote the record plainly; that store publishes the bytes and pairs
 *     with the consumer's load of TAIL.
 *  2. HEAD is stored by the consumer only (of a shared ring: by the holder of its take lock), after it copied the
 *     record; that store gives the bytes back and pairs with the producer's load of HEAD.
 *  3. Bytes in [HEAD, TAIL) never change.
 *  4. Rewind on empty: a producer that finds its ring empty, far from the start, writes a PAD that covers the rest of
 *     the lap, then its record at the start, and publishes both with one TAIL store. A quiet ring so keeps using the
 *     same two pages. PAD is nobody's message, and the only padding there is. A ring that ran out of room behind a PAD
 *     rewinds twice as far from the start from then on.
 *  5. Room again: a producer without room stores WANT, then loads HEAD once more, and only then gives up. A consumer
 *     loads WANT after each HEAD store. One of the two sees the other.
 *
 * Expected failures are result codes: NO_ROOM, EMPTY. Sources: Agrona's OneToOneRingBuffer for claim and commit; the
 * slack instead of padding is ours, because the published bugs of ring buffers are nearly all in the wrap.
 */
import { assert } from "../common/assert.js";
import { INLINE_FRACTION_DIVISOR, REWIND_OFFSET_BYTES } from "../common/limits.js";
import { load, store } from "./atomics.js";
import {
  LOOP_SET_WORDS,
  RECORD_ENQUEUED_AT,
  RECORD_HEADER_BYTES,
  RECORD_META,
  RECORD_PAYLOAD_BYTES,
  RING_DATA,
  RING_HEAD,
  RING_LOCK,
  RING_OPEN,
  RING_TAIL,
  RING_WANT,
  UNIT_BYTES,
  UNIT_WORDS,
} from "./layout.js";
import { metaFlags, PAD_META, RecordFlag, recordUnits } from "./record.js";

/** No room for the record now. */
export const NO_ROOM = -1;
/** Nothing to take now. */
export const EMPTY = -1;

/** Largest record, header included, that a ring of this capacity takes inline. */
export function inlineRecordBytesMax(capacityBytes: number): number {
  return Math.max(capacityBytes / INLINE_FRACTION_DIVISOR, RECORD_HEADER_BYTES);
}

/** Bytes of a ring's data: its capacity, and slack for the largest inline record. */
export function ringDataBytes(capacityBytes: number): number {
  return capacityBytes + inlineRecordBytesMax(capacityBytes) + RECORD_HEADER_BYTES;
}

/** Prepares a fresh or re-used header before any other thread knows it; plain stores are enough. DATA stands already. */
export function initialiseRing(words: Int32Array, base: number, position = 0): void {
  words[base + RING_TAIL] = position;
  words[base + RING_HEAD] = position;
  words[base + RING_WANT] = 0;
  words[base + RING_LOCK] = 0;
  words.fill(0, base + RING_OPEN, base + RING_OPEN + LOOP_SET_WORDS);
}

/**
 * When the oldest record of a ring was enqueued (env clock, µs, wrapped), or null when there is none. For statistics: a
 * consumer may take it meanwhile, and then another record's time is read.
 */
export function oldestEnqueuedAt(words: Int32Array, base: number, capacityBytes: number): number | null {
  const head = load(words, base + RING_HEAD);
  if (head === load(words, base + RING_TAIL)) return null;
  const data = words[base + RING_DATA] as number;
  const index = data + (head & (capacityBytes / UNIT_BYTES - 1)) * UNIT_WORDS;
  const isPad = (metaFlags(words[index + RECORD_META] as number) & RecordFlag.PAD) !== 0;
  return words[(isPad ? data : index) + RECORD_ENQUEUED_AT] as number;
}

function checkCapacity(capacityBytes: number): number {
  const units = capacityBytes / UNIT_BYTES;
  assert(Number.isInteger(units) && units > 0 && (units & (units - 1)) === 0, "ring capacity is a power of two");
  return units;
}

/** The producer's side. One instance per ring. */
export class RingProducer {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #data: number;
  readonly #capacity: number;
  /** The ring is rewound beyond this offset. Never more than half of it, so that each lap ends where it is empty. */
  #rewindUnits: number;
  /** It was rewound, and has not run out of room since. */
  #rewound = false;
  /** Where the next record goes; ahead of the TAIL word by what is not yet published. */
  #tail: number;
  #published: number;
  /** HEAD as last seen: old values only make the ring look fuller than it is. */
  #head: number;
  #claimed = 0;
  #total = 0;

  constructor(words: Int32Array, base: number, capacityBytes: number, rewindOffsetBytes: number = REWIND_OFFSET_BYTES) {
    this.#words = words;
    this.#base = base;
    this.#data = words[base + RING_DATA] as number;
    this.#capacity = checkCapacity(capacityBytes);
    this.#rewindUnits = rewindOffsetBytes / UNIT_BYTES;
    // The region was initialised by this thread, or its last producer ended before this one was made.
    this.#tail = words[base + RING_TAIL] as number;
    this.#published = this.#tail;
    this.#head = words[base + RING_HEAD] as number;
  }

  /**
   * Finds room for a record of `units` and returns the index of its first word, or NO_ROOM.
   * What was claimed is written at once and committed; nothing runs in between.
   */
  claim(units: number): number {
    if (this.#tail === this.#published && (this.#tail & (this.#capacity - 1)) > this.#rewindUnits)
      this.rewindIfEmpty(units);
    if (((this.#tail + units - this.#head) | 0) > this.#capacity) {
      this.#head = load(this.#words, this.#base + RING_HEAD);
      if (((this.#tail + units - this.#head) | 0) > this.#capacity) return NO_ROOM;
    }
    this.#claimed = units;
    return this.#data + (this.#tail & (this.#capacity - 1)) * UNIT_WORDS;
  }

  /** The claimed record is written. It is published with the next `publish`. */
  commit(): void {
    this.#tail = (this.#tail + this.#claimed) | 0;
    this.#total += this.#claimed;
    this.#claimed = 0;
  }

  /** Publishes what was committed: one TAIL store. True if there was anything. */
  publish(): boolean {
    if (this.#tail === this.#published) return false;
    this.#published = this.#tail;
    store(this.#words, this.#base + RING_TAIL, this.#tail);
    return true;
  }

  /** Rule 5: asks to be rung when there is room again. True if there is room already. */
  wantRoom(units: number): boolean {
    if (this.#rewound) this.rewindLess();
    store(this.#words, this.#base + RING_WANT, 1);
    this.#head = load(this.#words, this.#base + RING_HEAD);
    return ((this.#tail + units - this.#head) | 0) <= this.#capacity;
  }

  /** A fresh look whether a record of `units` would fit. Asks to be rung if not. */
  hasRoom(units: number): boolean {
    if (((this.#tail + units - this.#head) | 0) <= this.#capacity) return true;
    return this.wantRoom(units);
  }

  /** Units ever committed, PADs included: a position that never comes round. */
  get total(): number {
    return this.#total;
  }

  /** A fresh look whether the consumer has given back everything that was committed when `total` was this. */
  hasPassed(total: number): boolean {
    this.#head = load(this.#words, this.#base + RING_HEAD);
    return this.#total - ((this.#tail - this.#head) | 0) >= total;
  }

  /** Units in use as last seen, without a look at shared memory. */
  get usedUnits(): number {
    return (this.#tail - this.#head) | 0;
  }

  get uncommittedUnits(): number {
    return (this.#tail - this.#published) | 0;
  }

  invariants(): void {
    const used = (this.#tail - this.#head) | 0;
    assert(used >= 0 && used <= this.#capacity, `ring holds ${used} of ${this.#capacity} units`);
  }

  /** Rule 4. */
  rewindIfEmpty(units: number): void {
    this.#head = load(this.#words, this.#base + RING_HEAD);
    if (this.#head !== this.#tail) return;
    const offset = this.#tail & (this.#capacity - 1);
    const pad = this.#capacity - offset;
    if (pad + units > this.#capacity) return;
    const index = this.#data + offset * UNIT_WORDS;
    this.#words[index + RECORD_PAYLOAD_BYTES] = Math.max(0, pad * UNIT_BYTES - RECORD_HEADER_BYTES);
    this.#words[index + RECORD_META] = PAD_META;
    this.#tail = (this.#tail + pad) | 0;
    this.#total += pad;
    this.#rewound = true;
  }

  /** Until its PAD has been read, a ring has room for no more than lies before it: too little for bursts like this one. */
  rewindLess(): void {
    this.#rewound = false;
    this.#rewindUnits = Math.max(this.#rewindUnits, Math.min(this.#rewindUnits * 2, this.#capacity / 2));
  }
}

/**
 * The consumer's side. The only consumer of a ring keeps one; consumers of a shared ring each keep one and call
 * `refresh` under the take lock before anything else.
 */
export class RingConsumer {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #data: number;
  readonly #capacity: number;
  #head: number;
  /** TAIL as last seen. Sound only for the single consumer: see `refresh`. */
  #tail: number;

  constructor(words: Int32Array, base: number, capacityBytes: number) {
    this.#words = words;
    this.#base = base;
    this.#data = words[base + RING_DATA] as number;
    this.#capacity = checkCapacity(capacityBytes);
    this.#head = words[base + RING_HEAD] as number;
    this.#tail = this.#head;
  }

  /** Position of the record that `peek` found. */
  get position(): number {
    return this.#head;
  }

  /**
   * Under the take lock: reads both words anew. Positions pass through all of int32 within a minute of light traffic,
   * so a copy kept by a consumer that slept meanwhile means nothing.
   */
  refresh(): void {
    this.#head = load(this.#words, this.#base + RING_HEAD);
    this.#tail = load(this.#words, this.#base + RING_TAIL);
  }

  /** Index of the next record's first word, or EMPTY. Steps over a PAD, which is nobody's message. */
  peek(): number {
    for (;;) {
      if (this.#head === this.#tail) {
        this.#tail = load(this.#words, this.#base + RING_TAIL);
        if (this.#head === this.#tail) return EMPTY;
      }
      const offset = this.#head & (this.#capacity - 1);
      const index = this.#data + offset * UNIT_WORDS;
      if ((metaFlags(this.#words[index + RECORD_META] as number) & RecordFlag.PAD) === 0) return index;
      this.#head = (this.#head + this.#capacity - offset) | 0;
      store(this.#words, this.#base + RING_HEAD, this.#head);
    }
  }

  /** Gives back the record at `index`: one HEAD store. The caller has copied it. */
  release(index: number): void {
    this.#head = (this.#head + recordUnits(this.#words[index + RECORD_PAYLOAD_BYTES] as number)) | 0;
    store(this.#words, this.#base + RING_HEAD, this.#head);
  }

  /** True when nothing more was published as of the last look at TAIL. */
  get drained(): boolean {
    return this.#head === this.#tail;
  }

  /** A fresh look at TAIL. */
  isEmpty(): boolean {
    this.#tail = load(this.#words, this.#base + RING_TAIL);
    return this.#head === this.#tail;
  }

  /** Rule 5, after `release`: true if the producer waits for room, there is enough, and it is ours to ring it. */
  takeWant(): boolean {
    if (load(this.#words, this.#base + RING_WANT) === 0) return false;
    const used = (load(this.#words, this.#base + RING_TAIL) - this.#head) | 0;
    if (used > this.#capacity - (this.#capacity >> 2)) return false;
    store(this.#words, this.#base + RING_WANT, 0);
    return true;
  }
}
