/** The names under which settings are found: keys, aliases, and those of Spark's that are refused. */
import { CONF_BLOCK_KEYS } from "./conf-block-keys.js";
import { CONF_IO_KEYS, CONF_MODULES } from "./conf-io-keys.js";
import { CONF_KEYS, type ConfKeySpec } from "./conf-keys.js";
import { CONF_SHUFFLE_KEYS } from "./conf-shuffle-keys.js";

/**
 * Spark's keys that ask for protection this package does not give that way. They are refused by name, except those in
 * `offSwitches` with the value false, which asks for nothing.
 */
export const SECURITY_KEYS: { readonly prefixes: readonly string[]; readonly offSwitches: readonly string[] } = {
  prefixes: [
    "spark.authenticate",
    "spark.network.crypto.",
    "spark.network.sasl.",
    "spark.network.auth.",
    "spark.ssl.",
    "spark.io.encryption.",
  ],
  offSwitches: [
    "spark.authenticate",
    "spark.authenticate.enableSaslEncryption",
    "spark.network.crypto.enabled",
    "spark.network.crypto.saslFallback",
    "spark.network.sasl.serverAlwaysEncrypt",
    "spark.io.encryption.enabled",
    "spark.ssl.enabled",
    "spark.ssl.rpc.enabled",
  ],
};

/** All keys. */
export const CONF_TABLE: readonly ConfKeySpec[] = [
  ...CONF_KEYS,
  ...CONF_BLOCK_KEYS,
  ...CONF_SHUFFLE_KEYS,
  ...CONF_IO_KEYS,
];

/** A key of the tables, an io key of a module, or any key of Spark's. */
export type RpcConfKey =
  | (typeof CONF_KEYS)[number]["key"]
  | (typeof CONF_BLOCK_KEYS)[number]["key"]
  | (typeof CONF_SHUFFLE_KEYS)[number]["key"]
  | `${string}.io.${string}`
  | `spark.${string}`;

/** A name of the table with `<module>` and `<role>` filled in. */
export interface ConfKeyMatch {
  readonly spec: ConfKeySpec;
  readonly module: string;
}

const exact = new Map<string, ConfKeyMatch>();
for (const spec of CONF_TABLE) {
  const modules = spec.key.startsWith("<module>") ? CONF_MODULES : [""];
  for (const module of modules) {
    const match = { spec, module };
    exact.set(fill(spec.key, module), match);
    for (const alias of spec.aliases) {
      for (const role of ["driver", "executor"]) exact.set(fill(alias, module, role), match);
    }
  }
}

/** What a key or an alias means; undefined for unknown ones. */
export function findConfKey(name: string): ConfKeyMatch | undefined {
  return exact.get(name);
}

/** Every name that `findConfKey` knows. */
export function confNames(): IterableIterator<string> {
  return exact.keys();
}

/** What an error text offers: the keys that take effect now. */
export function offeredConfKeys(): string {
  const keys = CONF_TABLE.filter(({ effect }) => effect === "now").map(({ key }) => key);
  return `${keys.join(", ")}; docs/conf.md lists all`;
}

/** A name of the table for one module and, for an alias, one role. */
export function fill(name: string, module: string, role = ""): string {
  return name.replace("<module>", module).replace("<role>", role);
}
