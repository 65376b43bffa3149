/**
 * Outstanding asks: for each slot of an ask table the promise, the deadline and what else must end with it. Steps 2 and 8
 * of the data flow. Slot arrays instead of a Map: 1.5× of the whole ask, measured.
 *
 * Loop 0 has one for all asks of its env. Of an ask that a handler on a message loop made it holds no promise but the
 * asker: his loop, and slot and generation in that loop's own table, which is another instance of this class. Of an ask
 * that came from another node it holds whom to answer.
 */
import type { AskTable } from "../inbox/ask-table.js";
import type { AskCounts, AskOutcome } from "./message-counts.js";

/** The asks of one signal: one listener for all of them, however many share it. */
interface AbortGroup {
  readonly slots: Set<number>;
  readonly listener: () => void;
}

type Resolve = (value: unknown) => void;
type Reject = (error: unknown) => void;

const NONE = -1;

/** Stands where the promise's functions do, in the slot of an ask whose promise is on another loop. */
const FORWARDED = (): void => {};

/** Who asked from another node. */
export interface RemoteAsker {
  /** His ask's slot, which is written here; -1: it has had none. Another ask may have it by now. */
  slot: number;
  /** The answer, written for the network: `bytes[0 .. length)`, valid during the call. A failure: as in failure.ts. */
  answer(failed: boolean, payloadCodec: number, bytes: Uint8Array, length: number): void;
  /** He waits no more, and gets no answer. */
  forget(): void;
}

/** Stands for his loop. */
const REMOTE = -1;

/** Tells the asker on another loop that his ask has failed. */
export type FailAsker = (loop: number, slot: number, generation: number, endpoint: number, error: unknown) => void;

export class OutstandingAsks {
  readonly #table: AskTable;
  readonly #resolves: (Resolve | undefined)[] = [];
  readonly #rejects: (Reject | undefined)[] = [];
  readonly #endpoints: number[] = [];
  /** The counts of the endpoint that was asked. */
  readonly #counts: AskCounts[] = [];
  readonly #deadlines: number[] = [];
  readonly #timeouts: number[] = [];
  readonly #tickets: number[] = [];
  /** Of forwarded asks only: who asked. Loop 0: nobody any more. */
  readonly #askerLoops: number[] = [];
  readonly #askerSlots: number[] = [];
  readonly #askerGenerations: number[] = [];
  readonly #remoteAskers: (RemoteAsker | undefined)[] = [];
  readonly #signals: (AbortSignal | undefined)[] = [];
  readonly #groups = new Map<AbortSignal, AbortGroup>();
  /**
   * The executor of every ask's promise: a closure per ask costs more than the promise itself. It puts the promise's
   * functions where they are kept: to remember a young object in an old one costs V8 a write barrier each time.
   */
  readonly #executor = (resolve: Resolve, reject: Reject): void => {
    this.#resolves[this.lastSlot] = resolve;
    this.#rejects[this.lastSlot] = reject;
  };
  count = 0;
  /** Slot of the ask that was opened last. */
  lastSlot = NONE;

  constructor(table: AskTable) {
    this.#table = table;
  }

  /** How askers on other loops are told. */
  failAsker: FailAsker = () => {};
  /** How askers on other nodes are told that their ask has failed. */
  failRemote: (asker: RemoteAsker, endpoint: number, error: unknown) => void = () => {};

  /** The promise of a new ask, or null when all slots are in use. Its slot is `lastSlot`. Deadline 0: none. */
  open(endpoint: number, counts: AskCounts, deadline: number, timeoutMs: number): Promise<unknown> | null {
    const slot = this.#table.open();
    if (slot === -1) return null;
    this.lastSlot = slot;
    const promise = new Promise(this.#executor);
    this.#endpoints[slot] = endpoint;
    this.#counts[slot] = counts;
    this.#deadlines[slot] = deadline;
    this.#timeouts[slot] = timeoutMs;
    this.#tickets[slot] = NONE;
    this.count++;
    return promise;
  }

  /** A slot for an ask of a message loop, whose own slot and generation are given; or -1. */
  openForwarded(
    endpoint: number,
    counts: AskCounts,
    deadline: number,
    askerLoop: number,
    askerSlot: number,
    askerGeneration: number,
  ): number {
    const slot = this.#table.open();
    if (slot === -1) return -1;
    this.#resolves[slot] = FORWARDED;
    this.#rejects[slot] = FORWARDED;
    this.#endpoints[slot] = endpoint;
    this.#counts[slot] = counts;
    this.#deadlines[slot] = deadline;
    this.#timeouts[slot] = 0;
    this.#tickets[slot] = NONE;
    this.#askerLoops[slot] = askerLoop;
    this.#askerSlots[slot] = askerSlot;
    this.#askerGenerations[slot] = askerGeneration;
    this.count++;
    return slot;
  }

  /** A slot for an ask from another node, or -1. */
  openRemote(endpoint: number, counts: AskCounts, deadline: number, timeoutMs: number, asker: RemoteAsker): number {
    const slot = this.openForwarded(endpoint, counts, deadline, REMOTE, 0, 0);
    if (slot === -1) return -1;
    this.#timeouts[slot] = timeoutMs;
    this.#remoteAskers[slot] = asker;
    asker.slot = slot;
    return slot;
  }

  /** Who asked from another node; undefined for any other ask. */
  remoteAsker(slot: number): RemoteAsker | undefined {
    return this.#askerLoops[slot] === REMOTE ? this.#remoteAskers[slot] : undefined;
  }

  /** True if the promise of this open ask is on another loop, or on another node. */
  isForwarded(slot: number): boolean {
    return this.#resolves[slot] === FORWARDED;
  }

  /** True if this is the open ask that the message loop has in its own slot under that generation. */
  isAskedBy(slot: number, askerLoop: number, askerSlot: number, askerGeneration: number): boolean {
    return (
      this.#resolves[slot] === FORWARDED &&
      this.#askerLoops[slot] === askerLoop &&
      this.#askerSlots[slot] === askerSlot &&
      this.#askerGenerations[slot] === askerGeneration
    );
  }

  askerLoop(slot: number): number {
    return this.#askerLoops[slot] as number;
  }

  askerSlot(slot: number): number {
    return this.#askerSlots[slot] as number;
  }

  askerGeneration(slot: number): number {
    return this.#askerGenerations[slot] as number;
  }

  /** Its asker knows that it has ended, or is gone: nobody is told. */
  forgetAsker(slot: number): void {
    this.#askerLoops[slot] = 0;
  }

  /** The answer of a forwarded ask is on its way to the asker. */
  endForwarded(slot: number, outcome: "replied" | AskOutcome): void {
    (this.#counts[slot] as AskCounts)[outcome]++;
    this.#end(slot);
  }

  generation(slot: number): number {
    return this.#table.generation(slot);
  }

  /** True if the ask of this generation still waits. */
  isOpen(slot: number, generation: number): boolean {
    return this.#resolves[slot] !== undefined && this.#table.generation(slot) === generation;
  }

  endpoint(slot: number): number {
    return this.#endpoints[slot] as number;
  }

  timeoutMs(slot: number): number {
    return this.#timeouts[slot] as number;
  }

  ticket(slot: number): number {
    return this.#tickets[slot] as number;
  }

  setTicket(slot: number, ticket: number): void {
    this.#tickets[slot] = ticket;
  }

  /** Until the ask ends, `onAborted` is told when `signal` aborts, with all open asks of that signal at once. */
  watch(slot: number, signal: AbortSignal, onAborted: (slots: readonly number[], reason: unknown) => void): void {
    let group = this.#groups.get(signal);
    if (group === undefined) {
      const slots = new Set<number>();
      group = { slots, listener: () => onAborted([...slots], signal.reason) };
      this.#groups.set(signal, group);
      signal.addEventListener("abort", group.listener, { once: true });
    }
    group.slots.add(slot);
    this.#signals[slot] = signal;
  }

  /** The reply has come. */
  resolve(slot: number, value: unknown): void {
    const resolve = this.#resolves[slot] as Resolve;
    (this.#counts[slot] as AskCounts).replied++;
    this.#end(slot);
    resolve(value);
  }

  /** The failure has come: its taker is done with the message. */
  reject(slot: number, error: unknown, outcome: AskOutcome): void {
    const reject = this.#rejects[slot] as Reject;
    const remote = reject === FORWARDED ? this.remoteAsker(slot) : undefined;
    (this.#counts[slot] as AskCounts)[outcome]++;
    this.#end(slot);
    if (remote !== undefined) this.failRemote(remote, this.#endpoints[slot] as number, error);
    else if (reject === FORWARDED) this.#failForwarded(slot, error);
    else reject(error);
  }

  /** The ask ends before its message: whoever takes it later drops it, and a running handler can see it. */
  cancel(slot: number, error: unknown, outcome: AskOutcome): void {
    this.#table.cancel(slot);
    this.reject(slot, error, outcome);
  }

  /** Slots of asks whose deadline has passed. */
  expired(nowMs: number): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.#deadlines.length; slot++) {
      if (this.#resolves[slot] === undefined) continue;
      const deadline = this.#deadlines[slot] as number;
      if (deadline !== 0 && ((nowMs - deadline) | 0) >= 0) slots.push(slot);
    }
    return slots;
  }

  /** Slots of all asks of an endpoint, or of every endpoint. */
  slots(endpoint: number | null): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.#resolves.length; slot++) {
      if (this.#resolves[slot] === undefined) continue;
      if (endpoint === null || this.#endpoints[slot] === endpoint) slots.push(slot);
    }
    return slots;
  }

  /** Slots of all asks that a message loop made. */
  askedBy(askerLoop: number): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.#resolves.length; slot++) {
      if (this.#resolves[slot] === FORWARDED && this.#askerLoops[slot] === askerLoop) slots.push(slot);
    }
    return slots;
  }

  #failForwarded(slot: number, error: unknown): void {
    const loop = this.#askerLoops[slot] as number;
    if (loop === 0) return;
    const endpoint = this.#endpoints[slot] as number;
    this.failAsker(loop, this.#askerSlots[slot] as number, this.#askerGenerations[slot] as number, endpoint, error);
  }

  #end(slot: number): void {
    if (this.#resolves[slot] === FORWARDED) this.#remoteAskers[slot] = undefined;
    this.#resolves[slot] = undefined;
    this.#rejects[slot] = undefined;
    const signal = this.#signals[slot];
    if (signal !== undefined) this.#unwatch(slot, signal);
    this.count--;
    this.#table.close(slot);
  }

  #unwatch(slot: number, signal: AbortSignal): void {
    this.#signals[slot] = undefined;
    const group = this.#groups.get(signal);
    if (group === undefined) return;
    group.slots.delete(slot);
    if (group.slots.size > 0) return;
    signal.removeEventListener("abort", group.listener);
    this.#groups.delete(signal);
  }
}
