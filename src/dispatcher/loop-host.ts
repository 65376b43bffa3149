/**
 * The threads of message loops: one piscina pool, each loop its one endless task. The only file that imports piscina.
 *
 * A loop's task settles before its thread is dead; who has to judge what the thread left behind must wait for `exited`.
 * Never posts to a piscina thread directly: that port is piscina's own.
 */
import type { Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import type { LoopStart } from "./loop-protocol.js";

/** A message loop on its thread. */
export interface HostedLoop {
  /** Settles when the loop's task ends, for whatever reason. Not yet a sign that its thread is dead. */
  readonly ended: Promise<unknown>;
}

/** Where message loops run. Injected, so that a simulation can run them elsewhere. */
export interface LoopHost {
  start(start: LoopStart): HostedLoop;
  /** Ends the thread of a task that has ended, and resolves when it is gone and can write no more. */
  exited(threadId: number): Promise<void>;
  /** Ends all threads. Loops were told to stop before. */
  destroy(): Promise<void>;
}

export type LoopHostFactory = (threadCount: number) => LoopHost;

const ENTRY = new URL("../../workers/message-loop.js", import.meta.url).href;

export const piscinaLoopHost: LoopHostFactory = (threadCount) => new PiscinaLoopHost(threadCount);

class PiscinaLoopHost implements LoopHost {
  readonly #pool: Piscina;
  readonly #threads = new Map<number, { worker: Worker; exited: Promise<void> }>();

  constructor(threadCount: number) {
    this.#pool = new Piscina({
      filename: ENTRY,
      minThreads: threadCount,
      maxThreads: threadCount,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Neither may piscina park a thread in Atomics.wait, nor time a task that never ends.
      atomics: "disabled",
      recordTiming: false,
    });
    // Only these run loops: a replacement thread, which piscina starts for a dead one, stays without a task.
    for (const worker of this.#pool.threads) this.#watch(worker);
    // A thread that dies reports itself here too; the loop's task and `exited` tell us all we need.
    this.#pool.on("error", () => {});
  }

  start(start: LoopStart): HostedLoop {
    return { ended: this.#pool.run(start, { transferList: [start.controlPort, start.envPort, start.bodyPort] }) };
  }

  async exited(threadId: number): Promise<void> {
    const thread = this.#threads.get(threadId);
    if (thread === undefined) return;
    await Promise.all([thread.worker.terminate(), thread.exited]);
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }

  #watch(worker: Worker): void {
    const exited = new Promise<void>((resolve) => {
      worker.once("exit", () => resolve());
    });
    this.#threads.set(worker.threadId, { worker, exited });
  }
}
