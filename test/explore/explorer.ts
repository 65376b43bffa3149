/**
 * The explorer: a depth-first search over all schedules of a scenario with a bounded number of preemptions, as in
 * CHESS (Musuvathi and Qadeer 2007). Stateless: generators cannot be cloned, so every schedule runs from the start,
 * following the choices of the last one up to the point where it turns off.
 *
 * Rules of the search:
 *  1. To switch away from a thread that could go on costs one preemption. A thread that ended, sleeps, spins or ends
 *     its turn gives way for nothing.
 *  2. A split step (execution.ts) is tried only where the plain code after the operation touched shared memory, and
 *     only to switch to another thread or to die there; else it is the same as no split.
 *  3. A state seen before with at least as many preemptions left is not entered again. A thread's private state is a
 *     function of what it has read, so the key is: memory, a hash of all that each thread read, waiters, who ran last.
 *  4. A death is tried after each step of a thread that may die, and when another has just notified it. Later deaths
 *     differ from these in nothing but the order of steps that others make anyway.
 *  5. The bound rises from 0, so that a failure is reported with the fewest preemptions that show it.
 */
import { CRASH, Execution, type Scenario, SPLIT, THREADS_MAX } from "./execution.js";
import { Memory } from "./machine.js";
import { formatSchedule, parseSchedule } from "./schedule.js";
import { Visited } from "./visited.js";

export type { Crash, Scenario } from "./execution.js";
export * from "./machine.js";

export interface ExploreOptions {
  /** Most preemptions in a schedule. Default 3. */
  readonly preemptions?: number;
  /** The bound to begin with. Default 0; a run that expects no failure may begin at `preemptions`. */
  readonly preemptionsMin?: number;
  /** Rule 3. Default true. */
  readonly prune?: boolean;
  /** Steps of one schedule before it counts as endless. Default 2,000. */
  readonly stepsMax?: number;
  /** Schedules before the search gives up with an error: a net for scenarios that grew too large. Default 20 million. */
  readonly schedulesMax?: number;
  /** This one thread may die, in place of those that the scenario names. */
  readonly crashThread?: number;
}

export interface Failure {
  readonly message: string;
  /** Give it to `replay`. */
  readonly schedule: string;
  readonly preemptions: number;
  readonly trace: readonly string[];
}

export interface Exploration {
  readonly schedules: number;
  /** Distinct states of the last bound; 0 without pruning. */
  readonly states: number;
  readonly steps: number;
  readonly failure?: Failure;
}

export interface Replay {
  /** The failure's text, or undefined if the schedule ends well. */
  readonly message?: string;
  readonly trace: readonly string[];
}

const THREAD_BITS = (1 << THREADS_MAX) - 1;

/** Searches all schedules of `scenario`. Ends at the first failure; never throws for one. */
export function explore<S>(scenario: Scenario<S>, options: ExploreOptions = {}): Exploration {
  const bound = options.preemptions ?? 3;
  let schedules = 0;
  let steps = 0;
  let states = 0;
  for (let preemptions = Math.min(options.preemptionsMin ?? 0, bound); preemptions <= bound; preemptions++) {
    const search = new Search(scenario, preemptions, options);
    search.run();
    schedules += search.schedules;
    steps += search.steps;
    states = search.states;
    if (search.failed !== undefined) {
      const schedule = formatSchedule(search.failed);
      const again = replay(scenario, schedule, options);
      const message = again.message ?? "does not fail when replayed: the scenario is not deterministic";
      return { schedules, states, steps, failure: { message, schedule, preemptions, trace: again.trace } };
    }
    if (!search.bounded) break;
  }
  return { schedules, states, steps };
}

/** Text of a failure for an assertion's message: what, how to replay it, and the trace. */
export function describeFailure(scenario: { readonly name: string }, failure: Failure): string {
  const head = `${scenario.name}: ${failure.message}\nreplay(scenario, "${failure.schedule}") with ${failure.preemptions} preemptions:`;
  return `${head}\n${failure.trace.map((line) => `  ${line}`).join("\n")}`;
}

/** Explores, and throws with the trace if there is a failure. */
export function exploreAll<S>(scenario: Scenario<S>, options: ExploreOptions = {}): Exploration {
  const result = explore(scenario, options);
  if (result.failure !== undefined) throw new Error(describeFailure(scenario, result.failure));
  return result;
}

/** Runs one schedule with a trace; past its end the threads run on without preemption. */
export function replay<S>(scenario: Scenario<S>, schedule: string, options: ExploreOptions = {}): Replay {
  const choices = parseSchedule(schedule);
  const execution = new Execution(scenario, new Memory());
  execution.reset();
  const trace: string[] = [];
  execution.trace = trace;
  const stepsMax = options.stepsMax ?? 2000;
  for (let depth = 0; depth < Math.max(choices.length, stepsMax); depth++) {
    const before = trace.length;
    const mask = execution.runnable();
    let choice = choices[depth];
    if (choice !== undefined && choice < CRASH && (mask & (1 << (choice % SPLIT))) === 0) {
      throw new Error(
        `schedule does not fit: step ${depth + 1} runs ${execution.threadName(choice % SPLIT)}, which cannot`,
      );
    }
    if (choice === undefined) {
      if (mask === 0) {
        const message = judgeEnd(scenario, execution);
        return message === undefined ? { trace } : { message, trace };
      }
      choice = mask & (1 << execution.last) && execution.last >= 0 ? execution.last : lowest(mask);
    }
    execution.step(choice);
    const message = judgeStep(scenario, execution);
    for (let line = before; line < trace.length; line++) trace[line] = `#${depth + 1}  ${trace[line]}`;
    if (message !== undefined) return { message, trace };
  }
  return { message: endless(stepsMax), trace };
}

function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

function endless(stepsMax: number): string {
  return `no end after ${stepsMax} steps: an endless retry, or raise stepsMax`;
}

function judgeStep<S>(scenario: Scenario<S>, execution: Execution<S>): string | undefined {
  if (execution.hasFailed) return textOf(execution.failure);
  if (scenario.invariant === undefined) return undefined;
  try {
    scenario.invariant(execution.state);
  } catch (error) {
    return `invariant: ${textOf(error)}`;
  }
  return undefined;
}

/** Called when nobody can act. */
function judgeEnd<S>(scenario: Scenario<S>, execution: Execution<S>): string | undefined {
  const stuck = execution.unfinished().filter((t) => scenario.daemons?.includes(t) !== true);
  if (stuck.length > 0) return `deadlock or lost wake-up: ${execution.describeWaiting()}`;
  try {
    scenario.final?.(execution.state);
  } catch (error) {
    return `at the end: ${textOf(error)}`;
  }
  return undefined;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

class Search<S> {
  schedules = 0;
  steps = 0;
  /** True if some schedule was cut off by the bound. */
  bounded = false;
  failed: readonly number[] | undefined;
  readonly #scenario: Scenario<S>;
  readonly #execution: Execution<S>;
  readonly #bound: number;
  readonly #prune: boolean;
  readonly #stepsMax: number;
  readonly #schedulesMax: number;
  readonly #crashMask: number;
  readonly #visited = new Visited();
  #spins = false;

  // One entry per depth of the current schedule.
  readonly #choice: Int32Array;
  /** Alternatives not yet tried: bits of threads, split steps and deaths. */
  readonly #open: Int32Array;
  /** Preemptions used before this choice. */
  readonly #used: Uint8Array;
  /** The thread that it costs to leave, or -1. */
  readonly #holder: Int8Array;

  constructor(scenario: Scenario<S>, bound: number, options: ExploreOptions) {
    this.#scenario = scenario;
    this.#execution = new Execution(scenario, new Memory());
    this.#bound = bound;
    this.#prune = options.prune ?? true;
    this.#stepsMax = options.stepsMax ?? 2000;
    this.#schedulesMax = options.schedulesMax ?? 20_000_000;
    const victims = options.crashThread === undefined ? scenario.crash?.threads : [options.crashThread];
    this.#crashMask = (victims ?? []).reduce((mask, thread) => mask | (1 << thread), 0);
    this.#choice = new Int32Array(this.#stepsMax + 1);
    this.#open = new Int32Array(this.#stepsMax + 1);
    this.#used = new Uint8Array(this.#stepsMax + 1);
    this.#holder = new Int8Array(this.#stepsMax + 1);
  }

  get states(): number {
    return this.#visited.size;
  }

  run(): void {
    // Choices to follow before the search is on new ground again.
    let prefix = 0;
    for (;;) {
      this.schedules++;
      if (this.schedules > this.#schedulesMax)
        throw new Error(`${this.#scenario.name}: more than ${this.#schedulesMax} schedules`);
      const depth = this.#follow(prefix);
      if (this.failed !== undefined) return;
      prefix = this.#turnOff(depth);
      if (prefix < 0) return;
    }
  }

  /** Runs one schedule; returns its length. */
  #follow(prefix: number): number {
    const execution = this.#execution;
    execution.reset();
    for (let depth = 0; depth < prefix - 1; depth++) execution.step(this.#choice[depth] as number);
    this.steps += prefix;
    let depth = prefix;
    if (prefix > 0 && !this.#take(prefix - 1)) return depth;
    while (this.#enter(depth)) {
      this.steps++;
      depth++;
      if (!this.#take(depth - 1)) return depth;
      if (depth === this.#stepsMax) {
        this.failed = Array.from(this.#choice.subarray(0, depth));
        return depth;
      }
    }
    return depth;
  }

  /** Makes the choice at `depth` for the first time. False if it failed. */
  #take(depth: number): boolean {
    const execution = this.#execution;
    const choice = this.#choice[depth] as number;
    const splits = choice < SPLIT && execution.splits(choice);
    execution.step(choice);
    if (judgeStep(this.#scenario, execution) !== undefined) {
      this.failed = Array.from(this.#choice.subarray(0, depth + 1));
      return false;
    }
    if (splits && execution.touched) this.#openSplit(depth, choice);
    return true;
  }

  /** Rule 2. Whether another thread can run there is found out by `#enter`. */
  #openSplit(depth: number, thread: number): void {
    const bit = 1 << (thread + SPLIT);
    const budget = this.#bound - (this.#used[depth] as number) - this.#cost(depth, thread);
    const dies = this.#execution.dead < 0 && (this.#crashMask & (1 << thread)) !== 0;
    if (budget > 0 || dies) this.#open[depth] = (this.#open[depth] as number) | bit;
    if (budget === 0) this.bounded = true;
  }

  #cost(depth: number, thread: number): number {
    const holder = this.#holder[depth] as number;
    return holder >= 0 && holder !== thread ? 1 : 0;
  }

  /** Lays out the node at `depth` and makes its first choice. False if the schedule ends here. */
  #enter(depth: number): boolean {
    const execution = this.#execution;
    const mask = execution.runnable();
    const last = execution.last;
    const before = depth === 0 ? 0 : (this.#used[depth - 1] as number);
    const previous = depth === 0 ? -1 : (this.#choice[depth - 1] as number);
    const used = previous >= 0 && previous < CRASH ? before + this.#cost(depth - 1, previous % SPLIT) : before;
    const split = previous >= SPLIT && previous < CRASH;
    const holder = last >= 0 && mask & (1 << last) && !execution.givesWay(last) ? last : -1;
    let deaths = 0;
    if (this.#crashMask !== 0 && execution.dead < 0) {
      for (let t = 0; t < execution.count; t++) {
        if (this.#crashMask & (1 << t) && execution.mayDie(t)) deaths |= 1 << (t + CRASH);
      }
    }
    if (mask === 0) {
      if (judgeEnd(this.#scenario, execution) !== undefined) {
        this.failed = Array.from(this.#choice.subarray(0, depth));
        return false;
      }
      // Even a sleeper that may sleep for ever can die asleep, and a recovery act on it.
      if (deaths === 0) return false;
    }
    if (execution.spins && !this.#spins) {
      // From now on the key holds a bit for each thread, so older keys mean something else.
      this.#spins = true;
      this.#visited.clear();
    }
    if (this.#prune && !split) {
      execution.key(holder);
      if (this.#visited.seen(execution.memory.h1, execution.memory.h2, this.#bound - used)) return false;
    }

    let first = -1;
    let others = mask;
    if (split) others = used < this.#bound ? mask & ~(1 << last) : 0;
    else if (holder >= 0) {
      first = holder;
      others = mask & ~(1 << holder);
      if (others !== 0 && used >= this.#bound) {
        this.bounded = true;
        others = 0;
      }
    }
    let open = (others & THREAD_BITS) | deaths;
    if (first < 0) {
      if (open === 0) return false;
      first = lowest(open);
      open &= ~(1 << first);
    }
    this.#choice[depth] = first;
    this.#open[depth] = open;
    this.#used[depth] = used;
    this.#holder[depth] = holder;
    return true;
  }

  /** Goes back to the deepest node with something untried; returns the length of the new prefix, or -1. */
  #turnOff(depth: number): number {
    for (let d = depth - 1; d >= 0; d--) {
      const open = this.#open[d] as number;
      if (open === 0) continue;
      const choice = lowest(open);
      this.#open[d] = open & ~(1 << choice);
      this.#choice[d] = choice;
      return d + 1;
    }
    return -1;
  }
}
