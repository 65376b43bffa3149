/**
 * Soak: a mixed load on tiny rings, with threads that die at random, for as long as one likes.
 *
 *   npm run stress -- --minutes 10 [--seed n] [--threads n] [--actors n] [--kill-every ms] [--without …]
 *
 * --without leaves out: kills, relays, isolated, broadcasts, counts.
 * Rounds of ten seconds: load, then quiescence, then the audit: asks sent = replied + failed + timed out + aborted +
 * rejected; one-ways accepted = handled + failed + dead-lettered; the engine's counts agree with the program's; no message
 * was handled twice; what was neither handled nor told lost is a violation, and so is memory that grows and load that
 * stands still. One line a round; exit code 1 on any violation.
 */
import { parseArgs } from "node:util";
import { isRpcError, type RpcEndpointStats, RpcEnv } from "ringpost";
import { randomOf } from "../../fixtures/random.js";
import { Killer } from "./killer.js";
import { type AuditLevel, EndpointBook, Ledger } from "./ledger.js";
import { Load, type Target } from "./load.js";
import { clearMarks, createMarks } from "./marks.js";
import { MemoryWatch } from "./memory.js";
import { pause } from "./pause.js";
import type { SoakRef } from "./soak-endpoint.js";
import SoakSerial from "./soak-serial.js";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    threads: { type: "string", default: "3" },
    actors: { type: "string", default: "12" },
    "kill-every": { type: "string", default: "3000" },
    without: { type: "string", default: "" },
  },
});

const ROUND_MS = 10_000;
const HANG_MS = 30_000;
const TINY = { "rpc.inbox.bytes": 4_096, "rpc.loop.bytes": 4_096 };
const without = new Set(options.without.split(","));
const seed = Number(options.seed ?? Math.floor(Math.random() * 2 ** 31));
const random = randomOf(seed);
const minutes = Number(options.minutes);
console.log(`soak: seed=${seed}, ${minutes} minutes, ${options.threads} threads`);

createMarks();
const ledger = new Ledger();
const memory = new MemoryWatch();
const killer = new Killer(random, ledger, Number(options["kill-every"]));
const env = await RpcEnv.create({ numThreads: Number(options.threads), conf: TINY });
const books = new Map<string, EndpointBook>();
let crashes = 0;
let failures = 0;
env.on("deadLetter", (letter) => ledger.deadLetter(books, letter));
env.on("loopCrashed", () => crashes++);
env.on("endpointFailed", () => failures++);

const moduleOf = (name: string): URL => new URL(`./soak-${name}.js`, import.meta.url);

interface Plan {
  readonly name: string;
  /** null: an instance on loop 0. */
  readonly module: "concurrent" | "serial" | "isolated" | "service" | null;
  readonly audit: AuditLevel;
}

const PLANS: readonly Plan[] = [
  { name: "concurrent", module: "concurrent", audit: "exact" },
  { name: "serial-a", module: "serial", audit: "exact" },
  { name: "serial-b", module: "serial", audit: "exact" },
  { name: "service", module: "service", audit: "exact" },
  { name: "local", module: null, audit: "exact" },
  { name: "hub", module: "concurrent", audit: "at least" },
  { name: "spoke-serial", module: "serial", audit: "at least" },
  { name: "spoke-local", module: null, audit: "at least" },
  { name: "cycled", module: "serial", audit: "sums" },
  { name: "isolated", module: "isolated", audit: "exact" },
];

async function setUp({ name, module, audit }: Plan): Promise<Target> {
  const book = new EndpointBook(name, audit);
  books.set(name, book);
  const ref = module === null ? await setUpLocal(name) : await setUpModule(name, module);
  return { ref, book, onWorker: module !== null, isService: module === "service" };
}

async function setUpLocal(name: string): Promise<SoakRef> {
  return (await env.setupEndpoint(name, new SoakSerial())) as unknown as SoakRef;
}

/** Again while a thread dies under it: that is no fault of the endpoint. */
async function setUpModule(name: string, module: string): Promise<SoakRef> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await env.setupEndpoint(name, moduleOf(module), { concurrency: 16 });
    } catch (error) {
      if (attempt === 100 || !isRpcError(error, "ERR_RPC_ENDPOINT_START")) throw error;
      await pause(100);
    }
  }
}

const plans = PLANS.filter(({ module }) => module !== "isolated" || !without.has("isolated"));
const targets = await Promise.all(plans.map(setUp));

const load = new Load({
  env,
  random,
  ledger,
  targets,
  hub: without.has("relays") ? null : "hub",
  spokes: ["spoke-serial", "spoke-local"],
  broadcasts: !without.has("broadcasts"),
});

/** Resolves to false when `done` is not true within the time in which everything must have ended. */
async function within(ms: number, done: () => boolean): Promise<boolean> {
  const endsMs = performance.now() + ms;
  while (!done()) {
    if (performance.now() > endsMs) return false;
    await pause(5);
  }
  return true;
}

const watchdog = setInterval(() => {
  if (ledger.settledAsks === lastSettled && ledger.openAsks > 0) {
    ledger.violate(`no ask has settled for ${HANG_MS} ms: ${ledger.openAsks} open; ${JSON.stringify(env.stats())}`);
    console.log("soak: FAILED (hang)");
    process.exit(1);
  }
  lastSettled = ledger.settledAsks;
}, HANG_MS);
let lastSettled = 0;

function isQuiet(stats: RpcEndpointStats): boolean {
  if (without.has("counts")) return stats.depth === 0;
  const { accepted, handled, failed, deadLettered } = stats.oneWays;
  return stats.depth === 0 && accepted === handled + failed + deadLettered;
}

/** Everything settles, then every book is compared. */
async function audit(): Promise<void> {
  if (!(await within(HANG_MS, () => ledger.openAsks === 0))) {
    ledger.violate(`${ledger.openAsks} asks are still open ${HANG_MS} ms after the load has ended`);
  }
  const quiet = (): boolean => env.stats().endpoints.every((stats) => isQuiet(stats) || stats.state === "failed");
  if (!(await within(HANG_MS / 2, quiet))) ledger.violate("one-way messages are neither handled nor dead letters");
  for (const stats of env.stats().endpoints) {
    const book = books.get(stats.name);
    if (book === undefined) continue;
    if (!without.has("counts")) ledger.audit(book, stats);
    ledger.auditMarks(book);
  }
}

/** After the audit: what has failed is replaced, what is to be replaced from time to time is; ids begin anew. */
async function renew(): Promise<void> {
  for (const [index, plan] of plans.entries()) {
    const target = targets[index] as Target;
    const stats = env.stats().endpoints.find(({ name }) => name === plan.name);
    if (stats?.state === "failed" || (plan.audit === "sums" && random.next() < 0.7)) {
      await env.stop(target.ref);
      targets[index] = await setUp(plan);
    } else {
      ledger.closeRound(target.book);
    }
  }
  clearMarks(load.idCount);
  load.reset();
}

/** Stops and sets up again the one that may be, in the middle of the load. */
async function cycle(): Promise<void> {
  const index = plans.findIndex(({ audit: level }) => level === "sums");
  const target = targets[index] as Target;
  await env.stop(target.ref, { timeoutMs: 1_000 });
  await setUpModule("cycled", random.next() < 0.5 ? "concurrent" : "serial");
}

let cycling: Promise<void> | null = null;

function startCycle(): void {
  cycling ??= cycle()
    .catch((error: unknown) => ledger.violate(`stop or set up: ${String(error)}`))
    .finally(() => {
      cycling = null;
    });
}

const endsMs = performance.now() + minutes * 60_000;
for (let round = 1; performance.now() < endsMs - ROUND_MS / 4 && ledger.violations.length === 0; round++) {
  const startedMs = performance.now();
  const before = ledger.settledAsks;
  load.start(Number(options.actors));
  if (!without.has("kills")) killer.start(targets);
  const roundMs = Math.min(ROUND_MS, endsMs - startedMs);
  while (performance.now() - startedMs < roundMs * 0.8) {
    if (random.next() < 0.5) startCycle();
    await pause(500);
  }
  killer.stop();
  await load.stop();
  // It may have to wait until threads are no longer killed under it.
  await cycling;
  await audit();
  const ids = load.idCount;
  if (ledger.violations.length === 0) await renew();
  const seconds = (performance.now() - startedMs) / 1_000;
  const rate = (ledger.settledAsks - before) / seconds;
  console.log(
    `round ${round}: ${rate.toFixed(0)} asks/s, ${ids} ids, ${crashes} crashes (${killer.kills} kills), ` +
      `${failures} endpoints failed, ${memory.sample()}, ${ledger.violations.length} violations`,
  );
}
clearInterval(watchdog);
const grown = memory.verdict();
if (grown !== null) ledger.violate(grown);
await env.shutdown();
console.log(`outcomes: ${[...ledger.codes].map(([code, count]) => `${code} ${count}`).join(", ")}`);
console.log(`soak: ${ledger.violations.length === 0 ? "OK" : "FAILED"}, seed=${seed}, ${ledger.settledAsks} asks`);
process.exitCode = ledger.violations.length === 0 ? 0 : 1;
