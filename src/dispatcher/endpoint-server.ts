/**
 * The endpoints of one loop, and how their messages are taken and their lives end: what a message loop and loop 0 have
 * in common. Steps 5 and 6 of the data flow; one thread only. When to take, and from which Inbox, is the loop's affair.
 *
 * A message: taken → handed to the HandlerRunner → its endpoint is blocked while it has all the messages in flight that
 * it may have → unblocked by `released`.
 * An end: STOP taken and reported → QUIESCE: reported when nothing is in flight → ON_STOP: onStop, then forgotten.
 */
import { RpcError } from "../common/errors.js";
import type { InFlightTable } from "../inbox/in-flight-table.js";
import { TakeResult } from "../inbox/inbox.js";
import { LOOP_DROPPED, LOOP_ENDPOINT } from "../inbox/layout.js";
import { RecordKind, type TakenRecord } from "../inbox/record.js";
import type { Answers } from "./answers.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
import type { HandlerRunner } from "./handler-runner.js";

/** What the loop does about an endpoint that may take nothing now, or may again. */
export interface EndpointGate {
  block(endpoint: AttachedEndpoint): void;
  unblock(endpoint: AttachedEndpoint): void;
  /** It is served no more. */
  leave(endpoint: AttachedEndpoint): void;
  /** A message was taken and its handler is about to run. */
  beforeHandler(): void;
  /** The loop had no free in-flight entry, and has one again. */
  desaturated(): void;
}

export interface EndpointServerOptions {
  readonly entries: InFlightTable;
  readonly answers: Answers;
  readonly gate: EndpointGate;
  /** The loop's control line. */
  readonly controlWords: Int32Array;
  readonly control: number;
}

export class EndpointServer {
  readonly #entries: InFlightTable;
  readonly #answers: Answers;
  readonly #gate: EndpointGate;
  readonly #words: Int32Array;
  readonly #control: number;
  readonly #endpoints = new Map<number, AttachedEndpoint>();
  readonly #record: TakenRecord;
  #runner: HandlerRunner | null = null;
  /** No in-flight entry is free: nothing but the mailbox is read until a handler settles. */
  saturated = false;

  constructor(options: EndpointServerOptions, record: TakenRecord) {
    this.#entries = options.entries;
    this.#answers = options.answers;
    this.#gate = options.gate;
    this.#words = options.controlWords;
    this.#control = options.control;
    this.#record = record;
  }

  /** The runner calls `released` back, so it is made second. */
  start(runner: HandlerRunner): void {
    this.#runner = runner;
  }

  get(id: number): AttachedEndpoint | undefined {
    return this.#endpoints.get(id);
  }

  add(endpoint: AttachedEndpoint): void {
    this.#endpoints.set(endpoint.id, endpoint);
  }

  remove(id: number): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    this.#endpoints.delete(id);
    this.#gate.leave(endpoint);
  }

  /** Takes and serves one message. `nowMs`: env clock, not older than the turn. */
  take(endpoint: AttachedEndpoint, nowMs: number): TakeResult {
    const record = this.#record;
    const result = endpoint.consumer.take(record, this.#entries, nowMs | 0);
    if (result !== TakeResult.TAKEN) {
      this.saturated = result === TakeResult.SATURATED;
      return result;
    }
    // Before any user code: what else waits must not wait for this handler while a core idles.
    this.#gate.beforeHandler();
    if (record.kind === RecordKind.STOP) {
      this.#answers.report(RecordKind.STOP_TAKEN, endpoint.id);
      this.#answers.release(record.entry);
      return result;
    }
    const runner = this.#runner as HandlerRunner;
    endpoint.countTaken();
    if (endpoint.abandoned) {
      runner.abandon(endpoint, record);
      return result;
    }
    this.#words[this.#control + LOOP_ENDPOINT] = endpoint.id;
    runner.serve(endpoint, record, nowMs | 0);
    this.#words[this.#control + LOOP_ENDPOINT] = 0;
    this.#words[this.#control + LOOP_DROPPED] = runner.droppedCount;
    if (endpoint.inFlight >= endpoint.concurrency) this.#block(endpoint);
    return result;
  }

  /** A message of `endpoint` that outlived its turn has ended. */
  released(endpoint: AttachedEndpoint): void {
    if (this.saturated) {
      this.saturated = false;
      this.#gate.desaturated();
    }
    if (endpoint.quiescing) this.#reportIfQuiet(endpoint);
    if (!endpoint.blocked || endpoint.replacing || endpoint.inFlight >= endpoint.concurrency) return;
    endpoint.blocked = false;
    this.#gate.unblock(endpoint);
  }

  /** What loop 0 tells a loop about its endpoints. */
  onControl(record: TakenRecord): void {
    const runner = this.#runner as HandlerRunner;
    const { kind, askSlot: subject, askGeneration: generation, sender: detail } = record;
    switch (kind) {
      case RecordKind.CANCEL:
        runner.cancel(detail, subject, generation);
        break;
      case RecordKind.EXPIRE:
        this.#expire(subject, generation, detail);
        break;
      case RecordKind.BODY:
      case RecordKind.GONE:
        // Its handler runs from here, and is to blame if the thread dies of it.
        this.#words[this.#control + LOOP_ENDPOINT] = runner.pulling(detail);
        runner.deliverBody(record);
        this.#words[this.#control + LOOP_ENDPOINT] = 0;
        break;
      case RecordKind.PING:
        this.#answers.report(RecordKind.PONG, subject);
        break;
      case RecordKind.QUIESCE:
        this.#quiesce(subject, detail === 1);
        break;
      case RecordKind.ABANDON_ENDPOINT:
        this.#abandon(subject);
        break;
      case RecordKind.ON_STOP:
        this.#stopEndpoint(subject);
        break;
    }
  }

  /**
   * A broadcast or event out of the mailbox; with its in-flight entry, or -1 when none was free. It starts at once,
   * whatever its endpoint has in flight: it is meant for every replica, so no other loop can take it.
   */
  serveAside(id: number, record: TakenRecord, nowMs: number): void {
    const runner = this.#runner as HandlerRunner;
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined || endpoint.abandoned || record.entry === -1) {
      runner.dropAside(id, record);
      return;
    }
    if (record.kind === RecordKind.BROADCAST) record.kind = RecordKind.SEND;
    this.#words[this.#control + LOOP_ENDPOINT] = endpoint.id;
    runner.serve(endpoint, record, nowMs | 0, true);
    this.#words[this.#control + LOOP_ENDPOINT] = 0;
  }

  #block(endpoint: AttachedEndpoint): void {
    if (endpoint.blocked) return;
    endpoint.blocked = true;
    this.#gate.block(endpoint);
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

  /** Its endpoint has failed elsewhere: what this replica runs may end, what is still to be taken is dropped. */
  #abandon(id: number): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint !== undefined) endpoint.abandoned = true;
  }

  #reportIfQuiet(endpoint: AttachedEndpoint): void {
    if (!endpoint.quiescing || endpoint.replacing || !endpoint.quiet) return;
    endpoint.quiescing = false;
    this.#answers.report(RecordKind.QUIESCED, endpoint.id);
  }

  #stopEndpoint(id: number): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    const runner = this.#runner as HandlerRunner;
    const stopped = (): void => {
      this.remove(id);
      this.#answers.report(RecordKind.STOPPED, id);
    };
    const onStop = async (): Promise<void> => {
      await endpoint.behaviour.onStop();
    };
    onStop().then(stopped, (error) => {
      const reason = error ?? new Error("onStop rejected without a reason");
      runner.tellEndpoint(endpoint, reason);
      runner.reportHookFailure(endpoint, reason);
      stopped();
    });
  }

  /**
   * A handler has had its time. A concurrent endpoint gives the message up and goes on. A serial one cannot: the old
   * handler may still write to the instance. It goes on with a new instance, when that has started.
   */
  #expire(id: number, position: number, entry: number): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    const runner = this.#runner as HandlerRunner;
    if (!runner.isRunning(entry, endpoint, position)) return;
    const { serial, replacer } = endpoint;
    if (serial) {
      endpoint.replacing = true;
      this.#block(endpoint);
    }
    runner.giveUp(entry);
    if (!serial) return;
    const text = `its instance was given up: a handler did not end within ${endpoint.handlerTimeoutMs} ms`;
    replacer.replace(new RpcError("ERR_RPC_HANDLER_TIMEOUT", text, { endpoint: endpoint.name })).then(
      (behaviour) => {
        endpoint.behaviour = behaviour;
        endpoint.replacing = false;
        this.released(endpoint);
      },
      (error) => {
        runner.reportHookFailure(endpoint, error);
        // Nothing can serve it any more; loop 0 takes it out of service.
        endpoint.replacing = false;
        endpoint.abandoned = true;
        this.#answers.report(RecordKind.STUCK, endpoint.id, 1);
        this.released(endpoint);
      },
    );
  }
}
