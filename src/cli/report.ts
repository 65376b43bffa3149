/**
 * Where a command's words go: human text on stdout, or on stderr when stdout carries JSON; progress on stderr, and only
 * when that is a terminal.
 */
import { availableParallelism, cpus } from "node:os";

const CLEAR_LINE = "\r\x1b[K";

export class Report {
  readonly #json: boolean;
  readonly #progress = process.stderr.isTTY === true;
  #shown = false;

  constructor(json: boolean) {
    this.#json = json;
  }

  /** A line for people. */
  line(text = ""): void {
    this.#hideProgress();
    (this.#json ? process.stderr : process.stdout).write(`${text}\n`);
  }

  /** The one JSON document, if it was asked for. */
  json(document: object): void {
    this.#hideProgress();
    if (this.#json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }

  /** Replaces the progress shown before. Nothing without a terminal. */
  progress(text: string): void {
    if (!this.#progress) return;
    process.stderr.write(`${CLEAR_LINE}${text}`);
    this.#shown = true;
  }

  #hideProgress(): void {
    if (!this.#shown) return;
    process.stderr.write(CLEAR_LINE);
    this.#shown = false;
  }
}

/** Columns aligned to the right, the first one to the left. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/** `1,234`, and decimals only where they say something. */
export function count(value: number): string {
  const digits = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Decimal megabytes. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

/** From microseconds to seconds, three digits. */
export function duration(ms: number): string {
  if (ms < 1) return `${(ms * 1_000).toPrecision(3)} µs`;
  return ms < 1_000 ? `${ms.toPrecision(3)} ms` : `${(ms / 1_000).toPrecision(3)} s`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** What a figure means nothing without. */
export function machine(): { node: string; platform: string; cores: number; cpu: string } {
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
  };
}

export function machineLine(): string {
  const { node, platform, cores, cpu } = machine();
  return `Node ${node.slice(1)}, ${platform}, ${cores} ${cores === 1 ? "core" : "cores"} (${cpu})`;
}
