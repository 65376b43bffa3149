/**
 * `npm run bench -- [name…] [--quick] [--json]`: runs the benches of this folder, those named or all that count.
 * `--quick` proves that they run and that answers are right, and says nothing about speed.
 *
 * Several benches run in a process each, so that none meets the heap, the threads and the compiled code of another.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { askLocal } from "./ask-local.js";
import { askTcp } from "./ask-tcp.js";
import { connections } from "./connections.js";
import { cpuHandlers } from "./cpu-handlers.js";
import { endpoints } from "./endpoints.js";
import { fetchBlocks } from "./fetch.js";
import { idle } from "./idle.js";
import { large } from "./large.js";
import { mixed } from "./mixed.js";
import { pipeline } from "./pipeline.js";
import { type BenchOptions, type BenchResult, Report, summary } from "./report.js";
import { sendLocal } from "./send-local.js";
import { spark } from "./spark.js";

const BENCHES: Readonly<Record<string, (options: BenchOptions) => Promise<void>>> = {
  "ask-local": askLocal,
  "send-local": sendLocal,
  "ask-tcp": askTcp,
  connections,
  fetch: fetchBlocks,
  "cpu-handlers": cpuHandlers,
  mixed,
  large,
  endpoints,
  pipeline,
  idle,
  spark,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    /** Set by this file: hand the result to the parent process. */
    child: { type: "boolean", default: false },
  },
});
const log = values.json ? console.error : console.log;

const names = positionals.length === 0 || positionals.includes("all") ? namesOfAll() : positionals;
const unknown = names.filter((name) => BENCHES[name] === undefined);
if (unknown.length > 0) {
  console.error(`there is no bench ${unknown.join(", ")}; there are: all, ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}

const results: BenchResult[] = [];
for (const name of names) {
  const result = names.length === 1 ? await runHere(name) : await runInProcess(name);
  if (result === null) process.exitCode = 1;
  else results.push(result);
}
if (values.child) process.send?.(results);
if (names.length > 1 && !values.quick) log(`\n${summary(results).join("\n")}`);
if (values.json && !values.child) console.log(JSON.stringify(results, null, 2));

function namesOfAll(): string[] {
  return Object.keys(BENCHES);
}

async function runHere(name: string): Promise<BenchResult> {
  log(`== ${name}`);
  const report = new Report(name, values.quick, log);
  await BENCHES[name]?.({ quick: values.quick, report });
  return report.finish();
}

/** Null where the bench failed; its process has said why. */
async function runInProcess(name: string): Promise<BenchResult | null> {
  const flags = Object.entries(values).filter(([, set]) => set);
  const child = fork(fileURLToPath(import.meta.url), [name, "--child", ...flags.map(([flag]) => `--${flag}`)]);
  let result: BenchResult | null = null;
  child.on("message", (sent) => {
    [result = null] = sent as BenchResult[];
  });
  const [exitCode] = await once(child, "close");
  if (exitCode !== 0) console.error(`${name} failed with exit code ${exitCode}`);
  return exitCode === 0 ? result : null;
}
