/**
 * BlockFetches: the fetches of one client, each tried again as its configuration says. An attempt takes a connection from the
 * pool, so that a peer that came back on its port is found.
 *
 * The listener is told of each block once, whatever `io.maxRetries` is; Spark tells it more than once where that is 0.
 */
import { checkMethods, checkText, checkTexts } from "../common/check-options.js";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { asError, messageOf } from "../network/failure-text.js";
import type { TransportClient } from "../network/transport-client.js";
import type { TransportClientFactory } from "../network/transport-client-factory.js";
import type { TransportConf } from "../network/transport-conf.js";
import type { TransportLogger } from "../network/transport-logger.js";
import type { BlockFetchingListener } from "./block-fetching-listener.js";
import type { DownloadFileManager } from "./download-file-manager.js";
import { isIoError } from "./error-handler.js";
import { OneForOneBlockFetcher } from "./one-for-one-block-fetcher.js";
import { RetryingBlockTransferor } from "./retrying-block-transferor.js";

export interface BlockFetchesOptions {
  readonly factory: TransportClientFactory;
  readonly conf: Pick<TransportConf, "maxRetries" | "retryWaitMs">;
  /** See OneForOneBlockFetcher. */
  readonly useOldFetchProtocol: boolean;
  readonly clock: Clock;
  readonly logger?: TransportLogger;
  /** Asked when an executor cannot be reached: one that is dead is not tried again. Who cannot be asked counts as alive. */
  readonly isExecutorAlive?: (execId: string) => boolean | Promise<boolean>;
}

export interface BlockFetch {
  readonly appId: string;
  readonly host: string;
  readonly port: number;
  readonly execId: string;
  readonly blockIds: readonly string[];
  readonly listener: BlockFetchingListener;
  readonly downloadFileManager: DownloadFileManager | null;
}

export class BlockFetches {
  readonly #options: BlockFetchesOptions;
  readonly #running = new Set<RetryingBlockTransferor>();
  /** End the questions after executors that nobody has answered. */
  readonly #asking = new Set<() => void>();
  #isClosed = false;

  constructor(options: BlockFetchesOptions) {
    this.#options = options;
  }

  /** Fetches of which not all blocks have come or failed. */
  get count(): number {
    return this.#running.size;
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT without ids, for those that are no texts, and without a listener; all else is told to the listener, later. */
  start(fetch: BlockFetch): void {
    const { blockIds, listener } = fetch;
    checkText("execId", fetch.execId);
    checkTexts("blockIds", blockIds);
    checkMethods("listener", listener, ["onBlockFetchSuccess", "onBlockFetchFailure"]);
    if (blockIds.length === 0) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "Zero-sized blockIds array: at least one block must be asked for");
    }
    const { conf, clock, logger } = this.#options;
    const told = (): void => {
      if (transferor.outstandingCount === 0) this.#running.delete(transferor);
    };
    const transferor = new RetryingBlockTransferor({
      conf,
      clock,
      ...(logger === undefined ? {} : { logger }),
      blockIds,
      starter: { createAndStart: (ids, attempt) => this.#attempt({ ...fetch, blockIds: ids, listener: attempt }) },
      listener: {
        onBlockFetchSuccess(blockId, data) {
          told();
          listener.onBlockFetchSuccess(blockId, data);
        },
        onBlockFetchFailure(blockId, error) {
          told();
          listener.onBlockFetchFailure(blockId, error);
        },
      },
    });
    this.#running.add(transferor);
    transferor.start();
  }

  /** Nothing is tried again; what waits for that fails now. The factory ends what is under way. */
  close(): void {
    this.#isClosed = true;
    for (const transferor of this.#running) transferor.stop();
    for (const end of this.#asking) end();
  }

  async #attempt({ host, port, ...fetch }: BlockFetch): Promise<void> {
    const { useOldFetchProtocol, logger } = this.#options;
    const client = await this.#connect(host, port, fetch.execId);
    const rest = logger === undefined ? { useOldFetchProtocol } : { useOldFetchProtocol, logger };
    new OneForOneBlockFetcher({ client, ...fetch, ...rest }).start();
  }

  async #connect(host: string, port: number, execId: string): Promise<TransportClient> {
    const { factory, conf, isExecutorAlive } = this.#options;
    try {
      return await factory.createClient(host, port, { fastFail: conf.maxRetries > 0 });
    } catch (error) {
      if (this.#isClosed || isExecutorAlive === undefined || !isIoError(asError(error))) throw error;
      if (await this.#isAlive(isExecutorAlive, execId)) throw error;
      const text = `the executor is dead, and is not tried again: execId=${execId}: ${messageOf(error)}`;
      throw new RpcError("ERR_RPC_CONNECT", text, { cause: error, retryable: false, address: { host, port } });
    }
  }

  /** Who cannot be asked may be alive; `close` waits for no answer. */
  #isAlive(ask: (execId: string) => boolean | Promise<boolean>, execId: string): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isAlive = true): void => {
        this.#asking.delete(end);
        resolve(isAlive);
      };
      this.#asking.add(end);
      Promise.resolve()
        .then(() => ask(execId))
        .then(end, (error: unknown) => {
          this.#options.logger?.warn({ error, execId }, "whether an executor is alive could not be asked");
          end();
        });
    });
  }
}
