/**
 * What became of the messages of one endpoint, as loop 0 counts it. When nothing is open, every ask sent has exactly one
 * outcome, and so has every one-way message accepted (those handled are counted by their loop, in shared memory).
 */

/** sent = replied + failed + timedOut + aborted + rejected, when none is open. */
export interface AskCounts {
  sent: number;
  replied: number;
  failed: number;
  timedOut: number;
  aborted: number;
  rejected: number;
}

/** How an ask ended that got no reply. */
export type AskOutcome = "failed" | "timedOut" | "aborted" | "rejected";

/** accepted = handled + failed + deadLettered, when none is open. */
export interface OneWayCounts {
  accepted: number;
  failed: number;
  deadLettered: number;
}

export function newAskCounts(): AskCounts {
  return { sent: 0, replied: 0, failed: 0, timedOut: 0, aborted: 0, rejected: 0 };
}

export function newOneWayCounts(): OneWayCounts {
  return { accepted: 0, failed: 0, deadLettered: 0 };
}

/** What SEND_FAILED says in place of an entry: the failure is none of a message. */
export const NO_MESSAGE = -1;

/** How SEND_FAILED names the entry of a message that came by mailbox, or -1 when none was free for it. Below NO_MESSAGE. */
export function asideEntry(entry: number): number {
  return -3 - entry;
}

interface ReportedFailure {
  readonly endpoint: object;
  readonly position: number;
}

/**
 * One-way messages whose failure their loop has reported. Between the report and the end of the in-flight entry the loop
 * may die; its recovery must not count the message a second time. Entry, endpoint and position name it: each ring counts
 * its positions from 0, and ids are used again, so the endpoint is the object itself.
 */
export class ReportedFailures {
  readonly #failures: (Map<number, ReportedFailure> | undefined)[] = [];

  /** `entry`: as SEND_FAILED names it. */
  note(loop: number, entry: number, endpoint: object, position: number): void {
    let failures = this.#failures[loop];
    if (failures === undefined) {
      failures = new Map();
      this.#failures[loop] = failures;
    }
    failures.set(entry, { endpoint, position });
  }

  has(loop: number, entry: number, endpoint: object, position: number): boolean {
    const failure = this.#failures[loop]?.get(entry);
    return failure?.endpoint === endpoint && failure.position === position;
  }

  /** A new incarnation of the loop begins with other entries. */
  forget(loop: number): void {
    this.#failures[loop] = undefined;
  }
}
