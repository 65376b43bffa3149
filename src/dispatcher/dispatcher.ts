/**
 * The Dispatcher: names, placement, posting, and what comes back. Steps 2, 3 and 8 of the data flow. Main thread only.
 *
 * Spark's Dispatcher routes a message to the Inbox of a name; this one does the same with Inboxes in shared memory. It
 * is the only producer of every Inbox and mailbox and the only consumer of every outbound ring.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../common/assert.js";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import {
  ENDPOINT_NAME_BYTES_MAX,
  ENDPOINT_START_TIMEOUT_MS,
  ENDPOINTS_MAX,
  RERING_MS,
  SPILL_BYTES_PER_ENDPOINT_MAX,
  SPILL_BYTES_PER_ENV_MAX,
  SPILL_MESSAGES_PER_ENDPOINT_MAX,
  SWEEP_PERIOD_MS,
} from "../common/limits.js";
import { readInFlightEntries } from "../inbox/in-flight-table.js";
import { type InboxProducer, Overflow, PostResult } from "../inbox/inbox.js";
import { COUNTER_FAILED, COUNTER_PROCESSED, COUNTER_TAKEN } from "../inbox/layout.js";
import { OutgoingRecord, PayloadWriter, RecordFlag, RecordKind, TakenRecord } from "../inbox/record.js";
import { SpillBudget, SpillTotal } from "../inbox/spill-queue.js";
import { MessageCodec } from "../rpc/codec.js";
import type { EndpointDescription } from "../rpc/rpc-definition.js";
import { CrashRecovery } from "./crash-recovery.js";
import { EndpointStopper } from "./endpoint-stopper.js";
import { failureToError } from "./failure.js";
import { EndpointState, HostedEndpoint } from "./hosted-endpoint.js";
import type { LoopHostFactory } from "./loop-host.js";
import { inboxRoomMember } from "./loop-members.js";
import type { AttachRequest, Body, ControlResult, EncodedValue } from "./loop-protocol.js";
import { LoopZero, type LoopZeroHandler } from "./loop-zero.js";
import { MainLoopMemory } from "./main-loop-memory.js";
import { type HostedMessageLoop, MessageLoops } from "./message-loops.js";
import { OutstandingAsks } from "./outstanding-asks.js";
import { TICKET_PAYLOAD_BYTES, Tickets } from "./tickets.js";

/** What the Dispatcher reports to its env. */
export interface DispatcherEvents {
  /** Messages that were accepted and will not be handled, or whose one-way handler failed. */
  deadLetter(endpoint: string, error: RpcError, count: number): void;
  loopCrashed(loop: number, blamed: string | null, error: unknown): void;
  endpointFailed(endpoint: string, error: RpcError): void;
}

export interface DispatcherOptions {
  readonly envName: string;
  readonly clock: Clock;
  readonly originMs: number;
  readonly loopCount: number;
  readonly throughput: number;
  readonly loopRingBytes: number;
  readonly hostFactory: LoopHostFactory;
  readonly events: DispatcherEvents;
}

export interface EndpointSetup {
  readonly inboxBytes: number;
  readonly concurrency: number;
  /** Loop of a serial endpoint, by hand. */
  readonly loop: number | undefined;
  readonly args: unknown;
}

/** A timeout that never comes; asks then have no deadline. */
const NO_DEADLINE = 0;

export class Dispatcher implements LoopZeroHandler {
  readonly asks: OutstandingAsks;
  readonly tickets = new Tickets();
  readonly memory = new MainLoopMemory();
  readonly loops: MessageLoops;
  readonly events: DispatcherEvents;
  readonly #clock: Clock;
  readonly #codec = new MessageCodec();
  readonly #writer = new PayloadWriter(this.#codec.scratch);
  readonly #record = new OutgoingRecord();
  readonly #ticketPayload = new Uint8Array(TICKET_PAYLOAD_BYTES);
  readonly #spillTotal = new SpillTotal(SPILL_BYTES_PER_ENV_MAX);
  readonly #loopZero: LoopZero;
  readonly #stopper: EndpointStopper;
  readonly #crashes: CrashRecovery;
  readonly #byName = new Map<string, HostedEndpoint>();
  readonly #byId: (HostedEndpoint | undefined)[] = [undefined];
  readonly #freeIds: number[] = [];
  #generation = 0;
  #accepting = true;
  #sweeping = false;
  #reRingArmed = false;
  readonly #rungInboxes = new Set<number>();

  constructor(options: DispatcherOptions) {
    this.#clock = options.clock;
    this.events = options.events;
    this.asks = new OutstandingAsks(this.memory.asks);
    this.#loopZero = new LoopZero(options.clock, this.memory.ready, this);
    this.loops = new MessageLoops({
      envName: options.envName,
      count: options.loopCount,
      throughput: options.throughput,
      ringBytes: options.loopRingBytes,
      originMs: options.originMs,
      memory: this.memory,
      writer: this.#writer,
      spillTotal: this.#spillTotal,
      loopZero: this.#loopZero,
      hostFactory: options.hostFactory,
      onDeath: (loop, error) => this.#crashes.recover(loop, error),
    });
    this.#stopper = new EndpointStopper(this, options.clock);
    this.#crashes = new CrashRecovery(this, this.#loopZero, this.#stopper);
  }

  // ── Names ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  get endpoints(): HostedEndpoint[] {
    return this.#byId.filter((endpoint) => endpoint !== undefined);
  }

  /** The endpoint of that name, in whatever state. */
  find(name: string): HostedEndpoint | undefined {
    return this.#byName.get(name);
  }

  endpointName(id: number): string {
    return this.#byId[id]?.name ?? `endpoint ${id}`;
  }

  /** Makes an endpoint from a module; resolves when every replica's onStart has finished. */
  async setup(name: string, module: string, setup: EndpointSetup): Promise<HostedEndpoint> {
    this.#checkName(name);
    const args = this.#encodeArgs(setup.args);
    const placeholder = this.#reserve(name);
    try {
      await this.loops.start();
      const alive = this.loops.alive;
      if (alive.length === 0) throw this.#noLoops(name);
      const scout = leastLoaded(alive);
      const described = await this.#timed(name, scout.control.call((remote) => remote.describe(module)));
      const description = this.#unwrap(name, described);
      const loops = this.#place(name, description, setup.loop);
      const endpoint = this.#create(name, description, loops, setup, placeholder);
      await this.#attach(endpoint, module, args, setup);
      if (!this.#accepting) throw this.#envStopped(name);
      endpoint.state = EndpointState.RUNNING;
      return endpoint;
    } catch (error) {
      this.#abandon(name, placeholder);
      throw error;
    }
  }

  // ── Posting ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Posts a message that wants an answer. The promise settles exactly once. */
  ask(
    endpoint: HostedEndpoint,
    kind: number,
    message: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    if (endpoint.state !== EndpointState.RUNNING) return Promise.reject(this.refusal(endpoint));
    if (signal?.aborted) return Promise.reject(signal.reason);
    const codec = this.#codec;
    try {
      codec.encode(message);
    } catch (error) {
      return Promise.reject(error);
    }
    const nowMs = this.#clock.now();
    const deadline = timeoutMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : (nowMs + timeoutMs) | 0 || 1;
    const slot = this.asks.open(endpoint.id, deadline, timeoutMs);
    if (slot === -1) return Promise.reject(this.#tooManyAsks(endpoint));
    const promise = this.asks.lastPromise;
    const record = this.#record;
    record.kind = kind;
    record.askSlot = slot;
    const generation = this.asks.generation(slot);
    record.askGeneration = generation;
    record.deadline = deadline;
    record.enqueuedAt = (nowMs * 1_000) | 0;
    if (this.#post(endpoint, Overflow.SPILL) === PostResult.FULL) {
      this.asks.reject(slot, this.#inboxFull(endpoint));
      return promise;
    }
    if (signal !== undefined) {
      this.asks.onAbort(slot, signal, () => this.abort(slot, generation, signal.reason));
    }
    if (!this.#sweeping) this.#startSweep();
    return promise;
  }

  /** Posts a one-way message. False: full now, nothing was kept. Throws what the caller did wrong. */
  send(endpoint: HostedEndpoint, kind: number, message: unknown): boolean {
    this.#codec.encode(message);
    if (endpoint.state !== EndpointState.RUNNING) {
      this.events.deadLetter(endpoint.name, this.refusal(endpoint), 1);
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
    if (endpoint.state !== EndpointState.RUNNING) return Promise.reject(this.refusal(endpoint));
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

  /** The caller gives an ask up: a queued one never runs, a running handler's signal fires. */
  abort(slot: number, generation: number, reason: unknown): void {
    if (!this.asks.isOpen(slot, generation)) return;
    this.cancelAsks([slot], () => reason);
  }

  /** Ends asks before their messages do; whoever runs one now is told. */
  cancelAsks(slots: readonly number[], reason: (slot: number) => unknown): void {
    const cancelled = new Map<number, number>();
    for (const slot of slots) {
      cancelled.set(slot, this.asks.generation(slot));
      const ticket = this.asks.ticket(slot);
      if (ticket !== -1) this.tickets.end(ticket);
      this.asks.cancel(slot, reason(slot));
    }
    if (cancelled.size === 0) return;
    // CANCELLED was stored before this scan; a taker publishes its entry before it reads the word. One sees the other.
    for (const loop of this.loops.all) {
      if (!loop.alive) continue;
      const { entries, control } = loop.regions;
      for (const entry of readInFlightEntries(this.memory.words(entries), entries.word, control.word)) {
        if (cancelled.get(entry.askSlot) !== entry.askGeneration) continue;
        this.postControl(loop, RecordKind.CANCEL, entry.askSlot, entry.askGeneration, entry.index);
      }
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

  // ── Stopping ───────────────────────────────────────────────────────────────────────────────────────────────────────

  stop(endpoint: HostedEndpoint, timeoutMs: number): Promise<void> {
    return this.#stopper.stop(endpoint, timeoutMs);
  }

  /** The steps are numbered in docs/architecture.md. Resolves when every thread is gone. */
  async shutdown(timeoutMs: number): Promise<void> {
    this.#accepting = false; // 1
    const endsMs = this.#clock.now() + timeoutMs;
    const stops = this.endpoints.map((endpoint) => this.#stopper.stop(endpoint, timeoutMs)); // 2
    await Promise.allSettled(stops);
    const envStopped = new RpcError("ERR_RPC_ENV_STOPPED", "the env was shut down", { maybeExecuted: true });
    this.cancelAsks(this.asks.slots(null), () => envStopped); // 3
    const graceMs = Math.max(endsMs - this.#clock.now(), SWEEP_PERIOD_MS);
    await this.loops.end(new Promise((resolve) => this.#clock.setTimeout(resolve, graceMs).unref())); // 4
    this.#loopZero.close(); // 5
  }

  /** Forgets an endpoint that has stopped: its name and its memory may be used again. */
  remove(endpoint: HostedEndpoint): void {
    if (this.#byId[endpoint.id] !== endpoint) return;
    endpoint.state = EndpointState.STOPPED;
    const refusal = this.refusal(endpoint);
    this.cancelAsks(this.asks.slots(endpoint.id), () => refusal);
    endpoint.settleRoomWaiters(refusal);
    this.tickets.endAllOf(endpoint.id);
    this.#rungInboxes.delete(endpoint.id);
    if (this.#byName.get(endpoint.name) === endpoint) this.#byName.delete(endpoint.name);
    this.#byId[endpoint.id] = undefined;
    if (!endpoint.shared) for (const loop of endpoint.loops) this.loops.get(loop).pinnedCount--;
    // A dead loop's thread has exited, so nobody can touch the region any more.
    this.memory.release(endpoint.ring.region);
    for (const region of endpoint.counters) this.memory.release(region);
    this.#freeIds.push(endpoint.id);
  }

  /** Empties the Inbox and the spill of an endpoint that no loop serves. Returns how many one-way messages were in it. */
  discardBacklog(endpoint: HostedEndpoint): number {
    const reader = this.memory.backlogReader(endpoint.ring);
    const record = new TakenRecord();
    let sends = 0;
    const count = (kind: number): void => {
      if (kind === RecordKind.SEND || kind === RecordKind.CAST) sends++;
    };
    endpoint.producer.flush();
    while (reader.read(record)) count(record.kind);
    for (let spilled = endpoint.producer.spill.peek(); spilled !== null; spilled = endpoint.producer.spill.peek()) {
      count(spilled.kind);
      endpoint.producer.spill.shift();
    }
    this.tickets.endAllOf(endpoint.id);
    return sends;
  }

  /** Why nothing more can be sent to this endpoint. */
  refusal(endpoint: HostedEndpoint): RpcError {
    const { name } = endpoint;
    if (endpoint.failure !== null) return endpoint.failure;
    if (!this.#accepting) return this.#envStopped(name);
    const what = endpoint.state === EndpointState.STARTING ? "has not started yet" : "was stopped";
    return new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", `endpoint "${name}" ${what}`, { endpoint: name });
  }

  // ── Statistics ─────────────────────────────────────────────────────────────────────────────────────────────────────

  endpointStats(endpoint: HostedEndpoint): { depth: number; processed: number; failed: number; rejected: number } {
    let taken = 0;
    let processed = 0;
    let failed = 0;
    for (const region of endpoint.counters) {
      const words = this.memory.words(region);
      taken += words[region.word + COUNTER_TAKEN] as number;
      processed += words[region.word + COUNTER_PROCESSED] as number;
      failed += words[region.word + COUNTER_FAILED] as number;
    }
    return { depth: Math.max(0, endpoint.accepted - taken), processed, failed, rejected: endpoint.rejected };
  }

  // ── LoopZeroHandler: what comes back ───────────────────────────────────────────────────────────────────────────────

  onRecord(loop: number, record: TakenRecord): void {
    switch (record.kind) {
      case RecordKind.REPLY:
      case RecordKind.FAILURE:
      case RecordKind.EXPIRED:
        this.#settle(loop, record);
        break;
      case RecordKind.SEND_FAILED: {
        const name = this.endpointName(record.askSlot);
        this.events.deadLetter(name, failureToError(name, this.#decode(loop, record)), 1);
        break;
      }
      case RecordKind.PULL:
        this.#sendBody(loop, record.askSlot, record.sender);
        break;
      case RecordKind.TICKET_DROPPED:
        this.tickets.end(record.askSlot);
        break;
      default:
        this.#stopper.onRecord(loop, record.kind, this.#byId[record.askSlot]);
    }
  }

  onInboxRoom(id: number): void {
    const endpoint = this.#byId[id];
    if (endpoint?.producer.refill()) endpoint.settleRoomWaiters(null);
  }

  onMailboxRoom(loop: number): void {
    this.loops.get(loop).mailbox.refill();
  }

  /** Decodes what a loop published, its body included. */
  #decode(loop: number, record: TakenRecord): unknown {
    if ((record.flags & RecordFlag.LARGE) === 0) {
      return this.#codec.decode(record.codec, record.scratch, record.payloadBytes);
    }
    const body = (receiveMessageOnPort(this.loops.get(loop).bodyPort) as { message: Body } | undefined)?.message;
    assert(body !== undefined && body.ticket === record.sender, "a body is on its port before its record is published");
    return this.#codec.decode(record.codec, body.bytes, body.bytes.length);
  }

  #settle(loop: number, record: TakenRecord): void {
    const { askSlot, askGeneration, kind } = record;
    if (!this.asks.isOpen(askSlot, askGeneration)) {
      // The ask has ended before: the answer is late. Its body must still leave the port.
      if ((record.flags & RecordFlag.LARGE) !== 0) receiveMessageOnPort(this.loops.get(loop).bodyPort);
      return;
    }
    const name = this.endpointName(this.asks.endpoint(askSlot));
    if (kind === RecordKind.EXPIRED) {
      this.asks.reject(askSlot, this.#timedOut(askSlot, false));
      return;
    }
    let value: unknown;
    try {
      value = this.#decode(loop, record);
    } catch (error) {
      this.asks.reject(askSlot, error);
      return;
    }
    if (kind === RecordKind.REPLY) this.asks.resolve(askSlot, value);
    else this.asks.reject(askSlot, failureToError(name, value));
  }

  #sendBody(index: number, ticket: number, entry: number): void {
    const loop = this.loops.get(index);
    const bytes = this.tickets.end(ticket);
    if (bytes === null) {
      this.postControl(loop, RecordKind.GONE, ticket, 0, entry);
      return;
    }
    loop.bodyPort.postMessage({ ticket, bytes } satisfies Body, [bytes.buffer as ArrayBuffer]);
    this.postControl(loop, RecordKind.BODY, ticket, 0, entry);
  }

  // ── Posting, inside ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Posts `#record` with the payload that the codec holds. */
  #post(endpoint: HostedEndpoint, overflow: Overflow): PostResult {
    const codec = this.#codec;
    const record = this.#record;
    const producer = endpoint.producer;
    record.flags = 0;
    record.sender = 0;
    record.endpointGeneration = endpoint.generation;
    let result: PostResult;
    if (codec.length <= producer.inlinePayloadBytesMax) {
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
    const { length, payloadCodec, bytes } = this.#codec;
    if (!endpoint.budget.admits(length)) return PostResult.FULL;
    // The one copy that captures the caller's bytes; it is transferred to the taker as it is.
    const ticket = this.tickets.open(endpoint.id, bytes.slice(0, length), endpoint.budget);
    const record = this.#record;
    record.flags = RecordFlag.LARGE;
    record.sender = ticket;
    record.setPayload(payloadCodec, this.#ticketPayload, TICKET_PAYLOAD_BYTES);
    const result = endpoint.producer.post(record, overflow);
    if (result === PostResult.FULL) this.tickets.end(ticket);
    else if (record.askSlot !== -1) this.asks.setTicket(record.askSlot, ticket);
    return result;
  }

  #posted(endpoint: HostedEndpoint): void {
    this.#loopZero.posted(endpoint.producer);
  }

  // ── Sweeps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Deadlines, and the net under bells that nobody heard. Runs while asks are outstanding. */
  #startSweep(): void {
    this.#sweeping = true;
    const timer = this.#clock.setTimeout(() => {
      this.#sweep();
      if (this.asks.count > 0) timer.refresh();
      else this.#sweeping = false;
    }, SWEEP_PERIOD_MS);
  }

  #sweep(): void {
    const nowMs = this.#clock.now() | 0;
    this.cancelAsks(this.asks.expired(nowMs), (slot) => this.#timedOut(slot, true));
    this.#reRing();
    this.#loopZero.wake();
  }

  /** A shared Inbox was rung: a look, once, whether the bell was heard. User code may eat it. */
  #rang(endpoint: number): void {
    this.#rungInboxes.add(endpoint);
    if (this.#reRingArmed) return;
    this.#reRingArmed = true;
    this.#clock
      .setTimeout(() => {
        this.#reRingArmed = false;
        this.#reRing();
      }, RERING_MS)
      .unref();
  }

  #reRing(): void {
    for (const id of this.#rungInboxes) {
      const endpoint = this.#byId[id];
      if (endpoint === undefined || !this.memory.reRing(id, endpoint.ring)) this.#rungInboxes.delete(id);
    }
  }

  // ── Setting up, inside ─────────────────────────────────────────────────────────────────────────────────────────────

  #checkName(name: string): void {
    const bytes = typeof name === "string" ? Buffer.byteLength(name) : 0;
    if (bytes < 1 || bytes > ENDPOINT_NAME_BYTES_MAX) {
      const text = `the name of an endpoint is a string of 1 to ${ENDPOINT_NAME_BYTES_MAX} bytes: bytes=${bytes}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    if (!this.#accepting) throw this.#envStopped(name);
    if (this.#byName.has(name)) {
      throw new RpcError("ERR_RPC_ENDPOINT_EXISTS", `there is already an endpoint called "${name}"; stop it first`, {
        endpoint: name,
      });
    }
  }

  /** Holds the name while its endpoint starts. Returns the id it will have. */
  #reserve(name: string): number {
    const id = this.#freeIds.pop() ?? this.#byId.length;
    if (id > ENDPOINTS_MAX) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `an env holds at most ${ENDPOINTS_MAX} endpoints`);
    }
    if (id === this.#byId.length) this.#byId.push(undefined);
    this.#byName.set(name, RESERVED);
    return id;
  }

  #abandon(name: string, id: number): void {
    const endpoint = this.#byId[id];
    if (endpoint !== undefined) {
      for (const index of endpoint.loops) {
        const loop = this.loops.get(index);
        if (loop.alive) loop.control.call((remote) => remote.detach(endpoint.id)).catch(() => {});
      }
      this.#byId[id] = undefined;
      if (!endpoint.shared) for (const loop of endpoint.loops) this.loops.get(loop).pinnedCount--;
      // A replica that had started may still look at the region: it is not given out again.
    } else {
      this.#freeIds.push(id);
    }
    this.#byName.delete(name);
  }

  #encodeArgs(args: unknown): EncodedValue | null {
    if (args === undefined) return null;
    this.#codec.encode(args);
    return { codec: this.#codec.payloadCodec, bytes: this.#codec.bytes.slice(0, this.#codec.length) };
  }

  #place(name: string, description: EndpointDescription, loop: number | undefined): number[] {
    const alive = this.loops.alive;
    if (description.kind === "serial") {
      if (loop === undefined) return [leastLoaded(alive).index];
      const chosen = alive.find((candidate) => candidate.index === loop);
      if (chosen !== undefined) return [loop];
      const range = `1..${this.loops.count}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `endpoint "${name}": there is no loop ${loop}; loops=${range}`);
    }
    if (loop !== undefined) {
      const text = `endpoint "${name}" is concurrent and runs on every shared loop; only a serial one takes option loop`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    const count = Math.min(description.replicas ?? alive.length, alive.length);
    return alive.slice(0, count).map((candidate) => candidate.index);
  }

  #create(
    name: string,
    description: EndpointDescription,
    loops: number[],
    setup: EndpointSetup,
    id: number,
  ): HostedEndpoint {
    const ring = this.memory.allocateRing(setup.inboxBytes);
    const limits = { messagesMax: SPILL_MESSAGES_PER_ENDPOINT_MAX, bytesMax: SPILL_BYTES_PER_ENDPOINT_MAX };
    const budget = new SpillBudget(limits, this.#spillTotal);
    const producer = this.#producer(id, ring, loops, budget);
    this.#loopZero.include(inboxRoomMember(id));
    const counters = loops.map(() => this.memory.allocateCounters());
    const generation = ++this.#generation;
    const options = { id, generation, name, description, loops, ring, counters, producer, budget };
    const endpoint = new HostedEndpoint(options);
    this.#byId[id] = endpoint;
    this.#byName.set(name, endpoint);
    if (!endpoint.shared) this.loops.get(loops[0] as number).pinnedCount++;
    return endpoint;
  }

  #producer(id: number, ring: HostedEndpoint["ring"], loops: number[], budget: SpillBudget): InboxProducer {
    const [first, second] = loops as [number, number | undefined];
    if (second !== undefined) return this.memory.sharedProducer(id, ring, this.#writer, budget, () => this.#rang(id));
    return this.memory.pinnedProducer(id, ring, first, this.loops.get(first).regions, this.#writer, budget);
  }

  async #attach(endpoint: HostedEndpoint, module: string, args: EncodedValue | null, setup: EndpointSetup): Promise<void> {
    const { loops } = endpoint;
    const starts = loops.map((index, i) => {
      const counters = endpoint.counters[i] as HostedEndpoint["counters"][number];
      const request: AttachRequest = {
        endpoint: endpoint.id,
        generation: endpoint.generation,
        name: endpoint.name,
        module,
        args,
        inbox: endpoint.ring,
        segment: this.memory.handle(endpoint.ring.region),
        shared: endpoint.shared,
        concurrency: setup.concurrency,
        replica: { index: i, count: loops.length },
        counters,
        countersSegment: this.memory.handle(counters),
      };
      return this.#timed(endpoint.name, this.loops.get(index).control.call((remote) => remote.attach(request)));
    });
    // All of them, also after a failure: what has started must be known before it can be forgotten.
    for (const started of await Promise.allSettled(starts)) {
      if (started.status === "rejected") throw started.reason;
      this.#unwrap(endpoint.name, started.value);
    }
  }

  #unwrap<T>(name: string, result: ControlResult<T>): T {
    if (result.ok) return result.value;
    const { codec, bytes } = result.failure;
    throw failureToError(name, this.#codec.decode(codec, bytes, bytes.length));
  }

  /** Bounds a step of an endpoint's start. */
  #timed<T>(name: string, step: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        const text = `endpoint "${name}" did not start within ${ENDPOINT_START_TIMEOUT_MS} ms`;
        reject(new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint: name }));
      }, ENDPOINT_START_TIMEOUT_MS);
      step.then(resolve, reject).finally(() => this.#clock.clearTimeout(timer));
    });
  }

  // ── Errors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #timedOut(slot: number, maybeExecuted: boolean): RpcError {
    const endpoint = this.endpointName(this.asks.endpoint(slot));
    const text = `no reply of "${endpoint}" within ${this.asks.timeoutMs(slot)} ms`;
    return new RpcError("ERR_RPC_TIMEOUT", text, { endpoint, maybeExecuted });
  }

  #envStopped(endpoint: string): RpcError {
    return new RpcError("ERR_RPC_ENV_STOPPED", `"${endpoint}" is not available: the env is shut down`, { endpoint });
  }

  #noLoops(endpoint: string): RpcError {
    const text = `endpoint "${endpoint}" cannot start: all ${this.loops.count} message loops have crashed`;
    return new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint });
  }

  #inboxFull({ name, budget }: HostedEndpoint): RpcError {
    const text =
      `the Inbox of "${name}" and the queue behind it are full: waitingMessages=${budget.messages}, ` +
      `waitingBytes=${budget.bytes}, messagesMax=${SPILL_MESSAGES_PER_ENDPOINT_MAX}, bytesMax=${SPILL_BYTES_PER_ENDPOINT_MAX}`;
    return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint: name });
  }

  #tooManyAsks({ name }: HostedEndpoint): RpcError {
    const text = `the env has too many asks outstanding: count=${this.asks.count}; await some of them first`;
    return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint: name });
  }
}

/** Stands for a name whose endpoint is being made. */
const RESERVED = { state: EndpointState.STARTING } as HostedEndpoint;

function leastLoaded(loops: readonly HostedMessageLoop[]): HostedMessageLoop {
  return loops.reduce((least, loop) => (loop.pinnedCount < least.pinnedCount ? loop : least));
}
