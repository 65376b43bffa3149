/**
 * Everything one message loop takes from: its mailbox, the Inboxes pinned to it and the Inboxes it shares with other
 * loops. Decides what may be served next and when the loop may sleep. Step 5 of the data flow; one thread only.
 */
import { and, load, or } from "./atomics.js";
import { LOOP_STOP, RING_OPEN } from "./layout.js";
import type { Parker, Parking } from "./parking.js";
import type { CollectedReadySet, SharedReadySet } from "./ready-set.js";

/** Member of every loop's own ready set that stands for its mailbox; endpoint ids start at 1. */
export const MAILBOX_MEMBER = 0;

interface OpenSet {
  readonly words: Int32Array;
  readonly open: number;
}

export interface LoopQueuesOptions {
  readonly loop: number;
  readonly controlWords: Int32Array;
  readonly control: number;
  readonly own: CollectedReadySet;
  readonly shared: SharedReadySet;
  readonly parking: Parking;
  readonly parker: Parker;
}

export class LoopQueues {
  readonly own: CollectedReadySet;
  readonly shared: SharedReadySet;
  readonly #controlWords: Int32Array;
  readonly #control: number;
  readonly #parking: Parking;
  readonly #parker: Parker;
  readonly #loopWord: number;
  readonly #loopBit: number;
  /** This loop takes nothing from shared Inboxes now: none has its OPEN bit. */
  #closed = false;
  /** OPEN sets of the shared Inboxes that this loop serves, by endpoint. */
  readonly #openSets = new Map<number, OpenSet>();
  /** No loop above serves one of them. */
  #siblingMax = 0;

  constructor(options: LoopQueuesOptions) {
    this.own = options.own;
    this.shared = options.shared;
    this.#controlWords = options.controlWords;
    this.#control = options.control;
    this.#parking = options.parking;
    this.#parker = options.parker;
    this.#loopWord = options.loop >> 5;
    this.#loopBit = 1 << (options.loop & 31);
    this.own.include(MAILBOX_MEMBER);
  }

  /** Serves a shared Inbox from now on, with loops up to `loopMax`. `ringBase` lies in `words`. */
  joinShared(endpoint: number, words: Int32Array, ringBase: number, loopMax: number): void {
    this.#siblingMax = Math.max(this.#siblingMax, loopMax);
    this.#openSets.set(endpoint, { words, open: ringBase + RING_OPEN });
    this.shared.include(endpoint);
    or(words, ringBase + RING_OPEN + this.#loopWord, this.#loopBit);
  }

  leaveShared(endpoint: number): void {
    this.saturate(endpoint);
    this.#openSets.delete(endpoint);
  }

  /** This loop's replica can take no more: bells for its Inbox go to others. */
  saturate(endpoint: number): void {
    const set = this.#openSets.get(endpoint);
    if (set === undefined) return;
    this.shared.mask(endpoint);
    and(set.words, set.open + this.#loopWord, ~this.#loopBit);
  }

  /** There is room again. The caller looks at the Inbox before it parks. */
  reopen(endpoint: number): void {
    const set = this.#openSets.get(endpoint);
    if (set === undefined) return;
    this.shared.unmask(endpoint);
    or(set.words, set.open + this.#loopWord, this.#loopBit);
  }

  /**
   * Before a handler runs, and before this loop parks beside something it cannot serve: wakes one loop that can serve
   * what waits. Without it a bell is eaten by a loop that serves its own endpoint first.
   */
  ringSibling(): void {
    let endpoint = this.shared.nextMarkedFrom(0);
    // Asked before each message: only the words that hold siblings are loaded.
    if (endpoint === -1 || !this.#parking.anyParked(this.#siblingMax)) return;
    while (endpoint !== -1) {
      const set = this.#openSets.get(endpoint);
      if (set !== undefined && this.#parking.unparkOne(set.words, set.open)) return;
      endpoint = this.shared.nextMarkedFrom(endpoint + 1);
    }
  }

  /** True if there is something that this loop can do now. Looks at shared memory. */
  hasWork(): boolean {
    this.own.collect();
    return this.own.hasPending() || this.sharedWaits() || this.stopRequested();
  }

  /** True if a shared Inbox waits that this loop can serve. */
  sharedWaits(): boolean {
    return this.shared.nextFrom(0, this.shared.memberCount) !== -1;
  }

  /** Looks `iterations` times whether something has come, without giving up the processor. */
  spin(iterations: number): boolean {
    const shares = this.#openSets.size > 0;
    if (shares) this.#parker.beginSpin();
    let found = false;
    for (let i = 0; i < iterations && !found; i++) found = this.own.anyMarked() || this.sharedWaits();
    if (shares) this.#parker.endSpin();
    return found;
  }

  stopRequested(): boolean {
    return load(this.#controlWords, this.#control + LOOP_STOP) !== 0;
  }

  /** Announces sleep and looks once more. True: the loop may go back to its event loop until it is rung. */
  park(): boolean {
    this.shared.tidy();
    this.#parker.announce();
    if (this.hasWork()) {
      this.#parker.retract();
      return false;
    }
    this.ringSibling();
    return true;
  }

  /**
   * The same for a loop that may take no message now: only its mailbox can change that, or a handler of its own. Bells
   * for shared Inboxes go to others meanwhile.
   */
  parkForMailbox(): boolean {
    this.closeShared();
    this.#parker.announce();
    this.own.collect();
    if (this.own.isPending(MAILBOX_MEMBER) || this.stopRequested()) {
      this.#parker.retract();
      return false;
    }
    this.ringSibling();
    return true;
  }

  closeShared(): void {
    this.#closed = true;
    for (const set of this.#openSets.values()) and(set.words, set.open + this.#loopWord, ~this.#loopBit);
  }

  openShared(): void {
    this.#closed = false;
    for (const [endpoint, set] of this.#openSets) {
      if (!this.shared.isMasked(endpoint)) or(set.words, set.open + this.#loopWord, this.#loopBit);
    }
  }

  /** The loop runs again, whatever woke it. */
  unpark(): void {
    this.#parker.retract();
    if (this.#closed) this.openShared();
  }
}
