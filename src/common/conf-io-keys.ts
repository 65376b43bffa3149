/**
 * The io keys: Spark's TransportConf has one set of them for each module that transfers something. `<module>` in a key
 * stands for one of CONF_MODULES.
 */
import type { ConfKeySpec } from "./conf-keys.js";
import { ASK_TIMEOUT_MS_DEFAULT, CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX } from "./limits.js";

/** Spark's names for who transfers something. */
export const CONF_MODULES = ["rpc", "shuffle", "files", "network"] as const;

const COUNT_MAX = 2 ** 31 - 1;
const COUNT = { kind: "count", min: 0, max: COUNT_MAX } as const;
/** As Spark: 0 and less switch the limit off. Infinity does, too, since the fallback of both may say it. */
const TIMEOUT = {
  kind: "time",
  bareUnit: "s",
  min: -TIMEOUT_MS_MAX,
  max: TIMEOUT_MS_MAX,
  infinite: true,
} as const;
/** As Spark: -1 leaves it to the system. */
const OR_SYSTEM = { kind: "count", default: -1, min: -1, max: COUNT_MAX } as const;

const SUFFIXES = [
  {
    suffix: "connectionTimeout",
    ...TIMEOUT,
    default: ASK_TIMEOUT_MS_DEFAULT,
    fallback: "network.timeout",
    effect: "now",
    meaning:
      "Silence of a connection with requests open, or in the middle of an upload, before it is given up; 0 or less: never.",
  },
  {
    suffix: "connectionCreationTimeout",
    ...TIMEOUT,
    default: CONNECT_TIMEOUT_MS_DEFAULT,
    fallback: "<module>.io.connectionTimeout",
    effect: "now",
    meaning: "Making a connection: name, connection and handshake together; 0 or less: no limit.",
  },
  {
    suffix: "numConnectionsPerPeer",
    ...COUNT,
    min: 1,
    default: 1,
    effect: "now",
    meaning: "Pooled connections to one peer. Of `rpc` always 1, for the order of messages; of `files` 8 unless set.",
  },
  {
    suffix: "backLog",
    ...OR_SYSTEM,
    effect: "now",
    meaning: "Connections that wait to be accepted.",
  },
  {
    suffix: "maxRetries",
    ...COUNT,
    default: 3,
    effect: "now",
    meaning: "Retries of a fetch of blocks after an I/O error.",
  },
  {
    suffix: "retryWait",
    kind: "time",
    bareUnit: "s",
    default: 5_000,
    min: 0,
    max: TIMEOUT_MS_MAX,
    effect: "now",
    meaning:
      "The wait before each of them; for 95 % of it after a failed connect, callers in a hurry are refused at once.",
  },
  {
    suffix: "enableTcpKeepAlive",
    kind: "flag",
    default: false,
    effect: "now",
    meaning: "SO_KEEPALIVE of accepted connections.",
  },
  {
    suffix: "mode",
    kind: "text",
    default: "NIO",
    fallback: "io.mode.default",
    effect: "none",
    meaning: "libuv chooses: epoll, kqueue or IOCP.",
  },
  {
    suffix: "preferDirectBufs",
    kind: "flag",
    default: true,
    effect: "none",
    meaning: "Buffers of Node.js lie outside the JavaScript heap anyway.",
  },
  {
    suffix: "threads",
    ...COUNT,
    default: 0,
    effect: "none",
    meaning: "All I/O is on the main thread.",
  },
  {
    suffix: "serverThreads",
    ...COUNT,
    default: 0,
    effect: "none",
    meaning: "All I/O is on the main thread.",
  },
  {
    suffix: "clientThreads",
    ...COUNT,
    default: 0,
    effect: "none",
    meaning: "All I/O is on the main thread.",
  },
  {
    suffix: "receiveBuffer",
    ...OR_SYSTEM,
    effect: "none",
    meaning: "Node.js cannot set it; the system tunes it.",
  },
  {
    suffix: "sendBuffer",
    ...OR_SYSTEM,
    effect: "none",
    meaning: "Node.js cannot set it; the system tunes it.",
  },
  {
    suffix: "lazyFD",
    kind: "flag",
    default: true,
    effect: "none",
    meaning: "Files are opened when they are sent.",
  },
  {
    suffix: "enableVerboseMetrics",
    kind: "flag",
    default: false,
    effect: "none",
    meaning: "They are Netty's.",
  },
] as const;

export const CONF_IO_KEYS: readonly ConfKeySpec[] = SUFFIXES.map(({ suffix, ...spec }) => ({
  ...spec,
  key: `<module>.io.${suffix}`,
  aliases: [`spark.<module>.io.${suffix}`],
}));
