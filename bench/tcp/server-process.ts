/** A module of this folder in a process of its own. It says on which ports it listens, and lives as long as its parent wants. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { collect } from "../workers/served.endpoint.js";

/** What such a process tells first. */
interface Ready {
  readonly ports: readonly number[];
}

export class ServerProcess implements AsyncDisposable {
  readonly ports: readonly number[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ports: readonly number[]) {
    this.#child = child;
    this.ports = ports;
  }

  /** Where it listens, if that is one port. */
  get port(): number {
    return this.ports[0] ?? 0;
  }

  static async start(module: string, ...args: readonly (string | number)[]): Promise<ServerProcess> {
    const path = fileURLToPath(new URL(`./${module}.js`, import.meta.url));
    const child = fork(path, args.map(String), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const failed = new AbortController();
    child.once("exit", (code) => failed.abort(new Error(`${module} ended with exit code ${code}`)));
    try {
      const [{ ports }] = (await once(child, "message", { signal: failed.signal })) as [Ready];
      return new ServerProcess(child, ports);
    } catch (error) {
      throw failed.signal.aborted ? failed.signal.reason : error;
    }
  }

  /** Its resident memory after a full collection, bytes. */
  async rss(): Promise<number> {
    this.#child.send("rss");
    const [bytes] = (await once(this.#child, "message")) as [number];
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.disconnect();
    await ended;
  }
}

/** The child's side: tells the port or ports, and ends the process when the parent lets go of it. */
export function serveParent(listening: number | readonly number[], end: () => Promise<unknown>): void {
  process.on("message", () => {
    for (let pass = 0; pass < 2; pass++) collect();
    process.send?.(process.memoryUsage.rss());
  });
  process.once("disconnect", () => {
    void end().finally(() => process.exit());
  });
  process.send?.({ ports: [listening].flat() });
}
