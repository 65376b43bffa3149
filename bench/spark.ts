/**
 * The race: Spark's own RpcEnv and transport, client and server in a JVM each, beside Ringpost in two processes. The same
 * messages at the same depths over one connection, in turns, both warm. Every answer is checked over there.
 *
 * Spark comes from bench/spark/pom.xml. RINGPOST_SPARK_LINE=3.5 races against the older one.
 */
import { join } from "node:path";
import { buildDrivers } from "../test/spark/drivers.js";
import { type BenchOptions, best, type Cell, type Report } from "./report.js";
import { alternate, seriesOf, type Variant } from "./rounds.js";
import { type Lap, Racer, type Work } from "./spark/racer.js";
import { raceTable } from "./spark/table.js";

const MIB = 2 ** 20;
const LINE = process.env.RINGPOST_SPARK_LINE ?? "4.0";
const MESSAGES = { "small object": null, "64 bytes": 64, "4 KiB": 4 * 1024 } as const;
const DEPTHS = [1, 64, 1024];
const WINDOW = 1024;
/** As Spark's client of a shuffle service by default has one chunk after the other, but never an empty wire. */
const CHUNKS = { byteCount: MIB, depth: 8 };
/** `lapMs` a lap, so many laps; `warm` asks, sends and chunks before any of them. */
const FULL = { rounds: 7, lapMs: 1_000, warm: 200_000, warmChunks: 2_048, probe: 2_048 };
const QUICK = { rounds: 1, lapMs: 1, warm: 1_024, warmChunks: 8, probe: 64 };
type Size = typeof FULL;

/** What a lap tells, and in what unit. */
interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly of: (lap: Lap, count: number) => number;
}

const RATE: Figure = { name: "per second", unit: "per s", of: ({ seconds }, count) => count / seconds };
const CPU: Figure = {
  name: "CPU seconds for a million",
  unit: "s",
  of: ({ cpuSeconds }, count) => (cpuSeconds * 1e6) / count,
};
const OF_ASKS: readonly Figure[] = [
  RATE,
  { name: "p50 in us", unit: "us", of: ({ p50Us = Number.NaN }) => p50Us },
  { name: "p99 in us", unit: "us", of: ({ p99Us = Number.NaN }) => p99Us },
  CPU,
];
const OF_SENDS: readonly Figure[] = [RATE, CPU];
const OF_CHUNKS: readonly Figure[] = [
  { name: "MiB per second", unit: "MiB/s", of: RATE.of },
  { name: "CPU seconds for a GiB", unit: "s", of: ({ cpuSeconds }, count) => (cpuSeconds * 1024) / count },
];

/** The figures of one kind of work; a cell for each. */
type Result = ReadonlyMap<Figure, Cell>;
/** The same work, so many times. */
type Task = (count: number) => Work;

const AIM = { row: "ask over TCP, depths 64 and 1024, beside Spark's RpcEnv", atLeast: 1 };
const CPU_AIM = { row: "CPU of an ask over TCP, both sides, beside Spark's RpcEnv", atMost: 1 };
const SEND_AIM = { row: "send over TCP, beside Spark's RpcEnv", atLeast: 1 };
const CHUNK_AIM = { row: "chunks of 1 MiB, beside Spark's transport", atLeast: 1 };

export async function spark({ quick, report }: BenchOptions): Promise<void> {
  const folder = `race-${LINE}`;
  const project = join("bench", "spark");
  const sources = [join(project, "src"), join("test", "spark", "src")];
  const why = buildDrivers({ project, profile: `spark${LINE.replace(".", "")}`, folder, sources, isOffline: quick });
  if (why !== null) return report.unmeasured({ row: "the race against Spark", what: `Spark ${LINE}` }, why);
  await using ours = await Racer.ringpost(MIB);
  await using theirs = await Racer.spark(MIB, folder);
  if (theirs.about !== null) {
    const { spark, java, collectors, cores, flags } = theirs.about;
    report.note(`Spark ${spark}, ${java}, ${cores} cores, collectors ${collectors}\n  ${flags}`);
  }
  await race([ours, theirs], quick ? QUICK : FULL, report);
}

async function race(racers: readonly Racer[], size: Size, report: Report): Promise<void> {
  for (const bytes of Object.values(MESSAGES)) {
    await runAll(racers, { do: "asks", bytes, depth: 64, count: size.warm });
    await runAll(racers, { do: "sends", bytes, window: WINDOW, count: whole(size.warm) });
  }
  await runAll(racers, { do: "chunks", ...CHUNKS, count: size.warmChunks });

  const asks: Result[] = [];
  const sends: Result[] = [];
  for (const [message, bytes] of Object.entries(MESSAGES)) {
    for (const depth of DEPTHS) {
      const title = `asks, ${message}, depth ${depth}`;
      const task: Task = (count) => ({ do: "asks", bytes, depth, count: Math.max(count, 4 * depth) });
      const result = await measured(title, task, OF_ASKS, racers, size, report);
      asks.push(result);
      if (depth === 1) continue;
      ratio(report, { ...AIM, what: `${message}, depth ${depth}` }, result.get(RATE));
      ratio(report, { ...CPU_AIM, what: `${message}, depth ${depth}` }, result.get(CPU));
    }
    const task: Task = (count) => ({ do: "sends", bytes, window: WINDOW, count: whole(count) });
    const result = await measured(`sends, ${message}`, task, OF_SENDS, racers, size, report);
    sends.push(result);
    ratio(report, { ...SEND_AIM, what: message }, result.get(RATE));
  }
  const task: Task = (count) => ({ do: "chunks", ...CHUNKS, count });
  const chunks = await measured("chunks of 1 MiB from memory", task, OF_CHUNKS, racers, size, report);
  ratio(report, { ...CHUNK_AIM, what: "from memory" }, chunks.get(OF_CHUNKS[0] as Figure));

  // A lap of a millisecond says nothing about speed.
  if (size.lapMs < FULL.lapMs) return;
  for (const results of [asks, sends, [chunks]]) {
    report.note(`\n${raceTable(results.map((result) => [...result.values()])).join("\n")}`);
  }
}

function whole(count: number): number {
  return Math.ceil(count / WINDOW) * WINDOW;
}

async function runAll(racers: readonly Racer[], work: Work): Promise<void> {
  for (const racer of racers) await racer.run(work);
}

/** Laps in turns, of so much work each that a lap takes its time; a cell for each figure. */
async function measured(
  title: string,
  task: Task,
  figures: readonly Figure[],
  racers: readonly Racer[],
  size: Size,
  report: Report,
): Promise<Result> {
  const values = new Map<Figure, Map<Racer, number[]>>(
    figures.map((figure) => [figure, new Map(racers.map((racer) => [racer, []]))]),
  );
  const variants: Variant[] = [];
  for (const racer of racers) {
    // Not counted: it shows how fast the racer is, now that it is warm.
    const probe = task(size.probe);
    const { seconds } = await racer.run(probe);
    const work = task(Math.ceil((probe.count * size.lapMs) / (seconds * 1_000)));
    variants.push({
      name: racer.name,
      group: racer.group,
      async measure() {
        const lap = await racer.run(work);
        for (const [figure, byRacer] of values) byRacer.get(racer)?.push(figure.of(lap, work.count));
        return lap.seconds;
      },
    });
  }
  await alternate(variants, size.rounds);
  return new Map(
    [...values].map(([figure, byRacer]) => {
      const series = [...byRacer].map(([racer, ofLaps]) => seriesOf(racer, ofLaps));
      return [figure, report.cell({ title: `${title}: ${figure.name}`, unit: figure.unit, series })];
    }),
  );
}

function ratio(report: Report, aim: Parameters<Report["ratio"]>[0], cell: Cell | undefined): void {
  if (cell !== undefined) report.ratio(aim, best([cell], ["ringpost"]), best([cell], ["spark"]));
}
