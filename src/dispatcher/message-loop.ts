/**
 * The message loop of a worker thread: takes messages and runs their handlers until it is told to stop. Steps 5 to 7.
 *
 * A turn: mailbox; pinned Inboxes; shared Inboxes, for which its last part is kept. It ends after `throughput` messages
 * or a millisecond, so that timers, sockets and the control port of this thread run in between.
 *
 * BUSY ──nothing left──▶ SPINNING (300 looks) ──▶ one more turn of the event loop ──▶ PARKED ──bell, promise, timer──▶ BUSY
 *
 * One thread only. What other threads see of it stands in shared memory (loop-queues.ts, in-flight-table.ts).
 */
import type { Clock } from "../common/clock.js";
import {
  SHARED_TURN_MESSAGES_RESERVED,
  SHARED_TURN_MS_RESERVED,
  TURN_MS,
  WORKER_SPIN_ITERATIONS,
} from "../common/limits.js";
import type { InFlightTable } from "../inbox/in-flight-table.js";
import { type RecordReader, TakeResult } from "../inbox/inbox.js";
import { LOOP_BUSY_MS, LOOP_STATUS, LoopStatus } from "../inbox/layout.js";
import { type LoopQueues, MAILBOX_MEMBER } from "../inbox/loop-queues.js";
import { RecordKind, TakenRecord } from "../inbox/record.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
import { type EndpointGate, EndpointServer } from "./endpoint-server.js";
import type { HandlerRunner } from "./handler-runner.js";
import type { Outbound } from "./outbound.js";

/** How often in one turn a shared Inbox may be found locked by a sibling before the turn ends. */
const BUSY_LOOKS_MAX = 32;

export interface MessageLoopOptions {
  readonly clock: Clock;
  readonly throughput: number;
  readonly queues: LoopQueues;
  readonly mailbox: RecordReader;
  readonly entries: InFlightTable;
  readonly outbound: Outbound;
  readonly controlWords: Int32Array;
  readonly control: number;
  /** Where the answers to asks of this loop's handlers go. */
  readonly settle: (answer: TakenRecord) => void;
}

export class MessageLoop implements EndpointGate {
  readonly #clock: Clock;
  readonly #throughput: number;
  readonly #queues: LoopQueues;
  readonly #mailbox: RecordReader;
  readonly #entries: InFlightTable;
  readonly #outbound: Outbound;
  readonly #words: Int32Array;
  readonly #control: number;
  readonly #server: EndpointServer;
  readonly #record = new TakenRecord();
  readonly #settle: (answer: TakenRecord) => void;
  readonly #ended: Promise<void>;
  #end: () => void = () => {};

  #turnScheduled = false;
  #inTurn = false;
  /** Messages taken in this turn, microtasks that resume serial endpoints included. */
  #taken = 0;
  #turnEndsMs = 0;
  /** This turn brought an answer to a handler's own ask. */
  #answered = false;
  #nowMs = 0;
  #busyMs = 0;
  /** The last turn found nothing: the next one may park. */
  #idle = false;

  constructor(options: MessageLoopOptions) {
    this.#clock = options.clock;
    this.#throughput = options.throughput;
    this.#queues = options.queues;
    this.#mailbox = options.mailbox;
    this.#entries = options.entries;
    this.#outbound = options.outbound;
    this.#words = options.controlWords;
    this.#control = options.control;
    this.#settle = options.settle;
    const { entries, outbound: answers, controlWords, control } = options;
    this.#server = new EndpointServer({ entries, answers, gate: this, controlWords, control }, this.#record);
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Runs until loop 0 asks this loop to stop. */
  run(runner: HandlerRunner): Promise<void> {
    this.#server.start(runner);
    this.schedule();
    return this.#ended;
  }

  add(endpoint: AttachedEndpoint, join: (queues: LoopQueues) => void): void {
    this.#server.add(endpoint);
    join(this.#queues);
    this.schedule();
  }

  remove(id: number): void {
    this.#server.remove(id);
  }

  find(id: number): AttachedEndpoint | undefined {
    return this.#server.get(id);
  }

  /** Called when this loop was rung, and by whoever has given it something to do. */
  schedule(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.#clock.setImmediate(this.#turn);
  }

  /** A message of `endpoint` that outlived its turn has ended. */
  released(endpoint: AttachedEndpoint): void {
    this.#server.released(endpoint);
  }

  // ── EndpointGate ───────────────────────────────────────────────────────────────────────────────────────────────────

  block(endpoint: AttachedEndpoint): void {
    if (endpoint.shared) this.#queues.saturate(endpoint.id);
    else {
      // Its ring may hold more than was collected; the bit is spent, so the look must be owed privately.
      this.#queues.own.mask(endpoint.id);
      this.#queues.own.keep(endpoint.id);
    }
  }

  /** Goes on with the endpoint's Inbox at once if the turn allows. */
  unblock(endpoint: AttachedEndpoint): void {
    if (endpoint.shared) this.#queues.reopen(endpoint.id);
    else this.#queues.own.unmask(endpoint.id);
    if (this.#inTurn) return;
    this.#queues.unpark();
    // In the microtask of the promise that settled: a turn of the event loop for each message would halve the rate.
    this.#nowMs = this.#clock.now();
    if (!endpoint.shared && this.#mayTake(this.#throughput, this.#turnEndsMs))
      this.#servePinned(endpoint, this.#throughput, this.#turnEndsMs);
    this.schedule();
  }

  leave(endpoint: AttachedEndpoint): void {
    if (endpoint.shared) this.#queues.leaveShared(endpoint.id);
    else this.#queues.own.unmask(endpoint.id);
  }

  beforeHandler(): void {
    this.#queues.ringSibling();
  }

  desaturated(): void {
    this.schedule();
  }

  // ── The turn ───────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #turn = (): void => {
    this.#turnScheduled = false;
    this.#inTurn = true;
    this.#queues.unpark();
    this.#words[this.#control + LOOP_STATUS] = LoopStatus.BUSY;
    const startedMs = this.#clock.now();
    this.#nowMs = startedMs;
    this.#turnEndsMs = startedMs + TURN_MS;
    this.#taken = 0;
    this.#answered = false;
    if (this.#outbound.congested) this.#outbound.refill();
    do {
      this.#queues.own.collect();
      this.#servePinnedInboxes();
      this.#serveSharedInboxes();
      // A handler waits for an answer that came: it goes on when this turn has ended.
    } while (!this.#answered && this.#mayTake(this.#throughput, this.#turnEndsMs) && this.#spin());
    this.#inTurn = false;
    this.#endTurn(startedMs);
  };

  #spin(): boolean {
    this.#words[this.#control + LOOP_STATUS] = LoopStatus.SPINNING;
    const found = this.#queues.spin(WORKER_SPIN_ITERATIONS);
    this.#words[this.#control + LOOP_STATUS] = LoopStatus.BUSY;
    return found;
  }

  #endTurn(startedMs: number): void {
    if (this.#taken > 0) {
      this.#idle = false;
      this.#busyMs += this.#nowMs - startedMs;
      this.#words[this.#control + LOOP_BUSY_MS] = this.#busyMs;
      this.schedule();
    } else if (this.#queues.stopRequested()) {
      this.#words[this.#control + LOOP_STATUS] = LoopStatus.STOPPED;
      this.#end();
    } else if (!this.#idle) {
      // One turn of the event loop before sleep: microtasks, timers and ports of the last handler may bring more.
      this.#idle = true;
      this.schedule();
    } else {
      this.#park();
    }
  }

  #park(): void {
    this.#words[this.#control + LOOP_STATUS] = LoopStatus.PARKED;
    if (this.#outbound.congested || this.#server.saturated ? this.#queues.parkForMailbox() : this.#queues.park())
      return;
    this.#words[this.#control + LOOP_STATUS] = LoopStatus.BUSY;
    this.#idle = false;
    this.schedule();
  }

  /** True while this turn has messages and time left, replies find room, and entries are free. */
  #mayTake(messagesMax: number, endsMs: number): boolean {
    return this.#taken < messagesMax && this.#nowMs < endsMs && !this.#outbound.congested && !this.#server.saturated;
  }

  #servePinnedInboxes(): void {
    const sharedWaits = this.#queues.sharedWaits();
    const messagesMax = sharedWaits ? this.#throughput - SHARED_TURN_MESSAGES_RESERVED : this.#throughput;
    const endsMs = sharedWaits ? this.#turnEndsMs - SHARED_TURN_MS_RESERVED : this.#turnEndsMs;
    const own = this.#queues.own;
    if (own.isPending(MAILBOX_MEMBER)) this.#readMailbox();
    while (this.#mayTake(messagesMax, endsMs)) {
      const member = own.next();
      if (member === -1) return;
      if (member === MAILBOX_MEMBER) {
        this.#readMailbox();
        continue;
      }
      const endpoint = this.#server.get(member);
      // A mark that outlived its endpoint: its ring is gone, there is nothing to look at.
      if (endpoint === undefined) own.settle(member);
      else this.#servePinned(endpoint, messagesMax, endsMs);
    }
  }

  /** Messages of one pinned endpoint, until its Inbox is empty, it is blocked, or it or the turn has no more to give. */
  #servePinned(endpoint: AttachedEndpoint, messagesMax: number, endsMs: number): void {
    const inARowMax = Math.min(messagesMax, this.#taken + endpoint.throughput);
    while (!endpoint.blocked && this.#mayTake(inARowMax, endsMs)) {
      const result = this.#take(endpoint);
      if (result === TakeResult.TAKEN) continue;
      if (result === TakeResult.EMPTY) this.#queues.own.settle(endpoint.id);
      return;
    }
  }

  #serveSharedInboxes(): void {
    let busyLooks = 0;
    while (this.#mayTake(this.#throughput, this.#turnEndsMs)) {
      const member = this.#queues.shared.next();
      if (member === -1) return;
      const endpoint = this.#server.get(member);
      if (endpoint === undefined) {
        this.#queues.shared.mask(member);
        continue;
      }
      const result = this.#take(endpoint);
      if (result === TakeResult.BUSY && ++busyLooks === BUSY_LOOKS_MAX) {
        // Nothing was taken, so nobody has looked at the clock: the holder may be off its core for long.
        this.#nowMs = this.#clock.now();
        return;
      }
    }
  }

  /** Takes and serves one message. */
  #take(endpoint: AttachedEndpoint): TakeResult {
    const result = this.#server.take(endpoint, this.#nowMs);
    if (result !== TakeResult.TAKEN) return result;
    this.#taken++;
    this.#nowMs = this.#clock.now();
    return result;
  }

  // ── The mailbox ────────────────────────────────────────────────────────────────────────────────────────────────────

  #readMailbox(): void {
    if (this.#outbound.congested) this.#outbound.refill();
    const record = this.#record;
    const mailbox = this.#mailbox;
    while (mailbox.peek(record)) {
      this.#taken++;
      if (record.kind === RecordKind.BROADCAST || record.kind === RecordKind.EVENT) {
        const endpoint = record.askSlot;
        // Without a free entry it is dropped, and said so: nothing in a mailbox waits.
        if (mailbox.claim(record, this.#entries, this.#nowMs | 0) === -1) mailbox.release();
        this.#server.serveAside(endpoint, record, this.#nowMs);
      } else {
        mailbox.release();
        if (record.kind >= RecordKind.REPLY && record.kind <= RecordKind.EXPIRED) {
          this.#settle(record);
          this.#answered = true;
        } else {
          this.#server.onControl(record);
        }
      }
    }
    this.#queues.own.settle(MAILBOX_MEMBER);
    this.#nowMs = this.#clock.now();
  }
}
