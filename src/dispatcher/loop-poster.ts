/**
 * What handlers on a message loop send and ask: through the loop's outbound ring to loop 0, which passes it on. Steps 1,
 * 3 and 8 of the data flow. One thread only.
 *
 * The promises of asks are here, in a table of the loop's own, whose generations begin with the loop's epoch, so that no
 * answer to a dead predecessor's ask can be taken for one of ours. Deadlines are swept here too: an ask ends in time also
 * while loop 0 is busy. Loop 0 is told of every ask that ends here, and cancels it where it waits or runs.
 *
 * A send finds the outbound ring full, or replies waiting before it, and says false. An ask waits behind them, within the
 * bounds of the overflow list and of the table.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { ASKS_PER_LOOP_MAX, OVERFLOW_LIST_BYTES_MAX, SWEEP_PERIOD_MS } from "../common/limits.js";
import type { RpcTimeout } from "../common/rpc-conf.js";
import { AskTable } from "../inbox/ask-table.js";
import { type InboxProducer, Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind, type TakenRecord } from "../inbox/record.js";
import { type MessageCodec, PayloadCodec } from "../rpc/codec.js";
import { BodiesUnderWay } from "./bodies-under-way.js";
import { noRoomInTime, timedOut, timeoutOf } from "./dispatch-errors.js";
import { failureToError, unreadableAnswer } from "./failure.js";
import { AskEnd, packTarget } from "./forwarded-record.js";
import { type Body, postBody } from "./loop-protocol.js";
import { newAskCounts } from "./message-counts.js";
import { OutstandingAsks } from "./outstanding-asks.js";
import type { RefPoster, RefTarget } from "./ref-poster.js";
import { type RunningHandler, remainingMs } from "./running-handler.js";
import type { LoopCodecs } from "./shared-shapes.js";

const NO_DEADLINE = 0;
/** Asks are counted by loop 0, which owns them all. */
const UNCOUNTED = newAskCounts();
/** Generations have 30 bits: 10 for the epoch, 20 for asks of one slot until they come round. */
const EPOCH_SHIFT = 20;
const EPOCH_MASK = 0x3ff;

export interface LoopPosterOptions {
  readonly loop: number;
  readonly epoch: number;
  readonly clock: Clock;
  readonly codecs: LoopCodecs;
  readonly producer: InboxProducer;
  readonly bodyPort: MessagePort;
  readonly running: RunningHandler;
  /** Of asks that name none. */
  readonly askTimeout: RpcTimeout;
  /** What a user should know of an ask that `target` did not answer in time; empty if nothing. */
  readonly explain: (target: RefTarget) => string;
}

export class LoopPoster implements RefPoster {
  readonly #options: LoopPosterOptions;
  readonly #clock: Clock;
  readonly #codec: MessageCodec;
  readonly #networkCodec: MessageCodec;
  readonly #producer: InboxProducer;
  readonly #running: RunningHandler;
  readonly #asks: OutstandingAsks;
  readonly #bodies: BodiesUnderWay;
  readonly #record = new OutgoingRecord();
  /** By ask slot: whom it asks, and with a record of which kind. */
  readonly #targets: RefTarget[] = [];
  readonly #kinds: number[] = [];
  #nextTicket = 0;
  #sweeping = false;
  lastSlot = -1;

  constructor(options: LoopPosterOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#codec = options.codecs.codec;
    this.#networkCodec = options.codecs.networkCodec;
    this.#producer = options.producer;
    this.#running = options.running;
    this.#bodies = new BodiesUnderWay(options.producer);
    const firstGeneration = (options.epoch & EPOCH_MASK) << EPOCH_SHIFT;
    this.#asks = new OutstandingAsks(
      new AskTable(new Int32Array(ASKS_PER_LOOP_MAX), 0, ASKS_PER_LOOP_MAX, firstGeneration),
    );
  }

  ask(
    target: RefTarget,
    kind: number,
    message: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown> {
    this.lastSlot = -1;
    if (signal?.aborted) return Promise.reject(signal.reason);
    try {
      this.#encode(target, message, transfer, kind === RecordKind.CALL);
    } catch (error) {
      // A getter of the message may have asked as well.
      this.lastSlot = -1;
      return Promise.reject(error);
    }
    const nowMs = this.#clock.now();
    let deadline = timeoutMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : (nowMs + timeoutMs) | 0 || 1;
    if (this.#running.endsBefore(deadline)) {
      deadline = this.#running.deadline;
      timeoutMs = -remainingMs(deadline, nowMs);
    }
    const promise = this.#open(target, kind, deadline, timeoutMs);
    if (promise === null) {
      this.lastSlot = -1;
      return Promise.reject(this.#tooManyAsks(target.name));
    }
    const slot = this.#asks.lastSlot;
    this.lastSlot = slot;
    this.#setHeader(kind, slot, deadline, nowMs);
    try {
      if (this.#post(target, Overflow.SPILL) === PostResult.FULL) {
        this.#asks.reject(slot, this.#overflowFull(target.name), "rejected");
        return promise;
      }
    } catch (error) {
      // No memory for the copy of a large body, or a getter of the message has detached what was to be copied.
      this.#asks.reject(slot, error, "rejected");
      return promise;
    }
    if (signal !== undefined) this.#asks.watch(slot, signal, this.#onAborted);
    return promise;
  }

  send(target: RefTarget, kind: number, message: unknown, transfer?: readonly ArrayBuffer[]): boolean {
    this.#encode(target, message, transfer, kind === RecordKind.CAST);
    this.#setHeader(kind, -1, NO_DEADLINE, this.#clock.now());
    return this.#post(target, Overflow.REFUSE) !== PostResult.FULL;
  }

  /** Which replicas there are only loop 0 knows for sure: as many as there were when somebody last looked. */
  broadcast(target: RefTarget, message: unknown): number {
    return this.send(target, RecordKind.BROADCAST, message) ? target.replicas : 0;
  }

  ready(target: RefTarget, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const nowMs = this.#clock.now();
    const deadline = timeoutMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : (nowMs + timeoutMs) | 0 || 1;
    const promise = this.#open(target, RecordKind.READY, deadline, timeoutMs);
    if (promise === null) return Promise.reject(this.#tooManyAsks(target.name));
    const slot = this.#asks.lastSlot;
    this.#setHeader(RecordKind.READY, slot, deadline, nowMs);
    if (this.#postRequest(target, Overflow.SPILL) === PostResult.FULL) {
      this.#asks.reject(slot, this.#overflowFull(target.name), "rejected");
    } else if (signal !== undefined) {
      this.#asks.watch(slot, signal, this.#onAborted);
    }
    return promise as Promise<void>;
  }

  generation(slot: number): number {
    return slot === -1 ? 0 : this.#asks.generation(slot);
  }

  abort(slot: number, generation: number, reason: unknown): void {
    if (slot !== -1 && this.#asks.isOpen(slot, generation)) this.#onAborted([slot], reason);
  }

  /** Begins to stop an endpoint. */
  stop(target: RefTarget): void {
    this.#setHeader(RecordKind.STOP_REQUEST, -1, NO_DEADLINE, this.#clock.now());
    this.#postRequest(target, Overflow.FORCE);
  }

  /** Begins to shut the env down; `timeoutMs` 0: the env's default. */
  shutdown(timeoutMs: number): void {
    this.#report(RecordKind.SHUTDOWN_REQUEST, -1, 0, timeoutMs);
  }

  /** An answer has come: REPLY, FAILURE or EXPIRED in this loop's mailbox. */
  settle(record: TakenRecord): void {
    const { askSlot: slot, askGeneration, kind } = record;
    const body = (record.flags & RecordFlag.LARGE) === 0 ? null : this.#takeBody();
    // It has ended before: the answer is late.
    if (!this.#asks.isOpen(slot, askGeneration)) return;
    const target = this.#targets[slot] as RefTarget;
    if (kind === RecordKind.EXPIRED) {
      this.#asks.reject(slot, this.#timedOut(slot, record.sender === 1), "timedOut");
      return;
    }
    // Loop 0's own word: what another node says so cannot be read.
    const isRemote = (record.flags & RecordFlag.REMOTE) !== 0;
    if (kind === RecordKind.FAILURE && record.codec === PayloadCodec.EMPTY && !isRemote) {
      this.#asks.reject(slot, this.#mailboxFull(target.name), "failed");
      return;
    }
    let answer: unknown;
    const codec = isRemote ? this.#networkCodec : this.#codec;
    try {
      answer =
        body === null
          ? codec.decode(record.codec, record.scratch, record.payloadBytes)
          : codec.decode(record.codec, body.bytes, body.bytes.length, body.attachments, true);
      if (kind === RecordKind.FAILURE) answer = failureToError(target.name, answer, target.listeningAt);
    } catch (error) {
      this.#asks.reject(slot, unreadableAnswer(error, target.name, target.listeningAt), "failed");
      return;
    }
    if (kind === RecordKind.REPLY) {
      this.#asks.resolve(slot, answer);
      return;
    }
    const error = answer as RpcError;
    // Another node knows what was left of the time when the ask came, this loop what was given.
    if (error.code !== "ERR_RPC_TIMEOUT") this.#asks.reject(slot, error, "failed");
    else this.#asks.reject(slot, this.#timedOut(slot, error.maybeExecuted), "timedOut");
  }

  // ── One record ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #open(target: RefTarget, kind: number, deadline: number, timeoutMs: number): Promise<unknown> | null {
    const promise = this.#asks.open(target.id, UNCOUNTED, deadline, timeoutMs);
    if (promise === null) return null;
    const slot = this.#asks.lastSlot;
    this.#targets[slot] = target;
    this.#kinds[slot] = kind;
    if (!this.#sweeping) this.#startSweep();
    return promise;
  }

  #setHeader(kind: number, slot: number, deadline: number, nowMs: number): void {
    const record = this.#record.setHeaderOnly(kind, slot, slot === -1 ? 0 : this.#asks.generation(slot));
    record.deadline = deadline;
    record.enqueuedAt = (nowMs * 1_000) | 0;
  }

  /** What is sent to another node is written for the network; what is given away is copied there. */
  #encode(target: RefTarget, message: unknown, transfer: readonly ArrayBuffer[] | undefined, inputs: boolean): void {
    const root = inputs ? "inputs" : "message";
    if (target.place === null) this.#codec.encode(message, transfer, root);
    else this.#networkCodec.encode(message, undefined, root);
  }

  /** The one that `#encode` used. */
  #codecFor(target: RefTarget): MessageCodec {
    return target.place === null ? this.#codec : this.#networkCodec;
  }

  /** Posts `#record` with the message that the codec holds, and behind it the target. */
  #post(target: RefTarget, overflow: Overflow): PostResult {
    const { trailer } = target;
    const { payloadCodec, bytes, length, attachmentBytes } = this.#codecFor(target);
    if (length + trailer.length > this.#producer.inlinePayloadBytesMax || attachmentBytes > 0) {
      return this.#postLarge(target, overflow);
    }
    this.#record.setPayload(payloadCodec, bytes, length, trailer);
    return this.#postRecord(target, overflow);
  }

  /** The body goes first, so that it is there when loop 0 reads the record: hence nothing may refuse the record then. */
  #postLarge(target: RefTarget, overflow: Overflow): PostResult {
    const codec = this.#codecFor(target);
    const { payloadCodec, length, attachmentBytes } = codec;
    const producer = this.#producer;
    const bodyBytes = length + attachmentBytes;
    if (!producer.hasRoom() && overflow === Overflow.REFUSE) return PostResult.FULL;
    if (!this.#bodies.admits(bodyBytes)) return PostResult.FULL;
    const ticket = this.#nextTicket++ | 0;
    postBody(this.#options.bodyPort, { ticket, ...codec.takeBody() });
    this.#record.flags = RecordFlag.LARGE;
    this.#record.setPayload(payloadCodec, target.trailer, 0, target.trailer);
    const result = this.#postRecord(target, Overflow.FORCE);
    this.#bodies.add(bodyBytes);
    return result;
  }

  /** Posts `#record` with the target alone. */
  #postRequest(target: RefTarget, overflow: Overflow): PostResult {
    this.#record.setPayload(PayloadCodec.EMPTY, target.trailer, 0, target.trailer);
    return this.#postRecord(target, overflow);
  }

  #postRecord(target: RefTarget, overflow: Overflow): PostResult {
    const record = this.#record;
    const nameBytes = target.nameBytes.length;
    if (target.place === null) {
      record.sender = packTarget(target.id, nameBytes);
    } else {
      record.flags |= RecordFlag.REMOTE;
      record.sender = packTarget(target.trailer.length - nameBytes, nameBytes);
    }
    record.endpointGeneration = target.generation;
    const result = this.#producer.post(record, overflow);
    this.#producer.flush();
    return result;
  }

  #report(kind: number, slot: number, generation: number, detail: number): void {
    this.#producer.post(this.#record.setHeaderOnly(kind, slot, generation, detail), Overflow.FORCE);
    this.#producer.flush();
  }

  #takeBody(): Body | null {
    return (receiveMessageOnPort(this.#options.bodyPort) as { message: Body } | undefined)?.message ?? null;
  }

  // ── Ends before the answer ─────────────────────────────────────────────────────────────────────────────────────────

  readonly #onAborted = (slots: readonly number[], reason: unknown): void => {
    for (const slot of slots) this.#end(slot, reason, AskEnd.ABORTED);
  };

  #end(slot: number, error: unknown, why: AskEnd): void {
    const generation = this.#asks.generation(slot);
    this.#asks.cancel(slot, error, why === AskEnd.TIMED_OUT ? "timedOut" : "aborted");
    this.#report(RecordKind.ASK_ENDED, slot, generation, why);
  }

  #startSweep(): void {
    this.#sweeping = true;
    const timer = this.#clock.setTimeout(() => {
      for (const slot of this.#asks.expired(this.#clock.now() | 0)) {
        this.#end(slot, this.#timedOut(slot, true), AskEnd.TIMED_OUT);
      }
      if (this.#asks.count > 0) timer.refresh();
      else this.#sweeping = false;
    }, SWEEP_PERIOD_MS);
    // The loop's control port keeps its thread alive.
    timer.unref();
  }

  // ── Errors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #timedOut(slot: number, maybeExecuted: boolean): RpcError {
    const target = this.#targets[slot] as RefTarget;
    const timeout = timeoutOf(this.#asks.timeoutMs(slot), this.#options.askTimeout);
    if (this.#kinds[slot] === RecordKind.READY) return noRoomInTime(target.name, timeout);
    return timedOut(target.name, timeout, maybeExecuted, this.#options.explain(target));
  }

  #tooManyAsks(endpoint: string): RpcError {
    const text = `loop ${this.#options.loop} has too many asks outstanding: count=${this.#asks.count}; await some of them first`;
    return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint });
  }

  #overflowFull(endpoint: string): RpcError {
    const text =
      `too much waits for the main thread on loop ${this.#options.loop}: waitingBytes=${this.#producer.spill.budget.bytes}, ` +
      `bytesMax=${OVERFLOW_LIST_BYTES_MAX}; the message to "${endpoint}" was not sent`;
    return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint });
  }

  #mailboxFull(endpoint: string): RpcError {
    const text = `"${endpoint}" has answered, but too many answers wait for loop ${this.#options.loop}: the answer is lost`;
    return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint, maybeExecuted: true, retryable: false });
  }
}
