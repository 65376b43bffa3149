/**
 * The threads of message loops: a piscina pool, each loop its one endless task. The only file that imports piscina.
 *
 * - A pool's threads are started one for each loop that is started, never by piscina itself (`minThreads: 0`): what it
 *   starts in its own exit handler for a dead thread throws there when the system refuses one, where nobody can catch
 *   it; and a pool that once failed to refill itself never tries again. ADR 0004.
 * - A loop's task settles before its thread is dead; who has to judge what the thread left behind waits for `exited`.
 * - Which thread runs which loop is decided here, by the pool's load balancer, so that a loop can be ended that has not
 *   said a word yet.
 * - Never posts to a piscina thread directly: that port is piscina's own.
 */
import type { Worker } from "node:worker_threads";
import { Piscina, queueOptionsSymbol, type TaskQueue } from "piscina";
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

const ENTRY = new URL("../../workers/message-loop.cjs", import.meta.url).href;

export const piscinaLoopHost: LoopHostFactory = () => new PiscinaLoopHost();

/** What piscina puts into a queue. */
type Task = Parameters<TaskQueue["push"]>[0];

interface HostedThread {
  readonly worker: Worker;
  task: LoopTask | null;
}

class PiscinaLoopHost implements LoopHost {
  readonly #pool: Piscina;
  readonly #threads = new Map<number, HostedThread>();
  /** Loops that wait for a thread: each had one started for it. */
  readonly #waiting = new WaitingTasks();

  constructor() {
    this.#pool = new Piscina({
      filename: ENTRY,
      minThreads: 0,
      maxThreads: LOOPS_MAX,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      taskQueue: this.#waiting,
      // Neither may piscina park a thread in Atomics.wait, nor time a task that never ends.
      atomics: "disabled",
      recordTiming: false,
      loadBalancer: (task, workers) => {
        const free = workers.find(({ id, currentUsage }) => currentUsage === 0 && this.#threads.get(id)?.task === null);
        if (free === undefined) return null;
        this.#assign(loopOf(task), free.id);
        return free;
      },
    });
    // A thread that dies reports itself here too; the loop's task and the thread's own events tell all we need.
    this.#pool.on("error", () => {});
  }

  start(start: LoopStart): HostedLoop {
    const task = new LoopTask(() => this.#terminateIdle());
    try {
      const transferList = [start.controlPort, start.envPort, start.bodyPort];
      this.#pool.run({ ...start, [queueOptionsSymbol]: task }, { transferList }).then(
        () => task.end(null),
        (error) => task.end(error),
      );
    } catch (error) {
      // The system refuses another thread.
      this.#waiting.drop(task);
      task.end(error);
    }
    this.#watchNew();
    return task;
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }

  #assign(task: LoopTask, threadId: number): void {
    const thread = this.#threads.get(threadId) as HostedThread;
    thread.task = task;
    task.worker = thread.worker;
    if (task.terminated) void thread.worker.terminate();
  }

  /** A loop is ended that has no thread yet: the thread that is longest on its way to work is, in its place. */
  #terminateIdle(): void {
    for (const { worker, task } of this.#threads.values()) {
      if (task === null) {
        void worker.terminate();
        return;
      }
    }
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
        const task = thread.task ?? this.#waiting.dropFirst();
        task?.exit(cause ?? new Error(`its thread exited with code ${code}`));
      });
    }
  }
}

function loopOf(task: Task): LoopTask {
  return task[queueOptionsSymbol] as LoopTask;
}

/** Piscina's queue, from which we can take what no thread will come for. */
class WaitingTasks implements TaskQueue {
  readonly #tasks: Task[] = [];

  get size(): number {
    return this.#tasks.length;
  }

  shift(): Task | null {
    return this.#tasks.shift() ?? null;
  }

  push(task: Task): void {
    this.#tasks.push(task);
  }

  unshift(task: Task): void {
    this.#tasks.unshift(task);
  }

  remove(task: Task): void {
    const index = this.#tasks.indexOf(task);
    if (index !== -1) this.#tasks.splice(index, 1);
  }

  drop(loop: LoopTask): void {
    const task = this.#tasks.find((waiting) => loopOf(waiting) === loop);
    if (task !== undefined) this.remove(task);
  }

  dropFirst(): LoopTask | undefined {
    const task = this.#tasks.shift();
    return task && loopOf(task);
  }
}

class LoopTask implements HostedLoop {
  readonly ended: Promise<unknown>;
  readonly exited: Promise<void>;
  worker: Worker | null = null;
  terminated = false;
  #resolveEnded: (reason: unknown) => void = () => {};
  #resolveExited: () => void = () => {};
  readonly #terminateIdle: () => void;

  constructor(terminateIdle: () => void) {
    this.#terminateIdle = terminateIdle;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  terminate(): void {
    this.terminated = true;
    if (this.worker === null) this.#terminateIdle();
    else void this.worker.terminate();
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
  }
}
