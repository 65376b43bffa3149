/**
 * `ringpost serve <module>`: hosts one endpoint until it is told to stop. Its uri is the first line on stdout; all else
 * that it has to say goes to stderr.
 */

import { constants } from "node:os";
import { basename } from "node:path";
import type { CAC } from "cac";
import { RpcEnv } from "../index.js";
import { ExitCode } from "./exit.js";
import { loadEndpoint, modulePath } from "./load-endpoint.js";
import { flagOption, integerOption, type ParsedOptions, parseJson, textOption } from "./options.js";
import { readSecurity, type Security, securityOptions } from "./security-options.js";
import { StderrLogger } from "./stderr-logger.js";

/** How long what has come in may take to be handled after the first signal; API default of `shutdown`. */
const SHUTDOWN_TIMEOUT_MS = 10_000;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export function serveCommand(cli: CAC): void {
  const command = cli
    .command("serve <module>", "Host an endpoint for other processes, until SIGINT or SIGTERM")
    .option("--name <name>", "Name of the endpoint (default: the module's file name)")
    .option("--host <host>", "Address to listen on (default: 127.0.0.1; any other needs a secret or certificates)")
    .option("--port <n>", "Port, 1024 to 65535, the next ones where it is taken; 0: any that is free (default: 0)")
    .option("--advertise-host <host>", "What others are told in place of the address, in the uri and in references")
    .option("--threads <n>", "Worker threads (default: one per core, at least 2)")
    .option("--args <json>", "What the constructor, or the function of a stateful service, is given")
    .option("--json", 'One line of JSON on stdout: {"uri", "name", "host", "port", "pid"}');
  securityOptions(command).action((module: string, options: ParsedOptions) => serve(module, options));
}

async function serve(module: string, options: ParsedOptions): Promise<number> {
  const numThreads = integerOption(options, "--threads", { min: 1, max: 255 });
  const port = integerOption(options, "--port", { min: 0, max: 65_535 }) ?? 0;
  const host = textOption(options, "--host");
  const advertiseHost = textOption(options, "--advertise-host");
  const name = textOption(options, "--name") ?? nameOf(module);
  const argsText = textOption(options, "--args");
  const args = argsText === undefined ? undefined : parseJson("--args", argsText);
  const security = await readSecurity(options);
  const path = modulePath(module);

  const logger = new StderrLogger("ringpost serve");
  await using env = await RpcEnv.create({ name, host, port, advertiseHost, numThreads, logger, ...security });
  const stopped = untilTold(env);
  const { uri } = await loadEndpoint(env, name, path, args);
  if (flagOption(options, "--json")) {
    process.stdout.write(`${JSON.stringify({ uri, name, ...env.address, pid: process.pid })}\n`);
  } else {
    process.stdout.write(`${uri}\n`);
  }
  const threads = env.stats().loops.length;
  tell(`${module} on ${threads} ${threads === 1 ? "thread" : "threads"}; ${admitted(security)}; Ctrl-C stops it`);
  return await stopped;
}

/** `hash.service.js` → `hash`. */
function nameOf(module: string): string {
  return basename(module).replace(/(\.(service|endpoint))?\.[cm]?[jt]s$/, "");
}

function admitted({ secret, tls }: Security): string {
  if (secret !== undefined) return "for whoever has the secret";
  return tls === undefined ? "for every process on this machine" : "for certificates of the given authorities";
}

/**
 * The first signal lets what has come in be handled; whoever sends a second one does not want to wait for that. Resolves
 * to the exit code when the environment has ended, which its endpoints can bring about as well.
 */
async function untilTold(env: RpcEnv): Promise<number> {
  let told = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (told) process.exit(128 + constants.signals[signal]);
    told = true;
    tell(
      `${signal}: what has come in is handled, for ${SHUTDOWN_TIMEOUT_MS / 1_000} s at most; once more ends at once`,
    );
    void env.shutdown({ timeoutMs: SHUTDOWN_TIMEOUT_MS });
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  await env.awaitTermination();
  for (const signal of SIGNALS) process.off(signal, stop);
  return ExitCode.DONE;
}

function tell(text: string): void {
  process.stderr.write(`ringpost serve: ${text}\n`);
}
