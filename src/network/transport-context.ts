/**
 * TransportContext: makes servers and client factories that share a handler, a configuration, a way to be secure, and a
 * clock; and looks once a second at all their connections.
 */
import { checkOptions, type OptionKeys, shown } from "../common/check-options.js";
import { type Clock, monotonicMs, systemClock, type Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { CONNECTION_SWEEP_MS } from "../common/limits.js";
import type { ChannelHost, SweptChannel } from "./channel-host.js";
import type { RpcHandler } from "./rpc-handler.js";
import type { TransportClientBootstrap } from "./transport-bootstrap.js";
import { TransportClientFactory } from "./transport-client-factory.js";
import type { TransportConf } from "./transport-conf.js";
import { SILENT, type TransportLogger } from "./transport-logger.js";
import { PlaintextSecurity, type TransportSecurity } from "./transport-security.js";
import { TransportServer, type TransportServerOptions } from "./transport-server.js";
import { TRANSPORT_DEFAULTS, type TransportSettings } from "./transport-settings.js";
import { UnfinishedFrames } from "./unfinished-frames.js";

export interface TransportContextOptions {
  /** What connections are asked goes to it, whichever side opened them. */
  readonly rpcHandler: RpcHandler;
  /** The real one by default. */
  readonly clock?: Clock;
  /** What is not given is as in TRANSPORT_DEFAULTS. */
  readonly settings?: Partial<TransportSettings>;
  /** Sockets as they are by default. */
  readonly security?: TransportSecurity;
  /** Connections without requests outstanding end, too, when they have been quiet for the connection timeout. */
  readonly closeIdleConnections?: boolean;
  readonly logger?: TransportLogger;
}

const OPTION_KEYS: OptionKeys<TransportContextOptions> = {
  rpcHandler: true,
  clock: true,
  settings: true,
  security: true,
  closeIdleConnections: true,
  logger: true,
};
/** A TransportConf serves as settings, with what it has besides. */
const CONF_KEYS: OptionKeys<Omit<TransportConf, keyof TransportSettings>> = {
  module: true,
  maxRetries: true,
  useOldFetchProtocol: true,
  maxRemoteBlockSizeFetchToMemBytes: true,
};
const SETTINGS_KEYS = { ...TRANSPORT_DEFAULTS, ...CONF_KEYS };

export class TransportContext {
  readonly settings: TransportSettings;
  readonly #rpcHandler: RpcHandler;
  readonly #clock: Clock;
  readonly #security: TransportSecurity;
  readonly #unfinishedFrames: UnfinishedFrames;
  readonly #host: ChannelHost;
  readonly #channels = new Set<SweptChannel>();
  #sweepTimer: Timer | null = null;
  #sweepDueMs = 0;

  /** Throws ERR_RPC_INVALID_ARGUMENT without a handler, and for an option or a setting that there is not. */
  constructor(options: TransportContextOptions) {
    checkOptions("TransportContext", options, OPTION_KEYS);
    if (typeof options.rpcHandler?.receive !== "function") {
      throw invalid(`rpcHandler must be an RpcHandler: rpcHandler=${shown(options.rpcHandler)}`);
    }
    if (options.settings !== undefined) checkOptions("settings", options.settings, SETTINGS_KEYS);
    const logger = options.logger ?? SILENT;
    this.settings = { ...TRANSPORT_DEFAULTS, ...options.settings };
    this.#rpcHandler = options.rpcHandler;
    const clock = options.clock ?? systemClock(monotonicMs());
    this.#clock = clock;
    const security = options.security ?? new PlaintextSecurity(clock);
    this.#security = security;
    this.#unfinishedFrames = new UnfinishedFrames(this.settings.unfinishedFrameBytesMax);
    this.#host = {
      clock,
      logger,
      frameBytesMax: this.settings.frameBytesMax,
      connectionTimeoutMs: this.settings.connectionTimeoutMs,
      frameTimeoutMs: this.settings.frameTimeoutMs,
      writeTimeoutMs: this.settings.writeTimeoutMs,
      closeIdleConnections: options.closeIdleConnections ?? false,
      maxChunksBeingTransferred: this.settings.maxChunksBeingTransferred,
      unfinishedFrames: this.#unfinishedFrames,
      explain: (error, peer) => security.explain(error, peer),
      opened: (channel) => this.#opened(channel),
      closed: (channel) => this.#closed(channel),
    };
  }

  /** Connections that are open, opened by either side. */
  get registeredConnections(): number {
    return this.#channels.size;
  }

  /** Bytes held for frames that have not come whole, of all accepted connections. */
  get unfinishedFrameBytes(): number {
    return this.#unfinishedFrames.bytes;
  }

  /** A server that listens. Rejects as `bind`, and with ERR_RPC_INVALID_ARGUMENT for an option that there is not. */
  async createServer(options: TransportServerOptions = {}): Promise<TransportServer> {
    return new TransportServer(this.#parts, options).listen();
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT for bootstraps that are no array. */
  createClientFactory(bootstraps: readonly TransportClientBootstrap[] = []): TransportClientFactory {
    if (!Array.isArray(bootstraps)) throw invalid(`bootstraps must be an array: bootstraps=${shown(bootstraps)}`);
    // What comes over a connection that was dialled was asked for.
    const host = { ...this.#host, unfinishedFrames: null };
    return new TransportClientFactory({ ...this.#parts, host, clock: this.#clock }, bootstraps);
  }

  get #parts() {
    return {
      security: this.#security,
      settings: this.settings,
      host: this.#host,
      rpcHandler: this.#rpcHandler,
    };
  }

  #opened(channel: SweptChannel): void {
    this.#channels.add(channel);
    if (this.#sweepTimer === null) this.#scheduleSweep();
  }

  #closed(channel: SweptChannel): void {
    this.#channels.delete(channel);
  }

  /** One timer for all connections, and none where there are none; it keeps no process alive. */
  #scheduleSweep(): void {
    this.#sweepDueMs = this.#clock.now() + CONNECTION_SWEEP_MS;
    this.#sweepTimer = this.#clock.setTimeout(() => this.#sweep(), CONNECTION_SWEEP_MS);
    this.#sweepTimer.unref();
  }

  #sweep(): void {
    this.#sweepTimer = null;
    const nowMs = this.#clock.now();
    // The loop was blocked: what peers sent meanwhile has not been read yet, and nobody is to blame for it.
    const isLate = nowMs - this.#sweepDueMs >= CONNECTION_SWEEP_MS;
    if (!isLate) {
      for (const channel of this.#channels) channel.sweep(nowMs);
    }
    if (this.#channels.size > 0) this.#scheduleSweep();
  }
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
