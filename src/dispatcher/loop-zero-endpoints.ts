/**
 * The endpoints of loop 0: instances and services that were set up without a module. Steps 5 and 6 of the data flow,
 * on the main thread. They use the same ring, spill and in-flight table as those of message loops, so that order,
 * limits and ends are the same; the ring is faster than a queue of copies besides (docs/adr/0002).
 *
 * Loop 0 serves them between its other duties: at most `throughput` messages or a millisecond a turn.
 */

import { assert } from "../common/assert.js";
import type { Clock } from "../common/clock.js";
import { IN_FLIGHT_ENTRIES_PER_LOOP, LOOP0_TURN_MS } from "../common/limits.js";
import { AskTableView } from "../inbox/ask-table.js";
import { type InFlightEntry, InFlightTable, readInFlightEntries } from "../inbox/in-flight-table.js";
import { type Bell, PinnedInboxConsumer, TakeResult } from "../inbox/inbox.js";
import { LOOP_BUSY_MS } from "../inbox/layout.js";
import { RecordKind, TakenRecord } from "../inbox/record.js";
import { countersAt, type Region } from "../inbox/segment.js";
import type { RpcPeer } from "../rpc/rpc-endpoint-options.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import { AttachedEndpoint, type EndpointBehaviour, type InstanceReplacer } from "./attached-endpoint.js";
import { type EndpointGate, EndpointServer } from "./endpoint-server.js";
import { HandlerRunner } from "./handler-runner.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { Body } from "./loop-protocol.js";
import { LoopZeroAnswers } from "./loop-zero-answers.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { RunningHandler } from "./running-handler.js";
import type { LoopCodecs } from "./shared-shapes.js";

export interface LoopZeroSetup {
  readonly inboxBytes: number;
  readonly concurrency: number;
  readonly throughput: number | undefined;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  readonly allow: ((peer: RpcPeer) => boolean) | null;
}

export interface LoopZeroEndpointsOptions {
  readonly clock: Clock;
  readonly codecs: LoopCodecs;
  readonly memory: MainLoopMemory;
  readonly throughput: number;
  readonly running: RunningHandler;
  readonly rpcEnv: RpcEnvView;
  /** What loop 0 does with the records of any loop. */
  readonly onRecord: (record: TakenRecord) => void;
  /** An Inbox has room again. */
  readonly onRoom: (endpoint: number) => void;
  /** There is something to serve. */
  readonly wake: () => void;
}

/** A control record that waits for loop 0's next turn, as others wait in a mailbox. */
interface Control {
  readonly kind: number;
  readonly subject: number;
  readonly generation: number;
  readonly detail: number;
}

export class LoopZeroEndpoints implements EndpointGate {
  readonly #clock: Clock;
  readonly #memory: MainLoopMemory;
  readonly #throughput: number;
  readonly #onRoom: (endpoint: number) => void;
  readonly #wake: () => void;
  readonly #table: InFlightTable;
  readonly #server: EndpointServer;
  readonly #answers: LoopZeroAnswers;
  readonly #controlRecord = new TakenRecord(8);
  readonly #controls: Control[] = [];
  readonly #bodies = new Map<number, Body>();
  /** Endpoints whose Inbox may hold something, each in its turn. */
  readonly #pending = new Set<AttachedEndpoint>();
  readonly #words: Int32Array;
  readonly #control: number;
  #busyMs = 0;

  constructor(options: LoopZeroEndpointsOptions) {
    const { clock, codecs, memory } = options;
    this.#clock = clock;
    this.#memory = memory;
    this.#throughput = options.throughput;
    this.#onRoom = options.onRoom;
    this.#wake = options.wake;
    const { control, entries } = memory.loopZero;
    this.#words = memory.words(control);
    this.#control = control.word;
    this.#table = new InFlightTable(memory.words(entries), entries.word, IN_FLIGHT_ENTRIES_PER_LOOP);
    const answers = new LoopZeroAnswers(codecs, this.#table, options.onRecord);
    this.#answers = answers;
    const lines = { controlWords: this.#words, control: control.word };
    this.#server = new EndpointServer({ entries: this.#table, answers, gate: this, ...lines }, new TakenRecord());
    const { asks } = memory.regions;
    const runner = new HandlerRunner({
      codecs,
      clock,
      asks: new AskTableView(memory.words(asks), asks.word),
      entries: this.#table,
      answers,
      blocks: memory.blocks,
      takeBody: (ticket) => this.#takeBody(ticket),
      running: options.running,
      rpcEnv: options.rpcEnv,
      onReleased: (endpoint) => this.#server.released(endpoint),
    });
    this.#server.start(runner);
  }

  /** Serves `endpoint` from now on. */
  attach(
    endpoint: HostedEndpoint,
    behaviour: EndpointBehaviour,
    setup: LoopZeroSetup,
    serial: boolean,
    replacer: InstanceReplacer,
  ): void {
    const room: Bell = { press: () => this.#onRoom(endpoint.id) };
    const counters = endpoint.counters[0] as Region;
    this.#server.add(
      new AttachedEndpoint({
        id: endpoint.id,
        name: endpoint.name,
        shared: false,
        serial,
        concurrency: setup.concurrency,
        throughput: setup.throughput ?? Number.POSITIVE_INFINITY,
        handlerTimeoutMs: setup.handlerTimeoutMs,
        behaviour,
        consumer: new PinnedInboxConsumer(endpoint.id, this.#memory.place(endpoint.ring), room),
        counters: this.#memory.segment(counters).doubles,
        countersAt: countersAt(counters),
        replacer,
      }),
    );
    this.#ready(endpoint.id);
  }

  find(id: number): AttachedEndpoint | undefined {
    return this.#server.get(id);
  }

  /** What is pressed when the Inbox of `endpoint` has news. */
  doorbell(endpoint: number): Bell {
    return { press: () => this.#ready(endpoint) };
  }

  /** As a record in the mailbox of another loop. */
  tell(kind: number, subject: number, generation = 0, detail = 0): void {
    this.#controls.push({ kind, subject, generation, detail });
    this.#wake();
  }

  /** The body of a message that was taken; null: its ask has ended. */
  deliver(ticket: number, body: Body | null, entry: number): void {
    if (body !== null) this.#bodies.set(ticket, body);
    this.tell(body === null ? RecordKind.GONE : RecordKind.BODY, ticket, 0, entry);
  }

  /** The body of the answer that was just told. */
  takeAnswer(): Body | undefined {
    return this.#answers.takeBody();
  }

  inFlight(asks?: ReadonlyMap<number, number>): InFlightEntry[] {
    const { entries } = this.#memory.loopZero;
    return readInFlightEntries(this.#memory.words(entries), entries.word, asks);
  }

  /** One turn. True if there was anything to do. */
  serve(): boolean {
    if (this.#controls.length === 0 && this.#pending.size === 0) return false;
    const startedMs = this.#clock.now();
    const endsMs = startedMs + LOOP0_TURN_MS;
    let nowMs = startedMs;
    this.#readControls();
    let left = this.#throughput;
    for (const endpoint of this.#pending) {
      const leaves = Math.max(0, left - endpoint.throughput);
      while (!endpoint.blocked && left > leaves && nowMs < endsMs) {
        const result = this.#server.take(endpoint, nowMs);
        if (result === TakeResult.EMPTY) this.#pending.delete(endpoint);
        if (result !== TakeResult.TAKEN) break;
        left--;
        nowMs = this.#clock.now();
      }
      if (endpoint.blocked) this.#pending.delete(endpoint);
      if (left > 0 && nowMs < endsMs) continue;
      // The next turn begins with somebody else.
      if (this.#pending.delete(endpoint)) this.#pending.add(endpoint);
      break;
    }
    this.#busyMs += nowMs - startedMs;
    this.#words[this.#control + LOOP_BUSY_MS] = this.#busyMs;
    return true;
  }

  // ── EndpointGate ───────────────────────────────────────────────────────────────────────────────────────────────────

  block(): void {}

  unblock(endpoint: AttachedEndpoint): void {
    this.#pending.add(endpoint);
    this.#wake();
  }

  leave(endpoint: AttachedEndpoint): void {
    this.#pending.delete(endpoint);
  }

  beforeHandler(): void {}

  desaturated(): void {
    this.#wake();
  }

  #ready(id: number): void {
    const endpoint = this.#server.get(id);
    if (endpoint === undefined || endpoint.blocked) return;
    this.#pending.add(endpoint);
    this.#wake();
  }

  #readControls(): void {
    const record = this.#controlRecord;
    for (const { kind, subject, generation, detail } of this.#controls.splice(0)) {
      record.kind = kind;
      record.askSlot = subject;
      record.askGeneration = generation;
      record.sender = detail;
      this.#server.onControl(record);
    }
  }

  #takeBody(ticket: number): Body | undefined {
    const body = this.#bodies.get(ticket);
    assert(body !== undefined, "a body is there before its record is read");
    this.#bodies.delete(ticket);
    return body;
  }
}
