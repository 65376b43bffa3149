/** The ways to get a task to a worker thread and its answer back, at `threads` threads each, all with the same tasks. */
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { FixedThreadPool } from "poolifier";
import { RpcEnv } from "ringpost";
import { Tinypool } from "tinypool";
import workerpool from "workerpool";
import type { Group } from "./rounds.js";
import type { TaskName } from "./workers/tasks.js";

export interface Contestant {
  readonly name: string;
  readonly group: Group;
  /** Buffers of `transfer` are moved instead of copied. */
  readonly run: (message: unknown, transfer?: ArrayBuffer[]) => Promise<unknown>;
}

export interface Contestants extends AsyncDisposable {
  readonly all: readonly Contestant[];
}

export interface ContestantsOptions {
  readonly threads: number;
  readonly task: TaskName;
  /** All of them by default. */
  readonly groups?: readonly Group[];
}

interface Started {
  readonly contestants: readonly Contestant[];
  readonly end: () => Promise<unknown>;
}

const POOLIFIER_DESTROY_MS = 1_000;
/** Piscina as it comes, and with every setting that was found to make it faster. */
const PISCINA_CONFIGS = [
  { name: "piscina default", group: "piscina default", options: {} },
  { name: "piscina 64 sync", concurrency: 64, atomics: "sync" },
  { name: "piscina 64 async", concurrency: 64, atomics: "async" },
  { name: "piscina 1024 sync", concurrency: 1024, atomics: "sync" },
  { name: "piscina 1024 off", concurrency: 1024, atomics: "disabled" },
] as const;

const STARTERS: Readonly<Record<string, (task: TaskName, threads: number) => Started | Promise<Started>>> = {
  ringpost: startRingpost,
  postMessage: startPorts,
  piscina: startPiscinas,
  tinypool: startTinypools,
  workerpool: startWorkerpool,
  poolifier: startPoolifiers,
};

export async function startContestants({ threads, task, groups }: ContestantsOptions): Promise<Contestants> {
  const wanted = ({ group }: Contestant): boolean => groups?.includes(group) ?? true;
  const started: Started[] = [];
  for (const [family, start] of Object.entries(STARTERS)) {
    if (groups?.some((group) => group.startsWith(family)) ?? true) started.push(await start(task, threads));
  }
  return {
    all: started.flatMap(({ contestants }) => contestants.filter(wanted)),
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map(({ end }) => end()));
    },
  };
}

function worker(name: string): URL {
  return new URL(`./workers/${name}.js`, import.meta.url);
}

async function startRingpost(task: TaskName, threads: number): Promise<Started> {
  const env = await RpcEnv.create({ name: "bench", numThreads: threads });
  const endpoint = await env.setupEndpoint("ask", worker("tasks.endpoint"), { args: { task } });
  const service = await env.setupEndpoint("call", worker("tasks.service"));
  const method = service.call[task] as (message: unknown) => Promise<unknown>;
  return {
    contestants: [
      {
        name: "ringpost ask",
        group: "ringpost",
        run: (message, transfer) =>
          transfer === undefined ? endpoint.ask(message) : endpoint.with({ transfer }).ask(message),
      },
      { name: "ringpost call", group: "ringpost", run: (message) => method(message) },
    ],
    end: () => env.shutdown(),
  };
}

function startPiscinas(task: TaskName, threads: number): Started {
  const filename = worker("tasks-piscina").href;
  const pools = PISCINA_CONFIGS.map((config) => {
    const size = { filename, name: task, minThreads: threads, maxThreads: threads };
    if ("options" in config) return { ...config, pool: new Piscina(size) };
    const { name, concurrency, atomics } = config;
    const pool = new Piscina({ ...size, concurrentTasksPerWorker: concurrency, recordTiming: false, atomics });
    return { name, group: "piscina tuned" as const, pool };
  });
  return {
    contestants: pools.map(({ name, group, pool }) => ({
      name,
      group,
      run: (message, transferList) =>
        transferList === undefined ? pool.run(message) : pool.run(message, { transferList }),
    })),
    end: () => Promise.all(pools.map(({ pool }) => pool.destroy())),
  };
}

function startTinypools(task: TaskName, threads: number): Started {
  const size = { filename: worker("tasks-piscina").href, name: task, minThreads: threads, maxThreads: threads };
  const pools = [
    { name: "tinypool default", pool: new Tinypool(size) },
    { name: "tinypool 64", pool: new Tinypool({ ...size, concurrentTasksPerWorker: 64 }) },
    { name: "tinypool 64 off", pool: new Tinypool({ ...size, concurrentTasksPerWorker: 64, useAtomics: false }) },
  ];
  return {
    contestants: pools.map(({ name, pool }) => ({
      name,
      group: "tinypool",
      run: (message, transferList) =>
        transferList === undefined ? pool.run(message) : pool.run(message, { transferList }),
    })),
    end: () => Promise.all(pools.map(({ pool }) => pool.destroy())),
  };
}

/** It has no setting for several tasks in a worker. */
function startWorkerpool(task: TaskName, threads: number): Started {
  const script = fileURLToPath(worker("tasks-workerpool"));
  const pool = workerpool.pool(script, { minWorkers: threads, maxWorkers: threads, workerType: "thread" });
  return {
    contestants: [
      {
        name: "workerpool",
        group: "workerpool",
        // Its promises are its own; the wrapper makes them native ones, as all others are.
        run: async (message, transfer) =>
          transfer === undefined ? pool.exec(task, [message]) : pool.exec(task, [message], { transfer }),
      },
    ],
    end: async () => pool.terminate(true),
  };
}

function startPoolifiers(task: TaskName, threads: number): Started {
  const script = fileURLToPath(worker("tasks-poolifier"));
  const options = { enableEvents: false, workerOptions: { workerData: task } };
  const queue = { enableTasksQueue: true, tasksQueueOptions: { concurrency: 64, size: 1_000_000 } };
  const pools = [
    { name: "poolifier default", pool: new FixedThreadPool(threads, script, options) },
    { name: "poolifier queue 64", pool: new FixedThreadPool(threads, script, { ...options, ...queue }) },
  ];
  return {
    contestants: pools.map(({ name, pool }) => ({
      name,
      group: "poolifier",
      run: (message, transfer) =>
        transfer === undefined ? pool.execute(message) : pool.execute(message, undefined, undefined, transfer),
    })),
    // Its destroy waits for an exit that may already have happened: then for ever.
    end: () => Promise.race([Promise.all(pools.map(({ pool }) => pool.destroy())), pause(POOLIFIER_DESTROY_MS)]),
  };
}

/** One worker after the other takes the next message: what is done by hand without a library. */
function startPorts(task: TaskName, threads: number): Started {
  const workers = Array.from({ length: threads }, () => new PostingWorker(worker("tasks-port"), task));
  let turn = 0;
  return {
    contestants: [
      {
        name: "postMessage",
        group: "postMessage",
        run: (message, transfer) => {
          turn = (turn + 1) % threads;
          return (workers[turn] as PostingWorker).ask(message, transfer);
        },
      },
    ],
    end: () => Promise.all(workers.map((one) => one.end())),
  };
}

/** The least that a round trip over postMessage takes: answers come in the order of the questions. */
export class PostingWorker {
  readonly #worker: Worker;
  readonly #waiting: ((reply: unknown) => void)[] = [];
  #next = 0;

  constructor(module: URL, workerData?: unknown) {
    this.#worker = new Worker(module, { workerData });
    this.#worker.on("message", (reply: unknown) => {
      this.#waiting[this.#next++]?.(reply);
      if (this.#next === this.#waiting.length) {
        this.#waiting.length = 0;
        this.#next = 0;
      }
    });
  }

  ask(message: unknown, transfer?: ArrayBuffer[]): Promise<unknown> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#worker.postMessage(message, transfer);
    });
  }

  post(message: unknown): void {
    this.#worker.postMessage(message);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
