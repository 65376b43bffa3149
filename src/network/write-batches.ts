/** Memory for the small frames of a tick. Kept for the whole process: connections that are busy in turn share it. */
import { WRITE_BATCH_BYTES, WRITE_BATCHES_KEPT } from "../common/limits.js";

const kept: Buffer[] = [];

export function takeBatch(): Buffer {
  return kept.pop() ?? Buffer.allocUnsafeSlow(WRITE_BATCH_BYTES);
}

/** The operating system has taken its bytes. */
export function giveBatchBack(batch: Buffer): void {
  if (kept.length < WRITE_BATCHES_KEPT) kept.push(batch);
}
