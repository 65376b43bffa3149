/**
 * Loop 0's own turns: drains the outbound rings of all message loops, flushes what it posted, polls while answers are
 * expected and sleeps else. Steps 4 and 8 of the data flow. Main thread only; it never waits.
 *
 * IDLE ──post──▶ POLLING (a few empty setImmediate turns) ──nothing──▶ PARKED ──bell──▶ POLLING
 */
import type { Clock } from "../common/clock.js";
import { LOOP0_EMPTY_POLLS, LOOP0_TURN_MS, LOOP0_TURN_REPLIES } from "../common/limits.js";
import type { InboxProducer, RecordReader } from "../inbox/inbox.js";
import type { Parker } from "../inbox/parking.js";
import type { CollectedReadySet } from "../inbox/ready-set.js";
import { TakenRecord } from "../inbox/record.js";
import { endpointOfInboxRoom, isMailboxRoomMember, isOutboundMember, loopOfMailboxRoom } from "./loop-members.js";

/** A synchronous burst is published in steps of this many units: 4 KB, else its consumer would hear of it at the end. */
const FLUSH_UNITS = 512;

const RESOLVED = Promise.resolve();

/** What loop 0 does with what it finds. */
export interface LoopZeroHandler {
  onRecord(loop: number, record: TakenRecord): void;
  /** An endpoint's Inbox has room again. */
  onInboxRoom(endpoint: number): void;
  /** A loop's mailbox has room again. */
  onMailboxRoom(loop: number): void;
  /** Runs messages of loop 0's own endpoints. True if there was anything to do. */
  serve(): boolean;
}

export class LoopZero {
  readonly #clock: Clock;
  readonly #ready: CollectedReadySet;
  readonly #handler: LoopZeroHandler;
  readonly #readers: (RecordReader | undefined)[] = [];
  readonly #record = new TakenRecord();
  readonly #unflushed: InboxProducer[] = [];
  #parker: Parker | null = null;
  #polling = false;
  #emptyPolls = 0;
  #closed = false;
  #flushScheduled = false;
  /** Env clock, ms. */
  #stampedAt = 0;

  constructor(clock: Clock, ready: CollectedReadySet, handler: LoopZeroHandler) {
    this.#clock = clock;
    this.#ready = ready;
    this.#handler = handler;
  }

  /** Its parker's bell must call `wake`. */
  start(parker: Parker): void {
    if (this.#parker !== null) return;
    this.#parker = parker;
    this.wake();
  }

  /** After this nothing is drained any more; a bell still on its way finds nothing to do. */
  close(): void {
    this.#closed = true;
    this.#parker?.retract();
  }

  include(member: number): void {
    this.#ready.include(member);
  }

  setReader(loop: number, reader: RecordReader | undefined): void {
    this.#readers[loop] = reader;
  }

  /** A record was posted: publish it at the end of this tick, or at once when a burst has filled a page. */
  posted(producer: InboxProducer): void {
    if (!producer.flushQueued) {
      producer.flushQueued = true;
      this.#unflushed.push(producer);
      if (!this.#flushScheduled) {
        this.#flushScheduled = true;
        // A third of what queueMicrotask costs, which makes an AsyncResource each time.
        void RESOLVED.then(this.#flush);
      }
    }
    if (producer.unflushedUnits >= FLUSH_UNITS) {
      producer.flush();
      this.#stampedAt = this.#clock.now();
    }
  }

  /** When what is posted now was enqueued, µs, int32: the clock is read for the first post of a tick, and for each page. */
  enqueuedAt(): number {
    if (!this.#flushScheduled) this.#stampedAt = this.#clock.now();
    return (this.#stampedAt * 1_000) | 0;
  }

  /** Makes sure that answers are looked for. */
  wake(): void {
    if (this.#polling || this.#closed) return;
    this.#polling = true;
    this.#emptyPolls = 0;
    this.#parker?.retract();
    this.#clock.setImmediate(this.#poll);
  }

  /** Everything a loop has published, to the end: before its memory is judged after a crash. */
  drainLoop(loop: number): void {
    const reader = this.#readers[loop];
    if (reader === undefined) return;
    while (reader.read(this.#record)) this.#handler.onRecord(loop, this.#record);
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    const unflushed = this.#unflushed;
    for (let i = 0; i < unflushed.length; i++) {
      const producer = unflushed[i] as InboxProducer;
      producer.flushQueued = false;
      producer.flush();
    }
    unflushed.length = 0;
    this.wake();
  };

  readonly #poll = (): void => {
    if (this.#closed) return;
    const drained = this.#drain();
    if (this.#handler.serve() || drained) {
      this.#emptyPolls = 0;
      this.#clock.setImmediate(this.#poll);
    } else if (this.#emptyPolls++ < LOOP0_EMPTY_POLLS) {
      this.#clock.setImmediate(this.#poll);
    } else {
      this.#park();
    }
  };

  #park(): void {
    const parker = this.#parker as Parker;
    parker.announce();
    this.#ready.collect();
    if (this.#ready.hasPending()) {
      parker.retract();
      this.#emptyPolls = 0;
      this.#clock.setImmediate(this.#poll);
    } else {
      this.#polling = false;
    }
  }

  /** True if anything was there. */
  #drain(): boolean {
    this.#ready.collect();
    let member = this.#ready.next();
    if (member === -1) return false;
    const endsMs = this.#clock.now() + LOOP0_TURN_MS;
    let records = 0;
    while (member !== -1) {
      if (isOutboundMember(member)) {
        const reader = this.#readers[member];
        if (reader === undefined) this.#ready.settle(member);
        else {
          const record = this.#record;
          // A look at the clock for every 16 records: a reading costs as much as three atomics.
          while (true) {
            if (!reader.read(record)) {
              this.#ready.settle(member);
              break;
            }
            this.#handler.onRecord(member, record);
            if (++records >= LOOP0_TURN_REPLIES || ((records & 15) === 0 && this.#clock.now() >= endsMs)) return true;
          }
        }
      } else {
        this.#ready.settle(member);
        if (isMailboxRoomMember(member)) this.#handler.onMailboxRoom(loopOfMailboxRoom(member));
        else this.#handler.onInboxRoom(endpointOfInboxRoom(member));
      }
      member = this.#ready.next();
    }
    return true;
  }
}
