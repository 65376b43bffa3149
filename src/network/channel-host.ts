/** What a channel has from its context. */
import type { Clock } from "../common/clock.js";
import type { RpcError } from "../common/errors.js";
import type { TransportLogger } from "./transport-logger.js";
import type { PeerAddress } from "./transport-security.js";
import type { UnfinishedFrames } from "./unfinished-frames.js";

/** What the context sees of a channel. */
export interface SweptChannel {
  /** Ends what has been quiet, stuck or closing for too long. */
  sweep(nowMs: number): void;
}

/** What all connections of a context share. */
export interface ChannelHost {
  readonly clock: Clock;
  readonly logger: TransportLogger;
  readonly frameBytesMax: number;
  /** Quiet with requests outstanding, or with none where `closeIdleConnections`; Infinity: never too long. */
  readonly connectionTimeoutMs: number;
  /** See TransportSettings. */
  readonly frameTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly closeIdleConnections: boolean;
  readonly maxChunksBeingTransferred: number;
  /** Who counts what is held for unfinished frames; null: nobody, what comes was asked for. */
  readonly unfinishedFrames: UnfinishedFrames | null;
  /** What an error of a socket means, where it is about security. */
  explain(error: Error, peer: PeerAddress): RpcError | null;
  opened(channel: SweptChannel): void;
  closed(channel: SweptChannel): void;
}
