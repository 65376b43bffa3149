/**
 * What the two handlers and the client of a connection see of it: the channel itself stands above them.
 */
import type { StreamInterceptor } from "./stream-interceptor.js";
import type { PeerAddress } from "./transport-security.js";
import type { WriteQueue } from "./write-queue.js";

export interface Connection {
  readonly remoteAddress: PeerAddress;
  readonly localAddress: PeerAddress;
  /** Who the peer proved to be in the handshake; null without one. */
  readonly identity: string | null;
  readonly queue: WriteQueue;
  /**
   * When the peer was last heard of, whatever it said; milliseconds of the context's clock. Now, while nobody listens to it
   * because the consumer of a stream is busy, or answers wait that it does not take: its silence says nothing then.
   */
  readonly lastReadMs: number;
  /** False from the moment the connection has failed, been closed, or lost its socket. */
  readonly isActive: boolean;
  /** The bytes after the current frame are the interceptor's. Throws ERR_RPC_PROTOCOL while another one is reading. */
  intercept(interceptor: StreamInterceptor): void;
  /** For a callback that is being given bytes: they are kept beyond the call, so they stay as they are. */
  keepBytes(): void;
  /** A request was added: the time of quiet begins anew. */
  touch(): void;
  /** Writes what is queued, then ends. Nothing more is read; what is outstanding fails, with the reason if there is one. */
  close(reason?: Error): void;
  /** Ends at once; everything outstanding fails with the error. */
  fail(error: Error): void;
}
