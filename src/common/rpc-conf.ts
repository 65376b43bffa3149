/**
 * RpcConf: settings by key, a slim SparkConf. Keys and values are checked when they are set; which of several names of
 * one setting counts is decided when it is read: the key itself, then Spark's names in Spark's order, then the key's
 * fallback in the same way, then its default.
 */
import { readFile } from "node:fs/promises";
import type { ConfKeySpec } from "./conf-keys.js";
import {
  type ConfKeyMatch,
  confNames,
  fill,
  findConfKey,
  offeredConfKeys,
  type RpcConfKey,
  SECURITY_KEYS,
} from "./conf-names.js";
import { formatSizeBytes, formatTimeMs, parseFlag, parseInteger, parseSizeBytes, parseTimeMs } from "./conf-values.js";
import { RpcError } from "./errors.js";

export type RpcConfValue = string | number | boolean;

/** Settings as a plain object. Numbers mean the key's unit, as bare numbers in text do. */
export type RpcConfValues = { readonly [K in RpcConfKey]?: RpcConfValue | undefined };

/** A timeout and what it was set by: a key, an alias, or the name of an option. */
export interface RpcTimeout {
  /** Milliseconds, or Infinity. */
  readonly ms: number;
  readonly setBy: string;
}

type ConfKind = ConfKeySpec["kind"];
type ConfValue<K extends ConfKind> = K extends "flag" ? boolean : K extends "text" ? string : number;

/** Two copies of this package in one process still read each other's settings. */
const ENTRIES: unique symbol = Symbol.for("ringpost.RpcConf.entries");
/** Says whether this process is Spark's driver or one of its executors, which have thread counts of their own. */
const EXECUTOR_ID = "spark.executor.id";

export class RpcConf {
  readonly #values = new Map<string, string>();

  /** @param values as `set`, each. */
  constructor(values: RpcConfValues = {}) {
    for (const [key, value] of entriesOf(values)) this.set(key as RpcConfKey, value);
  }

  /** Reads either form of settings: one that is a conf already is copied, so that it may go on changing. */
  static from(values: RpcConf | RpcConfValues): RpcConf {
    return new RpcConf(values as RpcConfValues);
  }

  /**
   * Reads the variables of this process's environment whose name starts with `prefix`. The rest of the name is a key
   * without regard to case and separators: RINGPOST_RPC_ASK_TIMEOUT and RINGPOST_RPC_ASKTIMEOUT are rpc.askTimeout,
   * RINGPOST_SPARK_RPC_ASKTIMEOUT is spark.rpc.askTimeout.
   *
   * @param prefix `RINGPOST_` by default.
   * Throws ERR_RPC_INVALID_ARGUMENT naming the variable that is no key, that sets what another one sets, or whose value
   * is refused.
   */
  static fromEnv(prefix = "RINGPOST_"): RpcConf {
    const keys = new Map([...confNames()].map((name) => [bare(name), name]));
    const conf = new RpcConf();
    for (const [variable, value] of Object.entries(process.env).sort()) {
      if (value === undefined || !variable.startsWith(prefix)) continue;
      const key = keys.get(bare(variable.slice(prefix.length)));
      if (key === undefined) {
        throw invalid(`the environment variable ${variable} is no key; keys: ${offeredConfKeys()}`);
      }
      if (conf.#values.has(key)) throw invalid(`the environment variable ${variable} sets ${key} a second time`);
      named(`the environment variable ${variable}`, () => conf.set(key as RpcConfKey, value));
    }
    return conf;
  }

  /**
   * Reads a file like Spark's spark-defaults.conf: in each line a key and a value with white space, `=` or `:` between
   * them; `#` or `!` begins a comment line. Of a key that stands there twice the last counts.
   *
   * Throws ERR_RPC_INVALID_ARGUMENT naming file and line; what the file system says of a file that cannot be read.
   */
  static async fromFile(path: string): Promise<RpcConf> {
    const conf = new RpcConf();
    const lines = (await readFile(path, "utf8")).split(/\r?\n/);
    for (const [index, line] of lines.entries()) {
      const text = line.replace(/^\uFEFF/, "").trim();
      if (text === "" || text.startsWith("#") || text.startsWith("!")) continue;
      const [, key = "", value = ""] = /^([^\s=:]+)(?:\s*[=:]\s*|\s+|$)(.*)$/.exec(text) ?? [];
      named(`${path}:${index + 1}`, () => conf.set(key as RpcConfKey, value));
    }
    return conf;
  }

  /**
   * @param key One of the table in docs/conf.md, or any key of Spark's.
   * @param value Text in Spark's units, or a number in the key's unit.
   * Throws ERR_RPC_INVALID_ARGUMENT naming key, value and range; for a key of ours that does not exist; for one of
   * Spark's that asks for protection which this package does not give that way.
   */
  set(key: RpcConfKey, value: RpcConfValue): this {
    if (!["string", "number", "boolean"].includes(typeof value)) {
      throw invalid(
        `a conf value is a string, a number or a boolean: ${String(key)} is ${value === null ? "null" : typeof value}`,
      );
    }
    const text = String(value).trim();
    const known = findConfKey(key);
    if (known !== undefined) read(known.spec, key, text);
    else if (typeof key !== "string" || !key.startsWith("spark.")) throw unknownKey(key);
    refuseSecurity(key, text);
    this.#values.set(key, text);
    return this;
  }

  /** The text that is set for a key or one of its aliases; undefined when none is. Fallbacks and defaults do not count. */
  get(key: RpcConfKey): string | undefined {
    const set = this.#values.get(key);
    if (set !== undefined) return set;
    const known = matchOf(key);
    return known === null ? undefined : this.#find(known)?.text;
  }

  /** True when `get` has a value; false, too, for a key that does not exist. */
  contains(key: string): boolean {
    return this.#values.has(key) || (findConfKey(key) !== undefined && this.get(key as RpcConfKey) !== undefined);
  }

  /** A copy that can be changed by itself. */
  clone(): RpcConf {
    return new RpcConf(this as unknown as RpcConfValues);
  }

  /**
   * A time.
   *
   * @param defaultMs Milliseconds for when neither key nor aliases nor fallbacks are set, instead of the key's own default.
   * @returns Milliseconds, or Infinity. A bare number in a key that only Spark knows means milliseconds, as in SparkConf.
   * Throws ERR_RPC_INVALID_ARGUMENT for what is no time, and for a key without value and default.
   */
  getTimeMs(key: RpcConfKey, defaultMs?: number): number {
    return this.#value(key, "time", defaultMs);
  }

  /** A size in bytes, else as `getTimeMs`. A bare number in a key that only Spark knows means bytes. */
  getSizeBytes(key: RpcConfKey, defaultBytes?: number): number {
    return this.#value(key, "size", defaultBytes);
  }

  /** An integer, else as `getTimeMs`. */
  getCount(key: RpcConfKey, defaultCount?: number): number {
    return this.#value(key, "count", defaultCount);
  }

  /** True or false, else as `getTimeMs`. */
  getFlag(key: RpcConfKey, defaultFlag?: boolean): boolean {
    return this.#value(key, "flag", defaultFlag);
  }

  /** A text, else as `getTimeMs`: unlike `get` with fallbacks and default. */
  getText(key: RpcConfKey, defaultText?: string): string {
    return this.#value(key, "text", defaultText);
  }

  /**
   * A timeout together with what it was set by, as Spark's RpcTimeout.
   *
   * @param keys One key, or several, of which the first that is set counts. If none is, it is the first one's default,
   * and the first one's name.
   * @param defaultMs as in `getTimeMs`.
   * Throws as `getTimeMs`.
   */
  getTimeout(keys: RpcConfKey | readonly RpcConfKey[], defaultMs?: number): RpcTimeout {
    const list = typeof keys === "string" ? [keys] : keys;
    const [first] = list;
    if (first === undefined) throw invalid("getTimeout takes at least one key");
    const key = list.find((candidate) => this.#foundBy(candidate) !== null) ?? first;
    return { ms: this.getTimeMs(key, defaultMs), setBy: this.#foundBy(key) ?? key };
  }

  /** The keys of Spark's that mean nothing here. They are kept, so that one conf can serve both. */
  get ignored(): string[] {
    const role = this.#role();
    return [...this.#values.keys()].filter((key) => {
      const known = findConfKey(key);
      return known === undefined ? key !== EXECUTOR_ID : !names(known, role).includes(key);
    });
  }

  /** The keys that are known and change nothing in this version, each with the reason. */
  get withoutEffect(): { readonly key: string; readonly reason: string }[] {
    return [...this.#values.keys()].flatMap((key) => {
      const spec = findConfKey(key)?.spec;
      if (spec === undefined || spec.effect === "now") return [];
      return { key, reason: spec.effect === "none" ? spec.meaning : "it takes effect with the network" };
    });
  }

  /** For another copy of this package. */
  [ENTRIES](): Iterable<[string, string]> {
    return this.#values.entries();
  }

  #value<K extends ConfKind>(key: RpcConfKey, kind: K, given: ConfValue<K> | undefined): ConfValue<K> {
    const known = matchOf(key);
    if (known === null) {
      const text = this.#values.get(key);
      if (text !== undefined) return readForeign(kind, key, text) as ConfValue<K>;
      if (given !== undefined) return given;
      throw invalid(`conf has no value for ${key}`);
    }
    const { spec } = known;
    if (spec.kind !== kind) throw invalid(`${key} is a ${spec.kind}, not a ${kind}`);
    const found = this.#resolve(known);
    if (found !== null) return read(spec, found.name, found.text) as ConfValue<K>;
    const value = given ?? spec.default;
    if (value === null) throw invalid(`conf has no value for ${key}, and it has no fixed default`);
    return value as ConfValue<K>;
  }

  /** The name that a key's value stands under, its fallbacks' included; null when there is none. */
  #foundBy(key: RpcConfKey): string | null {
    const known = matchOf(key);
    if (known === null) return this.#values.has(key) ? key : null;
    return this.#resolve(known)?.name ?? null;
  }

  #resolve(known: ConfKeyMatch): { name: string; text: string } | null {
    let at: ConfKeyMatch | undefined = known;
    while (at !== undefined) {
      const found = this.#find(at);
      if (found !== null) return found;
      at = at.spec.fallback === undefined ? undefined : findConfKey(fill(at.spec.fallback, at.module));
    }
    return null;
  }

  #find(known: ConfKeyMatch): { name: string; text: string } | null {
    for (const name of names(known, this.#role())) {
      const text = this.#values.get(name);
      if (text !== undefined) return { name, text };
    }
    return null;
  }

  #role(): string | null {
    const id = this.#values.get(EXECUTOR_ID);
    if (id === undefined) return null;
    return id === "driver" ? "driver" : "executor";
  }
}

/** The names of a setting in the order in which they count. */
function names({ spec, module }: ConfKeyMatch, role: string | null): string[] {
  const aliases = role === null ? spec.aliases.filter((alias) => !alias.includes("<role>")) : spec.aliases;
  return [spec.key, ...aliases].map((name) => fill(name, module, role ?? ""));
}

/** What is known of a key; null for one that only Spark knows. Throws for one of ours that does not exist. */
function matchOf(key: string): ConfKeyMatch | null {
  const known = findConfKey(key);
  if (known !== undefined) return known;
  if (typeof key === "string" && key.startsWith("spark.")) return null;
  throw unknownKey(key);
}

function entriesOf(values: RpcConfValues): Iterable<[string, RpcConfValue]> {
  if (typeof values !== "object" || values === null) throw invalid(`conf is an object of keys: conf=${String(values)}`);
  const entries = (values as { readonly [ENTRIES]?: () => Iterable<[string, string]> })[ENTRIES];
  if (typeof entries === "function") return entries.call(values);
  return Object.entries(values).filter((entry): entry is [string, RpcConfValue] => entry[1] !== undefined);
}

/** Reads and checks the value of a known key. Throws ERR_RPC_INVALID_ARGUMENT naming key, value and range. */
function read(spec: ConfKeySpec, name: string, text: string): number | boolean | string {
  switch (spec.kind) {
    case "text":
      return text;
    case "flag": {
      const flag = parseFlag(text);
      if (flag !== null) return flag;
      throw invalid(`${name} must be true or false: ${name}=${text}`);
    }
    case "count": {
      const count = parseInteger(text);
      if (count !== null && count >= spec.min && count <= spec.max) return count;
      throw invalid(`${name} must be an integer from ${spec.min} to ${spec.max}: ${name}=${text}`);
    }
    case "size": {
      const bytes = parseSizeBytes(text, spec.bareUnit);
      const fits = bytes !== null && bytes >= spec.min && bytes <= spec.max;
      if (fits && (spec.powerOfTwo !== true || Number.isInteger(Math.log2(bytes)))) return bytes;
      const what = spec.powerOfTwo === true ? "a power of two" : "a size";
      const range = `${what} from ${formatSizeBytes(spec.min)} to ${formatSizeBytes(spec.max)}`;
      const units = `without a suffix it is in ${spec.bareUnit}; suffixes: b, k, m, g, t, p; no fractions`;
      throw invalid(`${name} must be ${range} (${units}): ${name}=${text}`);
    }
    case "time": {
      const ms = parseTimeMs(text, spec.bareUnit);
      if (ms === Number.POSITIVE_INFINITY && spec.infinite === true) return ms;
      if (ms !== null && ms >= spec.min && ms <= spec.max) return ms;
      const range = `a time from ${formatTimeMs(spec.min)} to ${formatTimeMs(spec.max)}`;
      const infinite = spec.infinite === true ? ", or Infinity" : "";
      const units = `without a suffix it is in ${spec.bareUnit}; suffixes: us, ms, s, m, min, h, d; no fractions`;
      throw invalid(`${name} must be ${range}${infinite} (${units}): ${name}=${text}`);
    }
  }
}

/** The value of a key that only Spark knows, in the unit that SparkConf would take it for. */
function readForeign(kind: ConfKind, name: string, text: string): number | boolean | string {
  const readers = {
    time: () => parseTimeMs(text, "ms"),
    size: () => parseSizeBytes(text, "b"),
    count: () => parseInteger(text),
    flag: () => parseFlag(text),
    text: () => text,
  };
  const value = readers[kind]();
  if (value === null) throw invalid(`${name} is no ${kind}: ${name}=${text}`);
  return value;
}

function refuseSecurity(key: string, text: string): void {
  const { prefixes, offSwitches } = SECURITY_KEYS;
  if (!prefixes.some((prefix) => key === prefix || key.startsWith(prefix.replace(/\.?$/, ".")))) return;
  if (offSwitches.includes(key) && text.toLowerCase() === "false") return;
  // The value may be a secret.
  throw invalid(
    `${key} asks for protection that is not given by this key here; use \`secret\` or \`tls\` instead of it`,
  );
}

function unknownKey(key: unknown): RpcError {
  return invalid(`conf has no key ${String(key)}; it has: ${offeredConfKeys()}`);
}

/** Letters and digits, in lower case. */
function bare(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** Says in the text of an error where the setting came from. */
function named(where: string, set: () => void): void {
  try {
    set();
  } catch (error) {
    throw error instanceof RpcError ? new RpcError(error.code, `${where}: ${error.message}`) : error;
  }
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
