/**
 * Handlers that burn 10 µs, 100 µs and 1 ms of CPU in several shapes, as many threads as cores: how much of the cores is
 * left for the work itself. The ceiling is the same work in bare threads to which nobody sends anything meanwhile.
 */
import { availableParallelism } from "node:os";
import { type Contestant, PostingWorker, startContestants } from "./contestants.js";
import { CPU_SHAPES, type CpuShape, CpuTasks, iterationsPerMicrosecond } from "./cpu.js";
import { type BenchOptions, best, type Cell, PISCINA, type Report } from "./report.js";
import { atDepth, type Batch, rates } from "./rounds.js";

const COSTS_US = [10, 100, 1_000];
/** Beside piscina at its best. */
const GOALS: Readonly<Record<number, number>> = { 10: 2.2, 100: 1.1, 1000: 0.97 };
const CEILING_GOAL = 0.95;
const CEILING_COST_US = 1_000;
/** Outstanding tasks for each thread: just enough to keep it busy, and what piscina likes best. */
const DEPTHS_PER_THREAD = [4, 32];
const FULL = { rounds: 5, timeMs: 200 };
const QUICK = { rounds: 1, timeMs: 1 };

export async function cpuHandlers({ quick, report }: BenchOptions): Promise<void> {
  const threads = availableParallelism();
  await using contestants = await startContestants({ threads, task: "cpu" });
  await using ceiling = new Ceiling(threads);
  for (const shape of CPU_SHAPES) {
    const perMicrosecond = iterationsPerMicrosecond(shape);
    for (const costUs of COSTS_US) {
      const iterations = Math.max(1, Math.round(costUs * perMicrosecond));
      const tasks = new CpuTasks(shape, iterations);
      const title = `${shape}, ${costUs} µs (${iterations} iterations), ${threads} threads`;
      const cells: Cell[] = [];
      for (const perThread of DEPTHS_PER_THREAD) {
        const depth = perThread * threads;
        const batches = contestants.all.map((contestant) => atOnce(contestant, tasks, depth));
        // Once is enough: no depth changes what bare threads do.
        if (perThread === DEPTHS_PER_THREAD[0]) batches.push(ceiling.batch(tasks));
        const operationsMin = quick ? threads : depth * 2;
        const series = await rates(batches, { ...(quick ? QUICK : FULL), operationsMin });
        cells.push(report.cell({ title: `${title}, depth ${depth}`, unit: "per s", series }));
      }
      compare(report, shape, costUs, cells);
    }
  }
}

function compare(report: Report, shape: CpuShape, costUs: number, cells: readonly Cell[]): void {
  const ours = best(cells, ["ringpost"]);
  const cost = costUs < 1_000 ? `${costUs} µs` : `${costUs / 1_000} ms`;
  const row = `CPU handlers of ${cost}, loops = cores`;
  report.ratio(
    { row: `${row}, beside piscina best`, what: shape, atLeast: GOALS[costUs] ?? 1 },
    ours,
    best(cells, PISCINA),
  );
  if (costUs !== CEILING_COST_US) return;
  report.ratio(
    { row: `${row}, share of what the cores can do`, what: shape, atLeast: CEILING_GOAL },
    ours,
    best(cells, ["ceiling"]),
  );
}

function atOnce({ name, group, run }: Contestant, tasks: CpuTasks, depth: number): Batch {
  return {
    name,
    group,
    batch: (operations) =>
      atDepth(depth, operations, async (index) => tasks.isRight(index, await run(tasks.task(index)))),
  };
}

/** Bare threads, each told once how many tasks to run. */
class Ceiling implements AsyncDisposable {
  readonly #workers: readonly PostingWorker[];

  constructor(threads: number) {
    const module = new URL("./workers/cpu-alone.js", import.meta.url);
    this.#workers = Array.from({ length: threads }, () => new PostingWorker(module));
  }

  batch(tasks: CpuTasks): Batch {
    return {
      name: "bare threads, no messages",
      group: "ceiling",
      batch: async (operations) => {
        const counts = this.#workers.map((_, index) => Math.ceil((operations - index) / this.#workers.length));
        const task = tasks.task(0);
        const replies = await Promise.all(this.#workers.map((worker, i) => worker.ask({ task, count: counts[i] })));
        return replies.every((reply) => tasks.isRight(0, reply)) ? operations : 0;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()));
  }
}
