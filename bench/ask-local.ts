/**
 * Round trips to a worker thread: Ringpost beside raw postMessage and the pools, a small object and 64 bytes, one and two
 * threads, three depths. Asserts every answer; compares speeds only in its report.
 */
import { availableParallelism } from "node:os";
import { startContestants } from "./contestants.js";
import { bytes, isSame, type Message, smallObject } from "./messages.js";
import { type BenchOptions, best, type Cell, PISCINA } from "./report.js";
import { atDepth, rates } from "./rounds.js";

interface AskCell extends Cell {
  readonly threads: number;
  readonly message: string;
  readonly depth: number;
}

const MESSAGES: Readonly<Record<string, () => Message>> = { object: smallObject, "64 bytes": () => bytes(64) };
const DEPTHS = [1, 64, 1024];
const THREADS = [1, 2];
const FULL = { rounds: 5, timeMs: 200 };
const QUICK = { rounds: 1, timeMs: 1 };

export async function askLocal({ quick, report }: BenchOptions): Promise<void> {
  const size = quick ? QUICK : FULL;
  const cells: AskCell[] = [];
  for (const threads of THREADS) {
    await using contestants = await startContestants({ threads, task: "echo" });
    for (const [message, make] of Object.entries(MESSAGES)) {
      for (const depth of DEPTHS) {
        const sent = make();
        const batches = contestants.all.map(({ name, group, run }) => ({
          name,
          group,
          batch: (operations: number) =>
            atDepth(
              depth,
              operations,
              () => run(sent),
              (back) => isSame(sent, back),
            ),
        }));
        const operationsMin = depth === 1 ? 100 : depth * (quick ? 1 : 8);
        const series = await rates(batches, { ...size, operationsMin });
        const title = `${threadCount(threads)}, ${message}, depth ${depth}`;
        cells.push({ ...report.cell({ title, unit: "per s", series }), threads, message, depth });
      }
    }
  }
  for (const threads of THREADS) compare(report, threads, cells);
}

/** Piscina's best is the best of its configurations and depths. */
function compare(report: BenchOptions["report"], threads: number, all: readonly AskCell[]): void {
  const cells = (message: string, depth?: number): AskCell[] =>
    all.filter((cell) => cell.threads === threads && cell.message === message && (depth ?? cell.depth) === cell.depth);
  const where = threadCount(threads);
  const object = best(cells("object", 1024), ["ringpost"]);
  const piscina = best(cells("object"), PISCINA);
  const row = "ask, small object, depth 1024";
  report.ratio({ row: `${row}, beside piscina best`, what: where, atLeast: 5 }, object, piscina);
  report.ratio(
    { row: `${row}, with shared record structures, beside piscina best`, what: where, atLeast: 6.5 },
    object,
    piscina,
  );
  report.ratio(
    { row: `${row}, beside raw postMessage`, what: where, atLeast: 2.2 },
    object,
    best(cells("object", 1024), ["postMessage"]),
  );
  const crowded = threads + 1 > availableParallelism();
  report.ratio(
    {
      row: `ask, depth 1, ${crowded ? "loops + 1 > cores" : "one loop"}, beside piscina default`,
      what: where,
      atLeast: crowded ? 1.8 : 4,
    },
    best(cells("object", 1), ["ringpost"]),
    best(cells("object", 1), ["piscina default"]),
  );
  report.ratio(
    { row: "ask, 64-byte Uint8Array, depth 1024, beside piscina best", what: where, atLeast: 12 },
    best(cells("64 bytes", 1024), ["ringpost"]),
    best(cells("64 bytes"), PISCINA),
  );
}

function threadCount(threads: number): string {
  return `${threads} ${threads === 1 ? "thread" : "threads"}`;
}
