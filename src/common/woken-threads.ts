/** The threads this thread has woken: whoever is about to keep a core busy can tell whether one of them may be waiting for it. */

let count = 0;

export function countWokenThread(): void {
  count++;
}

/** How often this thread has woken another one. Only differences mean anything. */
export function wokenThreads(): number {
  return count;
}
