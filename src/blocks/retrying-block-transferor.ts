/**
 * RetryingBlockTransferor: transfers blocks, in as many attempts as `maxRetries` allows beyond the first, and tells the
 * listener once of each. An attempt has all blocks that are outstanding; when one of them fails by an I/O error, the others
 * are taken back, too, and all go into the next attempt:
 *
 *     start ──▶ ATTEMPT ──I/O error, retries left──▶ WAITING for retryWaitMs ──▶ ATTEMPT ...
 *                  │                                     └── stop ──▶ what is outstanding fails
 *                  └── each block: success, or its last failure ──▶ the listener, the block is outstanding no more
 *
 * Each attempt has a listener of its own, so that what an earlier one still hears means nothing. Spark's retries after
 * timeouts of SASL have no counterpart: here connections prove who they are while they are made (ERR_RPC_AUTH, not retried).
 */
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { type Clock, monotonicMs, systemClock, type Timer } from "../common/clock.js";
import { asError } from "../network/failure-text.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import type { TransportConf } from "../network/transport-conf.js";
import { SILENT, type TransportLogger } from "../network/transport-logger.js";
import type { BlockFetchingListener } from "./block-fetching-listener.js";
import { type ErrorHandler, isIoError, NOOP_ERROR_HANDLER } from "./error-handler.js";

/** Begins an attempt: makes a client, usually, and a fetcher for it. */
export interface BlockTransferStarter {
  /**
   * @param blockIds In the order in which they were given; at least one.
   * @param listener To be told of each. What it is told after the next attempt has begun is ignored.
   * What is thrown, or rejected with, counts as the failure of all blocks of the attempt.
   */
  createAndStart(blockIds: readonly string[], listener: BlockFetchingListener): void | Promise<void>;
}

export interface RetryingBlockTransferorOptions {
  /** `io.maxRetries` and `io.retryWait`. */
  readonly conf: Pick<TransportConf, "maxRetries" | "retryWaitMs">;
  readonly starter: BlockTransferStarter;
  /** Each counts once. */
  readonly blockIds: readonly string[];
  /** Told once of each block. */
  readonly listener: BlockFetchingListener;
  /** Which I/O errors are retried: all by default. */
  readonly errorHandler?: ErrorHandler;
  /** What the wait is measured by: the real one by default. */
  readonly clock?: Clock;
  /** Told of retries, and of what a listener throws. */
  readonly logger?: TransportLogger;
}

const OPTION_KEYS: OptionKeys<RetryingBlockTransferorOptions> = {
  conf: true,
  starter: true,
  blockIds: true,
  listener: true,
  errorHandler: true,
  clock: true,
  logger: true,
};

export class RetryingBlockTransferor {
  readonly #conf: Pick<TransportConf, "maxRetries" | "retryWaitMs">;
  readonly #starter: BlockTransferStarter;
  readonly #listener: BlockFetchingListener;
  readonly #errorHandler: ErrorHandler;
  readonly #clock: Clock;
  readonly #logger: TransportLogger;
  readonly #outstanding: Set<string>;
  /** The listener of the attempt that counts; null: none is under way. */
  #current: BlockFetchingListener | null = null;
  #retryCount = 0;
  /** Set while WAITING, with the error that the wait is for. */
  #waiting: { readonly timer: Timer; readonly error: Error } | null = null;
  #isStopped = false;

  constructor(options: RetryingBlockTransferorOptions) {
    checkOptions("RetryingBlockTransferor", options, OPTION_KEYS);
    this.#conf = options.conf;
    this.#starter = options.starter;
    this.#listener = options.listener;
    this.#errorHandler = options.errorHandler ?? NOOP_ERROR_HANDLER;
    this.#clock = options.clock ?? systemClock(monotonicMs());
    this.#logger = options.logger ?? SILENT;
    this.#outstanding = new Set(options.blockIds);
  }

  /** Retries so far. */
  get retryCount(): number {
    return this.#retryCount;
  }

  /** Blocks of which the listener has not heard. */
  get outstandingCount(): number {
    return this.#outstanding.size;
  }

  /** Begins the first attempt; to be called once. Throws nothing: whatever fails is told to the listener. */
  start(): void {
    this.#attempt();
  }

  /**
   * Nothing is retried any more. An attempt that is under way goes on, and its failures are the last; while none is, all
   * outstanding blocks fail now, with the error that the retry was for.
   */
  stop(): void {
    this.#isStopped = true;
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    this.#clock.clearTimeout(waiting.timer);
    this.#failAll([...this.#outstanding], waiting.error);
  }

  #attempt(): void {
    const blockIds = [...this.#outstanding];
    if (blockIds.length === 0) return;
    const listener: BlockFetchingListener = {
      onBlockFetchSuccess: (blockId, data) => this.#succeeded(listener, blockId, data),
      onBlockFetchFailure: (blockId, error) => this.#failed(listener, [blockId], error),
    };
    this.#current = listener;
    const failed = (error: unknown): void => this.#failed(listener, blockIds, asError(error));
    try {
      this.#starter.createAndStart(blockIds, listener)?.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #succeeded(listener: BlockFetchingListener, blockId: string, data: ManagedBuffer): void {
    if (this.#current !== listener || !this.#outstanding.delete(blockId)) return;
    this.#tell(blockId, () => this.#listener.onBlockFetchSuccess(blockId, data));
  }

  #failed(listener: BlockFetchingListener, blockIds: readonly string[], error: Error): void {
    if (this.#current !== listener) return;
    const failed = blockIds.filter((blockId) => this.#outstanding.has(blockId));
    if (failed.length === 0) return;
    if (this.#shouldRetry(error)) this.#initiateRetry(error);
    else this.#failAll(failed, error);
  }

  #shouldRetry(error: Error): boolean {
    const { maxRetries } = this.#conf;
    if (this.#isStopped || this.#retryCount >= maxRetries || !isIoError(error)) return false;
    return this.#errorHandler.shouldRetryError(error);
  }

  #initiateRetry(error: Error): void {
    const { maxRetries, retryWaitMs } = this.#conf;
    this.#current = null;
    this.#retryCount++;
    if (this.#errorHandler.shouldLogError(error)) {
      const fields = { error, retry: this.#retryCount, maxRetries, retryWaitMs, outstanding: this.#outstanding.size };
      this.#logger.info(fields, "a transfer of blocks is tried again");
    }
    const timer = this.#clock.setTimeout(() => {
      this.#waiting = null;
      this.#attempt();
    }, retryWaitMs);
    this.#waiting = { timer, error };
  }

  #failAll(blockIds: readonly string[], error: Error): void {
    // Out first: a listener may look, or call back.
    const failed = blockIds.filter((blockId) => this.#outstanding.delete(blockId));
    if (this.#errorHandler.shouldLogError(error)) {
      const fields = { error, blockId: failed[0], blocks: failed.length, retries: this.#retryCount };
      this.#logger.warn(fields, "blocks could not be transferred");
    }
    for (const blockId of failed) this.#tell(blockId, () => this.#listener.onBlockFetchFailure(blockId, error));
  }

  #tell(blockId: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#logger.warn({ error, blockId }, "a listener of a transfer threw");
    }
  }
}
