/**
 * TransportSecurity: how a connection comes about and whom it leads to. A transport has one of them and never looks
 * behind it: it gets sockets on which the first byte that it reads is already the peer's first frame. Without a secret
 * or a certificate that is the bare socket (here); with one it is the socket behind a finished TLS handshake
 * (tls-security.ts), so nothing of ours is parsed before a peer has proved who it is.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { dialTcp } from "./dial.js";

/** A connection that may carry frames. */
export interface ReadyConnection {
  /**
   * Its bytes come through `SocketReads.of` it, where there are some, else by its events. Nothing listens to them before
   * its owner does, and it is not paused. It may be destroyed already. An error of it ends no process, listened to or not;
   * see `explain` for what one means.
   */
  readonly socket: Socket;
  /** Who the peer proved to be: `appId:keyId`, or a name of its certificate; null where nobody proves anything. */
  readonly identity: string | null;
}

/** What a listener tells its owner. */
export interface AcceptHooks {
  /**
   * A connection was accepted; no byte of it was read. A text refuses it with that reason. The socket is the one of TCP:
   * its `close` comes for every connection, whatever becomes of the handshake, and destroying it ends a handshake.
   */
  admit(socket: Socket): string | null;
  ready(connection: ReadyConnection): void;
  /** A connection ended before it was ready: not admitted, too many handshakes, or a handshake that failed. */
  refused(reason: RpcError, peer: PeerAddress): void;
}

/** The far end of a connection, as TCP knows it. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  /** For name look-up, connection and handshake together. Infinity: no limit. */
  readonly timeoutMs: number;
  /** Gives the attempt up; it then fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface TransportSecurity {
  /** True when no peer gets through that has not proved itself: what a bind beyond loopback needs. */
  readonly authenticates: boolean;

  /** A server that does not listen yet; see `bind`. Its own `connection` event is not for the owner. */
  createServer(hooks: AcceptHooks): Server;

  /**
   * Throws ERR_RPC_CONNECT when the peer cannot be reached in time, ERR_RPC_AUTH when it can and the two do not come to
   * terms: the text says which side is wrong, as far as this side can know.
   */
  connect(options: DialOptions): Promise<ReadyConnection>;

  /** The application that a proven identity stands for: that of a secret, or the name in a certificate; null: none. */
  appIdOf(identity: string): string | null;

  /**
   * What an error of a ready socket means, where it is about security: a server of TLS 1.3 that refuses a certificate
   * says so after the handshake. null for any other error.
   */
  explain(error: Error, peer: PeerAddress): RpcError | null;
}

/** Sockets as they are: for loopback, and for networks where something else keeps strangers out. */
export class PlaintextSecurity implements TransportSecurity {
  readonly authenticates = false;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  createServer(hooks: AcceptHooks): Server {
    return createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => {});
      if (admitted(socket, hooks)) hooks.ready({ socket, identity: null });
    });
  }

  async connect(options: DialOptions): Promise<ReadyConnection> {
    const socket = await dialTcp(options, this.#clock, true);
    return { socket, identity: null };
  }

  appIdOf(): null {
    return null;
  }

  explain(): null {
    return null;
  }
}

/** Asks the owner whether it takes an accepted connection; ends one that it does not take. */
export function admitted(socket: Socket, hooks: AcceptHooks): boolean {
  const refusal = hooks.admit(socket);
  if (refusal === null) return true;
  const peer = peerOf(socket);
  socket.destroy();
  hooks.refused(new RpcError("ERR_RPC_CONNECT", refusal, { address: peer }), peer);
  return false;
}

/** Where a socket leads. A connection that is gone already has no address any more. */
export function peerOf(socket: Socket): PeerAddress {
  return { host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 };
}
