/** `ringpost bench`: throughput and latency of local asks on this machine. */
import type { CAC } from "cac";
import { RpcEnv } from "../index.js";
import type { BenchMessage } from "./bench.endpoint.js";
import { closedLoop, type Measured } from "./closed-loop.js";
import { ExitCode } from "./exit.js";
import { flagOption, integerOption, integersOption, numberOption, type ParsedOptions } from "./options.js";
import { count, duration, machine, machineLine, Report, table } from "./report.js";
import { iterationsPerMicrosecond } from "./spin.js";

const DEPTHS_DEFAULT = [1, 64, 1024];
const DURATION_S_DEFAULT = 2;
/** Enough for the compiler to have optimized all that is measured. */
const WARM_UP_FRACTION = 0.3;

export function benchCommand(cli: CAC): void {
  cli
    .command("bench", "Measure throughput and latency of local asks")
    .option("--threads <n>", "Worker threads (default: one per core, at least 2)")
    .option("--depth <list>", `Asks outstanding, several separated by commas (default: ${DEPTHS_DEFAULT.join()})`)
    .option("--size <bytes>", "Ask with a Uint8Array of this size (default: an object of about 40 bytes)")
    .option("--cost <µs>", "CPU time each handler burns (default: 0)")
    .option("--duration <s>", `Seconds per depth (default: ${DURATION_S_DEFAULT})`)
    .option("--fail-below <n>", "Exit with 3 if no depth reaches this many asks per second")
    .option("--json", "JSON on stdout, text on stderr")
    .action((options: ParsedOptions) => bench(options));
}

async function bench(options: ParsedOptions): Promise<number> {
  const numThreads = integerOption(options, "--threads", { min: 1, max: 255 });
  const depths = integersOption(options, "--depth", { min: 1, max: 100_000 }) ?? DEPTHS_DEFAULT;
  const size = integerOption(options, "--size", { min: 0, max: 64 * 2 ** 20 });
  const costUs = numberOption(options, "--cost", { min: 0, max: 60e6 }) ?? 0;
  const seconds = numberOption(options, "--duration", { min: 0.01, max: 3_600 }) ?? DURATION_S_DEFAULT;
  const floor = numberOption(options, "--fail-below", { min: 0, max: 1e12 });
  const report = new Report(flagOption(options, "--json"));

  const iterations = Math.round(costUs * iterationsPerMicrosecond());
  await using env = await RpcEnv.create({ name: "bench", numThreads });
  const module = new URL("./bench.endpoint.js", import.meta.url);
  const ref = await env.setupEndpoint<typeof import("./bench.endpoint.js")>("bench", module, { args: { iterations } });
  const threads = env.stats().loops.length;
  const message: BenchMessage = size === undefined ? { id: 123_456, op: "increment", by: 7 } : new Uint8Array(size);
  const ask = (): Promise<unknown> => ref.ask(message, { timeoutMs: Number.POSITIVE_INFINITY });

  report.line(machineLine());
  const what = size === undefined ? "an object of about 40 bytes" : `a Uint8Array of ${count(size)} bytes`;
  const work = costUs === 0 ? "" : `, ${count(costUs)} µs of CPU each (${count(iterations)} iterations)`;
  report.line(
    `ask and reply: ${what}${work}; ${threads} ${threads === 1 ? "thread" : "threads"}, ${seconds} s per depth`,
  );
  report.line();

  const results: { depth: number; measured: Measured }[] = [];
  for (const depth of depths) {
    report.progress(`depth ${depth}`);
    await closedLoop(ask, { depth, durationMs: seconds * 1_000 * WARM_UP_FRACTION });
    results.push({ depth, measured: await closedLoop(ask, { depth, durationMs: seconds * 1_000 }) });
  }
  const rows = results.map(({ depth, measured: { asksPerSecond, latency } }) => [
    count(depth),
    count(asksPerSecond),
    duration(latency.percentileMs(0.5)),
    duration(latency.percentileMs(0.99)),
    duration(latency.maxMs),
  ]);
  for (const line of table([["depth", "asks/s", "p50", "p99", "max"], ...rows])) report.line(line);
  report.line();
  report.line("Each asker asks again when it has its answer: beyond depth 1 latency is mostly queueing.");

  const best = Math.max(...results.map(({ measured }) => measured.asksPerSecond));
  const missed = floor !== undefined && best < floor;
  if (missed) report.line(`MISSED: the best depth reached ${count(best)} asks/s, below ${count(floor)}`);
  report.json({
    machine: machine(),
    threads,
    sizeBytes: size ?? null,
    costUs,
    iterations,
    seconds,
    depths: results.map(({ depth, measured: { asks, asksPerSecond, latency } }) => ({
      depth,
      asks,
      asksPerSecond,
      p50Ms: latency.percentileMs(0.5),
      p99Ms: latency.percentileMs(0.99),
      maxMs: latency.maxMs,
    })),
    missed,
  });
  return missed ? ExitCode.THRESHOLD_MISSED : ExitCode.DONE;
}
