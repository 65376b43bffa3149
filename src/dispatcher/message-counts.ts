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

/**
 * One-way messages whose failure their loop has reported. Between the report and the end of the in-flight entry the loop
 * may die; its recovery must not count the message a second time. Entry and position name it.
 */
export class ReportedFailures {
  readonly #positions: (Map<number, number> | undefined)[] = [];

  note(loop: number, entry: number, position: number): void {
    if (entry === -1) return;
    let positions = this.#positions[loop];
    if (positions === undefined) {
      positions = new Map();
      this.#positions[loop] = positions;
    }
    positions.set(entry, position);
  }

  has(loop: number, entry: number, position: number): boolean {
    return this.#positions[loop]?.get(entry) === position;
  }

  /** A new incarnation of the loop begins with other entries. */
  forget(loop: number): void {
    this.#positions[loop] = undefined;
  }
}
