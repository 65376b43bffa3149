/**
 * Bytes of large bodies that were posted to a body port and whose records their reader has not reached: what waits in a
 * port waits in this process, and nobody else counts it. Steps 3 and 8 of the data flow; for the thread that posts.
 */
import { BODIES_UNDER_WAY_BYTES_MAX } from "../common/limits.js";
import type { InboxProducer } from "../inbox/inbox.js";
import { SpillBudget, SpillTotal } from "../inbox/spill-queue.js";

interface BodyUnderWay {
  readonly bytes: number;
  /** `unitsWritten` of the ring behind its record; null while that is still in the spill queue. */
  writtenAt: number | null;
}

const LIMITS = { messagesMax: Number.MAX_SAFE_INTEGER, bytesMax: BODIES_UNDER_WAY_BYTES_MAX };

export class BodiesUnderWay {
  readonly #producer: InboxProducer;
  readonly #budget = new SpillBudget(LIMITS, new SpillTotal(BODIES_UNDER_WAY_BYTES_MAX));
  #bodies: BodyUnderWay[] = [];

  /** @param producer of the ring through which the records of the bodies go. */
  constructor(producer: InboxProducer) {
    this.#producer = producer;
  }

  /** True if a body of so many bytes may be posted; always, when no other is under way. */
  admits(bytes: number): boolean {
    this.#forgetRead();
    return this.#budget.admits(bytes);
  }

  /** The body was posted, and its record too. */
  add(bytes: number): void {
    this.#budget.add(bytes);
    this.#bodies.push({ bytes, writtenAt: null });
    this.#place();
  }

  /** What has left the spill queue lies before the end of the ring; where exactly does not matter. */
  #place(): void {
    const producer = this.#producer;
    if (producer.congested) return;
    const { unitsWritten } = producer;
    for (let i = this.#bodies.length - 1; i >= 0; i--) {
      const body = this.#bodies[i] as BodyUnderWay;
      if (body.writtenAt !== null) return;
      body.writtenAt = unitsWritten;
    }
  }

  #forgetRead(): void {
    this.#place();
    let read = 0;
    for (const { bytes, writtenAt } of this.#bodies) {
      if (writtenAt === null || !this.#producer.hasRead(writtenAt)) break;
      this.#budget.remove(bytes);
      read++;
    }
    if (read > 0) this.#bodies = this.#bodies.slice(read);
  }
}
