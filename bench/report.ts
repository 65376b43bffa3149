/** What a bench finds out: cells of variants measured together, and targets judged by their ratios. */
import { availableParallelism } from "node:os";
import { type Group, median, readTicks, type Series } from "./rounds.js";

/** Variants that did the same work in the same rounds; the first one is what the others are compared with. */
export interface Cell {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly Series[];
}

export interface Target {
  /** The row of the design's table of targets. */
  readonly row: string;
  readonly what: string;
  readonly goal: number;
  /** Most targets are floors; a latency or a size has a ceiling. */
  readonly atMost: boolean;
  readonly unit: string;
  readonly reached: number;
  readonly min: number;
  readonly max: number;
}

/** A target that could not be judged here. */
export interface Unmeasured {
  readonly row: string;
  readonly what: string;
  readonly why: string;
}

export interface BenchResult {
  readonly bench: string;
  readonly quick: boolean;
  /** Share of all ticks that the hypervisor gave to others meanwhile; null where the system does not say. */
  readonly steal: number | null;
  readonly cores: number;
  readonly node: string;
  readonly cells: readonly Cell[];
  readonly targets: readonly Target[];
  readonly unmeasured: readonly Unmeasured[];
}

export interface BenchOptions {
  /** Proves that the bench runs and that answers are right; its figures mean nothing. */
  readonly quick: boolean;
  readonly report: Report;
}

interface Aim {
  readonly row: string;
  readonly what: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export class Report {
  readonly #bench: string;
  readonly #quick: boolean;
  readonly #log: (line: string) => void;
  readonly #ticks = readTicks();
  readonly #cells: Cell[] = [];
  readonly #targets: Target[] = [];
  readonly #unmeasured: Unmeasured[] = [];

  constructor(bench: string, quick: boolean, log: (line: string) => void) {
    this.#bench = bench;
    this.#quick = quick;
    this.#log = log;
  }

  note(line: string): void {
    this.#log(line);
  }

  cell(cell: Cell): Cell {
    const { title, unit, series } = cell;
    this.#cells.push(cell);
    this.#log(title);
    for (const one of series) {
      const range = one.values.length > 1 ? ` (${figure(one.min)} to ${figure(one.max)})` : "";
      const [ours] = series;
      const ratio =
        ours === undefined || ours === one ? "" : `  ${ours.name} is ${(ours.median / one.median).toFixed(2)}x`;
      this.#log(`  ${one.name.padEnd(24)} ${figure(one.median).padStart(8)} ${unit}${range}${ratio}`);
    }
    return cell;
  }

  /** A ratio of medians; its range is that of the rounds, each taken by itself. */
  ratio(aim: Aim, ours: Series, theirs: Series): void {
    const byRound = ours.values.map((value, round) => value / (theirs.values[round] ?? Number.NaN));
    this.#aim(aim, "x", ours.median / theirs.median, byRound);
  }

  /** A figure that has to keep a bound by itself. */
  absolute(aim: Aim, unit: string, values: readonly number[]): void {
    this.#aim(aim, unit, median(values), values);
  }

  /** Somebody whom the target compares with is not on this machine. */
  unmeasured({ row, what }: Aim, why: string): void {
    this.#unmeasured.push({ row, what, why });
  }

  finish(): BenchResult {
    if (!this.#quick) for (const target of this.#targets) this.#log(verdict(target));
    for (const { row, what, why } of this.#unmeasured) this.#log(`not measured  ${row}: ${what}: ${why}`);
    const steal = stealSince(this.#ticks);
    const cores = availableParallelism();
    this.#log(`steal ${percent(steal)}, ${cores} cores, Node ${process.version}`);
    return {
      bench: this.#bench,
      quick: this.#quick,
      steal,
      cores,
      node: process.version,
      cells: this.#cells,
      targets: this.#quick ? [] : this.#targets,
      unmeasured: this.#unmeasured,
    };
  }

  #aim({ row, what, atLeast, atMost }: Aim, unit: string, reached: number, rounds: readonly number[]): void {
    const goal = atLeast ?? atMost ?? Number.NaN;
    const range = { min: Math.min(...rounds), max: Math.max(...rounds) };
    this.#targets.push({ row, what, goal, atMost: atMost !== undefined, unit, reached, ...range });
  }
}

/** The series of a group with the best median among these cells; "best" is the highest unless told otherwise. */
export function best(
  cells: readonly Cell[],
  groups: readonly Group[],
  prefer: "highest" | "lowest" = "highest",
): Series {
  const found = cells
    .flatMap(({ series }) => series)
    .filter(({ group }) => groups.includes(group))
    .toSorted((a, b) => (prefer === "highest" ? b.median - a.median : a.median - b.median))[0];
  if (found === undefined) throw new Error(`nobody of ${groups.join(" or ")} was measured`);
  return found;
}

export const PISCINA: readonly Group[] = ["piscina tuned", "piscina default"];

/** One line for each row of the design: of several targets in one row the one that is farthest from its goal. */
export function summary(results: readonly BenchResult[]): string[] {
  const lines = ["| bench | target | goal | worst of its lines | rounds | | steal |", "|---|---|---|---|---|---|---|"];
  for (const { bench, steal, targets, unmeasured } of results) {
    for (const { row, why } of unmeasured) lines.push(`| ${bench} | ${row} | | ${why} | | not measured | |`);
    for (const row of new Set(targets.map((target) => target.row))) {
      const all = targets.filter((target) => target.row === row);
      const [worst] = all.toSorted((a, b) => share(a) - share(b));
      if (worst === undefined) continue;
      const { goal, atMost, unit, reached, min, max, what } = worst;
      const where = all.length === 1 ? "" : ` (${what}; 1 of ${all.length})`;
      lines.push(
        `| ${bench} | ${row} | ${atMost ? "≤" : "≥"} ${goal}${unit} | ${reached.toFixed(2)}${unit}${where} | ` +
          `${min.toFixed(2)} to ${max.toFixed(2)} | ${isReached(worst) ? "reached" : "MISSED"} | ${percent(steal)} |`,
      );
    }
  }
  return lines;
}

function verdict(target: Target): string {
  const { row, what, goal, atMost, unit, reached, min, max } = target;
  const word = isReached(target) ? "reached" : "MISSED ";
  const spread = `(${min.toFixed(2)} to ${max.toFixed(2)})`;
  return `${word}  ${reached.toFixed(2)}${unit} of ${atMost ? "at most " : ""}${goal}${unit}  ${row}: ${what}  ${spread}`;
}

function isReached(target: Target): boolean {
  return share(target) >= 1;
}

/** How much of its goal a target has: 1 and above is reached. */
function share({ goal, atMost, reached }: Target): number {
  const part = atMost ? goal / reached : reached / goal;
  return Number.isNaN(part) ? 0 : part;
}

export function figure(value: number): string {
  if (value >= 10_000) return `${(value / 1_000).toFixed(1)}k`;
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

function percent(part: number | null): string {
  return part === null ? "unknown" : `${(part * 100).toFixed(1)} %`;
}

function stealSince(before: ReturnType<typeof readTicks>): number | null {
  const now = readTicks();
  if (before === null || now === null || now.all === before.all) return null;
  return (now.steal - before.steal) / (now.all - before.all);
}
