/**
 * The values of conf keys as text, in Spark's units: an integer and, for times and sizes, a suffix. A bare number means
 * the key's own unit, as in Spark: seconds for timeouts, mebibytes for rpc.message.maxSize.
 */

/** Milliseconds of each suffix of a time. */
const TIME_SUFFIXES: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Bytes of each suffix of a size: powers of 1,024, whatever the letter's case. */
const SIZE_SUFFIXES: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
  t: 1024 ** 4,
  tb: 1024 ** 4,
  p: 1024 ** 5,
  pb: 1024 ** 5,
};

export type TimeUnit = "us" | "ms" | "s" | "min" | "h" | "d";
export type SizeUnit = "b" | "k" | "m" | "g" | "t" | "p";

/**
 * Reads a time: an integer and us, ms, s, m, min, h or d; `Infinity`, which Spark does not know, is no limit.
 * @param bareUnit of a number without a suffix.
 * @returns Milliseconds, a fraction for microseconds; null for what is no time. Unlike in Spark, whose timeouts are whole
 * seconds, 500ms is half a second and not 0.
 */
export function parseTimeMs(text: string, bareUnit: TimeUnit): number | null {
  if (/^\s*infinity\s*$/i.test(text)) return Number.POSITIVE_INFINITY;
  return scaled(/^(-?[0-9]+)([a-z]+)?$/, text, TIME_SUFFIXES, bareUnit);
}

/**
 * Reads a size: an integer and b, k, kb, m, mb, g, gb, t, tb, p or pb.
 * @param bareUnit of a number without a suffix.
 * @returns Bytes; null for what is no size.
 */
export function parseSizeBytes(text: string, bareUnit: SizeUnit): number | null {
  return scaled(/^([0-9]+)([a-z]+)?$/, text, SIZE_SUFFIXES, bareUnit);
}

/** Reads an integer. null for anything else. */
export function parseInteger(text: string): number | null {
  return scaled(/^(-?[0-9]+)()?$/, text, {}, "");
}

/** Reads true or false. null for anything else. */
export function parseFlag(text: string): boolean | null {
  const lower = text.trim().toLowerCase();
  if (lower === "true") return true;
  return lower === "false" ? false : null;
}

/** Writes a time so that it can be read back: seconds where they are whole. */
export function formatTimeMs(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return "Infinity";
  if (ms % 1_000 === 0) return `${ms / 1_000}s`;
  return Number.isInteger(ms) ? `${ms}ms` : `${Math.round(ms * 1_000)}us`;
}

/** Writes a size so that it can be read back, in the largest unit that divides it. */
export function formatSizeBytes(bytes: number): string {
  for (const unit of ["g", "m", "k"] as const) {
    const scale = SIZE_SUFFIXES[unit] ?? 1;
    if (bytes >= scale && bytes % scale === 0) return `${bytes / scale}${unit}`;
  }
  return `${bytes}b`;
}

function scaled(
  pattern: RegExp,
  text: string,
  suffixes: Readonly<Record<string, number>>,
  bareUnit: string,
): number | null {
  const match = pattern.exec(text.trim().toLowerCase());
  if (match === null) return null;
  const suffix = match[2] ?? bareUnit;
  const scale = suffix === "" ? 1 : Object.hasOwn(suffixes, suffix) ? suffixes[suffix] : undefined;
  if (scale === undefined) return null;
  const value = Number(match[1]) * scale;
  // Beyond 2⁵³ a number is no longer the one that was written.
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : null;
}
