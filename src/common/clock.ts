/**
 * Time, timers and chance, in one place so that a simulation can replace all three.
 *
 * The env clock counts milliseconds since its env was created. It is taken from the machine's monotonic clock through
 * `process.hrtime`, which all threads of a process share; `performance.now()` would not do, because every thread counts
 * from its own start. Wall-clock jumps have no effect.
 */

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

// Taken from `process` once, because the global is a getter. `performance.now()` would cost a fifth more.
const { hrtime } = process;

/** Milliseconds of the machine's monotonic clock: the same value on every thread of the process. */
export function monotonicMs(): number {
  const time = hrtime();
  return time[0] * 1_000 + time[1] / 1_000_000;
}

/**
 * The real clock of one thread.
 * @param originMs `monotonicMs()` at the creation of the env, the same for all its threads.
 */
export function systemClock(originMs: number): Clock {
  return {
    now: () => monotonicMs() - originMs,
    setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
    clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
    setImmediate: (callback) => {
      setImmediate(callback);
    },
    random: Math.random,
  };
}
