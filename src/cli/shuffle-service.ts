/**
 * `ringpost shuffle-service`: hands out the shuffle files of executors, until SIGINT or SIGTERM. The first line on stdout says
 * where it listens; everything else goes to stderr. With `--forget` it starts nothing: it takes applications out of a store.
 */
import { existsSync, statSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import type { CAC } from "cac";
import { ExternalShuffleService, RegisteredExecutors } from "../blocks/index.js";
import { isRpcError } from "../index.js";
import { SECRET_BYTES_MIN } from "../network/index.js";
import { CommandFailure, ExitCode, UsageError } from "./exit.js";
import { printable } from "./json-value.js";
import { flagOption, integerOption, type ParsedOptions, textOption, textsOption } from "./options.js";
import { readSecret, readSecurity, securityOptions } from "./security-options.js";
import { StderrLogger } from "./stderr-logger.js";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** Of an application and of its file: an id may hold the sign, too, but none that Spark makes does. */
const APP_SECRET = /^([^=]+)=(.+)$/s;

export function shuffleServiceCommand(cli: CAC): void {
  const command = cli
    .command("shuffle-service", "Hand out the shuffle files of executors, until SIGINT or SIGTERM")
    .option("--host <host>", "Address to listen on (default: 127.0.0.1; any other needs a secret or certificates)")
    .option("--port <n>", "Port, 1024 to 65535, the next ones where it is taken; 0: any that is free (default: 7337)")
    .option(
      "--db <path>",
      "LevelDB that keeps registered executors over a restart (default: they end with the service)",
    )
    .option("--local-dir-root <dir>", "Executors' local directories have to lie below it; again for another one")
    .option(
      "--app-secret <appId=file>",
      "Secret of one application, which then may use no other; again for another one",
    )
    .option(
      "--forget <appId>",
      "Take an application out of --db, which no service may have open, and end; again for another one",
    )
    .option("--json", 'One line of JSON on stdout: {"host", "port", "pid"}');
  securityOptions(command).action((options: ParsedOptions) => {
    const forgotten = textsOption(options, "--forget");
    return forgotten.length === 0 ? serve(options) : forget(options, forgotten);
  });
}

/** Their directories are free then, and their files stay. */
async function forget(options: ParsedOptions, appIds: readonly string[]): Promise<number> {
  const file = textOption(options, "--db");
  if (file === undefined)
    throw new UsageError("--forget needs --db: without a store an end of the service forgets all");
  // Opening would make one, in which nobody is.
  if (!existsSync(join(file, "CURRENT"))) throw new CommandFailure(`--db ${file}: there is no store of executors`);
  const executors = await RegisteredExecutors.open({ file, roots: null }).catch(storeFailure);
  try {
    for (const appId of appIds) {
      const { length: count } = await executors.removeApplication(appId);
      process.stdout.write(`${appId}: ${count} ${count === 1 ? "executor" : "executors"} forgotten\n`);
    }
  } finally {
    await executors.close();
  }
  return ExitCode.DONE;
}

async function serve(options: ParsedOptions): Promise<number> {
  const host = textOption(options, "--host");
  const port = integerOption(options, "--port", { min: 0, max: 65_535 });
  const registeredExecutorsFile = textOption(options, "--db");
  const roots = textsOption(options, "--local-dir-root").map(directory);
  const security = await readSecurity(options);
  const appSecrets = await readAppSecrets(textsOption(options, "--app-secret"));
  if (appSecrets.size > 0 && security.tls !== undefined) {
    throw new UsageError("give either --app-secret or --tls-…, not both: a peer proves itself in one way");
  }

  await using service = await ExternalShuffleService.start({
    host,
    port,
    registeredExecutorsFile,
    localDirRoots: roots.length === 0 ? undefined : roots,
    ...security,
    ...(appSecrets.size === 0 ? {} : { secretOf: (appId: string) => appSecrets.get(appId) ?? null }),
    logger: new StderrLogger("ringpost shuffle-service"),
  }).catch(storeFailure);
  const stopped = untilTold();
  const { address } = service;
  const shown = address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
  const line = flagOption(options, "--json") ? JSON.stringify({ ...address, pid: process.pid }) : shown;
  process.stdout.write(`${line}\n`);
  const { registeredExecutorsSize } = service.stats();
  const known = registeredExecutorsFile === undefined ? "" : `; ${registeredExecutorsSize} executors known`;
  tell(`hands out shuffle files${known}; Ctrl-C stops it`);
  await stopped;
  await service.close();
  return ExitCode.DONE;
}

/** The absolute path of a local directory's root. */
function directory(root: string): string {
  const path = resolve(root);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return path;
  throw new UsageError(`--local-dir-root ${root} is no directory that is there`);
}

/** A store that is damaged, or open elsewhere, is no wrong use: the same command is right when that is mended. */
function storeFailure(error: unknown): never {
  const ofStore = isRpcError(error, "ERR_RPC_INVALID_ARGUMENT") && error.message.startsWith("the store of registered");
  throw ofStore ? new CommandFailure(printable(`--db: ${error.message}`.replaceAll(/\s*\n\s*/g, " "))) : error;
}

async function readAppSecrets(texts: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const secrets = new Map<string, string>();
  for (const text of texts) {
    const [, appId, path] = APP_SECRET.exec(text) ?? [];
    if (appId === undefined || path === undefined) {
      throw new UsageError(`--app-secret is an application's id, = and a file, not ${text}`);
    }
    if (secrets.has(appId)) throw new UsageError(`--app-secret gives ${appId} a second secret`);
    const secret = await readSecret("--app-secret", path);
    const bytes = Buffer.byteLength(secret);
    // Now, and not when its application comes.
    if (bytes < SECRET_BYTES_MIN) {
      throw new UsageError(`--app-secret ${text} is too short to be safe: bytes=${bytes}, min=${SECRET_BYTES_MIN}`);
    }
    secrets.set(appId, secret);
  }
  return secrets;
}

/** Resolves with the first signal; whoever sends a second one does not want to wait for what is being answered. */
function untilTold(): Promise<void> {
  return new Promise((resolve) => {
    let told = false;
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (told) process.exit(128 + constants.signals[signal]);
        told = true;
        tell(`${signal}: what is being answered is answered; once more ends at once`);
        resolve();
      });
    }
  });
}

function tell(text: string): void {
  process.stderr.write(`ringpost shuffle-service: ${text}\n`);
}
