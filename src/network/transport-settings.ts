/** What a transport is told by its configuration, as plain numbers. */
import {
  ASK_TIMEOUT_MS_DEFAULT,
  CONNECTIONS_MAX,
  CONNECTIONS_PER_ADDRESS_MAX,
  FRAME_OVERHEAD_BYTES_MAX,
  FRAME_TIMEOUT_MS,
  FRAMES_UNFINISHED_BYTES_MAX,
  NETWORK_MESSAGE_BYTES_MAX_DEFAULT,
  WRITE_STALL_MS,
} from "../common/limits.js";

export interface TransportSettings {
  /** Quiet with requests outstanding before a connection is given up; Infinity: never. */
  readonly connectionTimeoutMs: number;
  /** For name look-up, connection and handshake together; Infinity: no limit. */
  readonly connectionCreationTimeoutMs: number;
  /** Pooled connections to one peer. */
  readonly numConnectionsPerPeer: number;
  /** What retries wait; while a part of it has not passed after a failed connect, a caller in a hurry is refused at once. */
  readonly retryWaitMs: number;
  /** Connections that wait to be accepted; 0 or less leaves it to Node.js. */
  readonly backLog: number;
  /** SO_KEEPALIVE of accepted connections; opened ones have it. */
  readonly enableTcpKeepAlive: boolean;
  /** Ports tried after one that is taken. */
  readonly portMaxRetries: number;
  /** Chunks handed out and not sent, of all connections of a server; Infinity: no limit. */
  readonly maxChunksBeingTransferred: number;
  /** Longest frame that is read, its length included. */
  readonly frameBytesMax: number;
  /** Bytes held for frames that have not come whole, of all accepted connections; beyond it the one with most of them ends. */
  readonly unfinishedFrameBytesMax: number;
  /** Connections of a server. */
  readonly connectionsMax: number;
  /** ... and of one address among them. */
  readonly connectionsPerAddressMax: number;
  /** A frame has ended so long after its first byte, or has come at PEER_BYTES_PER_SECOND_MIN, and goes on to. */
  readonly frameTimeoutMs: number;
  /** How long a peer may take less than PEER_BYTES_PER_SECOND_MIN of what waits for it; Infinity: for ever. */
  readonly writeTimeoutMs: number;
}

/** Spark's defaults, and those of limits.ts. */
export const TRANSPORT_DEFAULTS: TransportSettings = {
  connectionTimeoutMs: ASK_TIMEOUT_MS_DEFAULT,
  connectionCreationTimeoutMs: ASK_TIMEOUT_MS_DEFAULT,
  numConnectionsPerPeer: 1,
  retryWaitMs: 5_000,
  backLog: -1,
  enableTcpKeepAlive: false,
  portMaxRetries: 16,
  maxChunksBeingTransferred: Number.POSITIVE_INFINITY,
  frameBytesMax: NETWORK_MESSAGE_BYTES_MAX_DEFAULT + FRAME_OVERHEAD_BYTES_MAX,
  unfinishedFrameBytesMax: FRAMES_UNFINISHED_BYTES_MAX,
  connectionsMax: CONNECTIONS_MAX,
  connectionsPerAddressMax: CONNECTIONS_PER_ADDRESS_MAX,
  frameTimeoutMs: FRAME_TIMEOUT_MS,
  writeTimeoutMs: WRITE_STALL_MS,
};
