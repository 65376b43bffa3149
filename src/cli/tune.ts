/** `ringpost tune <module>`: how many threads a handler is worth, measured with the handler itself. */
import { availableParallelism } from "node:os";
import type { CAC } from "cac";
import { isRpcError, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "../index.js";
import { closedLoop } from "./closed-loop.js";
import { CommandFailure, ExitCode, UsageError } from "./exit.js";
import { type Choice, choose } from "./knee.js";
import { LatencyHistogram } from "./latency-histogram.js";
import { loadEndpoint, modulePath } from "./load-endpoint.js";
import {
  flagOption,
  inputOf,
  integerOption,
  numberOption,
  type ParsedOptions,
  parseJson,
  textOption,
  textsOption,
} from "./options.js";
import { count, duration, machine, machineLine, median, Report, table } from "./report.js";

const ROUNDS_DEFAULT = 3;
const DURATION_S_DEFAULT = 1;
const DEPTH_OF_FAST_HANDLERS = 64;
/** Of slow handlers only a few per thread: enough that no thread waits for the next, and no longer queue than that. */
const DEPTH_PER_THREAD_OF_SLOW = 4;
const SLOW_MS = 1;
const ASKS_PER_THREAD_MIN = 10;
/** How long single asks are tried before the sweep. */
const TRIALS_MS = 100;

/** A method that no service has: asked for it, a service says which it has. */
const NO_METHOD = "ringpost tune: which methods are there?";

type Ask = () => Promise<unknown>;
type Target = (ref: RpcEndpointRef<RpcUntyped>) => Ask;

interface Point {
  readonly threads: number;
  readonly rates: number[];
  readonly latency: LatencyHistogram;
}

export function tuneCommand(cli: CAC): void {
  cli
    .command("tune <module>", "Sweep thread counts for a handler, print the curve and the recommended setting")
    .option("--method <name>", "Service: the method to call; not needed when there is only one")
    .option("--input <json>", "Service: an argument as JSON, or @file for a file's bytes; repeat it for more")
    .option("--message <json>", "Endpoint class: the message to ask with")
    .option("--args <json>", "What the constructor, or the function of a stateful service, is given")
    .option("--threads-max <n>", "End of the sweep (default: one more than there are cores)")
    .option("--depth <n>", "Asks outstanding (default: 64; for handlers slower than 1 ms, 4 per thread)")
    .option("--duration <s>", `Seconds per point and round (default: ${DURATION_S_DEFAULT})`)
    .option("--rounds <n>", `Rounds, of which the median counts (default: ${ROUNDS_DEFAULT})`)
    .option("--json", "JSON on stdout, text on stderr")
    .action((module: string, options: ParsedOptions) => tune(module, options));
}

async function tune(module: string, options: ParsedOptions): Promise<number> {
  const report = new Report(flagOption(options, "--json"));
  const threadsMax = integerOption(options, "--threads-max", { min: 1, max: 255 }) ?? availableParallelism() + 1;
  const givenDepth = integerOption(options, "--depth", { min: 1, max: 100_000 });
  const seconds = numberOption(options, "--duration", { min: 0.01, max: 3_600 }) ?? DURATION_S_DEFAULT;
  const rounds = integerOption(options, "--rounds", { min: 1, max: 100 }) ?? ROUNDS_DEFAULT;
  const argsText = textOption(options, "--args");
  const args = argsText === undefined ? undefined : parseJson("--args", argsText);
  const target = targetOf(options);
  const path = modulePath(module);

  report.progress("loading the module");
  const handlerMs = await serviceTimeMs(path, args, target);
  const depth = givenDepth ?? (handlerMs < SLOW_MS ? DEPTH_OF_FAST_HANDLERS : DEPTH_PER_THREAD_OF_SLOW * threadsMax);
  const points = sweep(threadsMax).map((threads) => ({ threads, rates: [], latency: new LatencyHistogram() }) as Point);
  for (let round = 0; round < rounds; round++) {
    // Up, then down: a machine that grows warmer or busier hits both ends.
    for (const point of round % 2 === 0 ? points : points.toReversed()) {
      report.progress(`round ${round + 1} of ${rounds}: ${point.threads} threads`);
      await withEndpoint(path, args, point.threads, async (ref) => {
        const load = { depth, durationMs: seconds * 1_000, asksMin: ASKS_PER_THREAD_MIN * point.threads };
        const ask = target(ref);
        await closedLoop(ask, { depth, durationMs: load.durationMs * 0.3 });
        const { asksPerSecond, latency } = await closedLoop(ask, load);
        point.rates.push(asksPerSecond);
        point.latency.add(latency);
      });
    }
  }
  const curve = points.map(({ threads, rates }) => ({ threads, asksPerSecond: median(rates) }));
  const choice = choose(curve, { handlerMs, cores: availableParallelism() });
  print(report, module, points, choice, { depth, seconds, rounds });
  report.json({
    machine: machine(),
    module,
    depth,
    seconds,
    rounds,
    handlerMs,
    points: points.map(({ threads, rates, latency }) => ({
      threads,
      asksPerSecond: median(rates),
      rates,
      p50Ms: latency.percentileMs(0.5),
      p99Ms: latency.percentileMs(0.99),
    })),
    numThreads: choice.threads,
    reason: choice.reason,
  });
  return ExitCode.DONE;
}

/** What to ask, from the options alone; the method is looked up at the first ask where it was not named. */
function targetOf(options: ParsedOptions): (ref: RpcEndpointRef<RpcUntyped>, method?: string) => Ask {
  const messageText = textOption(options, "--message");
  const named = textOption(options, "--method");
  const inputs = textsOption(options, "--input").map((text) => inputOf("--input", text));
  const patient = { timeoutMs: Number.POSITIVE_INFINITY };
  if (messageText !== undefined) {
    if (named !== undefined || inputs.length > 0) {
      throw new UsageError("--message is for endpoint classes, --method and --input are for services; not both");
    }
    const message = parseJson("--message", messageText);
    return (ref) => () => ref.ask(message, patient);
  }
  let method = named;
  return (ref) => {
    const calls = ref.with(patient).call;
    return async () => {
      method ??= await onlyMethod(ref);
      return calls[method]?.(...inputs);
    };
  };
}

async function onlyMethod(ref: RpcEndpointRef<RpcUntyped>): Promise<string> {
  try {
    await ref.call[NO_METHOD]?.();
  } catch (error) {
    if (!isRpcError(error, "ERR_RPC_NO_SUCH_METHOD")) throw error;
    // The text is the only place where a service says it.
    const methods = /it has: (.+)$/.exec(error.message)?.[1]?.split(", ");
    if (methods === undefined) {
      throw new UsageError("the module is an endpoint class: say what to ask with, --message <json>");
    }
    if (methods.length === 1 && methods[0] !== undefined) return methods[0];
    throw new UsageError(`the service has several methods, choose one: --method ${methods.join(" | ")}`);
  }
  throw new CommandFailure("the module does not say which methods it has; name one: --method <name>");
}

/** How long one ask takes alone, the best of a few: proves that the handler works before anything is measured. */
async function serviceTimeMs(path: string, args: unknown, target: Target): Promise<number> {
  return await withEndpoint(path, args, 1, async (ref) => {
    const ask = target(ref);
    try {
      let bestMs = Number.POSITIVE_INFINITY;
      const endMs = performance.now() + TRIALS_MS;
      do {
        const begun = performance.now();
        await ask();
        bestMs = Math.min(bestMs, performance.now() - begun);
      } while (performance.now() < endMs);
      return bestMs;
    } catch (error) {
      if (!isRpcError(error)) throw error;
      throw new CommandFailure(`the handler does not answer: ${error.message}`);
    }
  });
}

async function withEndpoint<R>(
  path: string,
  args: unknown,
  numThreads: number,
  use: (ref: RpcEndpointRef<RpcUntyped>) => Promise<R>,
): Promise<R> {
  await using env = await RpcEnv.create({ name: "tune", numThreads });
  const ref = await loadEndpoint(env, "tune", path, args);
  // Awaited here: the environment ends when this function does.
  return await use(ref);
}

/** Every count up to 4, then steps of a half, always the number of cores and the maximum. */
function sweep(threadsMax: number): number[] {
  const steps = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, availableParallelism(), threadsMax];
  return [...new Set(steps.filter((threads) => threads <= threadsMax))].sort((a, b) => a - b);
}

function print(
  report: Report,
  module: string,
  points: readonly Point[],
  choice: Choice,
  { depth, seconds, rounds }: { depth: number; seconds: number; rounds: number },
): void {
  report.line(machineLine());
  report.line(`${module}: ${depth} asks outstanding, ${seconds} s per point, median of ${rounds} rounds`);
  report.line();
  const rows = points.map(({ threads, rates, latency }, index) => {
    const before = points[index - 1];
    const gain = before === undefined ? null : median(rates) / median(before.rates) - 1;
    return [
      `${threads === choice.threads ? "→" : " "} ${threads}`,
      count(median(rates)),
      duration(latency.percentileMs(0.5)),
      duration(latency.percentileMs(0.99)),
      gain === null ? "" : `${gain < 0 ? "−" : "+"}${Math.abs(gain * 100).toFixed(0)} %`,
    ];
  });
  for (const line of table([["  threads", "asks/s", "p50", "p99", "gain"], ...rows])) report.line(line);
  report.line();
  report.line(`Recommended: ${choice.threads}. ${choice.reason}`);
  report.line();
  report.line(`  const env = await RpcEnv.create({ numThreads: ${choice.threads} });`);
}
