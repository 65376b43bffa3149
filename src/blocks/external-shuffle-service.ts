/**
 * ExternalShuffleService: a server that hands out the shuffle files of executors, also when these have ended. It has a
 * transport of its own, module `shuffle`, whose idle connections end.
 *
 * start: read the store → listen. close, in this order: (1) what is being answered is answered, what takes long is given up;
 * (2) nothing more is accepted, connections write what is queued and end; (3) the store is closed, cleanups end.
 */
import { randomBytes } from "node:crypto";
import { realpath } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { SHUFFLE_CONNECTIONS_PER_ADDRESS_MAX, SHUFFLE_REQUEST_BYTES_MAX } from "../common/block-limits.js";
import { checkOptions, checkText, checkTexts, type OptionKeys, shown } from "../common/check-options.js";
import { type Clock, monotonicMs, systemClock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { FRAME_OVERHEAD_BYTES_MAX } from "../common/limits.js";
import { RpcConf, type RpcConfValues } from "../common/rpc-conf.js";
import type { CertificateOptions } from "../network/certificate-credentials.js";
import { createSecurity } from "../network/create-security.js";
import { messageOf } from "../network/failure-text.js";
import type { Secret } from "../network/secret.js";
import { TransportConf } from "../network/transport-conf.js";
import { TransportContext } from "../network/transport-context.js";
import { SILENT, type TransportLogger } from "../network/transport-logger.js";
import type { PeerAddress, TransportSecurity } from "../network/transport-security.js";
import type { TransportServer } from "../network/transport-server.js";
import { ExternalBlockHandler } from "./external-block-handler.js";
import { ExternalShuffleBlockResolver } from "./external-shuffle-block-resolver.js";
import { RegisteredExecutors } from "./registered-executors.js";
import type { ExternalShuffleStats } from "./shuffle-metrics.js";

export interface ExternalShuffleServiceOptions {
  /** 127.0.0.1 by default. Any other that others can reach needs `secret`, `secretOf` or `tls`. */
  readonly host?: string | undefined;
  /** 0 for any that is free; `shuffle.service.port`, 7337, by default. */
  readonly port?: number | undefined;
  readonly conf?: RpcConf | RpcConfValues | undefined;
  /** What applications have to know that have no secret of their own. */
  readonly secret?: Secret | readonly Secret[] | undefined;
  /** What an application has to know; null: it has no secret of its own. */
  readonly secretOf?: ((appId: string) => Secret | readonly Secret[] | null) | undefined;
  /** Certificates on both sides, instead of secrets. */
  readonly tls?: CertificateOptions | undefined;
  /** The application that a certificate's name stands for; the name itself by default. null: any. */
  readonly clientIdOf?: ((identity: string) => string | null) | undefined;
  /** A LevelDB, made if it is not there, that keeps registrations over a restart. Without it they end with the service. */
  readonly registeredExecutorsFile?: string | undefined;
  /** Directories below which executors' local directories have to lie. Without it they may lie anywhere. */
  readonly localDirRoots?: readonly string[] | undefined;
  /** The real one by default. */
  readonly clock?: Clock | undefined;
  readonly logger?: TransportLogger | undefined;
}

const OPTION_KEYS: OptionKeys<ExternalShuffleServiceOptions> = {
  host: true,
  port: true,
  conf: true,
  secret: true,
  secretOf: true,
  tls: true,
  clientIdOf: true,
  registeredExecutorsFile: true,
  localDirRoots: true,
  clock: true,
  logger: true,
};

interface Parts {
  readonly server: TransportServer;
  readonly handler: ExternalBlockHandler;
  readonly resolver: ExternalShuffleBlockResolver;
}

export class ExternalShuffleService implements AsyncDisposable {
  readonly #parts: Parts;
  #closed: Promise<void> | null = null;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Starts a service.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT for options, secrets and certificates that cannot be, and for a store that cannot be
   * used, with its path and what to do; ERR_RPC_INSECURE_BIND for a host that others can reach without anything to prove;
   * ERR_RPC_BIND for a port that cannot be had.
   * Thread: all of it is on this one.
   */
  static async start(options: ExternalShuffleServiceOptions = {}): Promise<ExternalShuffleService> {
    checkOptions("ExternalShuffleService.start", options, OPTION_KEYS);
    const { registeredExecutorsFile, secretOf, clientIdOf } = options;
    if (registeredExecutorsFile !== undefined) checkText("registeredExecutorsFile", registeredExecutorsFile);
    for (const [what, given] of Object.entries({ secretOf, clientIdOf })) {
      if (given !== undefined && typeof given !== "function") {
        throw invalid(`${what} must be a function: ${what}=${shown(given)}`);
      }
    }
    const clock = options.clock ?? systemClock(monotonicMs());
    const logger = options.logger ?? SILENT;
    const conf = RpcConf.from(options.conf ?? {});
    const transportConf = new TransportConf("shuffle", conf);
    const security = securityOf(options, clock);
    const roots = options.localDirRoots === undefined ? null : await realRoots(options.localDirRoots);
    const file = conf.getFlag("shuffle.service.db.enabled") ? (registeredExecutorsFile ?? null) : null;
    const executors = await RegisteredExecutors.open({ file, roots });
    try {
      const resolver = new ExternalShuffleBlockResolver({
        executors,
        indexCacheBytes: conf.getSizeBytes("shuffle.service.index.cache.size"),
        fetchRddEnabled: conf.getFlag("shuffle.service.fetch.rdd.enabled"),
        logger,
      });
      const handler = new ExternalBlockHandler(resolver, clock);
      const context = new TransportContext({
        rpcHandler: handler,
        clock,
        security,
        logger,
        closeIdleConnections: true,
        settings: {
          ...transportConf,
          frameBytesMax: SHUFFLE_REQUEST_BYTES_MAX + FRAME_OVERHEAD_BYTES_MAX,
          connectionsPerAddressMax: SHUFFLE_CONNECTIONS_PER_ADDRESS_MAX,
        },
      });
      const server = await context.createServer({
        host: options.host ?? "127.0.0.1",
        port: options.port ?? conf.getCount("shuffle.service.port"),
        onRefused: (error, peer) =>
          logger.warn({ error, peer: `${peer.host}:${peer.port}` }, "a connection was refused"),
        ...(options.clientIdOf === undefined ? {} : { clientIdOf: options.clientIdOf }),
      });
      return new ExternalShuffleService({ server, handler, resolver });
    } catch (error) {
      await executors.close();
      throw error;
    }
  }

  /** Where it listens. */
  get address(): PeerAddress {
    return this.#parts.server.address;
  }

  get port(): number {
    return this.address.port;
  }

  stats(): ExternalShuffleStats {
    return this.#parts.handler.stats();
  }

  /**
   * An application has ended: its executors are forgotten, also over a restart. Nothing that comes over the network does that.
   * @param cleanupLocalDirs removes its files, later: subdirectories as Spark makes them, and local directories then empty.
   *
   * Until its files are removed, nobody else can register its directories.
   *
   * Rejects with ERR_RPC_STREAM when the store cannot be written, ERR_RPC_ENV_STOPPED after `close`.
   */
  applicationRemoved(appId: string, cleanupLocalDirs: boolean): Promise<void> {
    return this.#parts.resolver.applicationRemoved(appId, cleanupLocalDirs);
  }

  /** An executor has ended: its files go, later, except what the service hands out. Throws ERR_RPC_ENV_STOPPED after `close`. */
  executorRemoved(appId: string, execId: string): void {
    this.#parts.resolver.executorRemoved(appId, execId);
  }

  /** Ends as the head of this file says. The second call waits for the same end. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { server, handler, resolver } = this.#parts;
    await handler.close();
    await server.close();
    await resolver.close();
  }
}

function securityOf(options: ExternalShuffleServiceOptions, clock: Clock): TransportSecurity {
  const { secret, secretOf, tls } = options;
  if (secretOf === undefined) return createSecurity({ secret, tls }, clock);
  // A service dials nobody: where all secrets belong to applications, its own is one that nobody knows.
  const own = secret ?? randomBytes(32);
  return createSecurity({ secret: own, tls, secretOf: (appId) => secretOf(appId) ?? secret ?? null }, clock);
}

async function realRoots(roots: readonly string[]): Promise<string[]> {
  checkTexts("localDirRoots", roots);
  if (roots.length === 0) throw invalid("localDirRoots needs one directory at least: no executor could register");
  return Promise.all(
    roots.map(async (root) => {
      if (!isAbsolute(root)) throw invalid(`localDirRoots are absolute paths: got ${JSON.stringify(root)}`);
      try {
        return await realpath(root);
      } catch (error) {
        throw invalid(`localDirRoots are directories that are there: ${root}: ${messageOf(error)}`);
      }
    }),
  );
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
