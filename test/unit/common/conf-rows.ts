/** The rows of docs/conf.md as the key table says they must be. */
import type { ConfEffect, ConfKeySpec } from "../../../dist/src/common/conf-keys.js";
import { CONF_TABLE } from "../../../dist/src/common/conf-names.js";
import { formatSizeBytes, formatTimeMs } from "../../../dist/src/common/conf-values.js";

const BARE_UNITS = { s: "seconds", ms: "milliseconds", b: "bytes", m: "MiB" } as Readonly<Record<string, string>>;

/** The rows of one section, in the order of the table. */
export function confRows(effect: ConfEffect): string[] {
  return CONF_TABLE.filter((spec) => spec.effect === effect).map(row);
}

function row(spec: ConfKeySpec): string {
  const fallback = spec.fallback === undefined ? "" : `\`${spec.fallback}\`, else `;
  const aliases = spec.aliases.map((alias) => `\`${alias}\``).join(", ");
  return `| \`${spec.key}\` | ${fallback}${defaultOf(spec)} | ${valuesOf(spec)} | ${aliases || "–"} | ${spec.meaning} |`;
}

function defaultOf(spec: ConfKeySpec): string {
  if (spec.default === null) return "the cores";
  if (spec.kind === "time") return formatTimeMs(spec.default);
  if (spec.kind === "size") return formatSizeBytes(spec.default);
  return String(spec.default);
}

function valuesOf(spec: ConfKeySpec): string {
  switch (spec.kind) {
    case "text":
      return "any";
    case "flag":
      return "true, false";
    case "count":
      return `${spec.min} to ${spec.max}`;
    case "size": {
      const what = spec.powerOfTwo === true ? "a power of two, " : "";
      return `${BARE_UNITS[spec.bareUnit]}: ${what}${formatSizeBytes(spec.min)} to ${formatSizeBytes(spec.max)}`;
    }
    case "time": {
      const infinite = spec.infinite === true ? ", Infinity" : "";
      return `${BARE_UNITS[spec.bareUnit]}: ${formatTimeMs(spec.min)} to ${formatTimeMs(spec.max)}${infinite}`;
    }
  }
}
