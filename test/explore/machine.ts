/**
 * The machine the explored code runs on: the shared memory of a scenario, and the one operation that a thread asks
 * the scheduler for at a time.
 *
 * A thread is a generator. It writes what it wants to do next into `cpu` and yields; the scheduler performs the
 * operation when it picks that thread again, and hands the result to `next`. So the scheduler may run any other thread
 * between two accesses. `cpu` is one reused object, because a step must not allocate.
 *
 * The transformed files reach this module through a global, not through an import: the test runner loads this file,
 * Node loads them.
 */

/** What a thread waits to do. The numbers of the seam's functions come first. */
export const OpKind = {
  START: 0,
  LOAD: 1,
  STORE: 2,
  EXCHANGE: 3,
  COMPARE_EXCHANGE: 4,
  OR: 5,
  AND: 6,
  ADD: 7,
  NOTIFY: 8,
  WAIT_ASYNC: 9,
  /** Sleeps until the waiter, or any of this thread's, was notified; not at all if it was already. */
  SLEEP: 10,
  /** "I retry later": not runnable until another thread has changed a word since this thread last spun. */
  SPIN: 11,
  /** End of a turn of the event loop: others may run, and it costs no preemption. */
  TURN: 12,
  /** Runs only when nobody else can: a timer that is a net, such as the sweep. */
  IDLE: 13,
} as const;

/**
 * What `waitAsync` gives in the explorer. It stands for the promise: its callbacks run when the thread that armed it
 * next sleeps or ends its turn after the notify, as microtasks would.
 */
export class Waiter {
  readonly thread: number;
  readonly words: Int32Array;
  readonly index: number;
  notified = false;
  #callbacks: (() => unknown)[] | null = null;

  constructor(thread: number, words: Int32Array, index: number) {
    this.thread = thread;
    this.words = words;
    this.index = index;
  }

  // biome-ignore lint/suspicious/noThenProperty: it plays the promise that the shipped code calls then on
  then(callback: () => unknown): void {
    if (this.#callbacks === null) this.#callbacks = [callback];
    else this.#callbacks.push(callback);
  }

  deliver(): void {
    for (const callback of this.#callbacks ?? []) callback();
  }
}

export interface Cpu {
  kind: number;
  words: Int32Array;
  index: number;
  a: number;
  b: number;
  waiter: Waiter | null;
  /** The running thread has read or written shared memory plainly since its last operation. */
  touched: boolean;
  /** Two lanes of the hash of all that the running thread has read. */
  h1: number;
  h2: number;
  /** For double.js, which cannot import this module. */
  readonly Waiter: typeof Waiter;
}

export const NO_WORDS = new Int32Array(new SharedArrayBuffer(0));

export const cpu: Cpu = {
  kind: 0,
  words: NO_WORDS,
  index: 0,
  a: 0,
  b: 0,
  waiter: null,
  touched: false,
  h1: 0,
  h2: 0,
  Waiter,
};

/** Where the double of the seam (double.js of a variant) finds `cpu`. */
export const CPU_KEY = "ringpost.explore.cpu";
Reflect.set(globalThis, Symbol.for(CPU_KEY), cpu);

/** A scenario thread, and every coloured function called from one. What it receives from `yield` is private to us. */
export type Thread<R = void> = Generator<undefined, R, unknown>;

/** Arguments of transformed functions: values as they are; an object may itself be a transformed one. */
type Argument<A> = A extends number | bigint | string | boolean | null | undefined | ArrayBufferView ? A : object;
type Arguments<A extends readonly unknown[]> = { [I in keyof A]: Argument<A[I]> };
type ExploredMember<F> = F extends (...args: infer A) => infer R
  ? (...args: Arguments<A>) => Thread<Awaited<R>>
  : never;

/** The type of an inbox object or module after the transform: its coloured members K are generators. */
export type Explored<T, K extends keyof T = never> = { [P in keyof T]: P extends K ? ExploredMember<T[P]> : T[P] };

/** The same for a class: `readonly RingProducer: ExploredClass<typeof RingProducer, "claim" | "publish">`. */
export type ExploredClass<
  C extends abstract new (
    ...args: never
  ) => unknown,
  K extends keyof InstanceType<C> = never,
> = new (...args: Arguments<ConstructorParameters<C>>) => Explored<InstanceType<C>, K>;

/** Takes `value` into the running thread's hash. Call it for all a thread learns other than by operations. */
export function observe(value: number): void {
  cpu.h1 = mix(cpu.h1, value, 0x9e3779b1);
  cpu.h2 = mix(cpu.h2, value, 0x85ebca6b);
}

export function mix(hash: number, value: number, factor: number): number {
  const product = Math.imul(hash ^ value, factor);
  return ((product ^ (product >>> 15)) + factor) | 0;
}

function* access(kind: number, words: Int32Array, index: number, a: number, b: number): Thread<number> {
  cpu.kind = kind;
  cpu.words = words;
  cpu.index = index;
  cpu.a = a;
  cpu.b = b;
  return (yield) as number;
}

/** The seam's functions for scenario code: `const head = yield* load(words, HEAD)`. */
export function load(words: Int32Array, index: number): Thread<number> {
  return access(OpKind.LOAD, words, index, 0, 0);
}
export function store(words: Int32Array, index: number, value: number): Thread<number> {
  return access(OpKind.STORE, words, index, value, 0);
}
export function exchange(words: Int32Array, index: number, value: number): Thread<number> {
  return access(OpKind.EXCHANGE, words, index, value, 0);
}
export function compareExchange(words: Int32Array, index: number, expected: number, value: number): Thread<number> {
  return access(OpKind.COMPARE_EXCHANGE, words, index, expected, value);
}
export function or(words: Int32Array, index: number, mask: number): Thread<number> {
  return access(OpKind.OR, words, index, mask, 0);
}
export function and(words: Int32Array, index: number, mask: number): Thread<number> {
  return access(OpKind.AND, words, index, mask, 0);
}
export function add(words: Int32Array, index: number, delta: number): Thread<number> {
  return access(OpKind.ADD, words, index, delta, 0);
}
export function notify(words: Int32Array, index: number): Thread<number> {
  return access(OpKind.NOTIFY, words, index, 0, 0);
}
export function* waitAsync(words: Int32Array, index: number): Thread<Waiter> {
  cpu.kind = OpKind.WAIT_ASYNC;
  cpu.words = words;
  cpu.index = index;
  return (yield) as Waiter;
}

/** Plain accesses of scenario code. What a thread touches by other means is invisible to the search. */
export function read(words: Int32Array, index: number): number {
  const value = words[index] ?? Number.NaN;
  cpu.touched = true;
  observe(value);
  return value;
}
export function write(words: Int32Array, index: number, value: number): void {
  cpu.touched = true;
  words[index] = value;
}

/**
 * Sleeps until `waiter` is notified; without one, until any waiter of this thread is, as an idle event loop does.
 * Takes `unknown`, because the shipped types say Promise where the explorer hands out a Waiter.
 */
export function* sleep(waiter: unknown = null): Thread {
  if (waiter !== null && !(waiter instanceof Waiter)) throw new TypeError("sleep takes what waitAsync returned");
  cpu.kind = OpKind.SLEEP;
  cpu.words = NO_WORDS;
  cpu.waiter = waiter;
  yield;
}

export function spin(): Thread {
  return pause(OpKind.SPIN);
}
export function turn(): Thread {
  return pause(OpKind.TURN);
}
export function idle(): Thread {
  return pause(OpKind.IDLE);
}

/** Performs one access and returns the old value. */
export function perform(kind: number, words: Int32Array, index: number, a: number, b: number): number {
  const old = words[index];
  if (old === undefined) throw new RangeError(`access to word ${index} of ${words.length}`);
  switch (kind) {
    case OpKind.STORE:
    case OpKind.EXCHANGE:
      words[index] = a;
      break;
    case OpKind.COMPARE_EXCHANGE:
      if (old === (a | 0)) words[index] = b;
      break;
    case OpKind.OR:
      words[index] = old | a;
      break;
    case OpKind.AND:
      words[index] = old & a;
      break;
    case OpKind.ADD:
      words[index] = old + a;
      break;
  }
  return old;
}

/** Runs coloured code at one go: in `setup`, `invariant` and `final`, which are no threads. It cannot wait. */
export function runNow<R>(thread: Thread<R>): R {
  let result: number | undefined;
  for (;;) {
    const next = thread.next(result);
    if (next.done === true) return next.value;
    if (cpu.kind >= OpKind.WAIT_ASYNC) throw new Error("runNow: only a thread can wait");
    result = cpu.kind === OpKind.NOTIFY ? 0 : perform(cpu.kind, cpu.words, cpu.index, cpu.a, cpu.b);
  }
}

function* pause(kind: number): Thread {
  cpu.kind = kind;
  cpu.words = NO_WORDS;
  yield;
}

/**
 * The shared memory of a scenario. `setup` asks for its regions in the same order in every run and gets the same
 * buffers, zeroed; so a run allocates no shared memory.
 */
export class Memory {
  readonly regions: Int32Array[] = [];
  readonly names: string[] = [];
  h1 = 0;
  h2 = 0;
  #next = 0;

  /** A region of `wordCount` int32 words. Every view of its buffer is seen by the search. */
  words(name: string, wordCount: number): Int32Array {
    const position = this.#next++;
    const known = this.regions[position];
    if (known === undefined) {
      const fresh = new Int32Array(new SharedArrayBuffer(Math.ceil(wordCount / 2) * 8));
      this.regions.push(fresh);
      this.names.push(name);
      return fresh;
    }
    if (this.names[position] !== name)
      throw new Error(`setup asked for region "${name}" where it had asked for "${this.names[position]}"`);
    return known;
  }

  reset(): void {
    this.#next = 0;
    for (const region of this.regions) region.fill(0);
  }

  /** Region and word index of an access, for traces and for waiter addresses; null for memory of no region. */
  locate(words: Int32Array, index: number): { region: number; word: number } | null {
    const region = this.regions.findIndex((candidate) => candidate.buffer === words.buffer);
    return region < 0 ? null : { region, word: words.byteOffset / 4 + index };
  }

  /** Two lanes of a hash over all words, left in `h1` and `h2`; the sum does not depend on the order of words. */
  hash(): void {
    let h1 = 0;
    let h2 = 0;
    for (let r = 0; r < this.regions.length; r++) {
      const region = this.regions[r] as Int32Array;
      for (let i = 0; i < region.length; i++) {
        const value = region[i] as number;
        if (value === 0) continue;
        let h = Math.imul(value, 0x7feb352d) ^ Math.imul(i + (r << 20) + 1, 0x9e3779b1);
        h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
        h1 = (h1 + (h ^ (h >>> 16))) | 0;
        let g = Math.imul(value, 0x68e31da5) ^ Math.imul(i + (r << 20) + 1, 0xb5297a4d);
        g = Math.imul(g ^ (g >>> 13), 0x1b56c4e9);
        h2 = (h2 + (g ^ (g >>> 16))) | 0;
      }
    }
    this.h1 = h1;
    this.h2 = h2;
  }
}
