/**
 * Options and conf become settings: checked, with their defaults, once. An option wins over the conf key of the same
 * meaning. Every refusal is ERR_RPC_INVALID_ARGUMENT naming the option or key, its value and its range.
 */
import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { checkOptions, type OptionKeys, shown } from "../common/check-options.js";
import { CONF_IO_KEYS } from "../common/conf-io-keys.js";
import type { RpcConfKey } from "../common/conf-names.js";
import { RpcError } from "../common/errors.js";
import {
  CONCURRENCY_DEFAULT,
  FILE_CONNECTIONS_PER_PEER,
  FILE_FRAME_BYTES_MAX,
  IN_FLIGHT_ENTRIES_PER_LOOP,
  INBOX_BYTES_MAX,
  INBOX_BYTES_MIN,
  isPowerOfTwo,
  LOOPS_MAX,
  NETWORK_MESSAGE_BYTES_MAX_DEFAULT,
  SHUTDOWN_TIMEOUT_MS_DEFAULT,
  TIMEOUT_MS_MAX,
} from "../common/limits.js";
import { RpcConf } from "../common/rpc-conf.js";
import { checkLookupOptions, checkShutdownOptions, checkTimeoutMs } from "../dispatcher/call-options.js";
import { checkEndpointName } from "../dispatcher/endpoint-refs.js";
import type { EngineSettings } from "../dispatcher/engine-settings.js";
import type { SecurityOptions } from "../network/create-security.js";
import { TransportConf } from "../network/transport-conf.js";
import { TRANSPORT_DEFAULTS, type TransportSettings } from "../network/transport-settings.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import { ENDPOINT_KINDS } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointKind, RpcEndpointOptions, RpcPeer } from "../rpc/rpc-endpoint-options.js";
import type { RpcEnvOptions, RpcLogger } from "../rpc/rpc-env.js";
import type { RpcLookupOptions, RpcShutdownOptions } from "../rpc/rpc-env-view.js";
import { availableCores } from "./available-cores.js";
import type { ListenSettings } from "./rpc-network.js";

const OPTION_KEYS: OptionKeys<RpcEnvOptions> = {
  name: true,
  host: true,
  port: true,
  advertiseHost: true,
  clientMode: true,
  numThreads: true,
  askTimeoutMs: true,
  secret: true,
  tls: true,
  appId: true,
  logger: true,
  conf: true,
};
const LOOPBACK_HOST = "127.0.0.1";
/** What an endpoint on the main thread may be told. */
const LOCAL_ENDPOINT_OPTION_KEYS: OptionKeys<Omit<RpcEndpointOptions, "kind" | "loop">> = {
  inboxBytes: true,
  concurrency: true,
  handlerTimeoutMs: true,
  throughput: true,
  allow: true,
};
const ENDPOINT_OPTION_KEYS: OptionKeys<RpcEndpointOptions & { args?: unknown }> = {
  ...LOCAL_ENDPOINT_OPTION_KEYS,
  args: true,
  loop: true,
  kind: true,
};
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** An env's options, checked. */
export interface EnvSettings {
  readonly name: string;
  readonly logger: RpcLogger | null;
  readonly loopCount: number;
  readonly throughput: number;
  readonly loopRingBytes: number;
  /** For endpoints that do not say. */
  readonly inboxBytes: number;
  readonly handlerTimeoutMs: number;
  readonly engine: EngineSettings;
  readonly network: NetworkSettings;
}

/** What of the options and the conf is about other nodes. */
export interface NetworkSettings {
  /** null: client mode. */
  readonly listen: ListenSettings | null;
  readonly transport: TransportSettings;
  /** The same for reading files of others. */
  readonly files: TransportSettings;
  readonly security: SecurityOptions;
  readonly outboxBytesMax: number;
  readonly livenessLookMs: number;
}

/** An endpoint's options, checked. */
export interface EndpointSettings {
  readonly inboxBytes: number;
  readonly concurrency: number;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  readonly throughput: number | undefined;
  readonly kind: RpcEndpointKind | undefined;
  readonly loop: number | undefined;
  readonly args: unknown;
  readonly allow: ((peer: RpcPeer) => boolean) | null;
}

/** Reads the options of `RpcEnv.create`, and tells its logger which conf keys change nothing. */
export function readEnvOptions(options: RpcEnvOptions): EnvSettings {
  checkOptions("RpcEnv.create", options, OPTION_KEYS);
  const conf = RpcConf.from(options.conf ?? {});
  const { name = "ringpost", logger, numThreads, askTimeoutMs } = options;
  if (typeof name !== "string") throw invalid(`name must be a string: name=${shown(name)}`);
  if (logger !== undefined) {
    checkLogger(logger);
    tellWithoutEffect(conf, logger);
  }
  return {
    name,
    logger: logger ?? null,
    loopCount: integer("numThreads", numThreads ?? conf.getCount("rpc.dispatcher.numThreads", availableCores()), LOOPS),
    throughput: conf.getCount("rpc.dispatcher.throughput"),
    loopRingBytes: conf.getSizeBytes("rpc.loop.bytes"),
    inboxBytes: conf.getSizeBytes("rpc.inbox.bytes"),
    handlerTimeoutMs: conf.getTimeMs("rpc.handler.timeout"),
    engine: {
      askTimeout:
        askTimeoutMs === undefined
          ? conf.getTimeout("rpc.askTimeout")
          : { ms: checkTimeoutMs(askTimeoutMs, "askTimeoutMs"), setBy: "askTimeoutMs" },
      lookupTimeout: conf.getTimeout("rpc.lookupTimeout"),
      messageBytesMax: conf.getSizeBytes("rpc.message.maxSize"),
      // What a peer sends costs memory before anybody has looked at it, so less of it is taken unless somebody says so.
      networkMessageBytesMax: conf.contains("rpc.message.maxSize")
        ? conf.getSizeBytes("rpc.message.maxSize")
        : NETWORK_MESSAGE_BYTES_MAX_DEFAULT,
      exposeStacks: conf.getFlag("rpc.exposeStacks"),
      startTimeoutMs: conf.getTimeMs("rpc.startTimeout"),
      spill: {
        messagesMax: conf.getCount("rpc.spill.messages"),
        bytesMax: conf.getSizeBytes("rpc.spill.bytes"),
        totalBytesMax: conf.getSizeBytes("rpc.spill.totalBytes"),
      },
      crashes: {
        blamedMax: conf.getCount("rpc.crash.maxBlamed"),
        windowMs: conf.getTimeMs("rpc.crash.window"),
        waitMs: conf.getTimeMs("rpc.restart.wait"),
        waitMsMax: conf.getTimeMs("rpc.restart.maxWait"),
      },
    },
    network: readNetworkOptions(options, conf),
  };
}

function readNetworkOptions(options: RpcEnvOptions, conf: RpcConf): NetworkSettings {
  const { host, port, advertiseHost, clientMode, secret, tls, appId } = options;
  if (clientMode !== undefined && typeof clientMode !== "boolean") {
    throw invalid(`clientMode must be true or false: clientMode=${shown(clientMode)}`);
  }
  const listens = host !== undefined || port !== undefined;
  if (clientMode === true && listens) {
    throw invalid(`an environment in client mode does not listen: leave host and port out, or clientMode`);
  }
  if (clientMode === false && !listens) throw invalid("an environment listens if host or port is given");
  if (advertiseHost !== undefined && (typeof advertiseHost !== "string" || !listens)) {
    throw invalid(
      `advertiseHost is a name for others, of an environment that listens: advertiseHost=${shown(advertiseHost)}`,
    );
  }
  const transport: TransportSettings = {
    ...TRANSPORT_DEFAULTS,
    ...new TransportConf("rpc", conf),
    connectionsMax: conf.getCount("rpc.connections.max"),
    connectionsPerAddressMax: conf.getCount("rpc.connections.maxPerAddress"),
    frameTimeoutMs: conf.getTimeMs("rpc.frame.timeout"),
    writeTimeoutMs: conf.getTimeMs("rpc.write.timeout"),
  };
  return {
    listen: listens ? { host: host ?? LOOPBACK_HOST, port: port ?? 0, advertiseHost } : null,
    transport,
    files: {
      ...transport,
      ...new TransportConf("files", filesConf(conf)),
      frameBytesMax: FILE_FRAME_BYTES_MAX,
    },
    security: { secret, tls, appId, handshakeTimeoutMs: conf.getTimeMs("rpc.handshake.timeout") },
    outboxBytesMax: conf.getSizeBytes("rpc.outbox.maxBytes"),
    livenessLookMs: conf.getTimeMs("rpc.liveness.interval"),
  };
}

/** As Spark: what is not set for files is as for messages, but for the number of connections, which order does not bind. */
function filesConf(conf: RpcConf): RpcConf {
  const files = conf.clone();
  const connections = "files.io.numConnectionsPerPeer";
  for (const { key } of CONF_IO_KEYS) {
    const ofFiles = key.replace("<module>", "files") as RpcConfKey;
    const set = conf.get(key.replace("<module>", "rpc") as RpcConfKey);
    if (!conf.contains(ofFiles) && set !== undefined) files.set(ofFiles, set);
  }
  if (!conf.contains(connections)) files.set(connections, FILE_CONNECTIONS_PER_PEER);
  return files;
}

/** Reads the options of `setupEndpoint`. `local`: of an instance or a service on the main thread. */
export function readEndpointOptions(
  name: string,
  options: RpcEndpointOptions & { args?: unknown },
  env: EnvSettings,
  local: boolean,
): EndpointSettings {
  checkOptions(`endpoint "${name}"`, options, local ? LOCAL_ENDPOINT_OPTION_KEYS : ENDPOINT_OPTION_KEYS);
  const { inboxBytes, concurrency, handlerTimeoutMs, throughput, kind, loop, args, allow } = options;
  if (allow !== undefined && typeof allow !== "function") {
    throw invalid(`allow must be a function of a peer: allow=${shown(allow)}`);
  }
  if (kind !== undefined && !ENDPOINT_KINDS.includes(kind)) {
    throw invalid(`kind must be one of ${ENDPOINT_KINDS.join(", ")}: kind=${shown(kind)}`);
  }
  return {
    inboxBytes: inboxBytes === undefined ? env.inboxBytes : ringBytes("inboxBytes", inboxBytes),
    concurrency: integer("concurrency", concurrency ?? CONCURRENCY_DEFAULT, [1, IN_FLIGHT_ENTRIES_PER_LOOP]),
    handlerTimeoutMs:
      handlerTimeoutMs === undefined ? env.handlerTimeoutMs : checkTimeoutMs(handlerTimeoutMs, "handlerTimeoutMs"),
    throughput: throughput === undefined ? undefined : integer("throughput", throughput, [1, 65_536]),
    kind,
    loop,
    args,
    allow: allow ?? null,
  };
}

/** Checks what a look-up was given. Throws its signal's reason when it is aborted already. */
export function checkLookup(address: RpcAddress | null, name: string, options: RpcLookupOptions | undefined): void {
  checkEndpointName(name);
  if (address !== null && (typeof address?.host !== "string" || !Number.isInteger(address.port))) {
    throw invalid(`an address has a host and a port: ${String(address)}; null means this environment`);
  }
  if (address !== null) RpcAddress.parse(RpcAddress.format(address));
  if (options === undefined) return;
  checkLookupOptions(options);
  options.signal?.throwIfAborted();
}

/** The time that `stop` and `shutdown` leave for the backlog. */
export function stopTimeoutMs(options: RpcShutdownOptions | undefined): number {
  if (options !== undefined) checkShutdownOptions(options);
  // A timer cannot be set to Infinity; 12 days are as good.
  return Math.min(options?.timeoutMs ?? SHUTDOWN_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX);
}

/** The URL of a module that was given as a file URL or an absolute path. */
export function moduleUrl(module: unknown): string {
  if (module instanceof URL || (typeof module === "string" && module.startsWith("file:"))) {
    const url = new URL(module);
    if (url.protocol === "file:") return pathToFileURL(fileURLToPath(url)).href;
  } else if (typeof module === "string" && isAbsolute(module)) {
    return pathToFileURL(module).href;
  }
  const shown =
    typeof module === "string" ? module : inspect(module, { depth: 0, breakLength: Number.POSITIVE_INFINITY });
  throw invalid(`a module is a file URL or an absolute path, such as new URL("./x.js", import.meta.url): ${shown}`);
}

const LOOPS: readonly [number, number] = [1, LOOPS_MAX - 1];

function tellWithoutEffect(conf: RpcConf, logger: RpcLogger): void {
  for (const { key, reason } of conf.withoutEffect) logger.info({ key, reason }, "conf key without effect");
  const { ignored } = conf;
  if (ignored.length > 0) logger.info({ keys: ignored }, "conf keys of Spark that mean nothing here");
}

function checkLogger(logger: RpcLogger): void {
  const missing = LOG_LEVELS.filter((level) => typeof (logger as Partial<RpcLogger> | null)?.[level] !== "function");
  if (missing.length > 0) throw invalid(`logger must have the functions ${LOG_LEVELS.join(", ")}; it lacks ${missing}`);
}

function integer(what: string, value: unknown, [min, max]: readonly [number, number]): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(`${what} must be an integer from ${min} to ${max}: ${what}=${shown(value)}`);
}

function ringBytes(what: string, value: number): number {
  if (isPowerOfTwo(value) && value >= INBOX_BYTES_MIN && value <= INBOX_BYTES_MAX) return value;
  const range = `a power of two from ${INBOX_BYTES_MIN} to ${INBOX_BYTES_MAX}`;
  throw invalid(`${what} must be ${range}: ${what}=${shown(value)}`);
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
