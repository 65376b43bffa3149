/**
 * Runs variants side by side: one tinybench task per variant, each once per round, the order turned around every other
 * round, so that a slow phase of the machine meets all of them. What counts is the median of the rounds.
 */
import { readFileSync } from "node:fs";
import { Bench, type Task } from "tinybench";

export interface Variant {
  readonly name: string;
  /** Runs so many operations; resolves with how many came back right. */
  readonly batch: (operations: number) => Promise<number>;
}

export interface RoundsOptions {
  readonly rounds: number;
  /** Operations per tinybench iteration. */
  readonly operations: number;
  /** Milliseconds a variant runs per round, at least one iteration. */
  readonly timeMs: number;
}

export interface Rates {
  readonly name: string;
  /** Operations per second, one for each round. */
  readonly rates: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Throws where a variant returned a wrong answer: then its speed means nothing. */
export async function runRounds(variants: readonly Variant[], options: RoundsOptions): Promise<Rates[]> {
  const { rounds, operations, timeMs } = options;
  const bench = new Bench({ time: timeMs, iterations: 1, warmup: false, throws: true });
  for (const { name, batch } of variants) {
    bench.add(name, async () => {
      const right = await batch(operations);
      if (right !== operations) throw new Error(`${name}: ${right} of ${operations} answers were right`);
    });
  }
  const tasks = [...bench.tasks];
  // One iteration each, not counted: threads are started, code is compiled.
  for (const { batch } of variants) await batch(operations);
  const rates = new Map<Task, number[]>(tasks.map((task) => [task, []]));
  for (let round = 0; round < rounds; round++) {
    for (const task of round % 2 === 0 ? tasks : tasks.toReversed()) {
      task.reset();
      await task.run();
      const { result } = task;
      if (result.state !== "completed") throw new Error(`${task.name}: ${result.state}`);
      rates.get(task)?.push((operations * 1_000) / result.latency.mean);
    }
  }
  return tasks.map((task) => {
    const own = rates.get(task) ?? [];
    return { name: task.name, rates: own, median: median(own), min: Math.min(...own), max: Math.max(...own) };
  });
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[(sorted.length >> 1) - 1] ?? upper) + upper) / 2;
}

/** Keeps `depth` operations outstanding until `operations` are done; resolves with how many were right. */
export async function atDepth(depth: number, operations: number, operation: () => Promise<boolean>): Promise<number> {
  let started = 0;
  let right = 0;
  const runner = async (): Promise<void> => {
    while (started < operations) {
      started++;
      if (await operation()) right++;
    }
  };
  await Promise.all(Array.from({ length: Math.min(depth, operations) }, runner));
  return right;
}

/** Ticks the hypervisor gave to others, and all ticks, since boot; null where the system does not say. */
export function readTicks(): { steal: number; all: number } | null {
  try {
    const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
    const ticks = line.trim().split(/\s+/).slice(1).map(Number);
    return { steal: ticks[7] ?? 0, all: ticks.slice(0, 8).reduce((sum, tick) => sum + tick, 0) };
  } catch {
    return null;
  }
}
