/**
 * The side of a LineProcess (test/spark/line-process.ts) that does as it is told, in Node: what Lines.java is in a JVM. One command
 * at a time: {"id": 1, "do": "asks", …} comes in, {"id": 1, "result": …} or {"id": 1, "error": …} goes out.
 */
import { createInterface } from "node:readline";

export interface Command {
  readonly id: number;
  readonly do: string;
}

export function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Runs commands until the input ends. What a command throws is its answer. */
export async function runCommands<C extends Command>(run: (command: C) => unknown): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    const command = JSON.parse(line) as C;
    try {
      say({ id: command.id, result: await run(command) });
    } catch (error) {
      const { name, message } = error as Error;
      say({ id: command.id, error: { class: name, message } });
    }
  }
}

/** CPU time of all threads of this process. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
