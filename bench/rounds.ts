/**
 * Runs variants side by side: each once per round, the order turned around every other round, so that a slow phase of
 * the machine meets all of them. What counts is the median of the rounds.
 */
import { readFileSync } from "node:fs";
import { Bench } from "tinybench";

/** Who is measured: the targets compare groups, each by its best member. */
export type Group =
  | "ringpost"
  | "ringpost chained"
  | "ringpost stream"
  | "postMessage"
  | "piscina default"
  | "piscina tuned"
  | "tinypool"
  | "workerpool"
  | "poolifier"
  | "grpc"
  | "nats"
  | "bare echo"
  | "bare codec"
  | "spark"
  | "ceiling"
  | "nothing";

export interface Variant {
  readonly name: string;
  readonly group: Group;
  /** One round's figure. */
  readonly measure: (round: number) => Promise<number>;
}

/** The figures of one variant, one for each round. */
export interface Series {
  readonly name: string;
  readonly group: Group;
  readonly values: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Batch {
  readonly name: string;
  readonly group: Group;
  /** Runs so many operations; resolves with how many came back right. */
  readonly batch: (operations: number) => Promise<number>;
}

export interface RateOptions {
  readonly rounds: number;
  /** Milliseconds a variant runs per round, at least one batch. */
  readonly timeMs: number;
  /** A batch is this long, or a quarter of the round if the variant is fast enough for more. */
  readonly operationsMin: number;
}

export async function alternate(variants: readonly Variant[], rounds: number): Promise<Series[]> {
  const values = new Map<Variant, number[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      values.get(variant)?.push(await variant.measure(round));
    }
  }
  return variants.map((variant) => seriesOf(variant, values.get(variant) ?? []));
}

/** Operations per second. Throws where a variant returned a wrong answer: then its speed means nothing. */
export async function rates(batches: readonly Batch[], options: RateOptions): Promise<Series[]> {
  const variants: Variant[] = [];
  for (const variant of batches) {
    // Not counted: threads are started, code is compiled, and the second time shows how fast the variant is.
    await timed(variant, options.operationsMin, 0);
    const rate = options.rounds > 1 ? await timed(variant, options.operationsMin, options.timeMs / 4) : 0;
    const operations = Math.max(options.operationsMin, Math.round((rate * options.timeMs) / 4_000));
    variants.push({ ...variant, measure: () => timed(variant, operations, options.timeMs) });
  }
  return alternate(variants, options.rounds);
}

/** One tinybench task: batches of so many operations until the time is up, at least one. */
async function timed({ name, batch }: Batch, operations: number, timeMs: number): Promise<number> {
  const bench = new Bench({ time: timeMs, iterations: 1, warmup: false, throws: true });
  bench.add(name, async () => {
    const right = await batch(operations);
    if (right !== operations) throw new Error(`${name}: ${right} of ${operations} answers were right`);
  });
  const [task] = await bench.run();
  if (task?.result.state !== "completed") throw new Error(`${name}: ${task?.result.state}`);
  return (operations * 1_000) / task.result.latency.mean;
}

export function seriesOf({ name, group }: Pick<Variant, "name" | "group">, values: readonly number[]): Series {
  return { name, group, values, median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[(sorted.length >> 1) - 1] ?? upper) + upper) / 2;
}

/**
 * Keeps `depth` operations outstanding until `operations` are done; resolves with how many were right. Where an operation
 * takes less than a microsecond it should be the measured call itself, and `isRight` look at its result: an async
 * function around it, with a promise of its own, was a seventh of what was measured.
 */
export async function atDepth<Result = boolean>(
  depth: number,
  operations: number,
  operation: (index: number) => Promise<Result>,
  isRight: (result: Result) => boolean = (result) => result === true,
): Promise<number> {
  let started = 0;
  let right = 0;
  const runner = async (): Promise<void> => {
    while (started < operations) {
      if (isRight(await operation(started++))) right++;
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
