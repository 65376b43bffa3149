/**
 * FileChannels: files that this env reads from others, each over a connection that it has to itself while it comes: a
 * reader that takes its time holds up nobody else, and one that gives up ends nothing but his own. The connections are
 * apart from those of the messages and raise no events. To one peer there are so many at once; who opens more waits, in
 * order. A connection that has become free is kept for the next file until it has been idle for the connection timeout.
 * Main thread only.
 */
import type { Clock, Timer } from "../common/clock.js";
import type { RpcError } from "../common/errors.js";
import { TIMEOUT_MS_MAX } from "../common/limits.js";
import type { TransportClient } from "../network/transport-client.js";
import type { TransportClientFactory } from "../network/transport-client-factory.js";
import type { TransportSettings } from "../network/transport-settings.js";
import { parseFileUri } from "../rpc/file-uri.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import { FileChannel } from "./file-channel.js";

interface IdleConnection {
  readonly client: TransportClient;
  readonly timer: Timer;
}

/** What is read from one peer. */
interface Source {
  readonly address: RpcAddress;
  readonly place: string;
  /** First come, first served. */
  readonly waiting: Set<FileChannel>;
  /** Connections in use or being made. */
  busyCount: number;
  /** Of them, those that were made. */
  connectedCount: number;
  readonly idle: IdleConnection[];
}

export interface FileChannelsOptions {
  readonly clock: Clock;
  readonly factory: TransportClientFactory;
  readonly settings: TransportSettings;
}

export class FileChannels {
  readonly #options: FileChannelsOptions;
  readonly #sources = new Map<string, Source>();
  readonly #channels = new Set<FileChannel>();
  #stopped: RpcError | null = null;

  constructor(options: FileChannelsOptions) {
    this.#options = options;
  }

  /** Files that have not been read to their ends. */
  get openCount(): number {
    return this.#channels.size;
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT, ERR_RPC_ENV_STOPPED; see RpcEnv.openChannel. */
  open(uri: string): FileChannel {
    const { address, path } = parseFileUri(uri);
    if (this.#stopped !== null) throw this.#stopped;
    const source = this.#sourceOf(address);
    const channel = new FileChannel(path, (destroyed) => {
      this.#channels.delete(destroyed);
      source.waiting.delete(destroyed);
    });
    this.#channels.add(channel);
    source.waiting.add(channel);
    this.#pump(source);
    return channel;
  }

  /** Every file that has not come ends with the error, and so do all connections. */
  stop(error: RpcError): void {
    this.#stopped = error;
    for (const channel of this.#channels) channel.destroy(error);
    for (const { idle } of this.#sources.values())
      for (const { timer } of idle) this.#options.clock.clearTimeout(timer);
    this.#sources.clear();
    this.#options.factory.close();
  }

  #sourceOf(address: RpcAddress): Source {
    const place = RpcAddress.hostPort(address);
    let source = this.#sources.get(place);
    if (source === undefined) {
      source = { address, place, waiting: new Set(), busyCount: 0, connectedCount: 0, idle: [] };
      this.#sources.set(place, source);
    }
    return source;
  }

  #pump(source: Source): void {
    const { waiting } = source;
    for (const channel of waiting) {
      if (source.busyCount >= this.#options.settings.numConnectionsPerPeer) return;
      waiting.delete(channel);
      source.busyCount++;
      void this.#receive(source, channel);
    }
    if (source.busyCount === 0 && source.idle.length === 0) this.#sources.delete(source.place);
  }

  /** Never rejects. */
  async #receive(source: Source, channel: FileChannel): Promise<void> {
    try {
      for (let received = "stale"; received === "stale"; ) {
        const reused = this.#takeIdle(source);
        const client = reused ?? (await this.#connect(source));
        source.connectedCount++;
        received = await channel.receive(client, reused !== null);
        source.connectedCount--;
        if (received === "free") this.#keep(source, client);
      }
    } catch (error) {
      channel.destroy(error as RpcError);
      // There is no way to the peer: nobody has to wait for the time that it takes to find that out once more.
      if (source.connectedCount === 0) for (const waiting of source.waiting) waiting.destroy(error as RpcError);
    }
    source.busyCount--;
    this.#pump(source);
  }

  /** Rejects with ERR_RPC_CONNECT, ERR_RPC_AUTH. */
  #connect({ address }: Source): Promise<TransportClient> {
    return this.#options.factory.createUnmanagedClient(address.host, address.port);
  }

  #takeIdle({ idle }: Source): TransportClient | null {
    for (let last = idle.pop(); last !== undefined; last = idle.pop()) {
      this.#options.clock.clearTimeout(last.timer);
      if (last.client.isActive) return last.client;
    }
    return null;
  }

  #keep(source: Source, client: TransportClient): void {
    if (this.#stopped !== null || !client.isActive) return;
    const { clock, settings } = this.#options;
    const idleMs = Math.min(settings.connectionTimeoutMs, TIMEOUT_MS_MAX);
    const timer = clock.setTimeout(() => {
      const index = source.idle.findIndex((connection) => connection.client === client);
      if (index >= 0) source.idle.splice(index, 1);
      client.close();
      this.#pump(source);
    }, idleMs);
    timer.unref();
    source.idle.push({ client, timer });
  }
}
