/**
 * Time, timers and chance, in one place so that a simulation can replace all three.
 *
 * The env clock counts milliseconds since its env was created. It is taken from the machine's monotonic clock through
 * `process.hrtime`, which all threads of a process share; `performance.now()` alone would not do, because every thread
 * counts from its own start. Wall-clock jumps have no effect.
 */

import { performance } from "node:perf_hooks";

// Imported and not taken from the global object, where a getter stands in its place: it costs a fifth of a reading.

/** A timer handle that can be moved on without being made anew. */
export interface Timer {
  refresh(): unknown;
  ref(): unknown;
  unref(): unknown;
}

export interface Clock {
  /** Milliseconds since the env was created, fractional, never going back. */
  now(): number;
  setTimeout(callback: () => void, delayMs: number): Timer;
  clearTimeout(timer: Timer): void;
  /** Runs `callback` after the events now waiting in this thread's event loop. */
  setImmediate(callback: () => void): void;
  /** Uniform in [0, 1). */
  random(): number;
}

/** Milliseconds of the machine's monotonic clock: the same value on every thread of the process. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

const OFFSET_READINGS = 5;

/**
 * What this thread's `performance.now()` is behind `monotonicMs()`. Of several pairs of readings the closest: a thread that
 * loses its core between the two would be early or late for ever, and disagree with others on every deadline.
 */
function monotonicOffsetMs(): number {
  let closestMs = Number.POSITIVE_INFINITY;
  let offsetMs = 0;
  for (let reading = 0; reading < OFFSET_READINGS; reading++) {
    const beforeMs = performance.now();
    const atMs = monotonicMs();
    const takenMs = performance.now() - beforeMs;
    if (takenMs >= closestMs) continue;
    closestMs = takenMs;
    offsetMs = atMs - beforeMs - takenMs / 2;
  }
  return offsetMs;
}

/**
 * The real clock of one thread.
 * @param originMs `monotonicMs()` at the creation of the env, the same for all its threads.
 */
export function systemClock(originMs: number): Clock {
  // One subtraction per reading instead of an array: hrtime allocates, performance.now does not.
  const offsetMs = monotonicOffsetMs() - originMs;
  return {
    now: () => performance.now() + offsetMs,
    setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
    clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
    setImmediate: (callback) => {
      setImmediate(callback);
    },
    random: Math.random,
  };
}
