/**
 * The ask table: one shared word for each outstanding ask of the env, generation and state. Step 2 of the data flow.
 *
 * Who may touch what, when:
 *  1. Only loop 0 stores. WAITING is stored before the record that carries slot and generation is published.
 *  2. A taker loads the word after it published its in-flight entry. Loop 0 stores CANCELLED before it scans the
 *     in-flight tables. One of the two sees the other: a cancelled ask is dropped by its taker or found in its entry.
 *  3. A reply counts only if its generation is the slot's and the ask still waits. Loop 0 knows that privately.
 *  4. Slots are reused first-in first-out, so that a generation of 30 bits cannot come round to a message still queued.
 */
import { assert } from "../common/assert.js";
import { load, store } from "./atomics.js";

const STATE_BITS = 2;
const GENERATION_MASK = 0x3fff_ffff;

export const AskState = { FREE: 0, WAITING: 1, CANCELLED: 2 } as const;

function askWord(generation: number, state: number): number {
  return (generation << STATE_BITS) | state;
}

/** Loop 0's side: hands out slots. */
export class AskTable {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #capacity: number;
  readonly #generations: Int32Array;
  readonly #firstGeneration: number;
  /** Free slots, first-in first-out; a ring of its own that grows with `#slotCount`. */
  #free: Int32Array;
  #freeHead = 0;
  #freeCount = 0;
  /** Slots ever handed out. Grows only when none is free, so that few asks keep to few cache lines. */
  #slotCount = 0;

  /** @param firstGeneration of every slot: a table that takes the place of another begins above it. */
  constructor(words: Int32Array, base: number, capacity: number, firstGeneration = 0) {
    this.#words = words;
    this.#base = base;
    this.#capacity = capacity;
    this.#firstGeneration = firstGeneration & GENERATION_MASK;
    this.#generations = new Int32Array(capacity);
    this.#free = new Int32Array(0);
  }

  get slotCount(): number {
    return this.#slotCount;
  }

  get outstanding(): number {
    return this.#slotCount - this.#freeCount;
  }

  generation(slot: number): number {
    return this.#generations[slot] as number;
  }

  /** A slot in state WAITING with a new generation, or -1 when all are in use. */
  open(): number {
    if (this.#freeCount === 0 && !this.#grow()) return -1;
    const slot = this.#free[this.#freeHead] as number;
    // By comparison: a remainder by a length that is no constant is a division.
    this.#freeHead = this.#freeHead + 1 === this.#free.length ? 0 : this.#freeHead + 1;
    this.#freeCount--;
    const generation = ((this.#generations[slot] as number) + 1) & GENERATION_MASK;
    this.#generations[slot] = generation;
    store(this.#words, this.#base + slot, askWord(generation, AskState.WAITING));
    return slot;
  }

  /** Rule 2: the ask has ended without a reply. The slot stays in use until `close`. */
  cancel(slot: number): void {
    store(this.#words, this.#base + slot, askWord(this.#generations[slot] as number, AskState.CANCELLED));
  }

  /** The ask has ended. Its word is left as it is: the next generation tells late readers apart. */
  close(slot: number): void {
    assert(this.#freeCount < this.#slotCount, `ask slot ${slot} is closed twice`);
    const end = this.#freeHead + this.#freeCount;
    this.#free[end < this.#free.length ? end : end - this.#free.length] = slot;
    this.#freeCount++;
  }

  #grow(): boolean {
    const count = Math.min(Math.max(1_024, this.#slotCount * 2), this.#capacity);
    if (count === this.#slotCount) return false;
    this.#free = new Int32Array(count);
    for (let slot = this.#slotCount; slot < count; slot++) this.#free[slot - this.#slotCount] = slot;
    if (this.#firstGeneration !== 0) this.#generations.fill(this.#firstGeneration, this.#slotCount, count);
    this.#freeHead = 0;
    this.#freeCount = count - this.#slotCount;
    this.#slotCount = count;
    return true;
  }
}

/** A taker's side, on any loop. */
export class AskTableView {
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(words: Int32Array, base: number) {
    this.#words = words;
    this.#base = base;
  }

  /** Rule 2. One load. */
  isWaiting(slot: number, generation: number): boolean {
    return load(this.#words, this.#base + slot) === askWord(generation, AskState.WAITING);
  }
}
