/**
 * What the two handlers and the client of a connection see of it: the channel itself stands above them.
 */
import type { StreamInterceptor } from "./stream-interceptor.js";
import type { WriteQueue } from "./write-queue.js";

/** An end of a socket. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

export interface Connection {
  readonly remoteAddress: SocketAddress;
  readonly localAddress: SocketAddress;
  /** Who the peer proved to be in the handshake; null without one. */
  readonly identity: string | null;
  readonly queue: WriteQueue;
  /** False from the moment the connection has failed, been closed, or lost its socket. */
  readonly isActive: boolean;
  /** The bytes after the current frame are the interceptor's. Throws ERR_RPC_PROTOCOL while another one is reading. */
  intercept(interceptor: StreamInterceptor): void;
  /** A request was added: the time of quiet begins anew. */
  touch(): void;
  /** Writes what is queued, then ends. */
  close(): void;
  /** Ends at once; everything outstanding fails with the error. */
  fail(error: Error): void;
}

/** `host:port`, brackets around an IPv6 address. */
export function formatAddress({ host, port }: SocketAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
