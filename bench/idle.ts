/**
 * What it costs to do nothing: CPU of the whole process while an environment of 2 or of 8 loops that has done some work
 * waits for more. One contestant lives at a time, for CPU time cannot be told apart by thread.
 */
import { setTimeout as pause } from "node:timers/promises";
import { type ContestantsOptions, startContestants } from "./contestants.js";
import { type BenchOptions, best } from "./report.js";
import { alternate, atDepth, type Group, type Variant } from "./rounds.js";

const FULL = { rounds: 5, settleMs: 1_000, idleMs: 3_000 };
const QUICK = { rounds: 1, settleMs: 50, idleMs: 100 };
const LOOPS = [2, 8];
const CORE_PERCENT_MAX = 0.5;
const WARM_UP_ASKS = 2_000;

interface Pauses {
  readonly settleMs: number;
  readonly idleMs: number;
}

export async function idle({ quick, report }: BenchOptions): Promise<void> {
  const size = quick ? QUICK : FULL;
  for (const threads of LOOPS) {
    const series = await alternate(
      [
        variant(`ringpost, ${threads} loops`, "ringpost", threads, size),
        variant(`piscina, ${threads} threads`, "piscina default", threads, size),
        { name: "nothing but this process", group: "nothing", measure: () => idlePercent(size) },
      ],
      size.rounds,
    );
    const cell = report.cell({ title: `idle, ${threads} threads`, unit: "% of a core", series });
    report.absolute(
      { row: "idle environment of 2 and of 8 loops", what: `${threads} loops`, atMost: CORE_PERCENT_MAX },
      " % of a core",
      best([cell], ["ringpost"]).values,
    );
  }
}

function variant(name: string, group: Group, threads: number, size: Pauses): Variant {
  return { name, group, measure: () => idleContestant({ threads, task: "echo", groups: [group] }, size) };
}

async function idleContestant(options: ContestantsOptions, size: Pauses): Promise<number> {
  await using contestants = await startContestants(options);
  for (const { name, run } of contestants.all) {
    const right = await atDepth(64, WARM_UP_ASKS, async (index) => (await run(index)) === index);
    if (right !== WARM_UP_ASKS) throw new Error(`${name}: ${right} of ${WARM_UP_ASKS} answers were right`);
  }
  return idlePercent(size);
}

async function idlePercent({ settleMs, idleMs }: Pauses): Promise<number> {
  // The compilers and collectors of new threads go on for a while after the last answer.
  await pause(settleMs);
  const before = process.cpuUsage();
  const begunAt = performance.now();
  await pause(idleMs);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 10 / (performance.now() - begunAt);
}
