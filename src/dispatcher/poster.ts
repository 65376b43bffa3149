/**
 * Posts messages and control records, and ends asks before their messages do. Steps 2 and 3 of the data flow.
 * Main thread only: loop 0 is the only producer of every Inbox and mailbox.
 */
import type { Clock } from "../common/clock.js";
import type { RpcError } from "../common/errors.js";
import { RERING_MS, SWEEP_PERIOD_MS } from "../common/limits.js";
import type { RpcTimeout } from "../common/rpc-conf.js";
import { readInFlightEntries } from "../inbox/in-flight-table.js";
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordKind } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { NetworkEvent } from "./attached-endpoint.js";
import { explainSilence, inboxFull, noRoomInTime, timedOut, timeoutOf, tooManyAsks } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import type { LoopZero } from "./loop-zero.js";
import type { LoopZeroEndpoints } from "./loop-zero-endpoints.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { AskOutcome } from "./message-counts.js";
import type { MessageLoops } from "./message-loops.js";
import type { MessagePosting } from "./message-posting.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { RefPoster, RefTarget } from "./ref-poster.js";
import { type RunningHandler, remainingMs } from "./running-handler.js";
import type { Tickets } from "./tickets.js";

/** A timeout that never comes; asks then have no deadline. */
const NO_DEADLINE = 0;

export interface PosterOptions {
  readonly clock: Clock;
  readonly codec: MessageCodec;
  readonly memory: MainLoopMemory;
  readonly loops: MessageLoops;
  readonly loopZero: LoopZero;
  readonly asks: OutstandingAsks;
  readonly tickets: Tickets;
  readonly directory: EndpointDirectory;
  readonly running: RunningHandler;
  /** Why what a ref means takes nothing. */
  readonly refusal: (target: RefTarget) => RpcError;
  /** A one-way message was refused for good. `message` decodes it. */
  readonly onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void;
  readonly zeroEndpoints: LoopZeroEndpoints;
  readonly posting: MessagePosting;
  /** Of asks that name none. */
  readonly askTimeout: RpcTimeout;
}

export class Poster implements RefPoster {
  readonly #clock: Clock;
  readonly #codec: MessageCodec;
  readonly #memory: MainLoopMemory;
  readonly #loops: MessageLoops;
  readonly #loopZero: LoopZero;
  readonly #asks: OutstandingAsks;
  readonly #tickets: Tickets;
  readonly #directory: EndpointDirectory;
  readonly #running: RunningHandler;
  readonly #refusal: (target: RefTarget) => RpcError;
  readonly #onDeadLetter: PosterOptions["onDeadLetter"];
  readonly #zeroEndpoints: LoopZeroEndpoints;
  readonly #posting: MessagePosting;
  readonly #askTimeout: RpcTimeout;
  readonly #record = new OutgoingRecord();
  readonly #rungInboxes = new Set<number>();
  /** How late the last sweep came, and the latest ever, ms: what user code has held loop 0 for. */
  delayMs = 0;
  delayMsMax = 0;
  /** Slot of the last `ask`, or -1 if it was refused: for `abort`, together with its generation. */
  lastSlot = -1;
  #sweeping = false;
  #reRingArmed = false;

  constructor(options: PosterOptions) {
    this.#clock = options.clock;
    this.#codec = options.codec;
    this.#memory = options.memory;
    this.#loops = options.loops;
    this.#loopZero = options.loopZero;
    this.#asks = options.asks;
    this.#tickets = options.tickets;
    this.#directory = options.directory;
    this.#running = options.running;
    this.#refusal = options.refusal;
    this.#onDeadLetter = options.onDeadLetter;
    this.#zeroEndpoints = options.zeroEndpoints;
    this.#posting = options.posting;
    this.#askTimeout = options.askTimeout;
  }

  /** Posts a message that wants an answer. The promise settles exactly once. */
  ask(
    target: RefTarget,
    kind: number,
    message: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown> {
    this.lastSlot = -1;
    const codec = this.#codec;
    try {
      codec.encode(message, transfer, kind === RecordKind.CALL ? "inputs" : "message");
    } catch (error) {
      // The caller's mistake: nothing was sent. A getter of the message may have asked as well.
      this.lastSlot = -1;
      return Promise.reject(error);
    }
    const endpoint = this.#directory.accepting(target);
    if (endpoint === null) {
      this.countRefused(target);
      return Promise.reject(this.#refusal(target));
    }
    const { asks } = endpoint;
    asks.sent++;
    if (signal?.aborted) {
      asks.aborted++;
      return Promise.reject(signal.reason);
    }
    const nowMs = this.#clock.now();
    let deadline = timeoutMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : (nowMs + timeoutMs) | 0 || 1;
    if (this.#running.endsBefore(deadline)) {
      deadline = this.#running.deadline;
      timeoutMs = -remainingMs(deadline, nowMs);
    }
    const promise = this.#asks.open(endpoint.id, asks, deadline, timeoutMs);
    if (promise === null) {
      asks.rejected++;
      return Promise.reject(tooManyAsks(endpoint.name, this.#asks.count));
    }
    const slot = this.#asks.lastSlot;
    this.lastSlot = slot;
    const record = this.#record;
    record.kind = kind;
    record.askSlot = slot;
    record.askGeneration = this.#asks.generation(slot);
    record.deadline = deadline;
    record.enqueuedAt = (nowMs * 1_000) | 0;
    try {
      if (this.#post(endpoint, Overflow.SPILL) === PostResult.FULL) {
        this.#asks.reject(slot, inboxFull(endpoint), "rejected");
        return promise;
      }
    } catch (error) {
      // No memory for the copy of a large body, or a getter of the message has detached what was to be copied.
      this.#asks.reject(slot, error, "rejected");
      return promise;
    }
    if (signal !== undefined) this.#asks.watch(slot, signal, this.#onAborted);
    this.watchAsks();
    return promise;
  }

  /** An ask found an endpoint that has failed or stops; of one that is gone there are no counts. */
  countRefused(target: RefTarget): void {
    const endpoint = this.#directory.findMade(target.name);
    if (endpoint === undefined) return;
    endpoint.asks.sent++;
    endpoint.asks.rejected++;
  }

  /** Posts a one-way message. False: full now, nothing was kept. Throws what the caller did wrong. */
  send(target: RefTarget, kind: number, message: unknown, transfer?: readonly ArrayBuffer[]): boolean {
    this.#codec.encode(message, transfer, kind === RecordKind.CAST ? "inputs" : "message");
    const endpoint = this.#directory.accepting(target);
    if (endpoint === null) {
      this.#refuseOneWay(target);
      return false;
    }
    this.#fillOneWay(kind);
    if (this.#post(endpoint, Overflow.REFUSE) === PostResult.FULL) return false;
    endpoint.oneWays.accepted++;
    return true;
  }

  /**
   * Posts a one-way message to every replica, through the mailboxes of their loops: in order among themselves, in no
   * order with messages in the Inbox. An endpoint of one instance gets it as any message.
   * @returns how many replicas it was accepted for. Throws what the caller did wrong.
   */
  broadcast(target: RefTarget, message: unknown): number {
    const endpoint = this.#directory.accepting(target);
    if (endpoint?.shared === false) return this.send(target, RecordKind.SEND, message) ? 1 : 0;
    this.#codec.encode(message);
    // Mailboxes hold nothing back: replicas that have not started could not take it.
    if (endpoint?.state !== EndpointState.RUNNING) {
      this.#refuseOneWay(target);
      return 0;
    }
    return this.#posting.broadcast(endpoint, this.#codec, this.#loopZero.enqueuedAt());
  }

  /** Posts a network event to every instance of an endpoint. */
  event(endpoint: HostedEndpoint, event: NetworkEvent): void {
    this.#codec.encode(event);
    if (endpoint.shared) {
      this.#posting.aside(endpoint, RecordKind.EVENT, Overflow.FORCE, this.#codec, this.#loopZero.enqueuedAt());
      return;
    }
    this.#fillOneWay(RecordKind.EVENT);
    this.#post(endpoint, Overflow.FORCE);
  }

  /** Resolves when the Inbox has room; rejects when it never will, or when `signal` aborts or time is up. */
  ready(target: RefTarget, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const endpoint = this.#directory.accepting(target);
    if (endpoint === null) return Promise.reject(this.#refusal(target));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (endpoint.producer.hasRoom()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (error: unknown): void => {
        endpoint.roomWaiters.delete(finish);
        if (timer !== null) this.#clock.clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        if (error === null) resolve();
        else reject(error);
      };
      const onAbort = (): void => finish(signal?.reason);
      const expired = (): void => finish(noRoomInTime(endpoint.name, timeoutOf(timeoutMs, this.#askTimeout)));
      const timer = timeoutMs === Number.POSITIVE_INFINITY ? null : this.#clock.setTimeout(expired, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      endpoint.roomWaiters.add(finish);
    });
  }

  generation(slot: number): number {
    return slot === -1 ? 0 : this.#asks.generation(slot);
  }

  /** The caller gives one ask up, if it is still open. */
  abort(slot: number, generation: number, reason: unknown): void {
    if (slot !== -1 && this.#asks.isOpen(slot, generation)) this.cancelAsks([slot], () => reason, "aborted");
  }

  /** Callers give asks up: a queued one never runs, a running handler's signal fires. */
  readonly #onAborted = (slots: readonly number[], reason: unknown): void => {
    this.cancelAsks(slots, () => reason, "aborted");
  };

  /** Ends asks before their messages do; whoever runs one now is told. */
  cancelAsks(slots: readonly number[], reason: (slot: number) => unknown, outcome: AskOutcome): void {
    const cancelled = new Map<number, number>();
    for (const slot of slots) {
      cancelled.set(slot, this.#asks.generation(slot));
      const ticket = this.#asks.ticket(slot);
      if (ticket !== -1) this.#tickets.end(ticket);
      this.#asks.cancel(slot, reason(slot), outcome);
    }
    if (cancelled.size === 0) return;
    // CANCELLED was stored before this scan; a taker publishes its entry before it reads the word. One sees the other.
    for (const loop of this.#loops.all) {
      if (!loop.alive) continue;
      const { entries } = loop.regions;
      const words = this.#memory.words(entries);
      for (const { askSlot, askGeneration, index } of readInFlightEntries(words, entries.word, cancelled)) {
        this.postControl(loop, RecordKind.CANCEL, askSlot, askGeneration, index);
      }
    }
    for (const { askSlot, askGeneration, index } of this.#zeroEndpoints.inFlight(cancelled)) {
      this.#zeroEndpoints.tell(RecordKind.CANCEL, askSlot, askGeneration, index);
    }
  }

  /** Posts a header-only record to a loop's mailbox; it always finds room in the spill. */
  postControl(loop: HostedMessageLoop, kind: number, subject: number, generation = 0, detail = 0): void {
    // Nobody reads it any more, and its memory may be another incarnation's.
    if (!loop.alive) return;
    loop.mailbox.post(this.#record.setHeaderOnly(kind, subject, generation, detail), Overflow.FORCE);
    this.#loopZero.posted(loop.mailbox);
  }

  /** Tells a loop that a body is on its port. `payload` is what of it travels in this record. */
  postBody(loop: HostedMessageLoop, ticket: number, entry: number, payload: Uint8Array | null): void {
    if (!loop.alive) return;
    const record = this.#record.setHeaderOnly(RecordKind.BODY, ticket, 0, entry);
    if (payload !== null) record.setPayload(0, payload, payload.length);
    loop.mailbox.post(record, Overflow.FORCE);
    this.#loopZero.posted(loop.mailbox);
  }

  /** Posts STOP, the last record of an endpoint's backlog. */
  postStop(endpoint: HostedEndpoint): void {
    const record = this.#record.setHeaderOnly(RecordKind.STOP, -1);
    record.endpointGeneration = endpoint.generation;
    endpoint.producer.post(record, Overflow.FORCE);
    this.#posted(endpoint);
  }

  /** The error of an ask whose deadline has passed. */
  timedOut(slot: number, maybeExecuted: boolean): RpcError {
    const id = this.#asks.endpoint(slot);
    const name = this.#directory.nameOf(id);
    const timeout = timeoutOf(this.#asks.timeoutMs(slot), this.#askTimeout);
    return timedOut(name, timeout, maybeExecuted, explainSilence(name, this.#zeroEndpoints.find(id)));
  }

  /** A shared Inbox was rung: a look, once, whether the bell was heard. User code may eat it. */
  rang(endpoint: number): void {
    this.#rungInboxes.add(endpoint);
    if (!this.#sweeping) this.#startSweep();
    if (this.#reRingArmed) return;
    this.#reRingArmed = true;
    this.#clock
      .setTimeout(() => {
        this.#reRingArmed = false;
        this.#reRing();
      }, RERING_MS)
      .unref();
  }

  /** All loops have ended: nobody hears a bell any more. */
  close(): void {
    this.#rungInboxes.clear();
  }

  // ── One message ────────────────────────────────────────────────────────────────────────────────────────────────────

  #fillOneWay(kind: number): void {
    const record = this.#record;
    record.kind = kind;
    record.askSlot = -1;
    record.askGeneration = 0;
    record.deadline = NO_DEADLINE;
    record.enqueuedAt = this.#loopZero.enqueuedAt();
  }

  /** What the codec holds was offered to an endpoint that takes nothing any more, or is not there. */
  #refuseOneWay(target: RefTarget): void {
    const codec = this.#codec;
    const { payloadCodec, length } = codec;
    const { bytes, attachments } = codec.copyBody();
    const message = (): unknown => codec.decode(payloadCodec, bytes, length, attachments);
    this.#onDeadLetter(target.name, this.#refusal(target), message);
  }

  /** Posts `#record` with the payload that the codec holds. */
  #post(endpoint: HostedEndpoint, overflow: Overflow): PostResult {
    const record = this.#record;
    record.sender = 0;
    return this.#posting.post(endpoint, record, overflow, this.#codec);
  }

  #posted(endpoint: HostedEndpoint): void {
    this.#loopZero.posted(endpoint.producer);
  }

  // ── Sweeps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An ask was opened: its deadline, and the net under bells that nobody heard. */
  watchAsks(): void {
    if (!this.#sweeping) this.#startSweep();
  }

  /** Runs while asks are outstanding or bells unheard. */
  #startSweep(): void {
    this.#sweeping = true;
    let dueMs = this.#clock.now() + SWEEP_PERIOD_MS;
    const timer = this.#clock.setTimeout(() => {
      this.delayMs = Math.max(0, this.#clock.now() - dueMs);
      if (this.delayMs > this.delayMsMax) this.delayMsMax = this.delayMs;
      this.#sweep();
      dueMs = this.#clock.now() + SWEEP_PERIOD_MS;
      if (this.#asks.count > 0 || this.#rungInboxes.size > 0) timer.refresh();
      else this.#sweeping = false;
    }, SWEEP_PERIOD_MS);
  }

  #sweep(): void {
    const nowMs = this.#clock.now() | 0;
    this.cancelAsks(this.#asks.expired(nowMs), (slot) => this.timedOut(slot, true), "timedOut");
    this.#reRing();
    this.#loopZero.wake();
  }

  #reRing(): void {
    for (const id of this.#rungInboxes) {
      const endpoint = this.#directory.get(id);
      const served = endpoint !== undefined && endpoint.retired === null;
      if (!served || !this.#memory.reRing(id, endpoint.ring)) this.#rungInboxes.delete(id);
    }
  }
}
