/** Processes that are given a job, and the shuffle service, which is the command of that name. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Address } from "./jobs.js";

/** Runs a program of this folder to its end. Resolves to its answer. */
export async function run<Answer>(program: string, job: object): Promise<Answer> {
  const path = fileURLToPath(new URL(`./${program}.js`, import.meta.url));
  const child = spawn(process.execPath, [path], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  child.stdin.on("error", () => {}).end(JSON.stringify(job));
  const output = await text(child.stdout);
  const [exitCode] = await exited;
  if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}`);
  return JSON.parse(output) as Answer;
}

/** In the program: what it is to do. */
export async function readJob<Job>(): Promise<Job> {
  return JSON.parse(await text(process.stdin)) as Job;
}

/** In the program: what has become of it. */
export function answer<Answer>(value: Answer): void {
  process.stdout.write(JSON.stringify(value));
}

/** `ringpost shuffle-service`, for executors whose files lie below `root`. */
export async function startService(root: string): Promise<{ address: Address; stop(): Promise<void> }> {
  const command = fileURLToPath(new URL("./cli/main.js", import.meta.resolve("ringpost")));
  const args = ["shuffle-service", "--json", "--port", "0", "--local-dir-root", root];
  const child = spawn(process.execPath, [command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (more: string) => {
    errors += more;
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await exited;
  };
  let line = "";
  for await (const more of child.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    line += more;
    if (line.endsWith("\n")) return { address: JSON.parse(line) as Address, stop };
  }
  throw new Error(`the shuffle service did not start: ${errors}`);
}
