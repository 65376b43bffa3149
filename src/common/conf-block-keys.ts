/** The keys of block transfer: fetchers, stores, and the services that hand blocks out. */
import type { ConfKeySpec } from "./conf-keys.js";

export const CONF_BLOCK_KEYS = [
  {
    key: "shuffle.maxChunksBeingTransferred",
    kind: "count",
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: Number.MAX_SAFE_INTEGER,
    aliases: ["spark.shuffle.maxChunksBeingTransferred"],
    effect: "now",
    meaning: "Chunks and streams that a server has under way to all peers; a request beyond them ends its connection.",
  },
  {
    key: "shuffle.useOldFetchProtocol",
    kind: "flag",
    default: false,
    aliases: ["spark.shuffle.useOldFetchProtocol"],
    effect: "now",
    meaning: "Shuffle blocks are asked for by their ids, as services of Spark 2 expect it.",
  },
  {
    key: "maxRemoteBlockSizeFetchToMem",
    kind: "size",
    bareUnit: "b",
    default: 200 * 1024 ** 2,
    min: 0,
    max: 2 ** 31 - 1 - 512,
    aliases: ["spark.maxRemoteBlockSizeFetchToMem"],
    effect: "now",
    meaning: "A block larger than this is uploaded as a stream. Whoever fetches says himself what goes into files.",
  },
] as const satisfies readonly ConfKeySpec[];
