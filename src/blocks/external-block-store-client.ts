/**
 * ExternalBlockStoreClient: an executor's side of a shuffle service. It registers where its files lie, and fetches those of
 * others, which may have ended meanwhile.
 *
 * State  | what can be asked | next
 * -------|-------------------|----------------------------------------------------------------
 * MADE   | nothing           | init → READY
 * READY  | everything        | close → CLOSED
 * CLOSED | nothing           | – (what was outstanding has failed, nothing is retried)
 */
import { checkOptions, checkText, checkTexts, type OptionKeys, shown } from "../common/check-options.js";
import { type Clock, monotonicMs, systemClock } from "../common/clock.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { RpcConf, type RpcConfValues } from "../common/rpc-conf.js";
import type { CertificateOptions } from "../network/certificate-credentials.js";
import { createSecurity } from "../network/create-security.js";
import { NoOpRpcHandler } from "../network/no-op-rpc-handler.js";
import type { Secret } from "../network/secret.js";
import { TransportConf } from "../network/transport-conf.js";
import { TransportContext } from "../network/transport-context.js";
import { SILENT, type TransportLogger } from "../network/transport-logger.js";
import { BlockFetches } from "./block-fetches.js";
import type { BlockFetchingListener } from "./block-fetching-listener.js";
import {
  askForBlocks,
  BlockStoreClient,
  type BlockStoreClientParts,
  tellForBlocks,
  unexpectedAnswer,
} from "./block-store-client.js";
import { type ExecutorShuffleInfo, BlockTransferMessageType as Type } from "./block-transfer-messages.js";
import type { DownloadFileManager } from "./download-file-manager.js";

export interface ExternalBlockStoreClientOptions {
  /** Those of module `shuffle`, and `shuffle.registration.…`. */
  readonly conf?: RpcConf | RpcConfValues | undefined;
  /** What the service expects of the application; the first of several is dialled with. */
  readonly secret?: Secret | readonly Secret[] | undefined;
  readonly tls?: CertificateOptions | undefined;
  readonly logger?: TransportLogger | undefined;
  /** The real one by default. */
  readonly clock?: Clock | undefined;
}

const OPTION_KEYS: OptionKeys<ExternalBlockStoreClientOptions> = {
  conf: true,
  secret: true,
  tls: true,
  logger: true,
  clock: true,
};

const INFO_KEYS: OptionKeys<ExecutorShuffleInfo> = { localDirs: true, subDirsPerLocalDir: true, shuffleManager: true };

export class ExternalBlockStoreClient extends BlockStoreClient {
  readonly #options: ExternalBlockStoreClientOptions;
  readonly #conf: RpcConf;
  readonly #transportConf: TransportConf;
  readonly #clock: Clock;
  readonly #logger: TransportLogger;
  /** End the waits before another attempt to register. */
  readonly #waiting = new Set<() => void>();
  #parts: (BlockStoreClientParts & { readonly fetches: BlockFetches }) | null = null;
  #isClosed = false;

  /** Throws ERR_RPC_INVALID_ARGUMENT for settings that cannot be. */
  constructor(options: ExternalBlockStoreClientOptions = {}) {
    super();
    checkOptions("ExternalBlockStoreClient", options, OPTION_KEYS);
    this.#options = options;
    this.#conf = RpcConf.from(options.conf ?? {});
    this.#transportConf = new TransportConf("shuffle", this.#conf);
    this.#clock = options.clock ?? systemClock(monotonicMs());
    this.#logger = options.logger ?? SILENT;
  }

  /**
   * Says for whom everything is asked from now on; before anything else, once.
   * @param appId what the service's files and, with a secret, its proofs go by.
   *
   * Throws ERR_RPC_INVALID_ARGUMENT the second time, and for an id, a secret or certificates that cannot be.
   */
  init(appId: string): this {
    if (this.#isClosed) throw closed();
    if (this.#parts !== null) throw invalid(`init was called already: appId=${this.#parts.appId}`);
    checkText("appId", appId);
    const { secret, tls } = this.#options;
    const context = new TransportContext({
      rpcHandler: new NoOpRpcHandler(),
      clock: this.#clock,
      logger: this.#logger,
      security: createSecurity(secret === undefined ? { tls } : { secret, tls, appId }, this.#clock),
      settings: this.#transportConf,
      closeIdleConnections: true,
    });
    const factory = context.createClientFactory();
    const fetches = new BlockFetches({
      factory,
      conf: this.#transportConf,
      useOldFetchProtocol: this.#transportConf.useOldFetchProtocol,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#parts = { appId, factory, fetches };
    return this;
  }

  /**
   * Tells a service where an executor's files lie, over a connection of its own. When it resolves the service knows, and, if
   * it has a store, knows after a restart.
   *
   * While the service cannot be reached or does not answer within `shuffle.registration.timeout`, it is tried again, up to
   * `shuffle.registration.maxAttempts` times with `shuffle.io.retryWait` between them; not after `close`, which ends a wait.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT for what no executor is, ERR_RPC_CONNECT, ERR_RPC_CONNECTION_LOST or ERR_RPC_TIMEOUT of
   * the last attempt, ERR_RPC_AUTH, ERR_RPC_HANDLER with what the service says.
   */
  async registerWithShuffleServer(
    host: string,
    port: number,
    execId: string,
    executorInfo: ExecutorShuffleInfo,
  ): Promise<void> {
    checkText("execId", execId);
    checkInfo(executorInfo);
    const attemptsMax = this.#conf.getCount("shuffle.registration.maxAttempts");
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#register(host, port, execId, executorInfo);
        return;
      } catch (error) {
        const isWorthIt = isRpcError(error, "ERR_RPC_CONNECT", "ERR_RPC_CONNECTION_LOST", "ERR_RPC_TIMEOUT");
        if (!isWorthIt || attempt >= attemptsMax || this.#isClosed) throw error;
        this.#logger.warn({ error, attempt, attemptsMax }, "registering with a shuffle service is tried again");
        await this.#wait(this.#transportConf.retryWaitMs);
        if (this.#isClosed) throw error;
      }
    }
  }

  /**
   * Fetches blocks of an executor; each is told to the listener, once.
   * @param downloadFileManager receives blocks into files; null: into memory.
   *
   * Throws ERR_RPC_INVALID_ARGUMENT as the base class says and before `init`, ERR_RPC_CONNECT after `close`. Everything else is told to the
   * listener, never before this returns.
   */
  override fetchBlocks(
    host: string,
    port: number,
    execId: string,
    blockIds: readonly string[],
    listener: BlockFetchingListener,
    downloadFileManager: DownloadFileManager | null = null,
  ): void {
    const { appId, fetches } = this.parts;
    fetches.start({ appId, host, port, execId, blockIds, listener, downloadFileManager });
  }

  /** Removes blocks of an executor. @returns How many it had; as in Spark 0 for any failure, which is logged. */
  async removeBlocks(host: string, port: number, execId: string, blockIds: readonly string[]): Promise<number> {
    const { appId, factory } = this.parts;
    try {
      const client = await factory.createClient(host, port);
      const answer = await askForBlocks(client, { type: Type.REMOVE_BLOCKS, appId, execId, blockIds });
      if (answer.type !== Type.BLOCKS_REMOVED) throw unexpectedAnswer(answer);
      return answer.numRemovedBlocks;
    } catch (error) {
      this.#logger.warn({ error, execId, blocks: blockIds.length }, "blocks could not be removed");
      return 0;
    }
  }

  override close(): void {
    this.#isClosed = true;
    for (const end of this.#waiting) end();
    this.#parts?.fetches.close();
    this.#parts?.factory.close();
  }

  protected override get parts(): BlockStoreClientParts & { readonly fetches: BlockFetches } {
    if (this.#isClosed) throw closed();
    if (this.#parts === null) throw invalid("Called before init()");
    return this.#parts;
  }

  async #register(host: string, port: number, execId: string, executorInfo: ExecutorShuffleInfo): Promise<void> {
    const { appId, factory } = this.parts;
    const client = await factory.createUnmanagedClient(host, port);
    const timeoutMs = this.#conf.getTimeMs("shuffle.registration.timeout");
    const timer = this.#clock.setTimeout(() => {
      const text = `the shuffle service ${host}:${port} does not answer: shuffle.registration.timeout=${timeoutMs}ms`;
      client.connection.fail(new RpcError("ERR_RPC_TIMEOUT", text, { address: { host, port } }));
    }, timeoutMs);
    try {
      await tellForBlocks(client, { type: Type.REGISTER_EXECUTOR, appId, execId, executorInfo });
    } finally {
      this.#clock.clearTimeout(timer);
      client.close();
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#clock.clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }
}

/** What the service refuses is its affair; this is what cannot be written. */
function checkInfo(info: ExecutorShuffleInfo): void {
  checkOptions("executorInfo", info, INFO_KEYS);
  checkTexts("localDirs", info.localDirs);
  const { subDirsPerLocalDir, shuffleManager } = info;
  if (!Number.isInteger(subDirsPerLocalDir)) {
    throw invalid(`subDirsPerLocalDir must be an integer: subDirsPerLocalDir=${shown(subDirsPerLocalDir)}`);
  }
  if (typeof shuffleManager !== "string") {
    throw invalid(`shuffleManager must be a text: shuffleManager=${shown(shuffleManager)}`);
  }
}

function closed(): RpcError {
  return new RpcError("ERR_RPC_CONNECT", "the client of the shuffle service is closed", { retryable: false });
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
