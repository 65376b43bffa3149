/** A driver in its JVM: commands and answers, line by line as JSON; src/main/java/ringpost/spark/Lines.java is its other end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { SparkLine } from "./spark-lines.js";

/** Starts fast on a small machine; a test is over before the better compiler has paid for itself. */
const FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx768m", "-Dfile.encoding=UTF-8"];
/** Only catches a hang. */
const ANSWER_MS = 120_000;

export interface JvmOptions {
  /** Keys of Spark. */
  readonly conf?: Readonly<Record<string, string>>;
  readonly closeIdle?: boolean;
  readonly tls?: { readonly folder: string; readonly key: string; readonly cert: string; readonly ca: string };
}

interface Thrown {
  readonly class: string;
  readonly message: string;
  readonly cause?: Thrown;
}

/** What a driver's command has thrown. */
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

export class Jvm implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #first: Promise<unknown>;
  readonly #exited: Promise<unknown>;
  readonly #waiters = new Map<number, Waiter>();
  #nextId = 1;
  #errors = "";

  /** @param main the driver's class, one of ringpost.spark. */
  constructor(line: SparkLine, main: string, options: JvmOptions = {}, ...args: readonly string[]) {
    const folder = fileURLToPath(new URL(`../../build/spark-${line}`, import.meta.url));
    const classPath = `${join(folder, "classes")}:${readFileSync(join(folder, "classpath.txt"), "utf8").trim()}`;
    const texts = [JSON.stringify(options), ...args];
    const child = spawn("java", [...FLAGS, "-cp", classPath, `ringpost.spark.${main}`, ...texts]);
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
      const error = new Error(`the JVM ended: ${child.exitCode ?? child.signalCode}: ${this.#errors}`);
      for (const waiter of this.#waiters.values()) waiter.reject(error);
      this.#waiters.clear();
    });
  }

  /** A driver that has said that it is there, and the port on which it listens. */
  static async started(line: SparkLine, main: string, options?: JvmOptions, ...args: readonly string[]) {
    const jvm = new Jvm(line, main, options, ...args);
    const { listening = 0 } = (await jvm.#first) as { listening?: number };
    return { jvm, port: listening };
  }

  /** What it has logged. */
  get errors(): string {
    return this.#errors;
  }

  /** Rejects with JvmError for what the command throws, and when the JVM ends before. */
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
