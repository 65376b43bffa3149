/**
 * How a loop sleeps and is woken. The only file that waits.
 *
 * Who may touch what, when:
 *  1. A loop that has nothing to do arms its waiter (one `waitAsync` on its BELL, no timeout, never armed twice), then
 *     sets its PARKED bit, then looks once more at everything that could be its to do, and only then sleeps.
 *     Armed first, because a bell between bit and waiter would be lost.
 *  2. Who has published something for a loop whose PARKED bit is set clears that bit; the one whose clearing changed
 *     it, and nobody else, notifies the BELL. Pairs with rule 1: of {publish; load PARKED} and {set PARKED; look
 *     again} one sees the other.
 *  3. A loop that wakes for any other reason (a timer, a promise, its control port) clears its own bit first: a stale
 *     bit would draw a bell meant for a loop that is free.
 *  4. A loop that spins over shared Inboxes says so by its SPIN bit. Who publishes for one of them rings nobody while a
 *     loop spins that is open for it: a bell costs more than the message. The spinner clears its bit before it looks for
 *     the last time (rule 1), and whoever takes rings on for what is left.
 *  5. A bell is a hint. Who is rung looks for himself, and finding nothing is no error.
 *
 * No loop sits in `Atomics.wait`: it would be deaf to timers, sockets, its control port, stdout and the inspector.
 */
import { countWokenThread } from "../common/woken-threads.js";
import { and, load, notify, or, waitAsync } from "./atomics.js";
import { ENV_BELL, ENV_PARKED, ENV_SPIN, LINE_WORDS, LOOP_SET_WORDS } from "./layout.js";

/** Words of the env region, for `loopCountMax` loops, loop 0 included. */
export function envRegionWords(loopCountMax: number): number {
  return ENV_BELL + loopCountMax * LINE_WORDS;
}

/** Wakes loops. Any thread. */
export class Parking {
  readonly #words: Int32Array;
  readonly #parked: number;
  readonly #spinning: number;
  readonly #bells: number;
  /** Words of the PARKED set that have loops in them; bounds every scan. */
  readonly #setWords: number;

  constructor(words: Int32Array, envRegion: number, loopCountMax: number) {
    this.#words = words;
    this.#parked = envRegion + ENV_PARKED;
    this.#spinning = envRegion + ENV_SPIN;
    this.#bells = envRegion + ENV_BELL;
    this.#setWords = Math.min(LOOP_SET_WORDS, Math.ceil(loopCountMax / 32));
  }

  /** Rule 2 for one loop. True if this call rang it. */
  unpark(loop: number): boolean {
    const word = this.#parked + (loop >> 5);
    const bit = 1 << (loop & 31);
    if ((load(this.#words, word) & bit) === 0) return false;
    if ((and(this.#words, word, ~bit) & bit) === 0) return false;
    notify(this.#words, this.#bells + loop * LINE_WORDS);
    countWokenThread();
    return true;
  }

  /** Rules 2 and 4 for one loop out of an OPEN set. True if this call rang one, or one spins. */
  unparkOne(openWords: Int32Array, open: number): boolean {
    if (this.anySpinning(openWords, open)) return true;
    return this.ringOne(openWords, open);
  }

  /** True if a loop of an OPEN set spins. */
  anySpinning(openWords: Int32Array, open: number): boolean {
    for (let i = 0; i < this.#setWords; i++) {
      const spinning = load(this.#words, this.#spinning + i);
      if (spinning !== 0 && (spinning & load(openWords, open + i)) !== 0) return true;
    }
    return false;
  }

  /** Rule 2 alone: a spinner that should have looked by now may have lost its core. True if this call rang one. */
  ringOne(openWords: Int32Array, open: number): boolean {
    for (let i = 0; i < this.#setWords; i++) {
      let candidates = load(this.#words, this.#parked + i);
      if (candidates === 0) continue;
      candidates &= load(openWords, open + i);
      while (candidates !== 0) {
        const bit = candidates & -candidates;
        candidates &= ~bit;
        if ((and(this.#words, this.#parked + i, ~bit) & bit) !== 0) {
          notify(this.#words, this.#bells + ((i << 5) + 31 - Math.clz32(bit)) * LINE_WORDS);
          countWokenThread();
          return true;
        }
      }
    }
    return false;
  }

  /** True if one of the loops 1 to `loopMax`, or of the few others in its word of the set, sleeps. */
  anyParked(loopMax: number): boolean {
    for (let i = 0; i <= loopMax >> 5; i++) {
      const parked = load(this.#words, this.#parked + i);
      if ((i === 0 ? parked & ~1 : parked) !== 0) return true;
    }
    return false;
  }

  isParked(loop: number): boolean {
    return (load(this.#words, this.#parked + (loop >> 5)) & (1 << (loop & 31))) !== 0;
  }

  /** After a crash: its killer may have died between clearing a bit and the notify, so every bell is rung. */
  notifyUnconditionally(loop: number): void {
    and(this.#words, this.#parked + (loop >> 5), ~(1 << (loop & 31)));
    and(this.#words, this.#spinning + (loop >> 5), ~(1 << (loop & 31)));
    notify(this.#words, this.#bells + loop * LINE_WORDS);
  }
}

/** One loop's own side of its PARKED bit. */
export class Parker {
  readonly #words: Int32Array;
  readonly #parked: number;
  readonly #spinning: number;
  readonly #bit: number;
  readonly #bell: number;
  readonly #onBell: () => void;
  #armed = false;
  #announced = false;

  /** @param onBell runs in a microtask when this loop was rung. */
  constructor(words: Int32Array, envRegion: number, loop: number, onBell: () => void) {
    this.#words = words;
    this.#parked = envRegion + ENV_PARKED + (loop >> 5);
    this.#spinning = envRegion + ENV_SPIN + (loop >> 5);
    this.#bit = 1 << (loop & 31);
    this.#bell = envRegion + ENV_BELL + loop * LINE_WORDS;
    this.#onBell = onBell;
  }

  /** Rule 1 up to the bit. The caller then looks once more, and calls `retract` if there is something to do. */
  announce(): void {
    if (!this.#armed) {
      this.#armed = true;
      this.arm(waitAsync(this.#words, this.#bell));
    }
    this.#announced = true;
    or(this.#words, this.#parked, this.#bit);
  }

  /** Rule 3. Safe to call at any time. */
  retract(): void {
    if (!this.#announced) return;
    this.#announced = false;
    and(this.#words, this.#parked, ~this.#bit);
  }

  get announced(): boolean {
    return this.#announced;
  }

  /** Rule 4. */
  beginSpin(): void {
    or(this.#words, this.#spinning, this.#bit);
  }

  endSpin(): void {
    and(this.#words, this.#spinning, ~this.#bit);
  }

  arm(rung: Promise<unknown>): void {
    rung.then(() => {
      this.#armed = false;
      this.#onBell();
    });
  }
}

/** Rings the one loop that serves a ring. */
export class LoopBell {
  readonly #parking: Parking;
  readonly #loop: number;

  constructor(parking: Parking, loop: number) {
    this.#parking = parking;
    this.#loop = loop;
  }

  ring(): void {
    this.#parking.unpark(this.#loop);
  }
}

/** Rings one of the loops that serve a shared Inbox, if one sleeps. */
export class GroupBell {
  readonly #parking: Parking;
  readonly #words: Int32Array;
  readonly #open: number;
  readonly #onRing: () => void;

  /** @param onRing told of each bell, so that loop 0 can look again whether it was heard. */
  constructor(parking: Parking, words: Int32Array, open: number, onRing: () => void) {
    this.#parking = parking;
    this.#words = words;
    this.#open = open;
    this.#onRing = onRing;
  }

  ring(): void {
    if (this.#parking.unparkOne(this.#words, this.#open)) this.#onRing();
  }
}
