/**
 * One task in a hundred takes a hundred times as long: how long do the short ones wait? Once at half load, on a schedule
 * of arrivals that does not care how the pool fares, once saturated, with a fixed number of tasks outstanding.
 */
import { availableParallelism } from "node:os";
import { type Contestant, startContestants } from "./contestants.js";
import { CpuTasks, iterationsPerMicrosecond } from "./cpu.js";
import { type BenchOptions, best } from "./report.js";
import { alternate, atDepth, median, type Variant } from "./rounds.js";

const SHORT_US = 200;
const LONG_FACTOR = 100;
const LONG_SHARE = 0.01;
const LOAD = 0.5;
const DEPTH_PER_THREAD = 32;
/** The share of a round that only warms up. */
const WARM_UP = 0.1;
const FULL = { rounds: 5, durationMs: 3_000, operations: 4_000 };
const QUICK = { rounds: 1, durationMs: 150, operations: 150 };
const SEED = 20_261_121;

interface Arrival {
  /** Milliseconds after the begin of the round. */
  readonly atMs: number;
  readonly long: boolean;
}

export async function mixed({ quick, report }: BenchOptions): Promise<void> {
  const { rounds, durationMs, operations } = quick ? QUICK : FULL;
  const threads = availableParallelism();
  await using contestants = await startContestants({ threads, task: "cpu" });
  const iterations = Math.round(SHORT_US * iterationsPerMicrosecond("number"));
  const short = new CpuTasks("number", iterations);
  const long = new CpuTasks("number", iterations * LONG_FACTOR);
  const meanMs = (SHORT_US * (1 + LONG_SHARE * (LONG_FACTOR - 1))) / 1_000;
  const perMs = (LOAD * threads) / meanMs;
  const floor = Array.from({ length: rounds }, (_, round) =>
    waitsInTurn(schedule(SEED + round, perMs, durationMs), threads),
  );
  report.note(
    `half load: p99 ${median(floor).toFixed(1)} ms if tasks are run in turn by ${threads} threads without any overhead`,
  );
  report.note(`seed ${SEED}; short ${SHORT_US} µs (${iterations} iterations), ${(perMs * 1_000).toFixed(0)} tasks/s`);

  const run = async ({ name, run }: Contestant, index: number, { long: isLong }: Arrival): Promise<void> => {
    const tasks = isLong ? long : short;
    if (!tasks.isRight(index, await run(tasks.task(index)))) throw new Error(`${name}: a wrong answer`);
  };
  for (const { run } of contestants.all)
    await atDepth(64, 200, async (i) => short.isRight(i, await run(short.task(i))));

  const halfLoad = contestants.all.map(
    (contestant): Variant => ({
      ...contestant,
      measure: (round) => {
        const arrivals = schedule(SEED + round, perMs, durationMs);
        return openLoop(arrivals, (arrival, index) => run(contestant, index, arrival));
      },
    }),
  );
  const half = report.cell({
    title: `half load, arrivals on schedule, ${threads} threads: p99 of the short tasks`,
    unit: "ms",
    series: await alternate(halfLoad, rounds),
  });

  const depth = DEPTH_PER_THREAD * threads;
  const saturating = contestants.all.map(
    (contestant): Variant => ({
      ...contestant,
      measure: (round) => {
        const arrivals = schedule(SEED + round, 1, operations);
        return saturated(depth, arrivals, (arrival, index) => run(contestant, index, arrival));
      },
    }),
  );
  const full = report.cell({
    title: `saturated, ${depth} outstanding, ${threads} threads: p99 of the short tasks`,
    unit: "ms",
    series: await alternate(saturating, rounds),
  });

  const row = "mixed tasks (1 % take 100x), p99 of the short ones";
  for (const { cell, load, atMost } of [
    { cell: half, load: "half load", atMost: 0.5 },
    { cell: full, load: "saturated", atMost: 0.75 },
  ]) {
    report.ratio(
      { row: `${row}, ${load}, beside piscina tuned`, what: "its best configuration", atMost },
      best([cell], ["ringpost"], "lowest"),
      best([cell], ["piscina tuned"], "lowest"),
    );
  }
}

/** The same arrivals for every contestant of a round: exponential gaps, long tasks at random. */
function schedule(seed: number, perMs: number, durationMs: number): Arrival[] {
  const random = mulberry32(seed);
  const arrivals: Arrival[] = [];
  const gapMs = (): number => -Math.log(1 - random()) / perMs;
  for (let atMs = 0; atMs < durationMs; atMs += gapMs()) arrivals.push({ atMs, long: random() < LONG_SHARE });
  return arrivals;
}

/**
 * What no dispatcher can undercut that does not know which task is long and does not interrupt one: the oldest task goes
 * to the first thread that is free, and nothing else takes time.
 */
function waitsInTurn(arrivals: readonly Arrival[], threads: number): number {
  const freeAtMs = Array.from({ length: threads }, () => 0);
  const latencies: number[] = [];
  const warmUpMs = (arrivals.at(-1)?.atMs ?? 0) * WARM_UP;
  for (const { atMs, long } of arrivals) {
    const first = freeAtMs.indexOf(Math.min(...freeAtMs));
    const endsMs = Math.max(freeAtMs[first] ?? 0, atMs) + ((long ? LONG_FACTOR : 1) * SHORT_US) / 1_000;
    freeAtMs[first] = endsMs;
    if (!long && atMs >= warmUpMs) latencies.push(endsMs - atMs);
  }
  return percentile(latencies, 0.99);
}

/** Latency counts from the planned time: a late sender does not make its contestant look fast. */
async function openLoop(
  arrivals: readonly Arrival[],
  run: (arrival: Arrival, index: number) => Promise<void>,
): Promise<number> {
  const latencies: number[] = [];
  const running: Promise<void>[] = [];
  const warmUpMs = (arrivals.at(-1)?.atMs ?? 0) * WARM_UP;
  const begunAt = performance.now();
  const one = async (arrival: Arrival, index: number): Promise<void> => {
    await run(arrival, index);
    if (!arrival.long && arrival.atMs >= warmUpMs) latencies.push(performance.now() - begunAt - arrival.atMs);
  };
  await new Promise<void>((resolve) => {
    let next = 0;
    // In steps of a timer: a finer pace would keep a core busy that the contestants need.
    const pace = setInterval(() => {
      const now = performance.now() - begunAt;
      for (let arrival = arrivals[next]; arrival !== undefined && arrival.atMs <= now; arrival = arrivals[++next]) {
        running.push(one(arrival, next));
      }
      if (next < arrivals.length) return;
      clearInterval(pace);
      resolve();
    }, 1);
  });
  await Promise.all(running);
  return percentile(latencies, 0.99);
}

async function saturated(
  depth: number,
  arrivals: readonly Arrival[],
  run: (arrival: Arrival, index: number) => Promise<void>,
): Promise<number> {
  const latencies: number[] = [];
  await atDepth(depth, arrivals.length, async (index) => {
    const arrival = arrivals[index] as Arrival;
    const sentAt = performance.now();
    await run(arrival, index);
    if (!arrival.long && index >= arrivals.length * WARM_UP) latencies.push(performance.now() - sentAt);
    return true;
  });
  return percentile(latencies, 0.99);
}

function percentile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}

/** A small random generator with a seed; its quality is more than arrivals need. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
