/**
 * What the main thread sends to endpoints on other nodes, and asks of them. Steps 1, 3 and 8 of the data flow. As the
 * Poster of the dispatcher is for this env's own endpoints; here messages go into Outboxes.
 */
import type { Clock } from "../common/clock.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { ASKS_OUTSTANDING_MAX, SWEEP_PERIOD_MS } from "../common/limits.js";
import type { RpcTimeout } from "../common/rpc-conf.js";
import { noRoomInTime, timedOut, timeoutOf, tooManyAsks } from "../dispatcher/dispatch-errors.js";
import { failureToError, unreadableAnswer } from "../dispatcher/failure.js";
import { newAskCounts } from "../dispatcher/message-counts.js";
import { OutstandingAsks } from "../dispatcher/outstanding-asks.js";
import type { RefPoster, RefTarget } from "../dispatcher/ref-poster.js";
import { type RunningHandler, remainingMs } from "../dispatcher/running-handler.js";
import { AskTable } from "../inbox/ask-table.js";
import { RecordKind } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import { copyBytes } from "./envelope.js";
import { NO_DEADLINE_MS, type Outboxes } from "./outboxes.js";
import { OutgoingAsk } from "./outgoing-ask.js";
import type { OutgoingMessage } from "./outgoing-message.js";

const NO_DEADLINE = 0;
/** Asks of other nodes are counted there. */
const UNCOUNTED = newAskCounts();

export interface RemotePosterOptions {
  readonly clock: Clock;
  /** For the network. */
  readonly codec: MessageCodec;
  readonly outboxes: Outboxes;
  readonly running: RunningHandler;
  /** Of asks that name none. */
  readonly askTimeout: RpcTimeout;
  readonly onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void;
}

/** An ask of the main thread. */
class MainThreadAsk extends OutgoingAsk {
  readonly target: RefTarget;
  readonly #slot: number;
  readonly #poster: RemotePoster;

  constructor(poster: RemotePoster, target: RefTarget, slot: number) {
    super(target.name);
    this.target = target;
    this.#slot = slot;
    this.#poster = poster;
  }

  protected answered(failed: boolean, payloadCodec: number, bytes: Uint8Array, start: number, end: number): void {
    this.#poster.settle(this.#slot, failed, payloadCodec, bytes, start, end);
  }

  protected failed(error: RpcError): void {
    this.#poster.fail(this.#slot, error);
  }
}

const nobody = (): void => {};

/** The ask that is handed over now. One for all: whoever keeps it copies it. */
class OutgoingAskMessage implements OutgoingMessage {
  kind = 0;
  payloadCodec = 0;
  bytes: Uint8Array = new Uint8Array(0);
  length = 0;
  deadline = 0;
  remainingMs = 0;
  ask: OutgoingAsk | null = null;
  readonly lost = nobody;
}

export class RemotePoster implements RefPoster {
  readonly #options: RemotePosterOptions;
  readonly #codec: MessageCodec;
  readonly #clock: Clock;
  readonly #outboxes: Outboxes;
  readonly #asks = new OutstandingAsks(new AskTable(new Int32Array(ASKS_OUTSTANDING_MAX), 0, ASKS_OUTSTANDING_MAX));
  /** By slot. */
  readonly #sent: (MainThreadAsk | undefined)[] = [];
  readonly #outgoing = new OutgoingAskMessage();
  /** Where answers are decoded: the socket's memory is none of a message's. */
  #answer = new Uint8Array(64 * 1024);
  #sweeping = false;
  lastSlot = -1;

  constructor(options: RemotePosterOptions) {
    this.#options = options;
    this.#codec = options.codec;
    this.#clock = options.clock;
    this.#outboxes = options.outboxes;
  }

  ask(
    target: RefTarget,
    kind: number,
    message: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    this.lastSlot = -1;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const codec = this.#codec;
    try {
      codec.encode(message, undefined, kind === RecordKind.CALL ? "inputs" : "message");
    } catch (error) {
      // A getter of the message may have asked as well.
      this.lastSlot = -1;
      return Promise.reject(error);
    }
    const nowMs = this.#clock.now();
    const { running } = this.#options;
    let leftMs = timeoutMs;
    let deadline = timeoutMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : (nowMs + timeoutMs) | 0 || 1;
    if (running.endsBefore(deadline)) {
      deadline = running.deadline;
      leftMs = remainingMs(deadline, nowMs);
      timeoutMs = -leftMs;
    }
    const promise = this.#asks.open(0, UNCOUNTED, deadline, timeoutMs);
    if (promise === null) return Promise.reject(tooManyAsks(target.name, this.#asks.count));
    const slot = this.#asks.lastSlot;
    this.lastSlot = slot;
    const ask = new MainThreadAsk(this, target, slot);
    this.#sent[slot] = ask;
    const out = this.#outgoing;
    out.kind = kind;
    out.payloadCodec = codec.payloadCodec;
    out.bytes = codec.bytes;
    out.length = codec.length;
    out.deadline = deadline;
    out.remainingMs = leftMs;
    out.ask = ask;
    try {
      this.#outboxes.ask(target, out);
    } catch (error) {
      this.fail(slot, error);
      return promise;
    }
    if (ask.ended) return promise;
    if (signal !== undefined) this.#asks.watch(slot, signal, this.#onAborted);
    if (!this.#sweeping) this.#startSweep();
    return promise;
  }

  send(target: RefTarget, kind: number, message: unknown): boolean {
    const codec = this.#codec;
    codec.encode(message, undefined, kind === RecordKind.CAST ? "inputs" : "message");
    const { payloadCodec, bytes, length } = codec;
    const lost = (error: RpcError, body: Uint8Array): void => {
      this.#options.onDeadLetter(target.name, error, () => codec.decode(payloadCodec, body, length));
    };
    try {
      const out = {
        kind,
        payloadCodec,
        bytes,
        length,
        deadline: NO_DEADLINE,
        remainingMs: NO_DEADLINE_MS,
        ask: null,
        lost,
      };
      return this.#outboxes.send(target, out);
    } catch (error) {
      // The caller's mistake is his; that nobody is there is nobody's.
      if (isRpcError(error, "ERR_RPC_MESSAGE_TOO_LARGE") || !isRpcError(error)) throw error;
      lost(error, bytes.slice(0, length));
      return false;
    }
  }

  /** Which replicas there are only their env knows for sure: as many as there were when somebody last looked. */
  broadcast(target: RefTarget, message: unknown): number {
    return this.send(target, RecordKind.BROADCAST, message) ? target.replicas : 0;
  }

  async ready(target: RefTarget, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (timeoutMs === Number.POSITIVE_INFINITY) return this.#outboxes.ready(target, signal);
    const timeUp = new AbortController();
    const late = noRoomInTime(target.name, timeoutOf(timeoutMs, this.#options.askTimeout));
    const timer = this.#clock.setTimeout(() => timeUp.abort(late), timeoutMs);
    const either = signal === undefined ? timeUp.signal : AbortSignal.any([signal, timeUp.signal]);
    try {
      await this.#outboxes.ready(target, either);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }

  generation(slot: number): number {
    return slot === -1 ? 0 : this.#asks.generation(slot);
  }

  abort(slot: number, generation: number, reason: unknown): void {
    if (slot !== -1 && this.#asks.isOpen(slot, generation)) this.#end(slot, reason, "aborted");
  }

  /** The answer has come: `bytes[start .. end)`. */
  settle(slot: number, failed: boolean, payloadCodec: number, bytes: Uint8Array, start: number, end: number): void {
    const sent = this.#take(slot);
    const { name } = sent.target;
    const address = sent.connection?.address;
    let answer: unknown;
    try {
      answer = this.#decode(payloadCodec, bytes, start, end);
      if (failed) answer = failureToError(name, answer, address);
    } catch (error) {
      this.#asks.reject(slot, unreadableAnswer(error, name, address), "failed");
      return;
    }
    if (!failed) {
      this.#asks.resolve(slot, answer);
      return;
    }
    const error = answer as RpcError;
    // The other side knows what was left of the time when the ask came, this one what was given.
    if (error.code !== "ERR_RPC_TIMEOUT") this.#asks.reject(slot, error, "failed");
    else this.#asks.reject(slot, this.#timedOut(slot, sent, error.maybeExecuted), "timedOut");
  }

  fail(slot: number, error: unknown): void {
    this.#take(slot);
    this.#asks.reject(slot, error, "failed");
  }

  /** The env has stopped. */
  stop(error: RpcError): void {
    for (const slot of this.#asks.slots(null)) {
      const { target, connection } = this.#sent[slot] as MainThreadAsk;
      const where = { endpoint: target.name, address: connection?.address, maybeExecuted: connection !== null };
      this.#end(slot, new RpcError(error.code, error.message, where), "failed");
    }
  }

  readonly #onAborted = (slots: readonly number[], reason: unknown): void => {
    for (const slot of slots) this.#end(slot, reason, "aborted");
  };

  #end(slot: number, error: unknown, outcome: "aborted" | "timedOut" | "failed"): void {
    const ask = this.#take(slot);
    this.#asks.cancel(slot, error, outcome);
    this.#outboxes.giveUp(ask);
  }

  #take(slot: number): MainThreadAsk {
    const ask = this.#sent[slot] as MainThreadAsk;
    this.#sent[slot] = undefined;
    return ask;
  }

  #decode(payloadCodec: number, bytes: Uint8Array, start: number, end: number): unknown {
    const length = end - start;
    if (length > this.#answer.length) this.#answer = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
    copyBytes(this.#answer, 0, bytes, start, end);
    return this.#codec.decode(payloadCodec, this.#answer, length);
  }

  #startSweep(): void {
    this.#sweeping = true;
    const timer = this.#clock.setTimeout(() => {
      for (const slot of this.#asks.expired(this.#clock.now() | 0)) {
        const sent = this.#sent[slot] as MainThreadAsk;
        this.#end(slot, this.#timedOut(slot, sent, sent.connection !== null), "timedOut");
      }
      if (this.#asks.count > 0) timer.refresh();
      else this.#sweeping = false;
    }, SWEEP_PERIOD_MS);
  }

  #timedOut(slot: number, { target, connection }: MainThreadAsk, maybeExecuted: boolean): RpcError {
    const timeout = timeoutOf(this.#asks.timeoutMs(slot), this.#options.askTimeout);
    // Of an env that does not listen, where its socket is says more than its id.
    const place = connection?.place ?? target.place;
    const error = timedOut(`${target.name}" at "${place}`, timeout, maybeExecuted);
    return new RpcError(error.code, error.message, {
      endpoint: target.name,
      address: connection?.address,
      maybeExecuted,
    });
  }
}
