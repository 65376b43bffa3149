/** Warnings and errors of an environment as lines on stderr. */
import { isRpcError, type RpcLogger } from "../index.js";
import { printable } from "./json-value.js";

/** The same again within this time is counted, not written: what fails often fails a thousand times a second. */
const QUIET_MS = 1_000;

interface Said {
  readonly atMs: number;
  unsaid: number;
}

export class StderrLogger implements RpcLogger {
  readonly #who: string;
  readonly #said = new Map<string, Said>();

  constructor(who: string) {
    this.#who = who;
  }

  debug(): void {}
  info(): void {}

  warn(fields: object, text: string): void {
    this.#say("warning", fields, text);
  }

  error(fields: object, text: string): void {
    this.#say("error", fields, text);
  }

  #say(level: string, fields: object, text: string): void {
    const key = `${text} ${String((fields as { readonly endpoint?: unknown }).endpoint)}`;
    const before = this.#said.get(key);
    const now = performance.now();
    if (before !== undefined && now - before.atMs < QUIET_MS) {
      before.unsaid++;
      return;
    }
    this.#said.set(key, { atMs: now, unsaid: 0 });
    const more = before === undefined || before.unsaid === 0 ? "" : `; ${before.unsaid} more like it before`;
    const shown = Object.entries(fields).map(([name, value]) => `${name}=${shownField(value)}`);
    const line = `${this.#who}: ${level}: ${text}: ${shown.join(", ")}${more}`;
    process.stderr.write(`${printable(line.replaceAll(/\s*\n\s*/g, " "))}\n`);
  }
}

/** A logger for commands whose only news is their outcome. */
export const silentLogger: RpcLogger = { debug() {}, info() {}, warn() {}, error() {} };

function shownField(value: unknown): string {
  if (isRpcError(value)) return `${value.code}: ${value.message}`;
  if (value instanceof Error) return value.message;
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}
