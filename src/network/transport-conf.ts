/**
 * TransportConf: the settings of one module of the transport. Spark has one set of keys for each module that transfers
 * something, `spark.<module>.io.…`; here they are read once, in milliseconds and bytes.
 */
import { CONF_MODULES } from "../common/conf-io-keys.js";
import { RpcError } from "../common/errors.js";
import { FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES_MAX, NETWORK_MESSAGE_BYTES_MAX_DEFAULT } from "../common/limits.js";
import { RpcConf, type RpcConfValues } from "../common/rpc-conf.js";

/** Who transfers something: the messages of environments, blocks, files, or whoever uses the transport by itself. */
export type TransportModule = (typeof CONF_MODULES)[number];

export class TransportConf {
  readonly module: TransportModule;
  /** Silence of a connection with requests open before it is given up; Infinity: never. */
  readonly connectionTimeoutMs: number;
  /** Making a connection, name look-up and handshake included; Infinity: no limit. */
  readonly connectionCreationTimeoutMs: number;
  /** Pooled connections to one peer; 1 for messages, whose order is that of one connection. */
  readonly numConnectionsPerPeer: number;
  /** Connections that wait to be accepted; -1 leaves it to the system. */
  readonly backLog: number;
  readonly enableTcpKeepAlive: boolean;
  /** After a failed connect this passes before the next; callers in a hurry are refused meanwhile. */
  readonly retryWaitMs: number;
  /** Retries of a fetch after an I/O error. */
  readonly maxRetries: number;
  /** Chunks and streams under way to all peers of a server. */
  readonly maxChunksBeingTransferred: number;
  /** Shuffle blocks are asked for by their ids, as Spark 2 does. */
  readonly useOldFetchProtocol: boolean;
  /** A larger block goes as a stream. */
  readonly maxRemoteBlockSizeFetchToMemBytes: number;
  /** Ports tried after one that is taken. */
  readonly portMaxRetries: number;
  /** Longest frame that is read, its length included. */
  readonly frameBytesMax: number;
  /** How long a peer may take next to nothing of what waits for it. Who transfers may be busy for as long as he may be quiet. */
  readonly writeTimeoutMs: number;

  /** Throws ERR_RPC_INVALID_ARGUMENT for a module that is none; the conf's values were checked when they were set. */
  constructor(module: TransportModule, values: RpcConf | RpcConfValues = {}) {
    if (!CONF_MODULES.includes(module)) {
      const text = `a transport is that of ${CONF_MODULES.join(", ")}: module=${String(module)}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    const conf = RpcConf.from(values);
    this.module = module;
    this.connectionTimeoutMs = positiveOrInfinite(conf.getTimeMs(`${module}.io.connectionTimeout`));
    this.connectionCreationTimeoutMs = positiveOrInfinite(conf.getTimeMs(`${module}.io.connectionCreationTimeout`));
    this.numConnectionsPerPeer = module === "rpc" ? 1 : conf.getCount(`${module}.io.numConnectionsPerPeer`);
    this.backLog = conf.getCount(`${module}.io.backLog`);
    this.enableTcpKeepAlive = conf.getFlag(`${module}.io.enableTcpKeepAlive`);
    this.retryWaitMs = conf.getTimeMs(`${module}.io.retryWait`);
    this.maxRetries = conf.getCount(`${module}.io.maxRetries`);
    this.maxChunksBeingTransferred = conf.getCount("shuffle.maxChunksBeingTransferred");
    this.useOldFetchProtocol = conf.getFlag("shuffle.useOldFetchProtocol");
    this.maxRemoteBlockSizeFetchToMemBytes = conf.getSizeBytes("maxRemoteBlockSizeFetchToMem");
    this.portMaxRetries = conf.getCount("port.maxRetries");
    this.writeTimeoutMs = module === "rpc" ? conf.getTimeMs("rpc.write.timeout") : this.connectionTimeoutMs;
    this.frameBytesMax = module === "rpc" ? messageBytesMax(conf) + FRAME_OVERHEAD_BYTES_MAX : FRAME_BYTES_MAX;
  }
}

/** Spark's timeouts are switched off by 0 and less. */
function positiveOrInfinite(ms: number): number {
  return ms > 0 ? ms : Number.POSITIVE_INFINITY;
}

/** What processes send each other on one machine may be larger than what comes from elsewhere, unless someone says so. */
function messageBytesMax(conf: RpcConf): number {
  return conf.contains("rpc.message.maxSize")
    ? conf.getSizeBytes("rpc.message.maxSize")
    : NETWORK_MESSAGE_BYTES_MAX_DEFAULT;
}
