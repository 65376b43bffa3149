/** Processes that are given a job, and the shuffle service, which is the command of that name. None outlives this process. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Address } from "./jobs.js";

const children = new Set<ChildProcess>();
let ending = false;

/** Its input stays open, and is closed by the system when this process has ended, however that was. */
function start(args: readonly string[], stderr: "pipe"): ChildProcessByStdio<Writable, Readable, Readable>;
function start(args: readonly string[], stderr: "inherit"): ChildProcessByStdio<Writable, Readable, null>;
function start(args: readonly string[], stderr: "pipe" | "inherit"): ChildProcess {
  if (ending) throw new Error("told to end");
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", stderr] });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** Ends them all, and starts no other. Resolves when none is left. */
export async function endAll(): Promise<void> {
  ending = true;
  await Promise.all(
    [...children].map((child) => {
      child.kill("SIGTERM");
      return once(child, "exit");
    }),
  );
}

/** Runs a program of this folder to its end. Resolves to its answer. */
export async function run<Answer>(program: string, job: object): Promise<Answer> {
  const child = start([fileURLToPath(new URL(`./${program}.js`, import.meta.url))], "inherit");
  const exited = once(child, "exit");
  child.stdin.on("error", () => {}).write(`${JSON.stringify(job)}\n`);
  const output = await text(child.stdout);
  const [exitCode] = await exited;
  if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}`);
  return JSON.parse(output) as Answer;
}

/** In the program: what it is to do. It ends when who said so does. */
export function readJob<Job>(): Promise<Job> {
  return new Promise((resolve) => {
    let line = "";
    process.stdin.setEncoding("utf8").on("end", () => process.exit(1));
    process.stdin.on("data", (more: string) => {
      line += more;
      if (!line.endsWith("\n")) return;
      process.stdin.unref();
      resolve(JSON.parse(line) as Job);
    });
  });
}

/** In the program: what has become of it. */
export function answer<Answer>(value: Answer): void {
  process.stdout.write(JSON.stringify(value));
}

/** `ringpost shuffle-service`, for executors whose files lie below `root`. */
export async function startService(root: string): Promise<Address> {
  const command = fileURLToPath(new URL("./cli/main.js", import.meta.resolve("ringpost")));
  const withParent = new URL("./end-with-parent.js", import.meta.url).href;
  const args = ["shuffle-service", "--json", "--port", "0", "--local-dir-root", root];
  const child = start(["--import", withParent, command, ...args], "pipe");
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (more: string) => {
    errors += more;
  });
  let line = "";
  for await (const more of child.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    line += more;
    if (line.endsWith("\n")) return JSON.parse(line) as Address;
  }
  throw new Error(`the shuffle service did not start: ${errors}`);
}
