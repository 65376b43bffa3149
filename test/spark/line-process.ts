/**
 * A process that takes commands and gives answers, line by line as JSON; src/main/java/ringpost/spark/Lines.java is its other
 * end, and `bench/spark/lines.ts` where that is Node.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Only catches a hang. */
const ANSWER_MS = 120_000;

interface Thrown {
  readonly class: string;
  readonly message: string;
  readonly cause?: Thrown;
}

/** What a command has thrown over there. */
export class JvmError extends Error {
  readonly className: string;

  constructor(thrown: Thrown) {
    super(thrown.message, thrown.cause === undefined ? {} : { cause: new JvmError(thrown.cause) });
    this.className = thrown.class;
  }
}

interface Line {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: Thrown;
}

interface Waiter {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class LineProcess implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #first: Promise<unknown>;
  readonly #exited: Promise<unknown>;
  readonly #waiters = new Map<number, Waiter>();
  #nextId = 1;
  #errors = "";

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args);
    this.#process = child;
    child.stderr.on("data", (data) => {
      this.#errors += data;
    });
    // Whoever writes to one that was killed is not surprised.
    child.stdin.on("error", () => {});
    const lines = createInterface(child.stdout);
    this.#first = new Promise((resolve, reject) => {
      this.#waiters.set(0, { resolve, reject });
      lines.on("line", (text) => this.#heard(JSON.parse(text) as Line));
    });
    this.#first.catch(() => {});
    this.#exited = once(child, "close").then(() => {
      const error = new Error(`${command} ended: ${child.exitCode ?? child.signalCode}: ${this.#errors}`);
      for (const waiter of this.#waiters.values()) waiter.reject(error);
      this.#waiters.clear();
    });
  }

  /** What it says by itself once it is there. */
  get first(): Promise<unknown> {
    return this.#first;
  }

  /** What it has logged. */
  get errors(): string {
    return this.#errors;
  }

  /** Rejects with JvmError for what the command throws, and when the process ends before. */
  ask<Result>(what: string, command: object = {}): Promise<Result> {
    const id = this.#nextId++;
    return new Promise<Result>((resolve, reject) => {
      const hung = setTimeout(() => reject(new Error(`no answer to ${what}: ${this.#errors}`)), ANSWER_MS);
      this.#waiters.set(id, {
        resolve: (result) => {
          clearTimeout(hung);
          resolve(result as Result);
        },
        reject: (error) => {
          clearTimeout(hung);
          reject(error);
        },
      });
      this.#process.stdin?.write(`${JSON.stringify({ id, do: what, ...command })}\n`);
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  get exited(): Promise<unknown> {
    return this.#exited;
  }

  /** Ends it by force. Resolves when it is gone. */
  kill(): Promise<unknown> {
    this.signal("SIGKILL");
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #heard(line: Line): void {
    const waiter = this.#waiters.get(line.id ?? 0);
    this.#waiters.delete(line.id ?? 0);
    if (line.id === undefined) waiter?.resolve(line);
    else if (line.error !== undefined) waiter?.reject(new JvmError(line.error));
    else waiter?.resolve(line.result);
  }
}
