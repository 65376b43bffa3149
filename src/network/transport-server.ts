/**
 * TransportServer: accepts connections, so many of them in all and from one address, and gives each a channel.
 */
import type { Server, Socket } from "node:net";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import { bind } from "./bind.js";
import { hostPort } from "./dial.js";
import type { RpcHandler } from "./rpc-handler.js";
import type { TransportServerBootstrap } from "./transport-bootstrap.js";
import { type ChannelHost, TransportChannel } from "./transport-channel.js";
import type { PeerAddress, ReadyConnection, TransportSecurity } from "./transport-security.js";
import type { TransportSettings } from "./transport-settings.js";

export interface TransportServerOptions {
  /** 127.0.0.1 by default. */
  readonly host?: string;
  /** 0, any free one, by default. */
  readonly port?: number;
  /**
   * The application that a proven identity stands for: what `client.clientId` is, and what streams are checked against.
   * null: nothing is checked for this client. By default that of the secret (`appId` of `appId:keyId`), or the name in
   * the certificate. What it throws ends the connection. Not asked where nobody proves anything.
   */
  readonly clientIdOf?: (identity: string) => string | null;
  readonly bootstraps?: readonly TransportServerBootstrap[];
  /** A connection ended before it was one. */
  readonly onRefused?: (reason: RpcError, peer: PeerAddress) => void;
  /** A port was taken, and the next one is tried. */
  readonly onRetry?: (taken: PeerAddress, nextPort: number) => void;
}

const OPTION_KEYS: OptionKeys<TransportServerOptions> = {
  host: true,
  port: true,
  clientIdOf: true,
  bootstraps: true,
  onRefused: true,
  onRetry: true,
};

/** What a server has from its context. */
export interface TransportServerParts {
  readonly security: TransportSecurity;
  readonly settings: TransportSettings;
  readonly host: ChannelHost;
  readonly rpcHandler: RpcHandler;
}

export class TransportServer {
  readonly #parts: TransportServerParts;
  readonly #options: TransportServerOptions;
  readonly #server: Server;
  readonly #channels = new Set<TransportChannel>();
  readonly #socketsOf = new Map<string, number>();
  #sockets = 0;
  #refused = 0;
  #address: PeerAddress | null = null;
  #closed: Promise<void> | null = null;

  /** Not listening yet. Throws ERR_RPC_INVALID_ARGUMENT for an option that there is not. */
  constructor(parts: TransportServerParts, options: TransportServerOptions) {
    checkOptions("createServer", options, OPTION_KEYS);
    this.#parts = parts;
    this.#options = options;
    this.#server = parts.security.createServer({
      admit: (socket) => this.#admit(socket),
      ready: (connection) => this.#ready(connection),
      refused: (reason, peer) => {
        this.#refused++;
        options.onRefused?.(reason, peer);
      },
    });
  }

  /** Throws as `bind`. */
  async listen(): Promise<this> {
    const { settings, security, host } = this.#parts;
    this.#address = await bind(this.#server, {
      host: this.#options.host ?? "127.0.0.1",
      port: this.#options.port ?? 0,
      maxRetries: settings.portMaxRetries,
      backlog: settings.backLog,
      authenticates: security.authenticates,
      onRetry: this.#options.onRetry,
    });
    this.#server.on("error", (error) => host.logger.warn({ error }, "a listening socket failed"));
    return this;
  }

  /** Where it listens. */
  get address(): PeerAddress {
    if (this.#address === null) throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "the server does not listen yet");
    return this.#address;
  }

  get port(): number {
    return this.address.port;
  }

  /** Accepted connections that are open. */
  get connectionCount(): number {
    return this.#channels.size;
  }

  /** Connections that were turned away. */
  get refusedCount(): number {
    return this.#refused;
  }

  /** Its connections, for statistics and tests. */
  get channels(): Iterable<TransportChannel> {
    return this.#channels;
  }

  /** Stops listening, and ends the connections as `TransportClient.close` does. Resolves when all are gone. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const channel of this.#channels) channel.close();
    });
    return this.#closed;
  }

  #admit(socket: Socket): string | null {
    const { connectionsMax, connectionsPerAddressMax } = this.#parts.settings;
    const address = socket.remoteAddress ?? "unknown";
    const ofAddress = this.#socketsOf.get(address) ?? 0;
    if (this.#closed !== null) return "the server is closing";
    if (this.#sockets >= connectionsMax) return `too many connections: max=${connectionsMax}`;
    if (ofAddress >= connectionsPerAddressMax) {
      return `too many connections from ${address}: max=${connectionsPerAddressMax}`;
    }
    this.#sockets++;
    this.#socketsOf.set(address, ofAddress + 1);
    socket.once("close", () => this.#left(address));
    return null;
  }

  #left(address: string): void {
    const remaining = (this.#socketsOf.get(address) ?? 1) - 1;
    this.#sockets--;
    if (remaining === 0) this.#socketsOf.delete(address);
    else this.#socketsOf.set(address, remaining);
  }

  #ready(connection: ReadyConnection): void {
    const { host, security, settings } = this.#parts;
    if (settings.enableTcpKeepAlive) connection.socket.setKeepAlive(true);
    const channel = new TransportChannel(connection, this.#parts.rpcHandler, host);
    try {
      const { identity } = connection;
      if (identity !== null) {
        const clientIdOf = this.#options.clientIdOf ?? ((proven: string) => security.appIdOf(proven));
        const clientId = clientIdOf(identity);
        if (clientId !== null) channel.client.setClientId(clientId);
      }
      let { rpcHandler } = this.#parts;
      for (const bootstrap of this.#options.bootstraps ?? []) rpcHandler = bootstrap.doBootstrap(channel, rpcHandler);
      channel.rpcHandler = rpcHandler;
    } catch (error) {
      host.logger.warn({ error, peer: hostPort(channel.remoteAddress) }, "a connection could not be set up");
      connection.socket.destroy();
      return;
    }
    this.#channels.add(channel);
    connection.socket.once("close", () => this.#channels.delete(channel));
    channel.start();
    // It may have ended before anybody listened for that.
    if (connection.socket.closed) this.#channels.delete(channel);
  }
}
