/**
 * TlsListener: takes connections through the handshake before anybody sees them.
 *
 * accept ─ admit? ─ first byte a hello? ─ handshake ─ whom does it lead to? ─ ready
 *            └────────────┴──────────────────┴────────────────┴─────────── refused, connection closed
 *
 * Every connection has one time limit for all of it, and only so many may be on the way at a time, and of one address:
 * those who never come to the end cost a socket and a timer each, and one of them must not keep everybody else out. The
 * server that listens is one of TCP; the one of TLS is fed by hand, so that who is not admitted costs no handshake, and
 * who does not speak TLS gets an answer that says so.
 */
import { Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { HANDSHAKES_PENDING_MAX, HANDSHAKES_PENDING_PER_ADDRESS_MAX } from "../common/limits.js";
import type { Credentials, TlsError } from "./credentials.js";
import {
  ALERT_INTERNAL_ERROR,
  ALERT_PROTOCOL_VERSION,
  acceptRefusal,
  commonReason,
  TLS_HANDSHAKE_BYTE,
} from "./tls-errors.js";
import { type AcceptHooks, admitted, type PeerAddress, peerOf } from "./transport-security.js";

/** A connection on its way through the handshake. */
interface Pending {
  readonly raw: Socket;
  readonly peer: PeerAddress;
  /** Ends the wait; false when it was over already, and its outcome told. */
  end(): boolean;
}

export class TlsListener extends Server {
  readonly #tls: TlsServer;
  readonly #credentials: Credentials;
  readonly #hooks: AcceptHooks;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** By the far end, which is known at both ends of a handshake: as long as a connection is open no other has it. */
  readonly #pending = new Map<string, Pending>();

  constructor(credentials: Credentials, hooks: AcceptHooks, clock: Clock, timeoutMs: number) {
    super({ noDelay: true });
    this.#credentials = credentials;
    this.#hooks = hooks;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    // Its own limit of time would run on another clock than ours.
    this.#tls = createTlsServer({ ...credentials.serverOptions, handshakeTimeout: 10 * timeoutMs });
    this.#tls.on("secureConnection", (socket) => this.#secured(socket));
    this.#tls.on("tlsClientError", (error, socket) => this.#failed(error, socket));
    this.on("connection", (raw) => this.#accepted(raw));
  }

  /** Stops listening. A handshake that is under way ends, as there is nothing any more that it could lead to. */
  override close(callback?: (error?: Error) => void): this {
    super.close(callback);
    for (const pending of this.#pending.values()) this.#refuse(pending, "the server is closing", null);
    return this;
  }

  #accepted(raw: Socket): void {
    raw.on("error", ignore);
    if (!admitted(raw, this.#hooks)) return;
    const peer = peerOf(raw);
    const key = keyOf(raw);
    const busy = this.#whyBusy(peer);
    if (busy !== null) {
      raw.write(ALERT_INTERNAL_ERROR);
      raw.destroy();
      this.#hooks.refused(new RpcError("ERR_RPC_CONNECT", busy, { address: peer }), peer);
      return;
    }
    const timer = this.#clock.setTimeout(() => {
      this.#refuse(pending, `it did not finish the handshake: timeoutMs=${this.#timeoutMs}`, null);
    }, this.#timeoutMs);
    const pending: Pending = {
      raw,
      peer,
      end: () => {
        this.#clock.clearTimeout(timer);
        return this.#pending.delete(key);
      },
    };
    this.#pending.set(key, pending);
    raw.once("data", (chunk) => this.#begun(pending, chunk));
    raw.once("close", () => this.#refuse(pending, "it was closed before the handshake was done", null));
  }

  /** Null: there is room for a handshake with this peer. */
  #whyBusy({ host }: PeerAddress): string | null {
    const begins = "too many connections";
    if (this.#pending.size >= HANDSHAKES_PENDING_MAX) {
      return `${begins} are in the middle of a handshake: max=${HANDSHAKES_PENDING_MAX}`;
    }
    let ofAddress = 0;
    for (const { peer } of this.#pending.values()) if (peer.host === host) ofAddress++;
    if (ofAddress < HANDSHAKES_PENDING_PER_ADDRESS_MAX) return null;
    return `${begins} from ${host} are in the middle of a handshake: max=${HANDSHAKES_PENDING_PER_ADDRESS_MAX}`;
  }

  #begun(pending: Pending, chunk: Uint8Array): void {
    const { raw } = pending;
    raw.pause();
    if (chunk[0] !== TLS_HANDSHAKE_BYTE) {
      raw.write(ALERT_PROTOCOL_VERSION);
      const begins = Buffer.from(chunk.subarray(0, 16)).toString("hex");
      const why = `it does not speak TLS, so it was set up without \`secret\` and \`tls\`; it begins with 0x${begins}`;
      this.#refuse(pending, why, null);
      return;
    }
    raw.unshift(chunk);
    this.#tls.emit("connection", raw);
  }

  #secured(socket: TLSSocket): void {
    socket.on("error", ignore);
    const pending = this.#pending.get(keyOf(socket));
    if (pending === undefined) {
      // Its connection is closed already.
      socket.destroy();
      return;
    }
    const identified = this.#credentials.identifyClient(socket);
    if ("why" in identified) {
      this.#refuse(pending, identified.why, null, socket);
      return;
    }
    pending.end();
    this.#hooks.ready({ socket, identity: identified.identity });
  }

  #failed(error: TlsError, socket: TLSSocket): void {
    socket.on("error", ignore);
    const pending = this.#pending.get(keyOf(socket));
    if (pending === undefined) return;
    this.#refuse(pending, commonReason(error) ?? this.#credentials.whyRefused(error, socket), error);
  }

  #refuse(pending: Pending, why: string, cause: Error | null, socket: Socket = pending.raw): void {
    if (!pending.end()) return;
    socket.destroy();
    this.#hooks.refused(acceptRefusal(pending.peer, why, cause), pending.peer);
  }
}

/** Both ends: a server on several addresses may have the same far end twice. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}

function ignore(): void {}
