/**
 * RpcNetwork: an env's way to other nodes, put together: the transport below, Outboxes and peers between, the Dispatcher
 * above. Main thread only.
 *
 * listen (server mode only) → start, when there is a Dispatcher → stop, in two steps: nothing new goes out; connections end.
 */
import { assert } from "../common/assert.js";
import type { Clock } from "../common/clock.js";
import { isRpcError, RpcError } from "../common/errors.js";
import type { RpcTimeout } from "../common/rpc-conf.js";
import type { DispatcherNetwork, DispatcherSide } from "../dispatcher/dispatcher-options.js";
import { RefTarget } from "../dispatcher/ref-poster.js";
import { remainingMs } from "../dispatcher/running-handler.js";
import { RecordKind } from "../inbox/record.js";
import { NoOpRpcHandler } from "../network/no-op-rpc-handler.js";
import type { TransportClientFactory } from "../network/transport-client-factory.js";
import { TransportContext } from "../network/transport-context.js";
import type { TransportSecurity } from "../network/transport-security.js";
import type { TransportServer } from "../network/transport-server.js";
import type { TransportSettings } from "../network/transport-settings.js";
import { formatEndpointUri } from "../rpc/endpoint-uri.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcLogger, RpcPeerStats } from "../rpc/rpc-env.js";
import { readVerified, VERIFIER_ENDPOINT, type VerifiedEndpoint } from "./built-in-endpoints.js";
import { EnvRpcHandler } from "./env-rpc-handler.js";
import { FileChannels } from "./file-channels.js";
import { FileServer } from "./file-server.js";
import { NetworkGateway } from "./network-gateway.js";
import { OutboxState } from "./outbox.js";
import { Outboxes } from "./outboxes.js";
import type { PeerConnection } from "./peer-connection.js";
import { Peers } from "./peers.js";
import { RemotePoster } from "./remote-poster.js";

/** What of the network the env's users and endpoints are told. */
export interface NetworkEvents {
  connected(address: RpcAddress): void;
  disconnected(address: RpcAddress): void;
  networkError(error: RpcError, address: RpcAddress): void;
  /** A connection was refused before it was one. */
  refused(error: RpcError): void;
}

export interface RpcNetworkOptions {
  readonly envId: string;
  readonly clock: Clock;
  readonly settings: TransportSettings;
  /** For the connections over which files of others are read. */
  readonly files: TransportSettings;
  readonly security: TransportSecurity;
  readonly logger: RpcLogger | null;
  readonly outboxBytesMax: number;
  /** Between two looks at who was heard of, in milliseconds. */
  readonly livenessLookMs: number;
  readonly events: NetworkEvents;
}

/** What the env itself does for its network. */
export interface RpcNetworkRunning {
  readonly askTimeout: RpcTimeout;
  readonly onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void;
  /** What its verifier says of an endpoint. */
  readonly verify: (name: string) => VerifiedEndpoint | false;
}

/** Where an env listens, by its options. */
export interface ListenSettings {
  readonly host: string;
  readonly port: number;
  /** What others are told in place of `host`. */
  readonly advertiseHost: string | undefined;
}

export class RpcNetwork {
  readonly fileServer = new FileServer(() => this.#address);
  readonly fileChannels: FileChannels;
  readonly #options: RpcNetworkOptions;
  readonly #context: TransportContext;
  readonly #handler = new EnvRpcHandler();
  readonly #factory: TransportClientFactory;
  readonly #peers: Peers;
  #server: TransportServer | null = null;
  #address: RpcAddress | null = null;
  #started: {
    readonly outboxes: Outboxes;
    readonly poster: RemotePoster;
    readonly tellEndpoints: DispatcherSide;
  } | null = null;
  #stopping = false;

  constructor(options: RpcNetworkOptions) {
    const { clock, settings, files, security, logger, events } = options;
    this.#options = options;
    const shared = { clock, security, ...(logger === null ? {} : { logger }) };
    this.#context = new TransportContext({ ...shared, rpcHandler: this.#handler, settings });
    this.#factory = this.#context.createClientFactory();
    const downloads = new TransportContext({ ...shared, rpcHandler: new NoOpRpcHandler(), settings: files });
    this.fileChannels = new FileChannels({ clock, settings: files, factory: downloads.createClientFactory() });
    this.#peers = new Peers({
      clock,
      lookMs: options.livenessLookMs,
      connected: (address) => {
        if (this.#stopping) return;
        events.connected(address);
        this.#started?.tellEndpoints.postEvent(["onConnected", address, null]);
      },
      disconnected: (address) => {
        // Whoever shuts down is not told that he has.
        if (this.#stopping) return;
        events.disconnected(address);
        this.#started?.tellEndpoints.postEvent(["onDisconnected", address, null]);
      },
      probe: (connection) => this.#running.outboxes.probe(connection),
    });
  }

  /** Where it listens; null: nowhere. */
  get address(): RpcAddress | null {
    return this.#address;
  }

  /** Rejects with ERR_RPC_BIND, ERR_RPC_INSECURE_BIND, ERR_RPC_INVALID_ARGUMENT. */
  async listen({ host, port, advertiseHost }: ListenSettings): Promise<void> {
    const { events, logger } = this.#options;
    this.#server = await this.#context.createServer({
      host,
      port,
      onRefused: (reason) => events.refused(reason),
      onRetry: (taken, next) => logger?.warn({ port: taken.port, next }, "port is taken, the next one is tried"),
    });
    const bound = this.#server.address;
    this.#address = RpcAddress.parse(
      `ringpost://${RpcAddress.hostPort({ ...bound, host: advertiseHost ?? bound.host })}`,
    );
  }

  /** Called once, by the Dispatcher that is being made. */
  start(dispatcher: DispatcherSide, running: RpcNetworkRunning): DispatcherNetwork {
    const { clock, envId, outboxBytesMax } = this.#options;
    const { networkCodec } = dispatcher.codecs;
    const peers = this.#peers;
    networkCodec.encode(VERIFIER_ENDPOINT);
    const outboxes = new Outboxes({
      envId: new TextEncoder().encode(envId),
      address: this.#address,
      remainingMs: (deadline) => (deadline === 0 ? Number.POSITIVE_INFINITY : remainingMs(deadline, clock.now())),
      waitingBytesMax: outboxBytesMax,
      connect: (address) => this.#connect(address),
      connectionOf: (id) => peers.of(id),
      verifierName: networkCodec.bytes.slice(0, networkCodec.length),
    });
    const { onDeadLetter, askTimeout } = running;
    const poster = new RemotePoster({
      clock,
      codec: networkCodec,
      outboxes,
      running: dispatcher.running,
      askTimeout,
      onDeadLetter,
    });
    this.#started = { outboxes, poster, tellEndpoints: dispatcher };
    this.#handler.start({
      codec: networkCodec,
      peers,
      streams: this.fileServer,
      delivery: dispatcher.remote,
      verify: running.verify,
      onVersionShown: (connection) => outboxes.sendCancels(connection),
      onClosed: (connection, error) => outboxes.onConnectionLost(connection, error),
      onError: (connection, error) => this.#failed(connection, error),
    });
    return { poster, gateway: new NetworkGateway(outboxes, networkCodec, onDeadLetter) };
  }

  /** Asks the verifier there. Rejects with ERR_RPC_ENDPOINT_NOT_FOUND, ERR_RPC_CONNECT and what else an ask may end with. */
  async verify(
    address: RpcAddress,
    name: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<VerifiedEndpoint> {
    const { poster } = this.#running;
    const verifier = new RefTarget(
      { name: VERIFIER_ENDPOINT, id: 0, generation: 0, replicas: 1 },
      RpcAddress.hostPort(address),
    );
    const uri = formatEndpointUri(name, address);
    let answer: unknown;
    try {
      answer = await poster.ask(verifier, RecordKind.ASK, name, timeoutMs, signal);
    } catch (error) {
      if (!isRpcError(error)) throw error;
      const { code, retryable, cause } = error;
      // The look-up is an ask, of an endpoint that nobody knows by name: what the transport says is what helps.
      const why = isRpcError(cause) ? cause.message : error.message;
      const text = `cannot look ${uri} up: ${why}`;
      throw new RpcError(code, text, { endpoint: name, address, retryable, maybeExecuted: false, cause });
    }
    const there = readVerified(answer);
    if (there !== null) return there;
    throw new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", `Cannot find endpoint: ${uri}`, { endpoint: name, address });
  }

  stats(): RpcPeerStats[] {
    const { outboxes } = this.#running;
    // One that has just lost its connection is nobody's any more.
    const open = [...outboxes.all].filter(({ isOpen }) => isOpen);
    return open.map((outbox): RpcPeerStats => {
      const { connection, place, waitingCount, waitingBytes, state } = outbox;
      const address = connection?.address ?? RpcAddress.parse(`ringpost://${place}`);
      return {
        address,
        state: state === OutboxState.CONNECTED ? "connected" : "connecting",
        outboxMessages: waitingCount,
        outboxBytes: waitingBytes + (connection?.client.queuedBytes ?? 0),
        asksInFlight: connection?.client.outstandingCount ?? 0,
      };
    });
  }

  /** The env shuts down: from now on nobody is told of connections that come and go. */
  stopping(): void {
    this.#stopping = true;
  }

  /**
   * Whatever still waits for a connection fails with `error`; what was handed to one is written, then it ends: that of a peer
   * who does not take it, after `timeoutMs`. Resolves when all have ended, whichever side dialled: a process that ends then
   * takes nothing with it.
   */
  async stop(error: RpcError, timeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#peers.stop();
    this.#started?.poster.stop(error);
    this.#started?.outboxes.stop(error);
    this.fileServer.stop(error);
    this.fileChannels.stop(error);
    this.#factory.close();
    const { clock } = this.#options;
    const timer = clock.setTimeout(() => {
      for (const { client } of this.#peers.all) client.connection.fail(error);
    }, timeoutMs);
    // Connections that are open keep the process alive until then; without any, nobody waits for it.
    timer.unref();
    await Promise.all([this.#server?.close(), this.#peers.whenEmpty()]);
    clock.clearTimeout(timer);
  }

  get #running() {
    assert(this.#started !== null, "the network is used after the env was made");
    return this.#started;
  }

  async #connect(address: RpcAddress): Promise<PeerConnection> {
    const { host, port } = address;
    const client = await this.#factory.createClient(host, port, { fastFail: true });
    const connection = client.attachment as PeerConnection;
    this.#peers.known(connection, address);
    // It learns who we are before anybody asks it anything, and shows what it understands.
    if (!connection.introduced) this.#running.outboxes.probe(connection);
    return connection;
  }

  #failed(connection: PeerConnection, error: RpcError): void {
    if (this.#stopping) return;
    if (!connection.known) {
      // Nobody's peer: somebody who speaks another protocol, or TLS to a side without it. A stranger who just leaves is no news.
      if (!isRpcError(error, "ERR_RPC_PROTOCOL", "ERR_RPC_AUTH")) return;
      const text = `refused the connection from ${connection.place}: ${error.message}`;
      this.#options.events.refused(new RpcError(error.code, text, { address: connection.address, cause: error }));
      return;
    }
    const { address } = connection;
    this.#options.events.networkError(error, address);
    this.#running.tellEndpoints.postEvent(["onNetworkError", address, error]);
  }
}
