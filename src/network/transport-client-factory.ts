/**
 * TransportClientFactory: clients by address, as Spark pools them. An address is what the caller says, host and port as
 * they are: names are looked up for each connection, so that a peer may move. Of an address's slots, as many as
 * `numConnectionsPerPeer`, each caller gets one at random; who finds it without a living connection makes one, and all who
 * want that slot meanwhile wait for the same.
 *
 * A client leaves its slot when its connection has ended. An address of which nothing is left, and whose last failure is no
 * longer fresh, is forgotten when the next new one comes: there are never many more addresses than are in use.
 */
import { setMaxListeners } from "node:events";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import type { Clock } from "../common/clock.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { FAST_FAIL_FRACTION } from "../common/limits.js";
import { checkPeer, hostPort } from "./dial.js";
import { messageOf } from "./failure-text.js";
import type { RpcHandler } from "./rpc-handler.js";
import type { TransportClientBootstrap } from "./transport-bootstrap.js";
import { type ChannelHost, TransportChannel } from "./transport-channel.js";
import type { TransportClient } from "./transport-client.js";
import type { PeerAddress, TransportSecurity } from "./transport-security.js";
import type { TransportSettings } from "./transport-settings.js";

/** What a factory has from its context. */
export interface TransportClientFactoryParts {
  readonly security: TransportSecurity;
  readonly settings: TransportSettings;
  readonly host: ChannelHost;
  readonly rpcHandler: RpcHandler;
  readonly clock: Clock;
}

export interface CreateClientOptions {
  /** Fails at once while the last attempt's failure is still fresh: for a caller that will try again later anyway. */
  readonly fastFail?: boolean;
}

const CREATE_CLIENT_KEYS: OptionKeys<CreateClientOptions> = { fastFail: true };

interface Slot {
  client: TransportClient | null;
  connecting: Promise<TransportClient> | null;
}

interface Pool {
  readonly slots: readonly Slot[];
  /** When a connection could not be made last; null: never, or one was made since. */
  failure: { readonly atMs: number; readonly error: unknown } | null;
}

export class TransportClientFactory {
  readonly #parts: TransportClientFactoryParts;
  readonly #bootstraps: readonly TransportClientBootstrap[];
  readonly #pools = new Map<string, Pool>();
  readonly #channels = new Set<TransportChannel>();
  readonly #closing = new AbortController();

  constructor(parts: TransportClientFactoryParts, bootstraps: readonly TransportClientBootstrap[]) {
    this.#parts = parts;
    this.#bootstraps = bootstraps;
    // Each attempt under way listens to it. Node.js takes more than ten for a leak, and warns of it.
    setMaxListeners(0, this.#closing.signal);
  }

  /**
   * A client that is connected, from the pool or new.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT for what is no host or port, ERR_RPC_CONNECT (the peer cannot be reached in time; the
   * factory is closed), ERR_RPC_AUTH, or what a bootstrap throws.
   */
  async createClient(host: string, port: number, options: CreateClientOptions = {}): Promise<TransportClient> {
    checkOptions("createClient", options, CREATE_CLIENT_KEYS);
    checkPeer(host, port);
    this.#refuseIfClosed();
    const pool = this.#poolOf(host, port);
    const slot = pool.slots[Math.floor(this.#parts.clock.random() * pool.slots.length)] as Slot;
    if (slot.client !== null) {
      slot.client.connection.touch();
      if (slot.client.isActive) return slot.client;
    }
    if (slot.connecting !== null) return slot.connecting;
    if (options.fastFail === true) this.#refuseIfJustFailed(pool, { host, port });
    slot.connecting = this.#fill(slot, pool, { host, port });
    return slot.connecting;
  }

  /** A client that is not pooled: its owner closes it. Rejects as `createClient`. */
  async createUnmanagedClient(host: string, port: number): Promise<TransportClient> {
    checkPeer(host, port);
    this.#refuseIfClosed();
    return this.#bootstrapped(await this.#connect({ host, port }));
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#channels.size;
  }

  /** Addresses that are remembered, for statistics and tests. */
  get poolCount(): number {
    return this.#pools.size;
  }

  /** Closes all clients, pooled or not, and gives up those that are being made. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(closedError());
    this.#pools.clear();
    for (const channel of this.#channels) channel.client.close();
  }

  #poolOf(host: string, port: number): Pool {
    const key = hostPort({ host, port });
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      this.#forgetPools();
      const slots = Array.from(
        { length: this.#parts.settings.numConnectionsPerPeer },
        (): Slot => ({ client: null, connecting: null }),
      );
      pool = { slots, failure: null };
      this.#pools.set(key, pool);
    }
    return pool;
  }

  /** Those that nothing would change for: no client, none on its way, no failure that is fresh. */
  #forgetPools(): void {
    for (const [key, pool] of this.#pools) {
      const isEmpty = pool.slots.every(({ client, connecting }) => client === null && connecting === null);
      if (isEmpty && !this.#hasJustFailed(pool)) this.#pools.delete(key);
    }
  }

  async #fill(slot: Slot, pool: Pool, address: PeerAddress): Promise<TransportClient> {
    try {
      let client: TransportClient;
      try {
        client = await this.#connect(address, (ended) => {
          if (slot.client === ended) slot.client = null;
        });
        pool.failure = null;
      } catch (error) {
        pool.failure = { atMs: this.#parts.clock.now(), error };
        throw error;
      }
      await this.#bootstrapped(client);
      // It may have ended meanwhile, and nobody would tell the slot again.
      slot.client = client.isActive ? client : null;
      return client;
    } finally {
      slot.connecting = null;
    }
  }

  /** @param ended is told when its connection has ended. */
  async #connect({ host, port }: PeerAddress, ended?: (client: TransportClient) => void): Promise<TransportClient> {
    const { security, settings, rpcHandler } = this.#parts;
    const { signal } = this.#closing;
    const timeoutMs = settings.connectionCreationTimeoutMs;
    const connection = await security.connect({ host, port, timeoutMs, signal });
    if (signal.aborted) {
      connection.socket.destroy();
      throw signal.reason;
    }
    const channel = new TransportChannel(connection, rpcHandler, this.#parts.host);
    this.#channels.add(channel);
    const closed = (): void => {
      this.#channels.delete(channel);
      ended?.(channel.client);
    };
    connection.socket.once("close", closed);
    channel.start();
    // A handshake's last words may have been that it ended; it does not say so twice.
    if (connection.socket.closed) closed();
    return channel.client;
  }

  async #bootstrapped(client: TransportClient): Promise<TransportClient> {
    try {
      for (const bootstrap of this.#bootstraps) await bootstrap.doBootstrap(client);
    } catch (error) {
      client.close();
      throw error;
    }
    const { identity } = client;
    const appId = identity === null ? null : this.#parts.security.appIdOf(identity);
    // A bootstrap may have said more.
    if (appId !== null && client.clientId === null) client.setClientId(appId);
    return client;
  }

  #refuseIfJustFailed(pool: Pool, address: PeerAddress): void {
    if (!this.#hasJustFailed(pool)) return;
    const cause = pool.failure?.error;
    const begins = `Connecting to ${hostPort(address)} failed in the last ${this.#fastFailMs} ms, fail this connection directly`;
    const code = isRpcError(cause, "ERR_RPC_AUTH") ? cause.code : "ERR_RPC_CONNECT";
    throw new RpcError(code, `${begins}: ${messageOf(cause)}`, { address, cause });
  }

  #hasJustFailed({ failure }: Pool): boolean {
    return failure !== null && this.#parts.clock.now() - failure.atMs < this.#fastFailMs;
  }

  get #fastFailMs(): number {
    return this.#parts.settings.retryWaitMs * FAST_FAIL_FRACTION;
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) throw closedError();
  }
}

function closedError(): RpcError {
  return new RpcError("ERR_RPC_CONNECT", "this TransportClientFactory is closed", { retryable: false });
}
