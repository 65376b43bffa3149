/**
 * The threads of message loops: a piscina pool, each loop its one endless task. The only file that imports piscina.
 *
 * - A pool's threads are started one for each loop that is started, never by piscina itself (`minThreads: 0`): what it
 *   starts in its own exit handler for a dead thread throws there when the system refuses one, where nobody can catch
 *   it; and a pool that once failed to refill itself never tries again. ADR 0003.
 * - A loop's task settles before its thread is dead; who has to judge what the thread left behind waits for `exited`.
 * - Which thread runs which loop is decided here, by the pool's load balancer, so that a loop can be ended that has not
 *   said a word yet.
 * - Never posts to a piscina thread directly: that port is piscina's own.
 */
import type { Worker } from "node:worker_threads";
import { Piscina, queueOptionsSymbol } from "piscina";
import { LOOPS_MAX } from "../common/limits.js";
import type { LoopStart } from "./loop-protocol.js";

/** A message loop on its thread. */
export interface HostedLoop {
  /** Resolves when the loop's task has ended, with the reason, or null if it returned. Its thread may still run. */
  readonly ended: Promise<unknown>;
  /** Resolves when its thread is gone and can write no more; also if it never got one. After `ended` or together. */
  readonly exited: Promise<void>;
  /** Ends its thread now. A native call cannot be interrupted: `exited` says when it has happened. */
  terminate(): void;
}

/** Where message loops run. Injected, so that a simulation can run them elsewhere. */
export interface LoopHost {
  /** Starts a thread for a loop. Never throws: a thread that cannot be had is a loop that has ended. */
  start(start: LoopStart): HostedLoop;
  /** Ends all threads; resolves when they are gone. Loops were told to stop before. */
  destroy(): Promise<void>;
}

export type LoopHostFactory = () => LoopHost;

const ENTRY = new URL("../../workers/message-loop.js", import.meta.url).href;

export const piscinaLoopHost: LoopHostFactory = () => new PiscinaLoopHost();

interface HostedThread {
  readonly worker: Worker;
  task: LoopTask | null;
}

class PiscinaLoopHost implements LoopHost {
  readonly #pool: Piscina;
  readonly #threads = new Map<number, HostedThread>();
  /** Loops that wait for a thread, in the order of their threads. */
  readonly #waiting: LoopTask[] = [];

  constructor() {
    this.#pool = new Piscina({
      filename: ENTRY,
      minThreads: 0,
      maxThreads: LOOPS_MAX,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Neither may piscina park a thread in Atomics.wait, nor time a task that never ends.
      atomics: "disabled",
      recordTiming: false,
      loadBalancer: (task, workers) => {
        const free = workers.find(({ id, currentUsage }) => currentUsage === 0 && this.#threads.get(id)?.task === null);
        if (free === undefined) return null;
        this.#assign(task[queueOptionsSymbol] as LoopTask, free.id);
        return free;
      },
    });
    // A thread that dies reports itself here too; the loop's task and the thread's own events tell all we need.
    this.#pool.on("error", () => {});
  }

  start(start: LoopStart): HostedLoop {
    const task = new LoopTask();
    this.#waiting.push(task);
    try {
      const ended = this.#pool.run(
        { ...start, [queueOptionsSymbol]: task },
        { transferList: [start.controlPort, start.envPort, start.bodyPort], signal: task.abort.signal },
      );
      ended.then(
        () => task.end(null),
        (error) => task.end(error),
      );
    } catch (error) {
      this.#forget(task);
      task.end(error);
    }
    this.#watchNew();
    return task;
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }

  #assign(task: LoopTask, threadId: number): void {
    this.#forget(task);
    const thread = this.#threads.get(threadId) as HostedThread;
    thread.task = task;
    task.worker = thread.worker;
    if (task.terminated) void thread.worker.terminate();
  }

  /** Threads that piscina has started since the last look. Its own listeners come first. */
  #watchNew(): void {
    for (const worker of this.#pool.threads) {
      const { threadId } = worker;
      if (this.#threads.has(threadId) || threadId === -1) continue;
      const thread: HostedThread = { worker, task: null };
      this.#threads.set(threadId, thread);
      let cause: unknown = null;
      worker.once("error", (error) => {
        cause = error;
      });
      worker.once("exit", (code) => {
        this.#threads.delete(threadId);
        // A thread that never came to work: the loop that waits longest was to have it.
        const task = thread.task ?? this.#waiting.shift();
        task?.exit(cause ?? new Error(`its thread exited with code ${code}`));
      });
    }
  }

  #forget(task: LoopTask): void {
    const index = this.#waiting.indexOf(task);
    if (index !== -1) this.#waiting.splice(index, 1);
  }
}

class LoopTask implements HostedLoop {
  readonly ended: Promise<unknown>;
  readonly exited: Promise<void>;
  /** Takes it out of piscina's queue. Never used once it runs: piscina would then replace its thread. */
  readonly abort = new AbortController();
  worker: Worker | null = null;
  terminated = false;
  #resolveEnded: (reason: unknown) => void = () => {};
  #resolveExited: () => void = () => {};

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  terminate(): void {
    this.terminated = true;
    if (this.worker !== null) void this.worker.terminate();
  }

  /** The task has settled. */
  end(reason: unknown): void {
    this.#resolveEnded(reason);
    if (this.worker === null) this.#resolveExited();
  }

  /** The thread that ran it, or was to run it, is gone. */
  exit(reason: unknown): void {
    this.#resolveEnded(reason);
    this.#resolveExited();
    if (this.worker === null) this.abort.abort();
  }
}
