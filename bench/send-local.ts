/**
 * One-way messages to one worker thread, counted where they arrive. Ringpost's Inbox is bounded: a `send` that is refused
 * waits for `ready()`. postMessage takes whatever it is given, so it runs both ways: all at once, and in windows that the
 * receiver acknowledges, which is how it would have to be bounded.
 */
import { Piscina } from "piscina";
import { type RpcEndpointRef, RpcEnv } from "ringpost";
import { PostingWorker } from "./contestants.js";
import { bytes, type Message, smallObject, weight } from "./messages.js";
import { type BenchOptions, best } from "./report.js";
import { atDepth, type Batch, rates } from "./rounds.js";
import type { Seen } from "./workers/tally.js";

const MESSAGES = [
  { name: "object", make: smallObject, row: "send, small object", atLeast: 2 },
  { name: "64 bytes", make: () => bytes(64), row: "send, 64 bytes", atLeast: 7 },
];
const WINDOW = 1_024;
const PISCINA_DEPTH = 1_024;
const FULL = { rounds: 5, timeMs: 200, operationsMin: 8_192 };
const QUICK = { rounds: 1, timeMs: 1, operationsMin: 8_192 };

interface Sender {
  readonly name: string;
  readonly group: Batch["group"];
  /** Resolves when `count` of them were seen by the receiver, with what it saw. */
  readonly send: (message: Message, count: number) => Promise<Seen>;
}

export async function sendLocal({ quick, report }: BenchOptions): Promise<void> {
  await using senders = await startSenders();
  for (const { name, make, row, atLeast } of MESSAGES) {
    const message = make();
    const batches = senders.all.map((sender) => ({ ...sender, batch: counted(sender, message) }));
    const series = await rates(batches, quick ? QUICK : FULL);
    const cell = report.cell({ title: `one way, ${name}, 1 thread`, unit: "per s", series });
    report.ratio(
      { row: `${row}, beside one-way postMessage`, what: "1 thread", atLeast },
      best([cell], ["ringpost"]),
      best([cell], ["postMessage"]),
    );
  }
}

function counted({ send }: Sender, message: Message): Batch["batch"] {
  return async (operations) => {
    const { count, sum } = await send(message, operations);
    return sum === operations * weight(message) ? count : 0;
  };
}

async function startSenders(): Promise<AsyncDisposable & { readonly all: readonly Sender[] }> {
  const env = await RpcEnv.create({ name: "bench", numThreads: 1 });
  const endpoint = await env.setupEndpoint<typeof import("./workers/sink.endpoint.js")>(
    "send",
    worker("sink.endpoint"),
  );
  const service = await env.setupEndpoint<typeof import("./workers/sink.service.js")>("cast", worker("sink.service"));
  const { add } = service.cast;
  const free = new PostingWorker(worker("sink-port"), { window: Number.POSITIVE_INFINITY });
  const windowed = new PostingWorker(worker("sink-port"), { window: WINDOW });
  const pool = new Piscina({
    filename: worker("sink-piscina").href,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 1_024,
    recordTiming: false,
    atomics: "sync",
  });
  return {
    all: [
      {
        name: "ringpost send",
        group: "ringpost",
        send: async (message, count) => {
          await sendAll(endpoint, () => endpoint.send(message), count);
          return endpoint.ask("seen");
        },
      },
      {
        name: "ringpost cast",
        group: "ringpost",
        send: async (message, count) => {
          await sendAll(service, () => add(message), count);
          return service.call.seen();
        },
      },
      {
        name: "postMessage, all at once",
        group: "postMessage",
        send: (message, count) => {
          for (let sent = 0; sent < count; sent++) free.post(message);
          return free.ask("seen") as Promise<Seen>;
        },
      },
      {
        name: `postMessage by ${WINDOW}`,
        group: "postMessage",
        send: (message, count) => postWindows(windowed, message, count),
      },
      {
        name: "piscina run, 1024 sync",
        group: "piscina tuned",
        send: async (message, count) => {
          await atDepth(PISCINA_DEPTH, count, async () => (await pool.run(message)) === undefined);
          return pool.run("seen");
        },
      },
    ],
    async [Symbol.asyncDispose]() {
      await Promise.all([env.shutdown(), free.end(), windowed.end(), pool.destroy()]);
    },
  };
}

async function sendAll(ref: Pick<RpcEndpointRef, "ready">, send: () => boolean, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent++) {
    while (!send()) await ref.ready();
  }
}

/** Two windows under way: the receiver has work while the sender waits for the first to be acknowledged. */
async function postWindows(worker: PostingWorker, message: Message, count: number): Promise<Seen> {
  const acknowledged: Promise<unknown>[] = [];
  let sent = 0;
  for (; sent + WINDOW <= count; sent += WINDOW) {
    if (acknowledged.length >= 2) await acknowledged.at(-2);
    for (let one = 1; one < WINDOW; one++) worker.post(message);
    acknowledged.push(worker.ask(message));
  }
  await Promise.all(acknowledged);
  for (; sent < count; sent++) worker.post(message);
  return worker.ask("seen") as Promise<Seen>;
}

function worker(name: string): URL {
  return new URL(`./workers/${name}.js`, import.meta.url);
}
