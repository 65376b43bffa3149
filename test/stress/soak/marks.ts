/**
 * What handlers say of the one-way messages they ran, in shared memory: it survives every kind of crash, and passes
 * nothing of the package under test. Each message has an id; its handler marks when it begins and when it ends.
 */
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

const KEY = "ringpost.soak.marks";
/** Ids of one round. */
export const IDS_MAX = 4_000_000;

let words: Uint8Array | null = null;

function marks(): Uint8Array {
  words ??= getEnvironmentData(KEY) as unknown as Uint8Array;
  return words;
}

/** Main thread, before the first endpoint. */
export function createMarks(): void {
  words = new Uint8Array(new SharedArrayBuffer(IDS_MAX));
  setEnvironmentData(KEY, words as never);
}

export function clearMarks(count: number): void {
  marks().fill(0, 0, count);
}

const BEGAN = 1;
const ENDED = 16;

export function markBegun(id: number): void {
  Atomics.add(marks(), id, BEGAN);
}

export function markEnded(id: number): void {
  Atomics.add(marks(), id, ENDED);
}

/** How often the message's handler began, and how often it ended well. */
export function readMark(id: number): { readonly began: number; readonly ended: number } {
  const mark = Atomics.load(marks(), id);
  return { began: mark & (ENDED - 1), ended: mark >> 4 };
}
