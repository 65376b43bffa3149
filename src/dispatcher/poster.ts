/**
 * Posts messages and control records, and ends asks before their messages do. Steps 2 and 3 of the data flow.
 * Main thread only: loop 0 is the only producer of every Inbox and mailbox.
 */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { RERING_MS, SWEEP_PERIOD_MS } from "../common/limits.js";
import { readInFlightEntries } from "../inbox/in-flight-table.js";
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import { inboxFull, timedOut, tooManyAsks } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { LoopZero } from "./loop-zero.js";
import type { LoopZeroEndpoints } from "./loop-zero-endpoints.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { HostedMessageLoop, MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import { TICKET_PAYLOAD_BYTES, type Tickets } from "./tickets.js";

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
  /** Why an endpoint takes nothing. */
  readonly refusal: (endpoint: HostedEndpoint) => RpcError;
  readonly onDeadLetter: (endpoint: string, error: RpcError) => void;
  readonly zeroEndpoints: LoopZeroEndpoints;
}

export class Poster {
  readonly #clock: Clock;
  readonly #codec: MessageCodec;
  readonly #memory: MainLoopMemory;
  readonly #loops: MessageLoops;
  readonly #loopZero: LoopZero;
  readonly #asks: OutstandingAsks;
  readonly #tickets: Tickets;
  readonly #directory: EndpointDirectory;
  readonly #refusal: (endpoint: HostedEndpoint) => RpcError;
  readonly #onDeadLetter: (endpoint: string, error: RpcError) => void;
  readonly #zeroEndpoints: LoopZeroEndpoints;
  readonly #record = new OutgoingRecord();
  readonly #ticketPayload = new Uint8Array(TICKET_PAYLOAD_BYTES);
  readonly #rungInboxes = new Set<number>();
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
    this.#refusal = options.refusal;
    this.#onDeadLetter = options.onDeadLetter;
    this.#zeroEndpoints = options.zeroEndpoints;
  }

  /** Posts a message that wants an answer. The promise settles exactly once. */
  ask(
    endpoint: HostedEndpoint,
    kind: number,
    message: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown> {
    this.lastSlot = -1;
    if (endpoint.state !== EndpointState.RUNNING) return Promise.reject(this.#refusal(endpoint));
    if (signal?.aborted) return Promise.reject(signal.reason);
    const codec = this.#codec;
    try {
      codec.encode(message, transfer, kind === RecordKind.CALL);
    } catch (error) {
      return Promise.reject(error);
    }
    const nowMs = this.#clock.now();
    const deadline = timeoutMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : (nowMs + timeoutMs) | 0 || 1;
    const slot = this.#asks.open(endpoint.id, deadline, timeoutMs);
    this.lastSlot = slot;
    if (slot === -1) return Promise.reject(tooManyAsks(endpoint.name, this.#asks.count));
    const promise = this.#asks.lastPromise;
    const record = this.#record;
    record.kind = kind;
    record.askSlot = slot;
    record.askGeneration = this.#asks.generation(slot);
    record.deadline = deadline;
    record.enqueuedAt = (nowMs * 1_000) | 0;
    try {
      if (this.#post(endpoint, Overflow.SPILL) === PostResult.FULL) {
        this.#asks.reject(slot, inboxFull(endpoint));
        return promise;
      }
    } catch (error) {
      // No memory for the copy of a large body.
      this.#asks.reject(slot, error);
      return promise;
    }
    if (signal !== undefined) this.#asks.watch(slot, signal, this.#onAborted);
    if (!this.#sweeping) this.#startSweep();
    return promise;
  }

  /** Posts a one-way message. False: full now, nothing was kept. Throws what the caller did wrong. */
  send(endpoint: HostedEndpoint, kind: number, message: unknown, transfer?: readonly ArrayBuffer[]): boolean {
    this.#codec.encode(message, transfer, kind === RecordKind.CAST);
    if (endpoint.state !== EndpointState.RUNNING) {
      this.#onDeadLetter(endpoint.name, this.#refusal(endpoint));
      return false;
    }
    const record = this.#record;
    record.kind = kind;
    record.askSlot = -1;
    record.askGeneration = 0;
    record.deadline = NO_DEADLINE;
    record.enqueuedAt = (this.#clock.now() * 1_000) | 0;
    return this.#post(endpoint, Overflow.REFUSE) !== PostResult.FULL;
  }

  /** Resolves when the Inbox has room; rejects when it never will, or when `signal` aborts or time is up. */
  ready(endpoint: HostedEndpoint, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (endpoint.state !== EndpointState.RUNNING) return Promise.reject(this.#refusal(endpoint));
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
      const expired = (): void =>
        finish(new RpcError("ERR_RPC_TIMEOUT", `the Inbox of "${endpoint.name}" had no room within ${timeoutMs} ms`));
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
    if (slot !== -1 && this.#asks.isOpen(slot, generation)) this.cancelAsks([slot], () => reason);
  }

  /** Callers give asks up: a queued one never runs, a running handler's signal fires. */
  readonly #onAborted = (slots: readonly number[], reason: unknown): void => {
    this.cancelAsks(slots, () => reason);
  };

  /** Ends asks before their messages do; whoever runs one now is told. */
  cancelAsks(slots: readonly number[], reason: (slot: number) => unknown): void {
    const cancelled = new Map<number, number>();
    for (const slot of slots) {
      cancelled.set(slot, this.#asks.generation(slot));
      const ticket = this.#asks.ticket(slot);
      if (ticket !== -1) this.#tickets.end(ticket);
      this.#asks.cancel(slot, reason(slot));
    }
    if (cancelled.size === 0) return;
    // CANCELLED was stored before this scan; a taker publishes its entry before it reads the word. One sees the other.
    for (const loop of this.#loops.all) {
      if (!loop.alive) continue;
      const { entries } = loop.regions;
      for (const entry of readInFlightEntries(this.#memory.words(entries), entries.word)) {
        if (cancelled.get(entry.askSlot) !== entry.askGeneration) continue;
        this.postControl(loop, RecordKind.CANCEL, entry.askSlot, entry.askGeneration, entry.index);
      }
    }
    for (const entry of this.#zeroEndpoints.inFlight()) {
      if (cancelled.get(entry.askSlot) !== entry.askGeneration) continue;
      this.#zeroEndpoints.tell(RecordKind.CANCEL, entry.askSlot, entry.askGeneration, entry.index);
    }
  }

  /** Posts a header-only record to a loop's mailbox; it always finds room in the spill. */
  postControl(loop: HostedMessageLoop, kind: number, subject: number, generation = 0, detail = 0): void {
    loop.mailbox.post(this.#record.setHeaderOnly(kind, subject, generation, detail), Overflow.FORCE);
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
    const endpoint = this.#directory.nameOf(this.#asks.endpoint(slot));
    return timedOut(endpoint, this.#asks.timeoutMs(slot), maybeExecuted);
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

  // ── One message ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Posts `#record` with the payload that the codec holds. */
  #post(endpoint: HostedEndpoint, overflow: Overflow): PostResult {
    const codec = this.#codec;
    const record = this.#record;
    const producer = endpoint.producer;
    record.flags = 0;
    record.sender = 0;
    record.endpointGeneration = endpoint.generation;
    let result: PostResult;
    if (codec.length <= producer.inlinePayloadBytesMax && codec.attachmentBytes === 0) {
      record.setPayload(codec.payloadCodec, codec.bytes, codec.length);
      result = producer.post(record, overflow);
    } else {
      result = this.#postLarge(endpoint, overflow);
    }
    if (result === PostResult.FULL) endpoint.rejected++;
    else endpoint.accepted++;
    if (result === PostResult.ACCEPTED) this.#posted(endpoint);
    return result;
  }

  #postLarge(endpoint: HostedEndpoint, overflow: Overflow): PostResult {
    const { length, payloadCodec, attachmentBytes } = this.#codec;
    if (!endpoint.budget.admits(length + attachmentBytes)) return PostResult.FULL;
    // What is refused must still have its buffers, so room is looked for before they are moved.
    if (overflow === Overflow.REFUSE && !endpoint.producer.hasRoom()) return PostResult.FULL;
    // The one copy that captures the caller's bytes; it is transferred to the taker as it is.
    const ticket = this.#tickets.open(endpoint.id, this.#codec.takeBody(), endpoint.budget);
    const record = this.#record;
    record.flags = RecordFlag.LARGE;
    record.sender = ticket;
    record.setPayload(payloadCodec, this.#ticketPayload, TICKET_PAYLOAD_BYTES);
    const result = endpoint.producer.post(record, overflow);
    if (result === PostResult.FULL) this.#tickets.end(ticket);
    else if (record.askSlot !== -1) this.#asks.setTicket(record.askSlot, ticket);
    return result;
  }

  #posted(endpoint: HostedEndpoint): void {
    this.#loopZero.posted(endpoint.producer);
  }

  // ── Sweeps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Deadlines, and the net under bells that nobody heard. Runs while asks are outstanding or bells unheard. */
  #startSweep(): void {
    this.#sweeping = true;
    const timer = this.#clock.setTimeout(() => {
      this.#sweep();
      if (this.#asks.count > 0 || this.#rungInboxes.size > 0) timer.refresh();
      else this.#sweeping = false;
    }, SWEEP_PERIOD_MS);
  }

  #sweep(): void {
    const nowMs = this.#clock.now() | 0;
    this.cancelAsks(this.#asks.expired(nowMs), (slot) => this.timedOut(slot, true));
    this.#reRing();
    this.#loopZero.wake();
  }

  #reRing(): void {
    for (const id of this.#rungInboxes) {
      const endpoint = this.#directory.get(id);
      if (endpoint === undefined || !this.#memory.reRing(id, endpoint.ring)) this.#rungInboxes.delete(id);
    }
  }
}
