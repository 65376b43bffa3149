/**
 * TurnYield: when a connection with bulk to write goes on after its turn.
 *
 * `setImmediate` lets this thread's loop look at everybody else, but the thread never sleeps. Where every core is busy, a
 * message loop it has woken may then wait until the scheduler's slice is over (Linux: 3 ms), and so does the ask it was
 * woken for. Mostly it gets a core at once, and then nothing is to be done: the next wake is seen soon. So only where the
 * last one is some time ago, and not long, turns go on by way of libuv's thread pool: until that job is back this thread
 * sleeps, and its core is free. Going that way after each wake costs an ask half of its median, always a tenth of the rate.
 * A wake is as old as the turn that notices it.
 *
 *     HERE ──next: woken a while ago──▶ AWAY ──back──▶ RESTING ──POOL_RESTS times what it waited──▶ HERE
 *                                       AWAY ──POOL_TRIP_MS──▶ LATE ──back──▶ RESTING or HERE
 *     next while HERE otherwise, LATE or RESTING ──▶ setImmediate
 *
 * The pool may be busy with somebody's work, where a trip takes more than POOL_TRIP_FREE_MS. For that we wait a fifth of our time
 * at the most, POOL_TRIP_MS at a time, with one job a connection in its queue.
 */
import { randomFill } from "node:crypto";
import type { Clock, Timer } from "../common/clock.js";
import { POOL_RESTS, POOL_TRIP_FREE_MS, POOL_TRIP_MS, WOKEN_FORGOTTEN_MS, WOKEN_SERVED_MS } from "../common/limits.js";
import { wokenThreads } from "../common/woken-threads.js";

/** What the job is about: the shortest one that touches neither a file nor the network. */
const ONE_BYTE = new Uint8Array(1);

export class TurnYield {
  readonly #clock: Clock;
  readonly #nextTurn: () => void;
  #wokenSeen = wokenThreads();
  #wokenAtMs = Number.NEGATIVE_INFINITY;
  /** The job is in the pool: AWAY or LATE. */
  #isOut = false;
  /** Set while AWAY. */
  #timer: Timer | null = null;
  #awayAtMs = 0;
  #restsUntilMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, nextTurn: () => void) {
    this.#clock = clock;
    this.#nextTurn = nextTurn;
  }

  /** Calls `nextTurn` once, later. Not to be called again before that. */
  next(): void {
    const nowMs = this.#clock.now();
    if (!this.#mayKeepOneWaiting(nowMs) || this.#isOut || nowMs < this.#restsUntilMs) {
      this.#clock.setImmediate(this.#nextTurn);
      return;
    }
    this.#isOut = true;
    this.#awayAtMs = nowMs;
    this.#timer = this.#clock.setTimeout(this.#goOn, POOL_TRIP_MS);
    randomFill(ONE_BYTE, this.#back);
  }

  readonly #back = (): void => {
    this.#isOut = false;
    if (this.#timer === null) return;
    this.#clock.clearTimeout(this.#timer);
    this.#goOn();
  };

  readonly #goOn = (): void => {
    this.#timer = null;
    const nowMs = this.#clock.now();
    const waitedMs = nowMs - this.#awayAtMs - POOL_TRIP_FREE_MS;
    this.#restsUntilMs = nowMs + POOL_RESTS * Math.max(0, waitedMs);
    this.#nextTurn();
  };

  #mayKeepOneWaiting(nowMs: number): boolean {
    const woken = wokenThreads();
    if (woken !== this.#wokenSeen) {
      this.#wokenSeen = woken;
      this.#wokenAtMs = nowMs;
    }
    const sinceMs = nowMs - this.#wokenAtMs;
    return sinceMs >= WOKEN_SERVED_MS && sinceMs < WOKEN_FORGOTTEN_MS;
  }
}
