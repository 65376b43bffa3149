/**
 * The spill queue: what found no room in a ring, in order, in private memory of the producer. Bounded in messages and
 * in bytes, for itself and together with the other queues of its env.
 */
import { OutgoingRecord } from "./record.js";

export interface SpillLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/** The bytes that all spill queues and tickets of an env hold together. */
export class SpillTotal {
  readonly bytesMax: number;
  bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }
}

/** What one endpoint holds outside its ring: spilled records, and bodies that wait for their tickets. */
export class SpillBudget {
  readonly limits: SpillLimits;
  readonly #total: SpillTotal;
  messages = 0;
  bytes = 0;

  constructor(limits: SpillLimits, total: SpillTotal) {
    this.limits = limits;
    this.#total = total;
  }

  /** True if `bytes` more may be held. A single message is always admitted when nothing else is held. */
  admits(bytes: number): boolean {
    if (this.messages === 0) return true;
    return (
      this.messages < this.limits.messagesMax &&
      this.bytes + bytes <= this.limits.bytesMax &&
      this.#total.bytes + bytes <= this.#total.bytesMax
    );
  }

  add(bytes: number): void {
    this.messages++;
    this.bytes += bytes;
    this.#total.bytes += bytes;
  }

  remove(bytes: number): void {
    this.messages--;
    this.bytes -= bytes;
    this.#total.bytes -= bytes;
  }
}

/** First index from which the array behind the queue is cut, so that shifting stays cheap. */
const COMPACT_AT = 1_024;

export class SpillQueue {
  readonly #budget: SpillBudget;
  #records: OutgoingRecord[] = [];
  #head = 0;

  constructor(budget: SpillBudget) {
    this.#budget = budget;
  }

  get count(): number {
    return this.#records.length - this.#head;
  }

  get budget(): SpillBudget {
    return this.#budget;
  }

  /** Keeps a copy of `record`, payload included. False when a bound is reached and `force` is not given. */
  push(record: OutgoingRecord, force: boolean): boolean {
    if (!force && !this.#budget.admits(record.length)) return false;
    const kept = Object.assign(new OutgoingRecord(), record);
    // An exact copy: the caller's bytes are memory that the next message overwrites. A Buffer's `slice` would copy nothing.
    kept.bytes = new Uint8Array(record.bytes.subarray(0, record.length - record.trailer.length));
    this.#records.push(kept);
    this.#budget.add(kept.length);
    return true;
  }

  peek(): OutgoingRecord | null {
    return this.#records[this.#head] ?? null;
  }

  shift(): void {
    const record = this.#records[this.#head] as OutgoingRecord;
    this.#budget.remove(record.length);
    this.#head++;
    if (this.#head === this.#records.length) {
      this.#records = [];
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#records.length) {
      this.#records = this.#records.slice(this.#head);
      this.#head = 0;
    }
  }
}
