/**
 * Round trips to a worker thread: Ringpost beside raw postMessage and Piscina, a small object and 64 bytes, one and two
 * threads, three depths. Asserts every answer; compares speeds only in its report.
 */
import { availableParallelism } from "node:os";
import { type Contestant, startContestants } from "./contestants.js";
import { bytes, isSame, type Message, smallObject } from "./messages.js";
import { atDepth, type Rates, readTicks, runRounds } from "./rounds.js";

export interface BenchOptions {
  readonly quick: boolean;
  readonly log: (line: string) => void;
}

interface Cell {
  readonly threads: number;
  readonly message: string;
  readonly depth: number;
  readonly variants: readonly (Rates & { readonly group: Contestant["group"] })[];
}

interface Target {
  readonly what: string;
  readonly goal: number;
  readonly reached: number;
}

const MESSAGES: Readonly<Record<string, () => Message>> = { object: smallObject, "64 bytes": () => bytes(64) };
const DEPTHS = [1, 64, 1024];
const THREADS = [1, 2];
const FULL = { rounds: 5, timeMs: 200, operations: { 1: 400, 64: 6_400, 1024: 20_480 } };
const QUICK = { rounds: 1, timeMs: 1, operations: { 1: 20, 64: 640, 1024: 2_048 } };

export async function askLocal({ quick, log }: BenchOptions): Promise<object> {
  const size = quick ? QUICK : FULL;
  const cells: Cell[] = [];
  const ticksBefore = readTicks();
  for (const threads of THREADS) {
    await using contestants = await startContestants(threads);
    for (const [message, make] of Object.entries(MESSAGES)) {
      for (const depth of DEPTHS) {
        const sent = make();
        const variants = contestants.all.map(({ name, ask }) => ({
          name,
          batch: (operations: number) => atDepth(depth, operations, async () => isSame(sent, await ask(sent))),
        }));
        const operations = size.operations[depth as 1 | 64 | 1024];
        const rates = await runRounds(variants, { rounds: size.rounds, timeMs: size.timeMs, operations });
        const cell = {
          threads,
          message,
          depth,
          variants: rates.map((rate, index) => grouped(rate, contestants.all[index]!)),
        };
        cells.push(cell);
        print(cell, log);
      }
    }
  }
  const targets = quick ? [] : compare(cells);
  for (const { what, goal, reached } of targets) {
    log(`${reached >= goal ? "reached" : "MISSED "}  ${reached.toFixed(2)}x of ${goal}x  ${what}`);
  }
  const steal = stealSince(ticksBefore);
  log(
    `steal ${steal === null ? "unknown" : `${(steal * 100).toFixed(1)} %`}, ${availableParallelism()} cores, Node ${process.version}`,
  );
  return { bench: "ask-local", quick, steal, cores: availableParallelism(), node: process.version, cells, targets };
}

function grouped(rate: Rates, { group }: Contestant): Cell["variants"][number] {
  return { ...rate, group };
}

function print({ threads, message, depth, variants }: Cell, log: BenchOptions["log"]): void {
  const ours = variants[0]?.median ?? Number.NaN;
  log(`${threads} ${threads === 1 ? "thread" : "threads"}, ${message}, depth ${depth}`);
  for (const { name, median, min, max } of variants) {
    const rate = thousands(median).padStart(8);
    log(
      `  ${name.padEnd(18)} ${rate} per s (${thousands(min)} to ${thousands(max)})  ask is ${(ours / median).toFixed(2)}x`,
    );
  }
}

function thousands(rate: number): string {
  return `${(rate / 1_000).toFixed(1)}k`;
}

/** The targets of the design: ratios of medians; Piscina's best is the best of its configurations and depths. */
function compare(cells: readonly Cell[]): Target[] {
  const targets: Target[] = [];
  const add = (what: string, goal: number, ours: number, theirs: number): void => {
    targets.push({ what, goal, reached: ours / theirs });
  };
  for (const threads of THREADS) {
    const best = (message: string, group: Contestant["group"], depth?: number): number =>
      Math.max(
        ...cells
          .filter((cell) => cell.threads === threads && cell.message === message)
          .filter((cell) => depth === undefined || cell.depth === depth)
          .flatMap((cell) => cell.variants.filter((variant) => variant.group === group))
          .map(({ median }) => median),
      );
    const piscina = (message: string): number =>
      Math.max(best(message, "piscina tuned"), best(message, "piscina default"));
    const where = `${threads} ${threads === 1 ? "thread" : "threads"}`;
    const object = best("object", "ringpost", 1024);
    add(`object, depth 1024, ${where}: first goal, Piscina at its best`, 4, object, piscina("object"));
    add(`object, depth 1024, ${where}: Piscina at its best`, 5, object, piscina("object"));
    add(`object, depth 1024, ${where}: raw postMessage`, 2.2, object, best("object", "raw", 1024));
    const alone = threads + 1 > availableParallelism() ? 1.8 : 4;
    add(
      `object, depth 1, ${where}: Piscina default`,
      alone,
      best("object", "ringpost", 1),
      best("object", "piscina default", 1),
    );
    add(
      `64 bytes, depth 1024, ${where}: Piscina at its best`,
      12,
      best("64 bytes", "ringpost", 1024),
      piscina("64 bytes"),
    );
  }
  return targets;
}

function stealSince(before: ReturnType<typeof readTicks>): number | null {
  const now = readTicks();
  if (before === null || now === null || now.all === before.all) return null;
  return (now.steal - before.steal) / (now.all - before.all);
}
