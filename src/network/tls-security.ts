/**
 * TlsSecurity: connections that begin with a handshake of TLS 1.3. Whose proof counts is a matter of its credentials; see
 * docs/security.md.
 */
import type { Server, Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { CERTIFICATE_VERDICT_MS, HANDSHAKE_TIMEOUT_MS } from "../common/limits.js";
import type { Credentials, TlsError } from "./credentials.js";
import { dialTcp, hostPort, untilOr } from "./dial.js";
import { commonReason, dialRefusal } from "./tls-errors.js";
import { TlsListener } from "./tls-listener.js";
import type {
  AcceptHooks,
  DialOptions,
  PeerAddress,
  ReadyConnection,
  TransportSecurity,
} from "./transport-security.js";

export class TlsSecurity implements TransportSecurity {
  readonly authenticates = true;
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  readonly #handshakeTimeoutMs: number;

  /** @param handshakeTimeoutMs at either end. */
  constructor(credentials: Credentials, clock: Clock, handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS) {
    this.#credentials = credentials;
    this.#clock = clock;
    this.#handshakeTimeoutMs = handshakeTimeoutMs;
  }

  createServer(hooks: AcceptHooks): Server {
    return new TlsListener(this.#credentials, hooks, this.#clock, this.#handshakeTimeoutMs);
  }

  async connect(options: DialOptions): Promise<ReadyConnection> {
    const startedAt = this.#clock.now();
    const raw = await dialTcp(options, this.#clock);
    const leftMs = options.timeoutMs - (this.#clock.now() - startedAt);
    return this.#handshake(raw, { ...options, timeoutMs: Math.max(0, Math.min(leftMs, this.#handshakeTimeoutMs)) });
  }

  appIdOf(identity: string): string | null {
    return this.#credentials.appIdOf(identity);
  }

  explain(error: TlsError, peer: PeerAddress): RpcError | null {
    if (error.code?.startsWith("ERR_SSL_") !== true) return null;
    return dialRefusal(peer, commonReason(error) ?? this.#credentials.whyFailed(error), error);
  }

  async #handshake(raw: Socket, target: DialOptions): Promise<ReadyConnection> {
    const credentials = this.#credentials;
    const socket = connectTls({ socket: raw, ...credentials.clientOptions(target) });
    await untilOr(socket, target, this.#clock, {
      event: "secureConnect",
      failed: (error) => this.#failure(error, target),
      late: () => {
        const why = `the peer took the connection and does not go on with the handshake: timeoutMs=${target.timeoutMs}`;
        return dialRefusal(target, why, null, true);
      },
    });
    const identified = credentials.identifyServer(socket);
    if ("why" in identified) {
      socket.destroy();
      throw dialRefusal(target, identified.why, null);
    }
    if (credentials.judgedLate) await this.#verdict(socket, target);
    return { socket, identity: identified.identity };
  }

  /**
   * A client of TLS 1.3 is done before its server has looked at the client's certificate. A server that accepts it sends
   * a session ticket; one that does not ends the connection. To go on at once would lose what is sent in between.
   */
  async #verdict(socket: TLSSocket, target: DialOptions): Promise<void> {
    await untilOr(socket, { ...target, timeoutMs: CERTIFICATE_VERDICT_MS }, this.#clock, {
      event: "session",
      late: () => null,
      failed: (error) => {
        const why =
          "the peer ended the connection when it saw this side's certificate; its log says what is wrong with it";
        return error === null || isReset(error) ? dialRefusal(target, why, error) : this.#failure(error, target);
      },
    });
    // The event comes out of OpenSSL while it reads: what were written now would stay there until something else comes.
    await new Promise<void>((resolve) => this.#clock.setImmediate(resolve));
  }

  #failure(error: TlsError | null, target: DialOptions): RpcError {
    const { host, port } = target;
    if (error?.code === "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR") {
      const busy = `failed to connect to ${hostPort(target)}: it has no room for another handshake now`;
      return new RpcError("ERR_RPC_CONNECT", busy, { cause: error, address: { host, port } });
    }
    if (error === null || isReset(error)) {
      // It may as well have died just now, hence retryable.
      const why =
        "the peer ended the connection in the handshake: it was set up without `secret` and `tls`, or it is busy";
      return dialRefusal(target, why, error, true);
    }
    return dialRefusal(target, commonReason(error) ?? this.#credentials.whyFailed(error), error);
  }
}

function isReset({ code }: TlsError): boolean {
  return code === "ECONNRESET" || code === "EPIPE";
}
