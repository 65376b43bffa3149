/**
 * Handlers whose ask has ended and that run on: they have a grace to notice. After it a concurrent endpoint takes its
 * slot back, and whatever the handler still does is ignored. A serial endpoint stays suspended, because its handler may
 * yet write to its state; loop 0 is told. Step 6 of the data flow; one thread only.
 */
import type { Clock } from "../common/clock.js";
import { HANDLER_GRACE_MS } from "../common/limits.js";
import { type CallContext, ContextState } from "./call-context.js";

interface Overdue {
  readonly context: CallContext;
  readonly sinceMs: number;
}

export class OverdueHandlers {
  readonly #clock: Clock;
  readonly #onGraceOver: (context: CallContext, ageMs: number) => void;
  /** Oldest first. */
  readonly #overdue: Overdue[] = [];

  /** @param onGraceOver told of each handler that has not settled in time, with the ms since its ask ended. */
  constructor(clock: Clock, onGraceOver: (context: CallContext, ageMs: number) => void) {
    this.#clock = clock;
    this.#onGraceOver = onGraceOver;
  }

  watch(context: CallContext): void {
    this.#overdue.push({ context, sinceMs: this.#clock.now() });
    if (this.#overdue.length === 1) this.#arm(HANDLER_GRACE_MS);
  }

  #arm(delayMs: number): void {
    this.#clock.setTimeout(() => this.#sweep(), Math.max(1, delayMs)).unref();
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    for (let oldest = this.#overdue[0]; oldest !== undefined; oldest = this.#overdue[0]) {
      const { context, sinceMs } = oldest;
      const ageMs = nowMs - sinceMs;
      if (context.running && context.state !== ContextState.ENDED) {
        if (ageMs < HANDLER_GRACE_MS) {
          this.#arm(HANDLER_GRACE_MS - ageMs);
          return;
        }
        this.#onGraceOver(context, ageMs);
      }
      this.#overdue.shift();
    }
  }
}
