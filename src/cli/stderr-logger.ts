/** Warnings and errors of an environment as lines on stderr. */
import { isRpcError, type RpcLogger } from "../index.js";
import { printable } from "./json-value.js";

/** The same again within this time is counted, not written: what fails often fails a thousand times a second. */
const QUIET_MS = 1_000;
/** Texts with a peer's own words in them may all differ. */
const KINDS_MAX = 1_000;

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
    const shown = Object.entries(fields).map(([name, value]) => `${name}=${shownField(value)}`);
    const line = printable(`${text}: ${shown.join(", ")}`.replaceAll(/\s*\n\s*/g, " "));
    // Ports and counts are what differs between two of a kind.
    const kind = line.replaceAll(/\d+/g, "0");
    const before = this.#said.get(kind);
    const now = performance.now();
    if (before !== undefined && now - before.atMs < QUIET_MS) {
      before.unsaid++;
      return;
    }
    if (this.#said.size >= KINDS_MAX) this.#said.clear();
    this.#said.set(kind, { atMs: now, unsaid: 0 });
    const more = before === undefined || before.unsaid === 0 ? "" : ` (${before.unsaid} more like it before)`;
    process.stderr.write(`${this.#who}: ${level}: ${line}${more}\n`);
  }
}

/** A logger for commands whose only news is their outcome. */
export const silentLogger: RpcLogger = { debug() {}, info() {}, warn() {}, error() {} };

function shownField(value: unknown): string {
  if (isRpcError(value)) return `${value.code}: ${value.message}`;
  if (value instanceof Error) return value.message;
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}
