/**
 * The demo's work: rounds of Ringpost and of a plain loop over the same files, every result checked, and the table. It
 * does not know where the service runs.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { isRpcError } from "../index.js";
import { compressFile } from "./compress-file.js";
import { CommandFailure, ExitCode } from "./exit.js";
import { type FileTree, readDefaultTree, readTree, shown, type TreeFile } from "./file-tree.js";
import { count, duration, machine, machineLine, median, megabytes, type Report, table } from "./report.js";

/** No further round begins after this: a large folder gets one of each, and the default run stays short. */
const ROUNDS_BUDGET_MS = 15_000;
/** Below what an Inbox may keep waiting. */
const FILES_OUTSTANDING_MAX = 50_000;
const PROGRESS_EVERY_MS = 100;

/** What was asked for on the command line. */
export interface DemoOptions {
  readonly dir: string | undefined;
  readonly out: string | undefined;
  readonly quality: number;
  readonly rounds: number;
}

/** The service, wherever it is. */
export interface DemoService {
  readonly compress: (path: string, quality: number) => Promise<Compressed>;
  readonly threads: number;
  /** What it took to start it. */
  readonly startMs: number;
  /** The process that it runs in, and where that listens; null: in this one. */
  readonly server: { readonly pid: number; readonly uri: string } | null;
}

export interface Compressed {
  readonly threadId: number;
  readonly bytes: Uint8Array;
}

/** One pass over all files: what became of each, in their order. An Error stands for a file that failed. */
interface Pass {
  readonly ms: number;
  readonly results: readonly (Compressed | Error)[];
}

interface LoopShare {
  readonly loop: number;
  files: number;
  bytesIn: number;
}

/** The files that `options` name. Throws CommandFailure when there is none. */
export function readFiles({ dir, out }: DemoOptions, report: Report): FileTree {
  report.progress("reading the files");
  return dir === undefined ? readDefaultTree() : readTree(dir, out);
}

/** Compresses, checks, writes, prints. Returns the exit code. */
export async function playRounds(
  tree: FileTree,
  { out, quality, rounds }: DemoOptions,
  service: DemoService,
  report: Report,
): Promise<number> {
  const files = tree.files;
  const withRingpost = (): Promise<Pass> => inWorkers(files, (path) => service.compress(path, quality), report);
  report.line(machineLine());
  if (service.server !== null) {
    const { pid, uri } = service.server;
    report.line(`Process ${process.pid} asks process ${pid} over TCP, encrypted: ${uri}`);
  }

  const begun = performance.now();
  const passes: { ringpost: Pass; plain: Pass }[] = [];
  const failures = new Map<string, string>();
  for (let round = 0; round < rounds && performance.now() - begun < ROUNDS_BUDGET_MS; round++) {
    // Whoever goes second finds warmer caches, so they take turns.
    const first = round % 2 === 0 ? await withRingpost() : null;
    report.progress(`round ${round + 1}: plain loop`);
    const plain = inPlainLoop(files, quality);
    const pass = { ringpost: first ?? (await withRingpost()), plain };
    passes.push(pass);
    report.progress(`round ${round + 1}: checking`);
    check(files, pass.ringpost, pass.plain, failures);
  }
  const results = passes.at(-1)?.ringpost.results ?? [];
  const written = out === undefined ? 0 : write(files, results, out);
  const outcome = summarize(tree, passes, quality, service);

  print(report, outcome, tree);
  if (out !== undefined) report.line(`Wrote ${count(written)} .br files below ${out}.`);
  for (const [name, text] of failures) report.line(`FAILED ${name}: ${text}`);
  report.json({ ...outcome, verified: files.length - failures.size, failed: Object.fromEntries(failures), written });
  return failures.size === 0 ? ExitCode.DONE : ExitCode.FAILED;
}

/**
 * All files at once: the Inbox holds what no thread has taken yet. Throws CommandFailure when the other process is gone:
 * that is no fault of any file.
 */
async function inWorkers(
  files: readonly TreeFile[],
  compress: (path: string) => Promise<Compressed>,
  report: Report,
): Promise<Pass> {
  let done = 0;
  const ticker = setInterval(
    () => report.progress(`${count(done)} of ${count(files.length)} files`),
    PROGRESS_EVERY_MS,
  );
  const begun = performance.now();
  const results: (Compressed | Error)[] = [];
  try {
    for (let at = 0; at < files.length; at += FILES_OUTSTANDING_MAX) {
      const part = files.slice(at, at + FILES_OUTSTANDING_MAX).map(async ({ path }) => {
        const result = await compress(path).catch((error: Error) => error);
        if (isRpcError(result, "ERR_RPC_CONNECT", "ERR_RPC_CONNECTION_LOST")) {
          throw new CommandFailure(`the service is gone: ${result.code}: ${result.message}`);
        }
        done++;
        return result;
      });
      results.push(...(await Promise.all(part)));
    }
    return { ms: performance.now() - begun, results };
  } finally {
    clearInterval(ticker);
  }
}

/** What a script without Ringpost does. */
function inPlainLoop(files: readonly TreeFile[], quality: number): Pass {
  const begun = performance.now();
  const results = files.map(({ path }): Compressed | Error => {
    try {
      return { threadId: 0, bytes: compressFile(path, quality) };
    } catch (error) {
      return error as Error;
    }
  });
  return { ms: performance.now() - begun, results };
}

/** Not timed. Every result must decompress to its file, and be what the plain loop made of it. */
function check(files: readonly TreeFile[], ringpost: Pass, plain: Pass, failures: Map<string, string>): void {
  for (const [index, { path, name }] of files.entries()) {
    const result = ringpost.results[index];
    const expected = plain.results[index];
    try {
      if (result === undefined) throw new Error("no result");
      if (result instanceof Error) throw result;
      if (!brotliDecompressSync(result.bytes).equals(readFileSync(path))) {
        throw new Error("does not decompress to the file");
      }
      if (expected === undefined || expected instanceof Error || Buffer.compare(expected.bytes, result.bytes) !== 0) {
        throw new Error("differs from what the plain loop made");
      }
    } catch (error) {
      failures.set(name, error instanceof Error ? error.message : String(error));
    }
  }
}

function write(files: readonly TreeFile[], results: Pass["results"], out: string): number {
  let written = 0;
  try {
    for (const [index, { name }] of files.entries()) {
      const result = results[index];
      if (result === undefined || result instanceof Error) continue;
      const target = join(out, `${name}.br`);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, result.bytes);
      written++;
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`cannot write below ${out}, after ${written} files: ${text}`);
  }
  return written;
}

type Outcome = ReturnType<typeof summarize>;

function summarize(
  tree: FileTree,
  passes: readonly { ringpost: Pass; plain: Pass }[],
  quality: number,
  { threads, startMs, server }: DemoService,
) {
  const bytesIn = tree.files.reduce((sum, file) => sum + file.bytes, 0);
  const rates = (ms: number) => ({
    ms,
    filesPerSecond: (tree.files.length / ms) * 1_000,
    megabytesPerSecond: bytesIn / 1e3 / ms,
  });
  const speedUps = passes.map(({ ringpost, plain }) => plain.ms / ringpost.ms);
  let bytesOut = 0;
  for (const result of passes.at(-1)?.ringpost.results ?? []) {
    if (!(result instanceof Error)) bytesOut += result.bytes.length;
  }
  return {
    roots: tree.roots.map(shown),
    files: tree.files.length,
    skipped: tree.skipped,
    bytesIn,
    bytesOut,
    ratio: bytesIn / bytesOut,
    quality,
    threads,
    rounds: passes.length,
    startMs,
    processes: server === null ? 1 : 2,
    ringpost: rates(median(passes.map(({ ringpost }) => ringpost.ms))),
    plainLoop: rates(median(passes.map(({ plain }) => plain.ms))),
    speedUp: { median: median(speedUps), min: Math.min(...speedUps), max: Math.max(...speedUps) },
    loops: shares(tree.files, passes, threads),
    machine: machine(),
  };
}

/** Work per thread over all rounds. A thread that got nothing is listed with nothing. */
function shares(files: readonly TreeFile[], passes: readonly { ringpost: Pass }[], threads: number) {
  const byThread = new Map<number, LoopShare>();
  for (const { ringpost } of passes) {
    for (const [index, result] of ringpost.results.entries()) {
      if (result instanceof Error) continue;
      const share = byThread.get(result.threadId) ?? { loop: 0, files: 0, bytesIn: 0 };
      share.files++;
      share.bytesIn += files[index]?.bytes ?? 0;
      byThread.set(result.threadId, share);
    }
  }
  const served = [...byThread].sort(([a], [b]) => a - b).map(([, share]) => share);
  while (served.length < threads) served.push({ loop: 0, files: 0, bytesIn: 0 });
  const all = served.reduce((sum, share) => sum + share.bytesIn, 0);
  return served.map((share, index) => ({
    ...share,
    loop: index + 1,
    share: all === 0 ? 1 / served.length : share.bytesIn / all,
  }));
}

function print(report: Report, outcome: Outcome, tree: FileTree): void {
  const { ringpost, plainLoop, speedUp, loops, rounds } = outcome;
  const { symbolicLinks, unreadable, special } = outcome.skipped;
  const left = [
    symbolicLinks > 0 ? `${count(symbolicLinks)} symbolic links` : "",
    unreadable > 0 ? `${count(unreadable)} unreadable` : "",
    special > 0 ? `${count(special)} neither files nor folders` : "",
  ].filter((text) => text !== "");
  const row = (name: string, rate: Outcome["ringpost"]): string[] => [
    name,
    duration(rate.ms),
    count(rate.filesPerSecond),
    rate.megabytesPerSecond.toFixed(1),
  ];

  report.line(`${count(outcome.files)} files below ${tree.roots.map(shown).join(", ")}`);
  if (left.length > 0) report.line(`Skipped: ${left.join(", ")}`);
  report.line(
    `brotli, quality ${outcome.quality}: ${megabytes(outcome.bytesIn)} in, ${megabytes(outcome.bytesOut)} out, ` +
      `ratio ${outcome.ratio.toFixed(2)}`,
  );
  report.line();
  const rows = [
    ["", "time", "files/s", "MB/s"],
    row(`Ringpost, ${outcome.threads} ${outcome.threads === 1 ? "thread" : "threads"}`, ringpost),
    row("plain loop", plainLoop),
  ];
  for (const line of table(rows)) report.line(line);
  report.line();
  const spread = `${speedUp.min.toFixed(2)} to ${speedUp.max.toFixed(2)} in ${rounds} rounds`;
  report.line(`Speed-up ${speedUp.median.toFixed(2)}x${rounds > 1 ? ` (${spread})` : ""}`);
  if (speedUp.median < 1) {
    report.line("Below 1x: so little work is done sooner than handed over, or others use the cores. Try more files.");
  }
  report.line(
    `Share of the bytes: ${loops.map(({ loop, share }) => `loop ${loop} ${(share * 100).toFixed(0)} %`).join(", ")}`,
  );
  report.line();
  report.line("Every result of every round was decompressed and compared with its file, outside the timing.");
  report.line(
    "The plain loop is the same function on the main thread, over the same files from the same warm file cache; " +
      `they take turns${rounds > 1 ? ", medians" : ""}. Starting the threads took ${duration(outcome.startMs)}, once, and is not counted.`,
  );
}
