/**
 * Fuzzes a live port, and a process that asks:  npm run fuzz -- [--seconds 60] [--seed n] [--connections 8] [--add n]
 *
 * Streams of test/fuzz/corpus first, then new ones (streams.ts), cut into chunks at random and ended by an end, a reset or
 * silence, while a healthy client asks all the time. Exit code 1 when the process that is fuzzed ends, stands still for ten
 * seconds or keeps memory, or the healthy client sees an error; what was under way then is kept in the corpus. --add puts so
 * many new streams there. Beside that a process asks a peer whose answers are such (answers.ts); of those that ended it the last
 * are kept, too.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RpcEnv } from "ringpost";
import { firstEvent } from "../fixtures/first-event.js";
import { type Random, randomOf } from "../fixtures/random.js";
import { fuzzAnswers } from "./answers.js";
import type service from "./fuzz-service.js";
import { FrameCounts, framesIn, framesOfOtherTypes, pick, streamOf } from "./streams.js";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string" },
    connections: { type: "string", default: "8" },
    add: { type: "string", default: "0" },
  },
});

/** In the sources: what is kept is to be committed. */
const CORPUS = new URL("../../../test/fuzz/corpus/", import.meta.url);
const HANG_MS = 10_000;
const MIB = 1_048_576;
/** Fragments that stay behind in a process that has done much; a leak passes it within seconds. */
const MEMORY_SLACK_MIB = 64;

const seed = Number(options.seed ?? Math.floor(Math.random() * 2 ** 31));
const random = randomOf(seed);
const counts = new FrameCounts();
const underWay = new Set<Buffer>();
const problems: string[] = [];
console.log(`fuzz: seed=${seed}, ${options.seconds} s, ${options.connections} connections`);

const server = spawn(process.execPath, ["--expose-gc", fileURLToPath(new URL("./server.js", import.meta.url))], {
  stdio: ["pipe", "pipe", "inherit"],
});
let serverEnded = false;
void once(server, "exit").then(([code, signal]) => {
  serverEnded = true;
  if (!stopping) problems.push(`the process ended: ${code ?? signal}`);
});
const [line] = (await once(createInterface(server.stdout), "line")) as [string];
const { port } = JSON.parse(line) as { port: number };

// ── The healthy client ─────────────────────────────────────────────────────────────────────────────────────────────────

const env = await RpcEnv.create({ numThreads: 1, askTimeoutMs: HANG_MS });
env.on("disconnected", () => {});
env.on("networkError", (error) => problems.push(`healthy client: ${error.message}`));
const ref = await env.setupEndpointRef<typeof service>({ host: "127.0.0.1", port }, "service");
let replies = 0;
let slowestMs = 0;
let stopping = false;

async function askAllTheTime(): Promise<void> {
  while (!stopping && problems.length === 0) {
    const startedMs = performance.now();
    try {
      const sent = replies;
      if ((await ref.call.echo(sent)) !== sent) problems.push("healthy client: another answer than its own");
      replies++;
    } catch (error) {
      problems.push(`healthy client: ${String(error)}`);
    }
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function keep(name: string, stream: Buffer): void {
  writeFileSync(new URL(`${name}.hex`, CORPUS), `${stream.toString("hex")}\n`);
}

/** What is kept in files of that ending, a line each. */
function kept(ending: string): { readonly name: string; readonly lines: Buffer[] }[] {
  const names = readdirSync(CORPUS).filter((name) => name.endsWith(ending));
  return names.sort().map((name) => {
    const lines = readFileSync(new URL(name, CORPUS), "utf8").split("\n");
    return { name, lines: lines.filter((text) => text !== "").map((text) => Buffer.from(text, "hex")) };
  });
}

async function residentMib(): Promise<number> {
  return (await ref.call.residentBytes()) / MIB;
}

// ── What a client in order sends, to be changed ────────────────────────────────────────────────────────────────────────

const VALUES: readonly unknown[] = [
  1,
  -1.5,
  "text",
  null,
  [1, [2, [3]]],
  { a: { b: [true] } },
  new Map<unknown, unknown>([[1, "one"]]),
  new Set([1, 2]),
  2n ** 70n,
  new Uint8Array(100),
  new Float64Array(3),
  new Error("an error", { cause: new TypeError("its cause") }),
];

/** All kinds of messages, as an environment writes them: recorded on their way through a server that passes them on. */
async function recorded(): Promise<Buffer[]> {
  const sent: Buffer[] = [];
  const recorder = createServer((near) => {
    const far = connect({ port, host: "127.0.0.1" });
    near.on("data", (chunk: Buffer) => sent.push(Buffer.from(chunk)));
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on("error", () => {});
  });
  recorder.listen(0, "127.0.0.1");
  await once(recorder, "listening");
  for (const listens of [false, true]) {
    const client = await RpcEnv.create({ numThreads: 1, ...(listens ? { port: 0 } : {}) });
    const address = { host: "127.0.0.1", port: (recorder.address() as { port: number }).port };
    const to = await client.setupEndpointRef<typeof service>(address, "service");
    const untyped = await client.setupEndpointRef(address, "nobody", { verify: false });
    for (const value of VALUES) {
      await to.with({ timeoutMs: 5_000 }).call.echo(value);
      to.cast.echo(value);
      untyped.send(value);
      await untyped.ask(value).catch(() => {});
    }
    await to.call.echo(to);
    await Promise.allSettled([to.call.fail()]);
    untyped.broadcast("all");
    const controller = new AbortController();
    const waiting = to.with({ signal: controller.signal }).call.wait();
    await to.call.nothing();
    controller.abort();
    await waiting.catch(() => {});
    await to.call.nothing();
    client.on("disconnected", () => {});
    await client.shutdown();
  }
  recorder.close();
  // Of each connection one after the other.
  return framesIn(Buffer.concat(sent));
}

// ── One stream, one connection ─────────────────────────────────────────────────────────────────────────────────────────

async function send(stream: Buffer, chance: Random): Promise<void> {
  underWay.add(stream);
  counts.add(stream);
  // Not the healthy client's address, whose connections are counted.
  const socket = connect({ port, host: "127.0.0.1", localAddress: `127.0.0.${chance.integer(2, 9)}` });
  socket.on("error", () => {});
  if (chance.next() < 0.95) socket.resume();
  await firstEvent(socket, "connect", "close");
  for (let at = 0; at < stream.length && !socket.destroyed; ) {
    const end = chance.next() < 0.5 ? stream.length : at + chance.logarithmic(1, stream.length - at);
    await written(socket, stream.subarray(at, end));
    at = end;
  }
  await over(socket, chance);
  underWay.delete(stream);
}

function written(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("close", done);
      resolve();
    };
    socket.on("close", done).write(bytes, done);
  });
}

/** Its end, a reset, or nothing at all until something is answered. */
async function over(socket: Socket, chance: Random): Promise<void> {
  const how = pick(chance, ["end", "reset", "destroy"]);
  if (how === "end" && !socket.destroyed) {
    socket.end();
    const patience = setTimeout(() => socket.destroy(), 20);
    await firstEvent(socket, "end", "close");
    clearTimeout(patience);
  }
  if (how === "reset") socket.resetAndDestroy();
  else socket.destroy();
  await firstEvent(socket, "close");
}

// ── The run ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const own = await recorded();
const others = await framesOfOtherTypes();
console.log(`frames to begin with: ${own.length} of an environment, ${others.length} others`);
for (let i = 0; i < Number(options.add); i++) keep(`stream-${seed}-${i}`, streamOf(random, own, others));
const healthy = askAllTheTime();
let streams = 0;
const ms = Number(options.seconds) * 1_000;
const answers = kept(".answers").flatMap(({ lines }) => lines);
const answering = fuzzAnswers(randomOf(seed + 1), ms, answers);
const corpus = kept(".hex");
for (const { lines } of corpus) {
  await send(Buffer.concat(lines), random);
  streams++;
}
console.log(`corpus: ${corpus.length} streams replayed, ${answers.length} answers`);

async function fuzz(untilMs: number): Promise<void> {
  while (performance.now() < untilMs && problems.length === 0) {
    await send(streamOf(random, own, others), random);
    streams++;
  }
}

async function run(ms: number): Promise<void> {
  const untilMs = performance.now() + ms;
  await Promise.all(Array.from({ length: Number(options.connections) }, () => fuzz(untilMs)));
}

let lastReplies = -1;
const watchdog = setInterval(() => {
  if (replies === lastReplies) problems.push(`the healthy client has had no answer for ${HANG_MS} ms`);
  lastReplies = replies;
}, HANG_MS);

// What a process takes when it first does something is no leak.
await run(ms * 0.2);
const beforeMib = serverEnded ? 0 : await residentMib();
await run(ms * 0.8);
clearInterval(watchdog);
let afterMib = 0;
if (problems.length === 0) {
  afterMib = await residentMib();
  if (afterMib > beforeMib * 1.25 + MEMORY_SLACK_MIB) {
    problems.push(`memory: ${beforeMib.toFixed(0)} MiB after a fifth of the time, ${afterMib.toFixed(0)} at the end`);
  }
}
stopping = true;
await healthy;
const answered = await answering;
problems.push(...answered.problems);
if (answered.last.length > 0) {
  const lines = answered.last.map((answer) => `${answer.toString("hex")}\n`);
  writeFileSync(new URL(`found-${seed}.answers`, CORPUS), lines.join(""));
}
await env.shutdown({ timeoutMs: 1_000 });
server.stdin.end();
const patience = setTimeout(() => {
  problems.push("the process did not end by itself");
  server.kill("SIGKILL");
}, 30_000);
if (!serverEnded) await once(server, "exit");
clearTimeout(patience);
if (problems.length > 0) {
  for (const [index, stream] of [...underWay].entries()) keep(`found-${seed}-${index}`, stream);
}
console.log(`streams: ${streams}, ${counts.brokenStreams} ended by the frame decoder; ${counts}`);
console.log(answered.text);
console.log(`healthy client: ${replies} answers, the slowest ${slowestMs.toFixed(0)} ms`);
console.log(`memory: ${beforeMib.toFixed(0)} MiB → ${afterMib.toFixed(0)} MiB`);
for (const problem of problems.slice(0, 10)) console.log(`PROBLEM ${problem}`);
console.log(`fuzz: ${problems.length === 0 ? "OK" : "FAILED"}, seed=${seed}`);
process.exitCode = problems.length === 0 ? 0 : 1;
