/**
 * OneForOneBlockFetcher: fetches blocks over one connection, each as a chunk of its own. It asks for a stream that holds
 * them (fetch-request.ts), then for all of its chunks at once:
 *
 *     start ──▶ ASKED ──StreamHandle──▶ FETCHING, chunk by chunk: success, or failure of it and of all behind it
 *                 └── failure, no StreamHandle, one of another length ──▶ all blocks fail
 *
 * A listener may hear of a block more than once, as in Spark: chunk i's failure is also that of the blocks behind it, each
 * of which still comes, or fails, by itself. It is told so at the first failed chunk, and then of each block at its own, so at
 * most twice of any. RetryingBlockTransferor makes one call for each block of it.
 */
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { isRpcError, RpcError } from "../common/errors.js";
import type { ChunkReceivedCallback, RpcResponseCallback } from "../network/callbacks.js";
import { messageOf } from "../network/failure-text.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import { genStreamChunkId } from "../network/one-for-one-stream-manager.js";
import type { TransportClient } from "../network/transport-client.js";
import { SILENT, type TransportLogger } from "../network/transport-logger.js";
import { BlockDownload } from "./block-download.js";
import type { BlockFetchingListener } from "./block-fetching-listener.js";
import { decodeBlockTransferMessage, encodeBlockTransferMessage } from "./block-transfer-codec.js";
import { BlockTransferMessageType } from "./block-transfer-messages.js";
import type { DownloadFileManager } from "./download-file-manager.js";
import { type FetchRequest, fetchRequestOf } from "./fetch-request.js";
import { isSystemError } from "./system-error.js";

export interface OneForOneBlockFetcherOptions {
  readonly client: TransportClient;
  readonly appId: string;
  readonly execId: string;
  readonly blockIds: readonly string[];
  readonly listener: BlockFetchingListener;
  /** Asks by ids always (`shuffle.useOldFetchProtocol`); false by default. */
  readonly useOldFetchProtocol?: boolean;
  /** Blocks are received into its files; null, the default: into memory. */
  readonly downloadFileManager?: DownloadFileManager | null;
  /** Told what a listener throws. */
  readonly logger?: TransportLogger;
}

const OPTION_KEYS: OptionKeys<OneForOneBlockFetcherOptions> = {
  client: true,
  appId: true,
  execId: true,
  blockIds: true,
  listener: true,
  useOldFetchProtocol: true,
  downloadFileManager: true,
  logger: true,
};

export class OneForOneBlockFetcher {
  readonly #client: TransportClient;
  readonly #listener: BlockFetchingListener;
  readonly #files: DownloadFileManager | null;
  readonly #logger: TransportLogger;
  readonly #request: FetchRequest;
  /** From this chunk on the listener has heard of a failure; where there is none, behind the last. */
  #failedFrom: number;
  #isStarted = false;

  /**
   * Throws ERR_RPC_INVALID_ARGUMENT for no block ids, for ids that begin as a shuffle's and are none, and for blocks that
   * cannot be asked for together: of several shuffles or merges, batches and single blocks.
   */
  constructor(options: OneForOneBlockFetcherOptions) {
    checkOptions("OneForOneBlockFetcher", options, OPTION_KEYS);
    this.#client = options.client;
    this.#listener = options.listener;
    this.#files = options.downloadFileManager ?? null;
    this.#logger = options.logger ?? SILENT;
    this.#request = fetchRequestOf(options, options.useOldFetchProtocol ?? false);
    this.#failedFrom = this.#request.blockIds.length;
  }

  /** The blocks in the order of their chunks: shuffle blocks are grouped by map, chunks of merged ones by reducer. */
  get blockIds(): readonly string[] {
    return this.#request.blockIds;
  }

  /**
   * Asks for the blocks. Returns before anything is known of them.
   *
   * Throws ERR_RPC_INVALID_ARGUMENT the second time, ERR_RPC_MESSAGE_TOO_LARGE. All else is told to the listener, by errors
   * of the transport: ERR_RPC_CONNECTION_LOST, ERR_RPC_HANDLER and ERR_RPC_STREAM with the peer's own text for what it
   * refuses, ERR_RPC_PROTOCOL for an answer that is none, ERR_RPC_STREAM for a file that cannot be written.
   */
  start(): void {
    if (this.#isStarted) throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "a fetcher is started once");
    this.#isStarted = true;
    const answered: RpcResponseCallback = {
      onSuccess: (response) => this.#answered(response),
      onFailure: (error) => this.#failed(0, error),
    };
    this.#client.sendRpc(encodeBlockTransferMessage(this.#request.message), answered);
  }

  #answered(response: Uint8Array): void {
    let streamId: bigint;
    try {
      streamId = this.#streamOf(response);
    } catch (error) {
      this.#failed(0, error);
      return;
    }
    const chunkCount = this.blockIds.length;
    const callback: ChunkReceivedCallback = {
      onSuccess: (chunkIndex, buffer) => this.#succeeded(chunkIndex, buffer),
      onFailure: (chunkIndex, error) => this.#failed(chunkIndex, error),
    };
    for (let chunkIndex = 0; chunkIndex < chunkCount; chunkIndex++) {
      if (this.#files === null) this.#client.fetchChunk(streamId, chunkIndex, callback);
      else this.#download(this.#files, streamId, chunkIndex);
    }
  }

  /** As many chunks as blocks were asked for, or the peer's count could neither be believed nor be waited for. */
  #streamOf(response: Uint8Array): bigint {
    const handle = decodeBlockTransferMessage(response);
    if (handle.type !== BlockTransferMessageType.STREAM_HANDLE) {
      throw new RpcError("ERR_RPC_PROTOCOL", `a fetch is answered by a StreamHandle: got message type ${handle.type}`);
    }
    const { length } = this.blockIds;
    if (handle.numChunks !== length) {
      const text = `StreamHandle of ${handle.numChunks} chunks where ${length} blocks were asked for`;
      throw new RpcError("ERR_RPC_PROTOCOL", `${text}: streamId=${handle.streamId}`);
    }
    return handle.streamId;
  }

  #download(files: DownloadFileManager, streamId: bigint, chunkIndex: number): void {
    const download = new BlockDownload(files, {
      succeeded: (buffer) => this.#succeeded(chunkIndex, buffer),
      failed: (error) => this.#failed(chunkIndex, error),
    });
    this.#client.stream(genStreamChunkId(streamId, chunkIndex), download);
  }

  #succeeded(chunkIndex: number, buffer: ManagedBuffer): void {
    const blockId = this.blockIds[chunkIndex] as string;
    this.#tell(blockId, () => this.#listener.onBlockFetchSuccess(blockId, buffer));
  }

  #failed(chunkIndex: number, reason: unknown): void {
    const error = typed(reason);
    const { length } = this.blockIds;
    // Those behind it have heard of one, if this is not the first: told again at each, n blocks would be n² calls.
    const end = chunkIndex >= this.#failedFrom ? chunkIndex + 1 : length;
    this.#failedFrom = Math.min(this.#failedFrom, chunkIndex);
    for (let index = chunkIndex; index < end; index++) {
      const blockId = this.blockIds[index] as string;
      this.#tell(blockId, () => this.#listener.onBlockFetchFailure(blockId, error));
    }
  }

  /** What a listener throws is its own affair: the others hear of their blocks. */
  #tell(blockId: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#logger.warn({ error, blockId }, "a listener of a fetch threw");
    }
  }
}

function typed(error: unknown): Error {
  if (isRpcError(error)) return error;
  const options = { cause: error, retryable: isSystemError(error) };
  return new RpcError("ERR_RPC_STREAM", `fetching failed: ${messageOf(error)}`, options);
}
