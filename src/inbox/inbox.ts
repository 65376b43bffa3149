/**
 * An Inbox (or mailbox, or outbound ring): a ring, a ready bit, and a spill queue behind it. Steps 3 to 5 and 7.
 *
 * Who may touch what, when:
 *  1. The producer writes records into the ring, and while the ring is full into its private spill queue; nothing
 *     overtakes the spill, so order is kept. `flush` publishes (TAIL), marks the ready bit and rings on its edge.
 *  2. A single consumer takes without a lock.
 *  3. Consumers of a shared Inbox take under a try-lock that names loop and epoch and is held just to take one record:
 *     lock; load HEAD and TAIL; copy; entry TAKING; HEAD; entry TAKEN; if that emptied the ring, clear the ready bit,
 *     read TAIL again, restore the bit if it moved; unlock. No user code runs in between.
 *  4. After its HEAD store a consumer that finds WANT set, and room enough, rings the producer.
 */

import { compareExchange, load, store } from "./atomics.js";
import type { InFlightTable } from "./in-flight-table.js";
import { RING_LOCK } from "./layout.js";
import type { GroupBell, LoopBell } from "./parking.js";
import type { ReadySet, SharedReadySet } from "./ready-set.js";
import { type OutgoingRecord, type PayloadWriter, recordUnits, type TakenRecord } from "./record.js";
import { EMPTY, inlineRecordBytesMax, NO_ROOM, RingConsumer, RingProducer } from "./ring.js";
import type { Segment } from "./segment.js";
import type { SpillBudget } from "./spill-queue.js";
import { SpillQueue } from "./spill-queue.js";

/** What is pressed when a ring has news, or room again. */
export interface Bell {
  press(): void;
}

/** A ready bit and who is rung when it is set. */
export class Doorbell implements Bell {
  readonly #set: ReadySet;
  readonly #member: number;
  readonly #bell: LoopBell | GroupBell;

  constructor(set: ReadySet, member: number, bell: LoopBell | GroupBell) {
    this.#set = set;
    this.#member = member;
    this.#bell = bell;
  }

  press(): void {
    if (this.#set.mark(this.#member)) this.#bell.ring();
  }
}

/** What became of a posted record. */
export const PostResult = {
  /** In the ring. */
  ACCEPTED: 0,
  /** In the spill queue: accepted, but the ring is full. */
  SPILLED: 1,
  /** Refused: nothing was kept. */
  FULL: 2,
} as const;
export type PostResult = (typeof PostResult)[keyof typeof PostResult];

/** What a post may do when the ring has no room. */
export const Overflow = {
  /** `send`: refuse. */
  REFUSE: 0,
  /** `ask`: wait in the spill queue, within its bounds. */
  SPILL: 1,
  /** Control records: wait in the spill queue whatever it holds; their number is bounded by what they control. */
  FORCE: 2,
} as const;
export type Overflow = (typeof Overflow)[keyof typeof Overflow];

/** What counts as room for `hasRoom`: a record of half a kilobyte. */
const ROOM_UNITS = 64;

/** Where a ring lies. */
export interface RingPlace {
  readonly segment: Segment;
  readonly base: number;
  readonly capacityBytes: number;
}

/** The producer's side: loop 0 of an Inbox or mailbox, a worker of its outbound ring. */
export class InboxProducer {
  readonly #segment: Segment;
  readonly #ring: RingProducer;
  readonly #doorbell: Bell;
  readonly #writer: PayloadWriter;
  readonly #spill: SpillQueue;
  /** Payloads above this go by ticket. */
  readonly inlinePayloadBytesMax: number;
  /** Owned by whoever batches flushes. */
  flushQueued = false;
  /** Nobody may take yet: whatever is posted waits in the spill queue, within its bounds, until this ends and `refill`. */
  held = false;

  constructor(
    place: RingPlace,
    doorbell: Bell,
    writer: PayloadWriter,
    budget: SpillBudget,
    rewindOffsetBytes?: number,
  ) {
    this.#segment = place.segment;
    this.#ring = new RingProducer(place.segment.words, place.base, place.capacityBytes, rewindOffsetBytes);
    this.#doorbell = doorbell;
    this.#writer = writer;
    this.#spill = new SpillQueue(budget);
    this.inlinePayloadBytesMax = inlineRecordBytesMax(place.capacityBytes) - recordUnits(0) * 8;
  }

  /** The queue of what found no room, for accounting. */
  get spill(): SpillQueue {
    return this.#spill;
  }

  /** True when a post would have to wait or be refused. */
  get congested(): boolean {
    return this.#spill.count > 0;
  }

  /** Units ever written to the ring: grows for ever. */
  get unitsWritten(): number {
    return this.#ring.total;
  }

  /** True if the consumer has read everything that was in the ring when `unitsWritten` was this. */
  hasRead(unitsWritten: number): boolean {
    return this.#ring.hasPassed(unitsWritten);
  }

  /** Units committed and not yet flushed. */
  get unflushedUnits(): number {
    return this.#ring.uncommittedUnits;
  }

  /** Writes a record into the ring, or what `overflow` says. What was written is seen by consumers after `flush`. */
  post(record: OutgoingRecord, overflow: Overflow): PostResult {
    if (this.#spill.count === 0 && !this.held) {
      if (this.writeToRing(record)) return PostResult.ACCEPTED;
      // The consumer must hear of what fills the ring, or it would never make room.
      this.flush();
      if (this.#ring.wantRoom(recordUnits(record.length)) && this.writeToRing(record)) return PostResult.ACCEPTED;
    }
    if (overflow === Overflow.REFUSE && !this.held) return PostResult.FULL;
    return this.#spill.push(record, overflow === Overflow.FORCE) ? PostResult.SPILLED : PostResult.FULL;
  }

  /** True if a small record would be taken now. If not, the consumer rings when there is room again. */
  hasRoom(): boolean {
    if (this.held) return true;
    if (this.#spill.count > 0) return false;
    this.flush();
    return this.#ring.hasRoom(ROOM_UNITS);
  }

  /** Publishes and rings. */
  flush(): void {
    if (this.#ring.publish()) this.#doorbell.press();
  }

  /** Rung for room: moves the spill into the ring as far as it goes. True when nothing is left in it. */
  refill(): boolean {
    if (this.held) return false;
    for (let record = this.#spill.peek(); record !== null; record = this.#spill.peek()) {
      if (!this.writeToRing(record)) {
        this.flush();
        if (!this.#ring.wantRoom(recordUnits(record.length)) || !this.writeToRing(record)) return false;
      }
      this.#spill.shift();
    }
    this.flush();
    return true;
  }

  writeToRing(record: OutgoingRecord): boolean {
    const index = this.#ring.claim(recordUnits(record.length));
    if (index === NO_ROOM) return false;
    this.#writer.write(this.#segment, index, record);
    this.#ring.commit();
    return true;
  }
}

/**
 * The single consumer's side of a mailbox or an outbound ring. Most of their records need no in-flight entry and are
 * read at once; one that starts a handler (a broadcast or an event to replicas) is peeked at and then claimed.
 */
export class RecordReader {
  readonly #segment: Segment;
  readonly #ring: RingConsumer;
  readonly #room: Bell;
  /** Index of the record last peeked at. */
  #peeked = EMPTY;

  /** @param room rings the producer when it waits for room. */
  constructor(place: RingPlace, room: Bell) {
    this.#segment = place.segment;
    this.#ring = new RingConsumer(place.segment.words, place.base, place.capacityBytes);
    this.#room = room;
  }

  /** Copies the next record and gives it back; false when there is none. */
  read(record: TakenRecord): boolean {
    if (!this.peek(record)) return false;
    this.release();
    return true;
  }

  /** Copies the next record; false when there is none. It stays in the ring until `release` or `claim`. */
  peek(record: TakenRecord): boolean {
    const index = this.#ring.peek();
    if (index === EMPTY) return false;
    this.#peeked = index;
    record.position = this.#ring.position;
    record.entry = -1;
    record.copyFrom(this.#segment, index);
    return true;
  }

  /** Gives back the record that was peeked at: its bytes are the producer's again. */
  release(): void {
    this.#ring.release(this.#peeked);
    if (this.#ring.takeWant()) this.#room.press();
  }

  /**
   * Takes the record that was peeked at, as from an Inbox: with an in-flight entry, which is judged against this
   * ring's HEAD. Such a record names its endpoint where others name their ask; nobody waits for it, and entry and
   * `record` say so from here on.
   * @returns the endpoint's id, or -1 when no entry is free: then the record is still in the ring.
   */
  claim(record: TakenRecord, entries: InFlightTable, startedAt: number): number {
    const entry = entries.claim();
    if (entry === -1) return -1;
    const endpoint = record.askSlot;
    record.entry = entry;
    record.askSlot = -1;
    entries.publishTaking(entry, endpoint, record, startedAt);
    this.#ring.release(this.#peeked);
    entries.publishTaken(entry, endpoint);
    if (this.#ring.takeWant()) this.#room.press();
    return endpoint;
  }
}

/** What a take found. */
export const TakeResult = {
  TAKEN: 0,
  EMPTY: 1,
  /** Another loop is taking. Go on to the next Inbox, and do not park while the ready bit is set. */
  BUSY: 2,
  /** No in-flight entry is free. */
  SATURATED: 3,
} as const;
export type TakeResult = (typeof TakeResult)[keyof typeof TakeResult];

/** A loop's side of an Inbox. */
export interface InboxConsumer {
  readonly endpoint: number;
  /** Takes one message into `record`, with a published in-flight entry. */
  take(record: TakenRecord, entries: InFlightTable, startedAt: number): TakeResult;
}

/** The only consumer of an Inbox (rule 2). Its ready bit was collected before; `EMPTY` means that it may be settled. */
export class PinnedInboxConsumer implements InboxConsumer {
  readonly endpoint: number;
  readonly #segment: Segment;
  readonly #ring: RingConsumer;
  readonly #room: Bell;

  constructor(endpoint: number, place: RingPlace, room: Bell) {
    this.endpoint = endpoint;
    this.#segment = place.segment;
    this.#ring = new RingConsumer(place.segment.words, place.base, place.capacityBytes);
    this.#room = room;
  }

  take(record: TakenRecord, entries: InFlightTable, startedAt: number): TakeResult {
    const index = this.#ring.peek();
    if (index === EMPTY) return TakeResult.EMPTY;
    const entry = entries.claim();
    if (entry === -1) return TakeResult.SATURATED;
    record.entry = entry;
    record.position = this.#ring.position;
    record.copyFrom(this.#segment, index);
    entries.publishTaking(entry, this.endpoint, record, startedAt);
    this.#ring.release(index);
    entries.publishTaken(entry, this.endpoint);
    if (this.#ring.takeWant()) this.#room.press();
    return TakeResult.TAKEN;
  }
}

/** One of several consumers of an Inbox (rule 3). */
export class SharedInboxConsumer implements InboxConsumer {
  readonly endpoint: number;
  readonly #segment: Segment;
  readonly #words: Int32Array;
  readonly #lock: number;
  readonly #owner: number;
  readonly #ring: RingConsumer;
  readonly #room: Bell;
  readonly #ready: SharedReadySet;

  /** @param owner lock word of this loop: `lockOwner(loop, epoch)`. */
  constructor(endpoint: number, place: RingPlace, owner: number, room: Bell, ready: SharedReadySet) {
    this.endpoint = endpoint;
    this.#segment = place.segment;
    this.#words = place.segment.words;
    this.#lock = place.base + RING_LOCK;
    this.#owner = owner;
    this.#ring = new RingConsumer(place.segment.words, place.base, place.capacityBytes);
    this.#room = room;
    this.#ready = ready;
  }

  take(record: TakenRecord, entries: InFlightTable, startedAt: number): TakeResult {
    const entry = entries.claim();
    if (entry === -1) return TakeResult.SATURATED;
    if (load(this.#words, this.#lock) !== 0 || compareExchange(this.#words, this.#lock, 0, this.#owner) !== 0) {
      entries.putBack(entry);
      return TakeResult.BUSY;
    }
    this.#ring.refresh();
    const index = this.#ring.peek();
    if (index === EMPTY) {
      this.unmarkIfEmpty();
      store(this.#words, this.#lock, 0);
      entries.putBack(entry);
      return TakeResult.EMPTY;
    }
    record.entry = entry;
    record.position = this.#ring.position;
    record.copyFrom(this.#segment, index);
    entries.publishTaking(entry, this.endpoint, record, startedAt);
    this.#ring.release(index);
    entries.publishTaken(entry, this.endpoint);
    if (this.#ring.drained) this.unmarkIfEmpty();
    const wanted = this.#ring.takeWant();
    store(this.#words, this.#lock, 0);
    if (wanted) this.#room.press();
    return TakeResult.TAKEN;
  }

  /** Clear, look again, restore. Who takes next, or looks before it parks, sees the restored bit. */
  unmarkIfEmpty(): void {
    this.#ready.unmark(this.endpoint);
    if (!this.#ring.isEmpty()) this.#ready.mark(this.endpoint);
  }
}

/** The word that a take lock holds. Never 0, since loop ids of message loops start at 1. */
export function lockOwner(loop: number, epoch: number): number {
  return loop | (epoch << 8);
}

/** Loop 0, after a loop's thread has exited: frees a take lock that it held. True if it did. */
export function releaseDeadLock(words: Int32Array, ringBase: number, owner: number): boolean {
  return compareExchange(words, ringBase + RING_LOCK, owner, 0) === owner;
}
