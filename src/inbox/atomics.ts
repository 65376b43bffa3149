/**
 * The atomics seam: every access to shared memory that the protocol relies on for order goes through these functions.
 *
 * The product binds them to `Atomics`; the explorer (test/explore) replaces this file by a double that yields to its
 * scheduler before each access, and so runs the shipped files of this folder under every interleaving. JavaScript's
 * atomics are sequentially consistent, and all other accesses to shared memory are ordered by them, so exploring
 * interleavings of these calls is enough (SC-DRF, ECMA-262 §29).
 */

export function load(words: Int32Array, index: number): number {
  return Atomics.load(words, index);
}

export function store(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value);
}

/** The four below return the old value. */
export function exchange(words: Int32Array, index: number, value: number): number {
  return Atomics.exchange(words, index, value);
}

export function compareExchange(words: Int32Array, index: number, expected: number, replacement: number): number {
  return Atomics.compareExchange(words, index, expected, replacement);
}

export function or(words: Int32Array, index: number, mask: number): number {
  return Atomics.or(words, index, mask);
}

export function and(words: Int32Array, index: number, mask: number): number {
  return Atomics.and(words, index, mask);
}

/** Wakes one waiter. Takes a process-wide lock even when nobody waits: call it only after winning the right to. */
export function notify(words: Int32Array, index: number): void {
  Atomics.notify(words, index, 1);
}

interface AsyncWait {
  waitAsync(words: Int32Array, index: number, value: number): { async: boolean; value: Promise<unknown> | string };
}

/**
 * Arms a waiter on a word that is always 0: only the notify matters, never the value.
 * No timeout, because a timer of an already notified wait is not removed; and it cannot be cancelled, so at most one
 * may be outstanding per thread. It does not keep the thread's event loop alive.
 */
export function waitAsync(words: Int32Array, index: number): Promise<unknown> {
  // Node 20 has Atomics.waitAsync; TypeScript's ES2023 library does not name it.
  const wait = (Atomics as unknown as AsyncWait).waitAsync(words, index, 0);
  return wait.value as Promise<unknown>;
}
