/** How long to wait before something that failed is tried again: doubled while it goes on failing. */
import type { Clock, Timer } from "../common/clock.js";
import { CRASH_WINDOW_MS, RESTART_DELAY_MS_MAX, RESTART_DELAY_MS_MIN } from "../common/limits.js";

export class BackOff {
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #delayMs = 0;

  /** It has failed at `nowMs` of the env clock. Returns the milliseconds until the next attempt. */
  failed(nowMs: number): number {
    const again = nowMs - this.#failedAtMs <= CRASH_WINDOW_MS;
    this.#delayMs = again ? Math.min(this.#delayMs * 2, RESTART_DELAY_MS_MAX) : RESTART_DELAY_MS_MIN;
    this.#failedAtMs = nowMs;
    return this.#delayMs;
  }
}

/** Failures blamed on one endpoint: too many of them within CRASH_WINDOW_MS, and it is FAILED. */
export class CrashBudget {
  readonly #crashesMax: number;
  #timesMs: number[] = [];

  constructor(crashesMax: number) {
    this.#crashesMax = crashesMax;
  }

  /** One more at `nowMs` of the env clock. True when the budget is spent. */
  spend(nowMs: number): boolean {
    this.#timesMs = this.#timesMs.filter((timeMs) => nowMs - timeMs <= CRASH_WINDOW_MS);
    this.#timesMs.push(nowMs);
    return this.#timesMs.length >= this.#crashesMax;
  }
}

/** A promise that resolves after `delayMs`, and keeps the process alive until then, or until `cancel`. */
export function delay(clock: Clock, delayMs: number): { promise: Promise<void>; cancel: () => void } {
  let timer: Timer;
  const promise = new Promise<void>((resolve) => {
    timer = clock.setTimeout(resolve, delayMs);
  });
  return { promise, cancel: () => clock.clearTimeout(timer) };
}
