/**
 * One run of a scenario: performs the operations of its threads in the order it is told. It knows who could go on, and
 * nothing about search.
 *
 * A step of thread t performs the operation t waits for and then runs t to its next one. A split step performs the
 * operation only: t stands between an access and the plain code that follows it. Both are needed, because a record
 * written after the store that published it would otherwise never be seen missing.
 */
import { cpu, type Memory, mix, NO_WORDS, OpKind, observe, perform, type Thread, Waiter } from "./machine.js";

export interface Crash<S> {
  /** The threads that may die, one of them once per schedule, before any of their steps. */
  readonly threads: readonly number[];
  /** Runs as a further thread once one has died. */
  readonly recover?: (state: S, dead: number) => Thread;
}

export interface Scenario<S> {
  readonly name: string;
  /** Makes the shared memory and the threads' private objects anew for each run. Plain code; no operation. */
  readonly setup: (memory: Memory) => S;
  /** At most 9. Private objects belong to one thread each: a JavaScript object shared by two escapes the search. */
  readonly threads: (state: S) => readonly Thread[];
  readonly threadNames?: readonly string[];
  /** Threads that may be asleep at the end; the others must end. */
  readonly daemons?: readonly number[];
  /** Checked after every step; throws when broken. Reads memory plainly. */
  readonly invariant?: (state: S) => void;
  /** Checked when all threads but daemons have ended and nobody can act. */
  readonly final?: (state: S) => void;
  /** A number for what `final` and `invariant` look at beyond shared memory, where the order of threads shows in it. */
  readonly ghost?: (state: S) => number;
  /** Name of a word in traces. */
  readonly nameWord?: (region: string, word: number) => string | undefined;
  readonly crash?: Crash<S>;
}

/** A choice: the thread, plus SPLIT for a split step or CRASH for its death. */
export const SPLIT = 10;
export const CRASH = 20;
export const THREADS_MAX = 10;

class Slot {
  thread: Thread | null = null;
  kind: number = OpKind.START;
  words: Int32Array = NO_WORDS;
  index = 0;
  a = 0;
  b = 0;
  waiter: Waiter | null = null;
  result: number | Waiter = 0;
  /** The operation is performed, its result not yet taken. */
  between = false;
  begun = false;
  /** Another thread has changed a word since this one last spun. */
  dirty = false;
  h1 = 0;
  h2 = 0;
}

export class Execution<S> {
  readonly scenario: Scenario<S>;
  readonly memory: Memory;
  readonly slots: Slot[] = [];
  state: S;
  /** Slots in use: the scenario's threads, and the recovery thread once it exists. */
  count = 0;
  waiters: Waiter[] = [];
  /** The thread of the last step, or -1. */
  last = -1;
  /** Its plain code since the last operation touched shared memory. */
  touched = false;
  /** The thread whose waiter the last step notified, or -1. */
  notified = -1;
  dead = -1;
  spins = false;
  #failed: unknown;
  hasFailed = false;
  trace: string[] | null = null;
  #wrote = false;

  constructor(scenario: Scenario<S>, memory: Memory) {
    this.scenario = scenario;
    this.memory = memory;
    for (let i = 0; i < THREADS_MAX; i++) this.slots.push(new Slot());
    this.state = this.reset();
  }

  get failure(): unknown {
    return this.#failed;
  }

  reset(): S {
    this.memory.reset();
    this.state = this.scenario.setup(this.memory);
    const threads = this.scenario.threads(this.state);
    if (threads.length >= THREADS_MAX)
      throw new Error(`too many threads: ${threads.length}, at most ${THREADS_MAX - 1}`);
    this.count = 0;
    for (const thread of threads) this.#begin(thread);
    if (this.waiters.length > 0) this.waiters = [];
    this.last = -1;
    this.notified = -1;
    this.dead = -1;
    this.hasFailed = false;
    return this.state;
  }

  #begin(thread: Thread): void {
    const slot = this.slots[this.count++] as Slot;
    slot.thread = thread;
    slot.kind = OpKind.START;
    slot.words = NO_WORDS;
    slot.waiter = null;
    slot.result = 0;
    slot.between = false;
    slot.begun = false;
    slot.dirty = false;
    slot.h1 = this.count;
    slot.h2 = -this.count;
  }

  /** Bit mask of the threads that can make a step. */
  runnable(): number {
    let mask = 0;
    let idle = 0;
    for (let t = 0; t < this.count; t++) {
      const slot = this.slots[t] as Slot;
      if (slot.thread === null) continue;
      if (slot.between) mask |= 1 << t;
      else if (slot.kind === OpKind.SLEEP) {
        if (this.#isRung(t, slot.waiter)) mask |= 1 << t;
      } else if (slot.kind === OpKind.SPIN) {
        if (slot.dirty) mask |= 1 << t;
      } else if (slot.kind === OpKind.IDLE) idle |= 1 << t;
      else mask |= 1 << t;
    }
    return mask === 0 ? idle : mask;
  }

  #isRung(t: number, waiter: Waiter | null): boolean {
    if (waiter !== null) return waiter.notified;
    for (const armed of this.waiters) if (armed.thread === t && armed.notified) return true;
    return false;
  }

  /** True if thread t gives way by itself, so that running another costs no preemption. */
  givesWay(t: number): boolean {
    const slot = this.slots[t] as Slot;
    return slot.thread === null || (!slot.between && slot.kind >= OpKind.SLEEP);
  }

  /** True if a split step of t can differ from a whole one. */
  splits(t: number): boolean {
    const slot = this.slots[t] as Slot;
    return !slot.between && slot.kind !== OpKind.START && slot.kind < OpKind.SLEEP;
  }

  /** True if t may die now and that can differ from its death at another moment. */
  mayDie(t: number): boolean {
    const slot = this.slots[t] as Slot;
    if (slot.thread === null) return false;
    return this.last === t || this.notified === t || (this.last === -1 && !slot.begun);
  }

  unfinished(): number[] {
    const open: number[] = [];
    for (let t = 0; t < this.count; t++) if ((this.slots[t] as Slot).thread !== null) open.push(t);
    return open;
  }

  step(choice: number): void {
    if (choice >= CRASH) {
      this.#die(choice - CRASH);
      return;
    }
    const t = choice >= SPLIT ? choice - SPLIT : choice;
    const slot = this.slots[t] as Slot;
    this.last = t;
    this.notified = -1;
    this.touched = false;
    if (!slot.between) {
      this.#wrote = false;
      try {
        slot.result = this.#perform(t, slot);
      } catch (error) {
        this.#fail(error);
        return;
      }
      if (this.#wrote)
        for (let other = 0; other < this.count; other++) if (other !== t) (this.slots[other] as Slot).dirty = true;
      if (choice >= SPLIT) {
        slot.between = true;
        return;
      }
    } else if (this.trace !== null) this.trace.push(`${this.threadName(t)}  goes on`);
    slot.between = false;
    this.#resume(slot);
  }

  #resume(slot: Slot): void {
    const result = slot.result;
    const value = typeof result === "number" ? result : 1;
    cpu.h1 = mix(slot.h1, value, 0x9e3779b1);
    cpu.h2 = mix(slot.h2, value, 0x85ebca6b);
    cpu.touched = false;
    cpu.kind = -1;
    let done: boolean | undefined;
    try {
      if (slot.kind >= OpKind.SLEEP && this.waiters.length > 0) this.#deliver();
      done = (slot.thread as Thread).next(result).done;
    } catch (error) {
      slot.thread = null;
      this.#fail(error);
      return;
    }
    slot.begun = true;
    this.touched = cpu.touched;
    slot.h1 = cpu.h1;
    slot.h2 = cpu.h2;
    if (done === true) {
      slot.thread = null;
      return;
    }
    if (cpu.kind < 0) this.#fail(new Error(`${this.threadName(this.last)} yielded without an operation`));
    slot.kind = cpu.kind;
    slot.words = cpu.words;
    slot.index = cpu.index;
    slot.a = cpu.a;
    slot.b = cpu.b;
    if (cpu.kind === OpKind.SLEEP) slot.waiter = cpu.waiter;
    else if (cpu.kind === OpKind.SPIN) this.spins = true;
  }

  /** Runs the callbacks of the current thread's notified waiters: a turn of its event loop has come. */
  #deliver(): void {
    for (let i = 0; i < this.waiters.length; ) {
      const waiter = this.waiters[i] as Waiter;
      if (waiter.thread !== this.last || !waiter.notified) i++;
      else {
        this.waiters.splice(i, 1);
        waiter.deliver();
        // The list differs from what the thread knew, so what it learned here belongs to its state.
        observe(waiter.index);
      }
    }
  }

  #perform(t: number, slot: Slot): number | Waiter {
    const { kind, words, index } = slot;
    const old = words[index];
    let result: number | Waiter = 0;
    if (kind >= OpKind.LOAD && kind < OpKind.NOTIFY) result = perform(kind, words, index, slot.a, slot.b);
    else if (kind === OpKind.NOTIFY) result = this.#notify(words, index);
    else if (kind === OpKind.WAIT_ASYNC) {
      if (this.waiters.some((armed) => armed.thread === t && armed.words === words && armed.index === index))
        throw new Error(
          `${this.threadName(t)} arms a second waiter on ${this.nameOf(words, index)}: none can be cancelled`,
        );
      result = new Waiter(t, words, index);
      this.waiters.push(result);
    } else if (kind === OpKind.SPIN) slot.dirty = false;
    this.#wrote = words[index] !== old;
    if (this.trace !== null) this.#traceOp(t, slot, old, result);
    // These give their caller nothing; what the scheduler knows of them must not enter the thread's hash.
    return kind === OpKind.STORE || kind === OpKind.NOTIFY ? 0 : result;
  }

  /** Wakes the first waiter that was not yet woken. A word nobody waits on remembers nothing. */
  #notify(words: Int32Array, index: number): number {
    for (const waiter of this.waiters) {
      if (waiter.notified) continue;
      if (waiter.words !== words || waiter.index !== index) {
        if (waiter.words.buffer !== words.buffer) continue;
        if (waiter.words.byteOffset + waiter.index * 4 !== words.byteOffset + index * 4) continue;
      }
      waiter.notified = true;
      this.notified = waiter.thread;
      return 1;
    }
    return 0;
  }

  #die(t: number): void {
    if (this.trace !== null) this.trace.push(`${this.threadName(t)}  dies`);
    // The generator is dropped, never closed: a dead thread runs no finally block.
    (this.slots[t] as Slot).thread = null;
    this.waiters = this.waiters.filter((waiter) => waiter.thread !== t);
    this.dead = t;
    this.notified = -1;
    if (this.last === t) this.last = -1;
    const recover = this.scenario.crash?.recover;
    if (recover !== undefined) this.#begin(recover(this.state, t));
  }

  #fail(error: unknown): void {
    this.hasFailed = true;
    this.#failed = error;
  }

  /** Leaves the two lanes of this state's key in memory.h1 and memory.h2. `last` is -1 where a switch is free. */
  key(last: number): void {
    const memory = this.memory;
    memory.hash();
    let h1 = mix(memory.h1, last, 0x9e3779b1);
    let h2 = mix(memory.h2, last, 0xc2b2ae35);
    h1 = mix(h1, this.dead, 0x27d4eb2f);
    for (let t = 0; t < this.count; t++) {
      const slot = this.slots[t] as Slot;
      const bits = (slot.thread === null ? 1 : 0) | (slot.between ? 2 : 0) | (this.spins && slot.dirty ? 4 : 0);
      h1 = mix(mix(h1, slot.h1, 0x9e3779b1), bits, 0x85ebca6b);
      h2 = mix(mix(h2, slot.h2, 0xc2b2ae35), bits, 0x27d4eb2f);
    }
    for (let i = 0; i < this.waiters.length; i++) {
      const waiter = this.waiters[i] as Waiter;
      const value = (waiter.thread << 1) | (waiter.notified ? 1 : 0);
      h1 = mix(h1, value, 0x9e3779b1);
      h2 = mix(h2, (waiter.index << 5) | value, 0xc2b2ae35);
    }
    if (this.scenario.ghost !== undefined) {
      const ghost = this.scenario.ghost(this.state);
      h1 = mix(h1, ghost, 0x165667b1);
      h2 = mix(h2, ghost, 0x9e3779b1);
    }
    memory.h1 = h1 | 0;
    memory.h2 = h2 | 0;
  }

  threadName(t: number): string {
    const names = this.scenario.threadNames;
    if (this.dead >= 0 && t === this.count - 1 && this.scenario.crash?.recover !== undefined) return "recovery";
    return names?.[t] ?? `thread ${t}`;
  }

  /** What each unfinished thread waits for: the text of a deadlock. */
  describeWaiting(): string {
    return this.unfinished()
      .map((t) => {
        const slot = this.slots[t] as Slot;
        if (slot.kind !== OpKind.SLEEP) return `${this.threadName(t)} spins`;
        return `${this.threadName(t)} sleeps${this.#onWhat(slot.waiter)}`;
      })
      .join(", ");
  }

  #onWhat(waiter: Waiter | null): string {
    return waiter === null ? "" : ` on ${this.nameOf(waiter.words, waiter.index)}`;
  }

  nameOf(words: Int32Array, index: number): string {
    const place = this.memory.locate(words, index);
    if (place === null) return `private[${index}]`;
    const region = this.memory.names[place.region] as string;
    return `${region}.${this.scenario.nameWord?.(region, place.word) ?? place.word}`;
  }

  #traceOp(t: number, slot: Slot, old: number | undefined, result: number | Waiter): void {
    const name = OP_NAMES[slot.kind] as string;
    const { kind, words, index } = slot;
    let text = `${this.threadName(t)}  ${name}`;
    if (kind === OpKind.SLEEP) text += `${this.#onWhat(slot.waiter)} ends`;
    else if (kind !== OpKind.START && kind < OpKind.SLEEP) {
      text += ` ${this.nameOf(words, index)}`;
      if (kind === OpKind.LOAD) text += ` = ${old}`;
      else if (kind === OpKind.NOTIFY)
        text += result === 1 ? ` wakes ${this.threadName(this.notified)}` : " wakes nobody";
      else if (kind === OpKind.COMPARE_EXCHANGE && old !== (slot.a | 0)) text += ` = ${old}, not ${slot.a}`;
      else if (kind !== OpKind.WAIT_ASYNC) text += ` ${old} → ${words[index]}`;
    }
    this.trace?.push(text);
  }
}

const OP_NAMES = [
  "starts",
  "load",
  "store",
  "exchange",
  "compareExchange",
  "or",
  "and",
  "add",
  "notify",
  "waitAsync",
  "sleep",
  "retries",
  "next turn",
  "idle timer",
];
