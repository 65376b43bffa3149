/**
 * The conf keys: the table from which values are checked and which docs/conf.md must repeat, together with those of
 * conf-block-keys.ts and conf-io-keys.ts. Keys are Spark's without `spark.` and the word `netty`; where Spark has the key, its
 * name is an alias.
 *
 * `<role>` in an alias stands for Spark's role of the process: `driver` or `executor`, by `spark.executor.id`.
 */
import type { SizeUnit, TimeUnit } from "./conf-values.js";
import {
  ASK_TIMEOUT_MS_DEFAULT,
  CONNECTIONS_MAX,
  CONNECTIONS_PER_ADDRESS_MAX,
  CRASH_WINDOW_MS,
  CRASHES_BLAMED_MAX,
  ENDPOINT_START_TIMEOUT_MS,
  FRAME_TIMEOUT_MS,
  HANDSHAKE_TIMEOUT_MS,
  INBOX_BYTES_DEFAULT,
  INBOX_BYTES_MAX,
  INBOX_BYTES_MIN,
  LIVENESS_LOOK_MS,
  LOOP_RING_BYTES,
  LOOPS_MAX,
  MESSAGE_BYTES_MAX,
  RESTART_DELAY_MS_MAX,
  RESTART_DELAY_MS_MIN,
  SPILL_BYTES_PER_ENDPOINT_MAX,
  SPILL_BYTES_PER_ENV_MAX,
  SPILL_MESSAGES_PER_ENDPOINT_MAX,
  TIMEOUT_MS_MAX,
  TURN_MESSAGES_DEFAULT,
  WRITE_STALL_MS,
} from "./limits.js";

/** now: read by this version. network: known, and read once environments talk to each other. none: nothing here reads it. */
export type ConfEffect = "now" | "network" | "none";

interface ConfKeyBase {
  readonly key: string;
  /** Spark's names, the one that wins first. The key itself wins over all of them. */
  readonly aliases: readonly string[];
  /** The key that is asked when neither key nor aliases are set. */
  readonly fallback?: string;
  readonly effect: ConfEffect;
  readonly meaning: string;
}

/** Bounds in milliseconds and bytes, both included; null: none but what the engine computes. */
export type ConfKeySpec = ConfKeyBase &
  (
    | { readonly kind: "count"; readonly default: number | null; readonly min: number; readonly max: number }
    | {
        readonly kind: "time";
        readonly bareUnit: TimeUnit;
        readonly default: number | null;
        readonly min: number;
        readonly max: number;
        /** `Infinity` is allowed and means no limit. */
        readonly infinite?: true;
      }
    | {
        readonly kind: "size";
        readonly bareUnit: SizeUnit;
        readonly default: number | null;
        readonly min: number;
        readonly max: number;
        readonly powerOfTwo?: true;
      }
    | { readonly kind: "flag"; readonly default: boolean }
    | { readonly kind: "text"; readonly default: string }
  );

const KIB = 1024;
const COUNT_MAX = 2 ** 31 - 1;
/** The least that a timeout can be told in: Spark's smallest unit. */
const TIME_MIN = 0.001;
const RING = { kind: "size", bareUnit: "b", min: INBOX_BYTES_MIN, max: INBOX_BYTES_MAX, powerOfTwo: true } as const;
const TIMEOUT = { kind: "time", bareUnit: "s", min: TIME_MIN, max: TIMEOUT_MS_MAX } as const;
const SHORT_TIME = { kind: "time", bareUnit: "s", min: 10, max: TIMEOUT_MS_MAX } as const;
const COUNT = { kind: "count", min: 0, max: COUNT_MAX } as const;

export const CONF_KEYS = [
  {
    key: "rpc.dispatcher.numThreads",
    kind: "count",
    default: null,
    min: 1,
    max: LOOPS_MAX - 1,
    aliases: ["spark.<role>.rpc.netty.dispatcher.numThreads", "spark.rpc.netty.dispatcher.numThreads"],
    effect: "now",
    meaning: "Shared message loops, that is worker threads. By default the cores this process may use, at least 2.",
  },
  {
    key: "rpc.dispatcher.throughput",
    kind: "count",
    default: TURN_MESSAGES_DEFAULT,
    min: 32,
    max: 65_536,
    aliases: [],
    effect: "now",
    meaning: "Messages that a loop takes in one turn before timers and sockets of its thread run.",
  },
  {
    key: "rpc.inbox.bytes",
    ...RING,
    default: INBOX_BYTES_DEFAULT,
    aliases: [],
    effect: "now",
    meaning: "An Inbox, where `setupEndpoint` does not say `inboxBytes`.",
  },
  {
    key: "rpc.loop.bytes",
    ...RING,
    default: LOOP_RING_BYTES,
    aliases: [],
    effect: "now",
    meaning: "Each loop's mailbox, and each loop's outbound ring.",
  },
  {
    key: "rpc.spill.messages",
    kind: "count",
    default: SPILL_MESSAGES_PER_ENDPOINT_MAX,
    min: 1,
    max: 10_000_000,
    aliases: [],
    effect: "now",
    meaning: "Messages that wait behind one full Inbox before an ask fails with ERR_RPC_INBOX_FULL.",
  },
  {
    key: "rpc.spill.bytes",
    kind: "size",
    bareUnit: "b",
    default: SPILL_BYTES_PER_ENDPOINT_MAX,
    min: 64 * KIB,
    max: 1024 ** 4,
    aliases: [],
    effect: "now",
    meaning: "Bytes of them, large bodies not yet fetched included. A message larger than that waits alone.",
  },
  {
    key: "rpc.spill.totalBytes",
    kind: "size",
    bareUnit: "b",
    default: SPILL_BYTES_PER_ENV_MAX,
    min: 64 * KIB,
    max: 1024 ** 4,
    aliases: [],
    effect: "now",
    meaning: "Bytes that wait behind all full rings of an environment.",
  },
  {
    key: "rpc.message.maxSize",
    kind: "size",
    bareUnit: "m",
    default: MESSAGE_BYTES_MAX,
    min: 1 * KIB,
    max: MESSAGE_BYTES_MAX,
    aliases: ["spark.rpc.message.maxSize"],
    effect: "now",
    meaning:
      "One encoded message; a larger one fails with ERR_RPC_MESSAGE_TOO_LARGE. From the network 16m unless it is set.",
  },
  {
    key: "rpc.exposeStacks",
    kind: "flag",
    default: false,
    aliases: [],
    effect: "now",
    meaning: "Errors of handlers travel to other environments with their stacks.",
  },
  {
    key: "rpc.askTimeout",
    ...TIMEOUT,
    infinite: true,
    default: ASK_TIMEOUT_MS_DEFAULT,
    aliases: ["spark.rpc.askTimeout"],
    fallback: "network.timeout",
    effect: "now",
    meaning: "An ask without `timeoutMs`.",
  },
  {
    key: "rpc.lookupTimeout",
    ...TIMEOUT,
    infinite: true,
    default: ASK_TIMEOUT_MS_DEFAULT,
    aliases: ["spark.rpc.lookupTimeout"],
    fallback: "network.timeout",
    effect: "now",
    meaning: "`setupEndpointRef` without `timeoutMs`, where it has to ask another thread.",
  },
  {
    key: "network.timeout",
    ...TIMEOUT,
    infinite: true,
    default: ASK_TIMEOUT_MS_DEFAULT,
    aliases: ["spark.network.timeout"],
    effect: "now",
    meaning: "For each timeout that names it as its fallback.",
  },
  {
    key: "rpc.startTimeout",
    ...TIMEOUT,
    default: ENDPOINT_START_TIMEOUT_MS,
    aliases: [],
    effect: "now",
    meaning: "The import of an endpoint's module, and then its constructor and onStart on all of its loops.",
  },
  {
    key: "rpc.handler.timeout",
    ...TIMEOUT,
    infinite: true,
    default: Number.POSITIVE_INFINITY,
    aliases: [],
    effect: "now",
    meaning: "A handler, where `setupEndpoint` does not say `handlerTimeoutMs`; then ERR_RPC_HANDLER_TIMEOUT.",
  },
  {
    key: "rpc.crash.maxBlamed",
    kind: "count",
    default: CRASHES_BLAMED_MAX,
    min: 1,
    max: 1_000,
    aliases: [],
    effect: "now",
    meaning: "Crashes of its thread and failed restarts, within `rpc.crash.window`, with which an endpoint is FAILED.",
  },
  {
    key: "rpc.crash.window",
    ...TIMEOUT,
    default: CRASH_WINDOW_MS,
    aliases: [],
    effect: "now",
    meaning: "How long a crash counts: for that, and for the next wait.",
  },
  {
    key: "rpc.restart.wait",
    ...TIMEOUT,
    min: 1,
    default: RESTART_DELAY_MS_MIN,
    aliases: [],
    effect: "now",
    meaning:
      "Before a thread that died is started again; doubled with each crash within `rpc.crash.window` of a start.",
  },
  {
    key: "rpc.restart.maxWait",
    ...TIMEOUT,
    min: 1,
    default: RESTART_DELAY_MS_MAX,
    aliases: [],
    effect: "now",
    meaning: "The longest of these waits, also the first.",
  },
  {
    key: "port.maxRetries",
    ...COUNT,
    max: 65_535,
    default: 16,
    aliases: ["spark.port.maxRetries"],
    effect: "now",
    meaning: "Ports tried after one that is taken.",
  },
  {
    key: "rpc.outbox.maxBytes",
    kind: "size",
    bareUnit: "b",
    default: 64 * KIB * KIB,
    min: 64 * KIB,
    max: 1024 ** 4,
    aliases: [],
    effect: "now",
    meaning: "Bytes that wait for connections and answers, of all peers together.",
  },
  {
    key: "rpc.liveness.interval",
    ...SHORT_TIME,
    default: LIVENESS_LOOK_MS,
    aliases: [],
    effect: "now",
    meaning: "Between two looks at who was heard of: silent for two, a peer is asked; silent for six, it is dead.",
  },
  {
    key: "rpc.frame.timeout",
    ...SHORT_TIME,
    default: FRAME_TIMEOUT_MS,
    aliases: [],
    effect: "now",
    meaning:
      "From the first byte of a frame to its last; who needs longer and brings less than 4 KiB a second of it loses the connection.",
  },
  {
    key: "rpc.write.timeout",
    ...SHORT_TIME,
    default: WRITE_STALL_MS,
    aliases: [],
    effect: "now",
    meaning: "A peer that takes less than 4 KiB a second of what waits for it, for so long, loses the connection.",
  },
  {
    key: "rpc.handshake.timeout",
    ...SHORT_TIME,
    default: HANDSHAKE_TIMEOUT_MS,
    aliases: [],
    effect: "now",
    meaning: "A handshake of TLS, at either end.",
  },
  {
    key: "rpc.connections.max",
    ...COUNT,
    min: 1,
    default: CONNECTIONS_MAX,
    aliases: [],
    effect: "now",
    meaning: "Connections that an environment has accepted; one more is closed at once.",
  },
  {
    key: "rpc.connections.maxPerAddress",
    ...COUNT,
    min: 1,
    default: CONNECTIONS_PER_ADDRESS_MAX,
    aliases: [],
    effect: "now",
    meaning: "... and of one address among them.",
  },
  {
    key: "network.timeoutInterval",
    ...TIMEOUT,
    default: 60_000,
    aliases: ["spark.network.timeoutInterval"],
    effect: "network",
    meaning: "Between two looks at whether peers are alive.",
  },
  {
    key: "io.mode.default",
    kind: "text",
    default: "NIO",
    aliases: ["spark.io.mode.default"],
    effect: "none",
    meaning: "libuv chooses: epoll, kqueue or IOCP.",
  },
  {
    key: "network.sharedByteBufAllocators.enabled",
    kind: "flag",
    default: true,
    aliases: ["spark.network.sharedByteBufAllocators.enabled"],
    effect: "none",
    meaning: "There are no allocators to share.",
  },
  {
    key: "rpc.connect.threads",
    ...COUNT,
    default: 64,
    aliases: ["spark.rpc.connect.threads"],
    effect: "none",
    meaning: "Connecting takes no threads.",
  },
  {
    key: "rpc.numRetries",
    ...COUNT,
    default: 3,
    aliases: ["spark.rpc.numRetries"],
    effect: "none",
    meaning: "Nothing is retried unasked, in Spark neither.",
  },
  {
    key: "rpc.retry.wait",
    kind: "time",
    bareUnit: "s",
    default: 3_000,
    min: 0,
    max: TIMEOUT_MS_MAX,
    aliases: ["spark.rpc.retry.wait"],
    effect: "none",
    meaning: "Nothing is retried unasked, in Spark neither.",
  },
] as const satisfies readonly ConfKeySpec[];
