/**
 * The in-flight table of a loop: what it has taken and not yet answered, readable by loop 0 at any time, also when the
 * loop is stuck or dead. Step 5 of the data flow.
 *
 * Who may touch what, when:
 *  1. A taker fills a free entry and publishes it as TAKING, then stores HEAD, then stores TAKEN.
 *  2. An entry is void only while it is TAKING and HEAD still equals its position (and, of a shared Inbox, its loop
 *     holds the take lock): that message is still in the Inbox. Every other entry of a dead loop was taken. TAKEN is
 *     needed because positions come round: after 2^31 units HEAD alone could not tell.
 *  3. An entry is freed only after the TAIL store that published its reply.
 *  4. Before a one-way message is counted as handled, its entry gets the value that the counter will have: mark, count,
 *     free. Recovery then knows that a taken message was handled, and whether the counter knows it already.
 *  5. The entry of a record taken from a mailbox holds a position in that mailbox, and is judged against its HEAD.
 */
import { load, store } from "./atomics.js";
import {
  ENTRY_ASK_GENERATION,
  ENTRY_ASK_SLOT,
  ENTRY_COUNT,
  ENTRY_KIND,
  ENTRY_POSITION,
  ENTRY_SENDER,
  ENTRY_STARTED_AT,
  ENTRY_STATE,
  ENTRY_STATE_BITS,
  ENTRY_STATE_MASK,
  ENTRY_WORDS,
  EntryState,
  RING_HEAD,
  RING_LOCK,
  TABLE_COUNT,
  TABLE_ENTRIES,
} from "./layout.js";
import { metaFlags, metaKind, packMeta, type TakenRecord, TICKET_FLAGS } from "./record.js";

/** The loop's own side. */
export class InFlightTable {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #capacity: number;
  /** Last freed, first reused: few entries stay in the cache, and the scan of loop 0 stays short. */
  readonly #free: number[] = [];
  #entryCount = 0;

  constructor(words: Int32Array, base: number, capacity: number) {
    this.#words = words;
    this.#base = base;
    this.#capacity = capacity;
  }

  /** Entries in use. */
  get count(): number {
    return this.#entryCount - this.#free.length;
  }

  /** Index of a free entry, or -1. Private until `publishTaking`. */
  claim(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#entryCount === this.#capacity) return -1;
    const entry = this.#entryCount++;
    store(this.#words, this.#base + TABLE_COUNT, this.#entryCount);
    return entry;
  }

  /** Rule 1, before the HEAD store. */
  publishTaking(entry: number, endpoint: number, record: TakenRecord, startedAt: number): void {
    const index = this.#base + TABLE_ENTRIES + entry * ENTRY_WORDS;
    const words = this.#words;
    words[index + ENTRY_POSITION] = record.position;
    words[index + ENTRY_ASK_SLOT] = record.askSlot;
    words[index + ENTRY_ASK_GENERATION] = record.askGeneration;
    words[index + ENTRY_STARTED_AT] = startedAt;
    words[index + ENTRY_COUNT] = 0;
    words[index + ENTRY_KIND] = packMeta(record.kind, 0, record.flags);
    words[index + ENTRY_SENDER] = record.sender;
    store(words, index + ENTRY_STATE, (endpoint << ENTRY_STATE_BITS) | EntryState.TAKING);
  }

  /** Rule 1, after the HEAD store. */
  publishTaken(entry: number, endpoint: number): void {
    store(
      this.#words,
      this.#base + TABLE_ENTRIES + entry * ENTRY_WORDS + ENTRY_STATE,
      (endpoint << ENTRY_STATE_BITS) | EntryState.TAKEN,
    );
  }

  /**
   * Rule 4, before the endpoint's counter of handled one-way messages becomes `value`. A plain write: it is read after
   * the loop's thread has exited, and a thread dies between two of its writes, never with the later one alone done.
   * @param value 1 or more; kept modulo 2^32.
   */
  markCounted(entry: number, value: number): void {
    this.#words[this.#base + TABLE_ENTRIES + entry * ENTRY_WORDS + ENTRY_COUNT] = value;
  }

  /** Gives back an entry that was claimed and never published. */
  putBack(entry: number): void {
    this.#free.push(entry);
  }

  /** Rule 3. */
  free(entry: number): void {
    store(this.#words, this.#base + TABLE_ENTRIES + entry * ENTRY_WORDS + ENTRY_STATE, EntryState.FREE);
    this.#free.push(entry);
  }
}

/** An entry as loop 0 sees it. */
export interface InFlightEntry {
  readonly index: number;
  readonly state: number;
  readonly endpoint: number;
  readonly position: number;
  readonly askSlot: number;
  readonly askGeneration: number;
  readonly startedAt: number;
  /** Of a one-way message: the value of its endpoint's counter once it is counted as handled, or 0 before that. */
  readonly count: number;
  readonly kind: number;
  /** Of a message whose body travels by ticket: that ticket; else null. */
  readonly ticket: number | null;
}

/**
 * Loop 0's look at a table: all entries that are not free.
 * @param asks Generations of asks by slot: only their entries. Thousands of others are then passed by, not made objects of.
 */
export function readInFlightEntries(
  words: Int32Array,
  base: number,
  asks?: ReadonlyMap<number, number>,
): InFlightEntry[] {
  const entries: InFlightEntry[] = [];
  const count = load(words, base + TABLE_COUNT);
  for (let index = 0; index < count; index++) {
    const at = base + TABLE_ENTRIES + index * ENTRY_WORDS;
    const word = load(words, at + ENTRY_STATE);
    const state = word & ENTRY_STATE_MASK;
    if (state === EntryState.FREE) continue;
    const askGeneration = words[at + ENTRY_ASK_GENERATION] as number;
    if (asks !== undefined && asks.get(words[at + ENTRY_ASK_SLOT] as number) !== askGeneration) continue;
    const meta = words[at + ENTRY_KIND] as number;
    entries.push({
      index,
      state,
      endpoint: word >>> ENTRY_STATE_BITS,
      position: words[at + ENTRY_POSITION] as number,
      askSlot: words[at + ENTRY_ASK_SLOT] as number,
      askGeneration,
      startedAt: words[at + ENTRY_STARTED_AT] as number,
      count: words[at + ENTRY_COUNT] as number,
      kind: metaKind(meta),
      ticket: (metaFlags(meta) & TICKET_FLAGS) === 0 ? null : (words[at + ENTRY_SENDER] as number),
    });
  }
  return entries;
}

/**
 * Rule 2, after the loop's thread has exited: true if the entry's message is still in its ring at `ringBase`: its Inbox,
 * or of a record that came by mailbox (rule 5) the dead loop's mailbox.
 * @param lockOwnerOfLoop of a shared Inbox the dead loop's lock word; null where the loop is the only consumer.
 */
export function isVoidEntry(
  entry: InFlightEntry,
  words: Int32Array,
  ringBase: number,
  lockOwnerOfLoop: number | null,
): boolean {
  if (entry.state !== EntryState.TAKING) return false;
  if (load(words, ringBase + RING_HEAD) !== entry.position) return false;
  return lockOwnerOfLoop === null || load(words, ringBase + RING_LOCK) === lockOwnerOfLoop;
}
