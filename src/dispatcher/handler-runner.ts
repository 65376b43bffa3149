/**
 * Runs handlers on a message loop: decode, call, answer. Step 6 of the data flow.
 *
 * The life of a taken message: taken → dropped (its ask has ended, or its deadline has passed) | waiting for its body →
 * running → answered at once (a plain result) or detached (a promise, or `defer()`) → answered and ended. Its in-flight
 * entry is freed after the reply was published and the handler has ended. A deferred ask keeps its entry, but no longer
 * counts as one in flight: a serial endpoint goes on with the messages that will bring its answer.
 */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import type { AskTableView } from "../inbox/ask-table.js";
import type { BodyBlocks } from "../inbox/body-blocks.js";
import type { InFlightTable } from "../inbox/in-flight-table.js";
import { RecordFlag, RecordKind, type TakenRecord, TICKET_FLAGS } from "../inbox/record.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import type { Answers, TakeBody } from "./answers.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
import { CallContext, type ContextHost, ContextState, DEFERRED, isThenable } from "./call-context.js";
import { deferredTooLong } from "./dispatch-errors.js";
import { answerFailure, type Failure, handlerFailure } from "./failure.js";
import { asideEntry, NO_MESSAGE } from "./message-counts.js";
import { OverdueHandlers } from "./overdue-handlers.js";
import { Pulls } from "./pulls.js";
import { messageBytes, senderOf } from "./remote-record.js";
import type { RunningHandler } from "./running-handler.js";
import type { LoopCodecs } from "./shared-shapes.js";

export interface HandlerRunnerOptions {
  readonly codecs: LoopCodecs;
  readonly clock: Clock;
  readonly asks: AskTableView;
  readonly entries: InFlightTable;
  readonly answers: Answers;
  readonly blocks: BodyBlocks;
  readonly takeBody: TakeBody;
  readonly running: RunningHandler;
  readonly rpcEnv: RpcEnvView;
  /** The endpoint has fewer messages in flight than before, outside of its loop's own call. */
  readonly onReleased: (endpoint: AttachedEndpoint) => void;
}

export class HandlerRunner implements ContextHost {
  readonly #codecs: LoopCodecs;
  readonly #clock: Clock;
  readonly #asks: AskTableView;
  readonly #entries: InFlightTable;
  readonly #answers: Answers;
  readonly #blocks: BodyBlocks;
  readonly #running: RunningHandler;
  readonly #onReleased: (endpoint: AttachedEndpoint) => void;
  readonly rpcEnv: RpcEnvView;
  /** Detached contexts by in-flight entry. */
  readonly #contexts: (CallContext | undefined)[] = [];
  readonly #pulls: Pulls;
  readonly #overdue: OverdueHandlers;
  /** Messages dropped because nobody waited any more. */
  droppedCount = 0;

  constructor(options: HandlerRunnerOptions) {
    this.#codecs = options.codecs;
    this.#clock = options.clock;
    this.#overdue = new OverdueHandlers(options.clock, (context, ageMs) => this.#graceOver(context, ageMs));
    this.#asks = options.asks;
    this.#entries = options.entries;
    this.#answers = options.answers;
    this.#blocks = options.blocks;
    this.#pulls = new Pulls(options.takeBody);
    this.#running = options.running;
    this.#onReleased = options.onReleased;
    this.rpcEnv = options.rpcEnv;
  }

  /** Serves a message just taken. `nowMs`: int32, of this turn. `aside`: by mailbox, outside the endpoint's concurrency. */
  serve(endpoint: AttachedEndpoint, record: TakenRecord, nowMs: number, aside = false): void {
    const { askSlot, askGeneration, deadline } = record;
    if (askSlot !== -1 && !this.#asks.isWaiting(askSlot, askGeneration)) {
      this.#drop(record);
    } else if (deadline !== 0 && ((nowMs - deadline) | 0) >= 0) {
      this.#answers.report(RecordKind.EXPIRED, askSlot, askGeneration);
      this.#drop(record);
    } else if ((record.flags & RecordFlag.LARGE) !== 0) {
      this.#pull(endpoint, record, aside);
    } else {
      const context = new CallContext(this, endpoint, record, aside, senderOf(record));
      if ((record.flags & RecordFlag.BLOCK) === 0) {
        this.#run(context, record.codec, record.scratch, messageBytes(record), undefined);
      } else {
        const { bytes, length, attachments } = this.#blocks.read(record);
        this.#answers.report(RecordKind.TICKET_ENDED, record.sender);
        this.#run(context, record.codec, bytes, length, attachments);
      }
    }
  }

  /** A broadcast or event that came behind the end of its replica, or found no free in-flight entry. */
  dropAside(endpoint: number, record: TakenRecord): void {
    if (record.kind === RecordKind.BROADCAST) {
      const failure: Failure =
        record.entry === -1
          ? ["ERR_RPC_INBOX_FULL", "too many messages are in flight on its loop", null]
          : ["ERR_RPC_NO_REPLY", "the replica had stopped before it came to this message", null];
      this.#answers.sendFailed(endpoint, record.position, failure, asideEntry(record.entry));
    }
    this.#drop(record);
  }

  /** A message of an endpoint whose stop has run out of time: it is not run any more. Its ask, if any, has ended. */
  abandon(endpoint: AttachedEndpoint, record: TakenRecord): void {
    if (record.askSlot === -1) {
      const text = `"${endpoint.name}" was stopped before it came to this message`;
      this.#sendFailed(endpoint, record.entry, record.position, ["ERR_RPC_NO_REPLY", text, null]);
      endpoint.countFailed();
    }
    this.#drop(record);
  }

  /** Id of the endpoint whose message in this entry waits for its body. */
  pulling(entry: number): number {
    return this.#pulls.endpoint(entry);
  }

  /** BODY: a body has arrived; or GONE: its ask has ended. */
  deliverBody(record: TakenRecord): void {
    const { pull, body } = this.#pulls.end(record);
    const { endpoint, entry, askSlot, askGeneration, deadline } = pull;
    // The ask may have ended while its body was on its way.
    if (body === null || (askSlot !== -1 && !this.#asks.isWaiting(askSlot, askGeneration))) {
      this.droppedCount++;
      this.#answers.release(entry);
    } else if (deadline !== 0 && ((this.#clock.now() - deadline) | 0) >= 0) {
      // It has passed since the message was taken, and no sweep has noticed yet.
      this.#answers.report(RecordKind.EXPIRED, askSlot, askGeneration);
      this.droppedCount++;
      this.#answers.release(entry);
    } else {
      const context = new CallContext(this, endpoint, pull, pull.aside, pull.sender);
      const { bytes, attachments } = body;
      if (bytes === null) this.#run(context, pull.codec, record.scratch, record.payloadBytes, attachments);
      else this.#run(context, pull.codec, bytes, bytes.length, attachments);
    }
    // Only now: until here this message is what its endpoint may be blocked for.
    endpoint.leaveFlight(pull.aside);
    this.#onReleased(endpoint);
  }

  /** An ask has ended while its handler runs. */
  cancel(entry: number, askSlot: number, askGeneration: number): void {
    const context = this.#contexts[entry];
    if (context === undefined || context.askSlot !== askSlot || context.askGeneration !== askGeneration) return;
    context.cancel();
    // Nobody waits and no handler runs: the entry has no purpose any more.
    if (context.state === ContextState.DEFERRED) this.#finish(context);
    else if (context.state === ContextState.OPEN) this.#overdue.watch(context);
  }

  /** True while that very message has a handler that has not settled. */
  isRunning(entry: number, endpoint: AttachedEndpoint, position: number): boolean {
    const context = this.#contexts[entry];
    return context?.endpoint === endpoint && context.position === position && context.running;
  }

  /** Its handler has had its time: the message ends here, and whatever the handler may still do is ignored. */
  giveUp(entry: number): void {
    const context = this.#contexts[entry];
    if (context === undefined) return;
    const { endpoint } = context;
    context.cancel();
    if (context.state === ContextState.OPEN) {
      endpoint.countFailed();
      if (context.askSlot === -1 && context.kind !== RecordKind.EVENT) {
        const text = `the handler of "${endpoint.name}" did not end in time`;
        this.#sendFailed(endpoint, context.namedEntry, context.position, ["ERR_RPC_HANDLER_TIMEOUT", text, null]);
      }
    }
    context.running = false;
    this.#finish(context);
  }

  /** The endpoint stops: nobody will answer what it deferred. With `abandon`, what still runs is given up too. */
  failOpen(endpoint: AttachedEndpoint, abandon: boolean): void {
    for (const context of this.#contexts) {
      if (context === undefined || context.endpoint !== endpoint) continue;
      if (!abandon && context.state !== ContextState.DEFERRED) continue;
      context.cancel();
      // Whoever listened to its signal has answered it.
      if (context.state === ContextState.ENDED) continue;
      const answered = context.state === ContextState.ANSWERED;
      const text = `the handler of "${endpoint.name}" had not finished when its endpoint was stopped`;
      const error = abandon ? new RpcError("ERR_RPC_NO_REPLY", text) : deferredTooLong(endpoint.name);
      context.running = false;
      if (answered) this.#finish(context);
      else this.#settleFailure(context, error);
    }
  }

  /** onStop, onError or an event method failed: nobody asked, so loop 0 is told. */
  reportHookFailure(endpoint: AttachedEndpoint, error: unknown): void {
    this.#sendFailed(endpoint, NO_MESSAGE, 0, handlerFailure(endpoint.name, error));
  }

  /** `onError` may throw or reject: then there is nobody left to tell but loop 0. */
  tellEndpoint(endpoint: AttachedEndpoint, error: unknown): void {
    const failed = (second: unknown): void => this.reportHookFailure(endpoint, second);
    try {
      const told = endpoint.behaviour.onError(error);
      if (isThenable(told)) told.then(undefined, failed);
    } catch (second) {
      failed(second);
    }
  }

  // ── ContextHost ────────────────────────────────────────────────────────────────────────────────────────────────────

  isWaiting(slot: number, generation: number): boolean {
    return this.#asks.isWaiting(slot, generation);
  }

  nowMs(): number {
    return this.#clock.now();
  }

  /** Throws an RpcError for a value that cannot travel; the ask is still open then. */
  answer(context: CallContext, value: unknown): void {
    if (context.askSlot !== -1) this.#answers.reply(context.askSlot, context.askGeneration, value, context.remote);
    else if (context.kind !== RecordKind.EVENT) this.#countHandled(context);
    context.state = ContextState.ANSWERED;
    context.endpoint.countProcessed();
    this.#finishIfEnded(context);
  }

  answerFailure(context: CallContext, error: unknown): void {
    this.#settleFailure(context, error);
  }

  // ── One message ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @param attachments of a body, which belongs to the message; undefined when `source` is scratch memory. */
  #run(
    context: CallContext,
    codec: number,
    source: Uint8Array,
    length: number,
    attachments: readonly ArrayBuffer[] | undefined,
  ): void {
    let result: unknown;
    let later: boolean;
    const running = this.#running;
    try {
      const reader = context.remote ? this.#codecs.networkCodec : this.#codecs.codec;
      const message = reader.decode(codec, source, length, attachments, attachments !== undefined);
      running.deadline = context.deadline;
      result = this.#invoke(context, message);
      // A look at `then` may run user code too.
      later = isThenable(result);
      running.deadline = 0;
    } catch (error) {
      running.deadline = 0;
      this.#threw(context, error);
      return;
    }
    if (later) {
      this.#detach(context);
      context.counted = true;
      context.endpoint.enterFlight(context.aside);
      try {
        (result as PromiseLike<unknown>).then(
          (value) => this.#returned(context, value),
          (error) => this.#threw(context, error),
        );
      } catch (error) {
        // `then` of a user's own: a promise made of it would be rejected.
        this.#threw(context, error);
      }
    } else {
      this.#returned(context, result);
    }
  }

  /** Small on purpose: V8 would inline a handler into a larger function and compile both worse. */
  #invoke(context: CallContext, message: unknown): unknown {
    return context.endpoint.behaviour.invoke(context.kind, message, context);
  }

  /** The handler has ended. Its message ends with it, unless its answer was deferred. */
  #returned(context: CallContext, value: unknown): void {
    if (context.state === ContextState.ENDED) return;
    context.running = false;
    if (context.state === ContextState.ANSWERED) this.#finish(context);
    else if (value === DEFERRED) this.#defer(context);
    else this.#settleReply(context, value);
  }

  #threw(context: CallContext, error: unknown): void {
    if (context.state === ContextState.ENDED) return;
    context.running = false;
    if (context.state === ContextState.ANSWERED) {
      this.tellEndpoint(context.endpoint, error);
      this.#finish(context);
    } else {
      this.#settleFailure(context, error);
    }
  }

  /** The endpoint goes on with other messages; the entry stays, because the ask is still this loop's to answer. */
  #defer(context: CallContext): void {
    const { endpoint } = context;
    if (endpoint.quiescing || endpoint.abandoned) {
      this.#settleFailure(context, deferredTooLong(endpoint.name));
      return;
    }
    context.state = ContextState.DEFERRED;
    this.#detach(context);
    if (!context.counted) return;
    context.counted = false;
    endpoint.leaveFlight(context.aside);
    this.#onReleased(endpoint);
  }

  #settleReply(context: CallContext, value: unknown): void {
    try {
      this.answer(context, value);
    } catch (error) {
      context.state = ContextState.ANSWERED;
      context.endpoint.countFailed();
      this.#sendFailure(context, error);
      this.#finishIfEnded(context);
    }
  }

  #settleFailure(context: CallContext, error: unknown): void {
    context.state = ContextState.ANSWERED;
    context.endpoint.countFailed();
    this.#sendFailure(context, error);
    this.tellEndpoint(context.endpoint, error);
    this.#finishIfEnded(context);
  }

  #sendFailure(context: CallContext, error: unknown): void {
    const endpoint = context.endpoint;
    const failure = answerFailure(endpoint.name, error);
    if (context.askSlot !== -1) {
      this.#answers.fail(context.askSlot, context.askGeneration, failure, context.remote);
    } else if (context.kind === RecordKind.EVENT) {
      this.#sendFailed(endpoint, NO_MESSAGE, 0, failure);
    } else {
      this.#sendFailed(endpoint, context.namedEntry, context.position, failure);
    }
  }

  /** Entry and position name the message, so that a crash right after does not count it a second time. */
  #sendFailed(endpoint: AttachedEndpoint, entry: number, position: number, failure: Failure): void {
    this.#answers.sendFailed(endpoint.id, position, failure, entry);
  }

  /** Mark, count, free: so that recovery knows which of the messages of a dead loop its counter knows already. */
  #countHandled({ endpoint, entry }: CallContext): void {
    this.#entries.markCounted(entry, endpoint.nextHandled);
    endpoint.countHandled();
  }

  /** An answer given while the handler still runs leaves its message in flight: a serial endpoint waits for the end. */
  #finishIfEnded(context: CallContext): void {
    if (!context.running) this.#finish(context);
  }

  #finish(context: CallContext): void {
    context.state = ContextState.ENDED;
    this.#answers.release(context.entry);
    if (!context.detached) return;
    context.detached = false;
    this.#contexts[context.entry] = undefined;
    if (context.counted) context.endpoint.leaveFlight(context.aside);
    context.counted = false;
    this.#onReleased(context.endpoint);
  }

  #detach(context: CallContext): void {
    context.detached = true;
    this.#contexts[context.entry] = context;
  }

  #drop(record: TakenRecord): void {
    this.droppedCount++;
    if ((record.flags & TICKET_FLAGS) !== 0) this.#answers.report(RecordKind.TICKET_ENDED, record.sender);
    if (record.entry !== -1) this.#answers.release(record.entry);
  }

  #pull(endpoint: AttachedEndpoint, record: TakenRecord, aside: boolean): void {
    this.#pulls.begin(endpoint, record, aside);
    endpoint.enterFlight(aside);
    this.#answers.report(RecordKind.PULL, record.sender, 0, record.entry);
  }

  /** A handler runs on long after its ask has ended. */
  #graceOver({ endpoint, entry }: CallContext, ageMs: number): void {
    if (endpoint.serial) this.#answers.report(RecordKind.STUCK, endpoint.id, 0, Math.round(ageMs));
    else this.giveUp(entry);
  }
}
