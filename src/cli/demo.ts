/**
 * `ringpost demo [dir]`: compresses every file below a folder in worker threads, checks every result, and compares with
 * a plain loop on the main thread over the same files in the same run. Two processes: this one has the service and its
 * threads, a second one, the client, asks it over TCP and does all the rest.
 */
import type { CAC } from "cac";
import { type DemoOptions, playRounds, readFiles } from "./demo-rounds.js";
import { connectDemo, hostDemo, startService } from "./demo-server.js";
import { UsageError } from "./exit.js";
import { flagOption, integerOption, type ParsedOptions, textOption, textsOption } from "./options.js";
import { Report } from "./report.js";
import { readSecurity } from "./security-options.js";

const QUALITY_DEFAULT = 5;
const ROUNDS_DEFAULT = 5;

export function demoCommand(cli: CAC): void {
  cli
    .command("demo [dir]", "Precompress every file below dir on all cores, check every result")
    .option("--threads <n>", "Worker threads (default: one per core, at least 2)")
    .option("--quality <n>", `Brotli quality, 0 to 11 (default: ${QUALITY_DEFAULT})`)
    .option("--out <dir>", "Write the .br files there, under their relative paths")
    .option("--rounds <n>", `Rounds of Ringpost and of the plain loop (default: ${ROUNDS_DEFAULT}, fewer after 15 s)`)
    .option("--in-process", "Without a second process: no TCP between the loop that asks and the threads")
    .option("--server <uri>", "Only the client, of a demo that runs already and told its uri and secret file")
    .option("--secret-file <path>", "With --server: the secret of that demo")
    .option("--json", "JSON on stdout, text on stderr")
    .action((dir: string | undefined, options: ParsedOptions) => demo(dir, options));
}

async function demo(dir: string | undefined, options: ParsedOptions): Promise<number> {
  const numThreads = integerOption(options, "--threads", { min: 1, max: 255 });
  const demoOptions: DemoOptions = {
    dir,
    out: textOption(options, "--out"),
    quality: integerOption(options, "--quality", { min: 0, max: 11 }) ?? QUALITY_DEFAULT,
    rounds: integerOption(options, "--rounds", { min: 1, max: 1_000 }) ?? ROUNDS_DEFAULT,
  };
  const server = textOption(options, "--server");
  const inProcess = flagOption(options, "--in-process");
  const json = flagOption(options, "--json");
  if (server !== undefined && (inProcess || numThreads !== undefined)) {
    throw new UsageError("--server names a process that has its own threads: no --threads, no --in-process");
  }
  if (server === undefined && textsOption(options, "--secret-file").length > 0) {
    throw new UsageError("--secret-file goes with --server");
  }
  if (server === undefined && !inProcess) return await hostDemo(demoOptions, numThreads, json);

  const report = new Report(json);
  const tree = readFiles(demoOptions, report);
  const { env, service } =
    server === undefined
      ? await startService({ numThreads })
      : await connectDemo((await readSecurity(options)).secret, server);
  await using _ended = env;
  return await playRounds(tree, demoOptions, service, report);
}
