/**
 * The demo in two processes: the first has the service and starts the second, the client, which is this command again
 * with `--server`. A client that is killed costs the server nothing, and is started again.
 *
 * The service reads every file that it is named, so only the own client may ask it, although it listens on this machine
 * alone: by a secret that is made for this run and lies in a file which only this user can read.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineService, RpcEnv, type RpcEnvOptions } from "../index.js";
import type { DemoOptions, DemoService } from "./demo-rounds.js";
import { CommandFailure } from "./exit.js";
import { silentLogger } from "./stderr-logger.js";

/** Compressed files are answers: as large as they may be within one process. */
const CONF = { "rpc.message.maxSize": "128m" } as const;
/** How many of them are started, after which the demo has shown what it had to show. */
const CLIENTS_MAX = 5;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface Clients {
  /** The one that runs. */
  current: ChildProcess | null;
  /** What told this process to end. */
  toldBy: NodeJS.Signals | null;
}

/** What only the server knows, for the client's table. */
function aboutService({ threads, startMs }: DemoService) {
  return defineService({ about: () => ({ threads, startMs, pid: process.pid }) });
}

/** Starts the threads with the service in them. */
export async function startService(
  options: RpcEnvOptions,
): Promise<{ env: RpcEnv; uri: string; service: DemoService }> {
  const begun = performance.now();
  const env = await RpcEnv.create({ ...options, name: "demo", conf: CONF });
  // Of a client that is killed: who started it says so.
  env.on("networkError", () => {});
  const module = new URL("./compress.service.js", import.meta.url);
  const ref = await env.setupEndpoint<typeof import("./compress.service.js")>("compress", module);
  // The last file waits for all others, so no timeout here.
  const { compress } = ref.with({ timeoutMs: Number.POSITIVE_INFINITY }).call;
  const startMs = performance.now() - begun;
  const threads = env.stats().loops.length;
  return { env, uri: ref.uri, service: { compress, threads, startMs, server: null } };
}

/** Hosts the service, and returns the exit code of the client that came to its end. No signal leaves the secret behind. */
export async function hostDemo(options: DemoOptions, numThreads: number | undefined, json: boolean): Promise<number> {
  const clients: Clients = { current: null, toldBy: null };
  const stop = (signal: NodeJS.Signals): void => {
    clients.toldBy = signal;
    // A client ends, and then this process does; without one nobody would wait for the end of the start.
    if (clients.current === null) process.exit(128 + constants.signals[signal]);
    clients.current.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  const folder = mkdtempSync(join(tmpdir(), "ringpost-demo-"));
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", removeFolder);
  try {
    const secret = randomBytes(32).toString("hex");
    const secretFile = join(folder, "secret");
    writeFileSync(secretFile, secret, { mode: 0o600 });
    const { env, uri, service } = await startService({ port: 0, numThreads, secret });
    await using _ended = env;
    await env.setupEndpoint("about", aboutService(service));
    return await clientsToTheEnd(clientArguments(options, { uri, secretFile, json }), clients);
  } finally {
    removeFolder();
    process.off("exit", removeFolder);
    for (const signal of SIGNALS) process.off(signal, stop);
  }
}

/** The service of a demo that runs in another process. */
export async function connectDemo(
  secret: string[] | undefined,
  uri: string,
): Promise<{ env: RpcEnv; service: DemoService }> {
  const env = await RpcEnv.create({ name: "demo client", secret, conf: CONF, logger: silentLogger });
  try {
    const ref = await env.setupEndpointRefByURI<typeof import("./compress.service.js")>(uri);
    const about = await env.setupEndpointRef<ReturnType<typeof aboutService>>(ref.address, "about");
    const { threads, startMs, pid } = await about.call.about();
    const { compress } = ref.with({ timeoutMs: Number.POSITIVE_INFINITY }).call;
    return { env, service: { compress, threads, startMs, server: { pid, uri } } };
  } catch (error) {
    await env.shutdown();
    throw error;
  }
}

function clientArguments(
  { dir, out, quality, rounds }: DemoOptions,
  { uri, secretFile, json }: { uri: string; secretFile: string; json: boolean },
): string[] {
  return [
    ...process.execArgv,
    fileURLToPath(new URL("./main.js", import.meta.url)),
    "demo",
    ...(dir === undefined ? [] : [dir]),
    ...["--server", uri, "--secret-file", secretFile, "--quality", String(quality), "--rounds", String(rounds)],
    ...(out === undefined ? [] : ["--out", out]),
    ...(json ? ["--json"] : []),
  ];
}

/** Starts a client, and another for each that is killed, until this process is told to end. */
async function clientsToTheEnd(args: readonly string[], clients: Clients): Promise<number> {
  for (let started = 0; started < CLIENTS_MAX; started++) {
    clients.current = spawn(process.execPath, args, { stdio: "inherit" });
    const { code, signal } = await ended(clients.current);
    clients.current = null;
    if (clients.toldBy !== null) return 128 + constants.signals[clients.toldBy];
    if (signal === null) return code;
    process.stderr.write(`ringpost demo: the client was killed by ${signal}; the server goes on, with a new client\n`);
  }
  throw new CommandFailure(`${CLIENTS_MAX} clients were killed, that is enough`);
}

function ended(client: ChildProcess): Promise<{ code: number; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    client.on("error", reject);
    client.on("exit", (code, signal) => resolve({ code: code ?? 0, signal }));
  });
}
