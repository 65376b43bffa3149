/** How long to wait before something that failed is tried again: doubled while it goes on failing. */
import type { Clock, Timer } from "../common/clock.js";
import type { CrashSettings } from "./engine-settings.js";

export class BackOff {
  readonly #settings: CrashSettings;
  /** Env clock: when it was, or is to be, tried again. */
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #delayMs = 0;

  constructor(settings: CrashSettings) {
    this.#settings = settings;
  }

  /** It has failed at `nowMs` of the env clock. Returns the milliseconds until the next attempt. */
  failed(nowMs: number): number {
    const { waitMs, waitMsMax, windowMs } = this.#settings;
    const again = nowMs - this.#triedAtMs <= windowMs;
    this.#delayMs = Math.min(again ? this.#delayMs * 2 : waitMs, waitMsMax);
    this.#triedAtMs = nowMs + this.#delayMs;
    return this.#delayMs;
  }
}

/** Failures blamed on one endpoint: too many of them within the window, and it is FAILED. */
export class CrashBudget {
  readonly settings: CrashSettings;
  #timesMs: number[] = [];

  constructor(settings: CrashSettings) {
    this.settings = settings;
  }

  /** One more at `nowMs` of the env clock. True when the budget is spent. */
  spend(nowMs: number): boolean {
    const { blamedMax, windowMs } = this.settings;
    this.#timesMs = this.#timesMs.filter((timeMs) => nowMs - timeMs <= windowMs);
    this.#timesMs.push(nowMs);
    return this.#timesMs.length >= blamedMax;
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
