/**
 * The handler that runs on this thread right now, if one does: what it asks of others before its first `await` ends with
 * its own asker. Step 6 of the data flow. What it asks later cannot be told from what others ask; it passes
 * `context.remainingMs` on by itself.
 */
import { TIMEOUT_MS_MIN } from "../common/limits.js";

export class RunningHandler {
  /** Env clock, ms, int32; 0: no handler runs, or nobody waits for it. Written by whoever calls handlers. */
  deadline = 0;

  /** True if the handler's asker gives up before `deadline` (0: never). */
  endsBefore(deadline: number): boolean {
    return this.deadline !== 0 && (deadline === 0 || ((this.deadline - deadline) | 0) < 0);
  }
}

/** Milliseconds from `nowMs` of the env clock to an int32 deadline, positive. */
export function remainingMs(deadline: number, nowMs: number): number {
  const wholeMs = (deadline - (nowMs | 0)) | 0;
  return Math.max(TIMEOUT_MS_MIN, wholeMs - (nowMs - Math.floor(nowMs)));
}
