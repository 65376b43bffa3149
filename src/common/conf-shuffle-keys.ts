/** The keys of the shuffle service and of who asks it. */

import { SHUFFLE_INDEX_CACHE_BYTES_DEFAULT } from "./block-limits.js";
import type { ConfKeySpec } from "./conf-keys.js";
import { TIMEOUT_MS_MAX } from "./limits.js";

export const CONF_SHUFFLE_KEYS = [
  {
    key: "shuffle.service.port",
    kind: "count",
    default: 7_337,
    min: 0,
    max: 65_535,
    aliases: ["spark.shuffle.service.port"],
    effect: "now",
    meaning: "Where a shuffle service listens; 0: any port that is free.",
  },
  {
    key: "shuffle.service.db.enabled",
    kind: "flag",
    default: true,
    aliases: ["spark.shuffle.service.db.enabled"],
    effect: "now",
    meaning: "A shuffle service that is given a file for it keeps there which executors have registered.",
  },
  {
    key: "shuffle.service.index.cache.size",
    kind: "size",
    bareUnit: "b",
    default: SHUFFLE_INDEX_CACHE_BYTES_DEFAULT,
    min: 0,
    max: 1024 ** 4,
    aliases: ["spark.shuffle.service.index.cache.size"],
    effect: "now",
    meaning: "Index files that a shuffle service keeps in memory.",
  },
  {
    key: "shuffle.service.fetch.rdd.enabled",
    kind: "flag",
    default: false,
    aliases: ["spark.shuffle.service.fetch.rdd.enabled"],
    effect: "now",
    meaning: "Blocks of RDDs on disk stay when their executor goes, to be fetched from the shuffle service.",
  },
  {
    key: "shuffle.registration.timeout",
    kind: "time",
    bareUnit: "ms",
    default: 5_000,
    min: 1,
    max: TIMEOUT_MS_MAX,
    aliases: ["spark.shuffle.registration.timeout"],
    effect: "now",
    meaning: "An executor's registration with a shuffle service, one attempt.",
  },
  {
    key: "shuffle.registration.maxAttempts",
    kind: "count",
    default: 3,
    min: 1,
    max: 1_000,
    aliases: ["spark.shuffle.registration.maxAttempts"],
    effect: "now",
    meaning: "Attempts of it while the service cannot be reached, `shuffle.io.retryWait` apart.",
  },
] as const satisfies readonly ConfKeySpec[];
