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
import { LOOP_BUSY_MS, LOOP_DROPPED, LOOP_ENDPOINT, LOOP_STATUS, LoopStatus } from "../inbox/layout.js";
import { type LoopQueues, MAILBOX_MEMBER } from "../inbox/loop-queues.js";
import { RecordKind, TakenRecord } from "../inbox/record.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
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
}

export class MessageLoop {
  readonly #clock: Clock;
  readonly #throughput: number;
  readonly #queues: LoopQueues;
  readonly #mailbox: RecordReader;
  readonly #entries: InFlightTable;
  readonly #outbound: Outbound;
  readonly #words: Int32Array;
  readonly #control: number;
  readonly #endpoints = new Map<number, AttachedEndpoint>();
  readonly #record = new TakenRecord();
  readonly #ended: Promise<void>;
  #end: () => void = () => {};
  #runner: HandlerRunner | null = null;

  #turnScheduled = false;
  #inTurn = false;
  /** Messages taken in this turn, microtasks that resume serial endpoints included. */
  #taken = 0;
  #turnEndsMs = 0;
  #nowMs = 0;
  #busyMs = 0;
  /** The last turn found nothing: the next one may park. */
  #idle = false;
  /** No in-flight entry is free: only the mailbox is read until a handler settles. */
  #saturated = false;

  constructor(options: MessageLoopOptions) {
    this.#clock = options.clock;
    this.#throughput = options.throughput;
    this.#queues = options.queues;
    this.#mailbox = options.mailbox;
    this.#entries = options.entries;
    this.#outbound = options.outbound;
    this.#words = options.controlWords;
    this.#control = options.control;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Runs until loop 0 asks this loop to stop. */
  run(runner: HandlerRunner): Promise<void> {
    this.#runner = runner;
    this.schedule();
    return this.#ended;
  }

  add(endpoint: AttachedEndpoint, join: (queues: LoopQueues) => void): void {
    this.#endpoints.set(endpoint.id, endpoint);
    join(this.#queues);
    this.schedule();
  }

  remove(id: number): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    this.#endpoints.delete(id);
    if (endpoint.shared) this.#queues.leaveShared(id);
  }

  /** Called when this loop was rung, and by whoever has given it something to do. */
  schedule(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.#clock.setImmediate(this.#turn);
  }

  /** A message of `endpoint` that outlived its turn has ended. Goes on with its Inbox at once if the turn allows. */
  released(endpoint: AttachedEndpoint): void {
    if (this.#saturated) {
      this.#saturated = false;
      this.schedule();
    }
    if (endpoint.quiescing) this.#reportIfQuiet(endpoint);
    if (!endpoint.blocked || endpoint.inFlight >= endpoint.concurrency) return;
    endpoint.blocked = false;
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
    if (this.#outbound.congested) this.#outbound.refill();
    do {
      this.#queues.own.collect();
      this.#servePinnedInboxes();
      this.#serveSharedInboxes();
    } while (this.#mayTake(this.#throughput, this.#turnEndsMs) && this.#spin());
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
    if (this.#outbound.congested || this.#saturated ? this.#queues.parkForMailbox() : this.#queues.park()) return;
    this.#words[this.#control + LOOP_STATUS] = LoopStatus.BUSY;
    this.#idle = false;
    this.schedule();
  }

  /** True while this turn has messages and time left, replies find room, and entries are free. */
  #mayTake(messagesMax: number, endsMs: number): boolean {
    return this.#taken < messagesMax && this.#nowMs < endsMs && !this.#outbound.congested && !this.#saturated;
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
      const endpoint = this.#endpoints.get(member);
      // A mark that outlived its endpoint: its ring is gone, there is nothing to look at.
      if (endpoint === undefined) own.settle(member);
      else this.#servePinned(endpoint, messagesMax, endsMs);
    }
  }

  /** Messages of one pinned endpoint, until its Inbox is empty, it is blocked, or the turn has no more to give. */
  #servePinned(endpoint: AttachedEndpoint, messagesMax: number, endsMs: number): void {
    while (!endpoint.blocked && this.#mayTake(messagesMax, endsMs)) {
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
      const endpoint = this.#endpoints.get(member);
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
    const record = this.#record;
    const result = endpoint.consumer.take(record, this.#entries, this.#nowMs | 0);
    if (result !== TakeResult.TAKEN) {
      this.#saturated = result === TakeResult.SATURATED;
      return result;
    }
    this.#taken++;
    // Before any user code: what else waits must not wait for this handler while a core idles.
    this.#queues.ringSibling();
    if (record.kind === RecordKind.STOP) {
      this.#outbound.report(RecordKind.STOP_TAKEN, endpoint.id);
      this.#outbound.release(record.entry);
      return result;
    }
    const runner = this.#runner as HandlerRunner;
    endpoint.countTaken();
    if (endpoint.abandoned) {
      runner.abandon(endpoint, record);
      return result;
    }
    this.#words[this.#control + LOOP_ENDPOINT] = endpoint.id;
    runner.serve(endpoint, record, this.#nowMs | 0);
    this.#words[this.#control + LOOP_ENDPOINT] = 0;
    this.#words[this.#control + LOOP_DROPPED] = runner.droppedCount;
    this.#nowMs = this.#clock.now();
    if (endpoint.inFlight >= endpoint.concurrency) this.#block(endpoint);
    return result;
  }

  #block(endpoint: AttachedEndpoint): void {
    endpoint.blocked = true;
    if (endpoint.shared) this.#queues.saturate(endpoint.id);
    else {
      // Its ring may hold more than was collected; the bit is spent, so the look must be owed privately.
      this.#queues.own.mask(endpoint.id);
      this.#queues.own.keep(endpoint.id);
    }
  }

  // ── The mailbox ────────────────────────────────────────────────────────────────────────────────────────────────────

  #readMailbox(): void {
    if (this.#outbound.congested) this.#outbound.refill();
    const record = this.#record;
    const runner = this.#runner as HandlerRunner;
    while (this.#mailbox.read(record)) {
      this.#taken++;
      switch (record.kind) {
        case RecordKind.CANCEL:
          runner.cancel(record.sender, record.askSlot, record.askGeneration);
          break;
        case RecordKind.BODY:
        case RecordKind.GONE:
          runner.deliverBody(record.askSlot, record.sender, record.kind === RecordKind.GONE);
          break;
        case RecordKind.QUIESCE:
          this.#quiesce(record.askSlot, record.sender === 1);
          break;
        case RecordKind.ON_STOP:
          this.#stopEndpoint(record.askSlot);
          break;
      }
    }
    this.#queues.own.settle(MAILBOX_MEMBER);
    this.#nowMs = this.#clock.now();
  }

  #quiesce(id: number, abandon: boolean): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    // To abandon is not to quiesce: STOP may still be in the Inbox, and nothing before it is run any more.
    if (abandon) endpoint.abandoned = true;
    else endpoint.quiescing = true;
    (this.#runner as HandlerRunner).failOpen(endpoint, abandon);
    this.#reportIfQuiet(endpoint);
  }

  #reportIfQuiet(endpoint: AttachedEndpoint): void {
    if (!endpoint.quiescing || endpoint.inFlight > 0) return;
    endpoint.quiescing = false;
    this.#outbound.report(RecordKind.QUIESCED, endpoint.id);
  }

  #stopEndpoint(id: number): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    const stopped = (failure: unknown): void => {
      this.remove(id);
      if (failure !== undefined) (this.#runner as HandlerRunner).reportHookFailure(endpoint, failure);
      this.#outbound.report(RecordKind.STOPPED, id);
    };
    const onStop = async (): Promise<void> => {
      await endpoint.behaviour.onStop();
    };
    onStop().then(
      () => stopped(undefined),
      (error) => stopped(error ?? new Error("onStop rejected without a reason")),
    );
  }
}
