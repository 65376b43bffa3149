/** The ways to get a message to a worker thread and back, at `threads` threads each. */
import { Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { RpcEnv } from "ringpost";
import type { Message } from "./messages.js";

export interface Contestant {
  readonly name: string;
  readonly group: "ringpost" | "raw" | "piscina default" | "piscina tuned";
  readonly ask: (message: Message) => Promise<unknown>;
}

export interface Contestants extends AsyncDisposable {
  readonly all: readonly Contestant[];
}

const PISCINA_CONFIGS = [
  { name: "piscina default", options: {} },
  { name: "piscina 64 sync", options: { concurrentTasksPerWorker: 64, recordTiming: false, atomics: "sync" } },
  { name: "piscina 64 async", options: { concurrentTasksPerWorker: 64, recordTiming: false, atomics: "async" } },
  { name: "piscina 1024 sync", options: { concurrentTasksPerWorker: 1024, recordTiming: false, atomics: "sync" } },
  { name: "piscina 1024 off", options: { concurrentTasksPerWorker: 1024, recordTiming: false, atomics: "disabled" } },
] as const;

export async function startContestants(threads: number): Promise<Contestants> {
  const env = await RpcEnv.create({ name: "bench", numThreads: threads });
  const endpoint = await env.setupEndpoint<typeof import("./workers/echo.endpoint.js")>(
    "ask",
    new URL("./workers/echo.endpoint.js", import.meta.url),
  );
  const service = await env.setupEndpoint<typeof import("./workers/echo.service.js")>(
    "call",
    new URL("./workers/echo.service.js", import.meta.url),
  );
  const { echo } = service.call;
  const workers = Array.from({ length: threads }, () => new PostingWorker());
  const pools = PISCINA_CONFIGS.map(({ name, options }) => ({
    name,
    pool: new Piscina({
      filename: new URL("./workers/echo-piscina.js", import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      ...options,
    }),
  }));
  let turn = 0;
  return {
    all: [
      { name: "ringpost ask", group: "ringpost", ask: (message) => endpoint.ask(message) },
      { name: "ringpost call", group: "ringpost", ask: (message) => echo(message) },
      {
        name: "postMessage",
        group: "raw",
        ask: (message) => {
          turn = (turn + 1) % threads;
          return (workers[turn] as PostingWorker).ask(message);
        },
      },
      ...pools.map(
        ({ name, pool }): Contestant => ({
          name,
          group: name === "piscina default" ? "piscina default" : "piscina tuned",
          ask: (message) => pool.run(message),
        }),
      ),
    ],
    async [Symbol.asyncDispose]() {
      await env.shutdown();
      await Promise.all([...workers.map((worker) => worker.end()), ...pools.map(({ pool }) => pool.destroy())]);
    },
  };
}

/** The least that a round trip over postMessage takes: answers come in the order of the questions. */
class PostingWorker {
  readonly #worker = new Worker(new URL("./workers/echo-port.js", import.meta.url));
  readonly #waiting: ((reply: unknown) => void)[] = [];
  #next = 0;

  constructor() {
    this.#worker.on("message", (reply: unknown) => {
      this.#waiting[this.#next++]?.(reply);
      if (this.#next === this.#waiting.length) {
        this.#waiting.length = 0;
        this.#next = 0;
      }
    });
  }

  ask(message: Message): Promise<unknown> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#worker.postMessage(message);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
