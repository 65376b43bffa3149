/** Block transfer, exported as `ringpost/blocks`: fetchers, stores, the services that hand blocks out. */
export type { BlockChecksum, BlockDataManager } from "./block-data-manager.js";
export type { BlockFetchingListener } from "./block-fetching-listener.js";
export {
  type BlockId,
  formatBlockId,
  parseBlockId,
  parseShuffleBlockId,
  parseShuffleChunkBlockId,
  type RddBlockId,
  type ShuffleBatchBlockId,
  type ShuffleBlockId,
  type ShuffleChunkBlockId,
  type ShufflePushBlockId,
} from "./block-ids.js";
export { BlockStoreClient, type CorruptBlock } from "./block-store-client.js";
export { decodeBlockTransferMessage, encodeBlockTransferMessage } from "./block-transfer-codec.js";
export {
  type BlockTransferMessage,
  BlockTransferMessageType,
  type Cause,
  CORRUPTION_CAUSES,
  type ExecutorShuffleInfo,
} from "./block-transfer-messages.js";
export {
  BlockTransferService,
  type BlockTransferServiceOptions,
  type BlockTransferStats,
} from "./block-transfer-service.js";
export { DiskBlockStore, type DiskBlockStoreOptions } from "./disk-block-store.js";
export {
  type DownloadFile,
  type DownloadFileWritableChannel,
  SimpleDownloadFile,
} from "./download-file.js";
export { DirectoryDownloadFileManager, type DownloadFileManager } from "./download-file-manager.js";
export {
  BLOCK_FETCH_ERROR_HANDLER,
  type ErrorHandler,
  isIoError,
  NOOP_ERROR_HANDLER,
  STALE_SHUFFLE_BLOCK_FETCH,
} from "./error-handler.js";
export { ExternalBlockHandler } from "./external-block-handler.js";
export { ExternalBlockStoreClient, type ExternalBlockStoreClientOptions } from "./external-block-store-client.js";
export {
  type Cleaner,
  ExternalShuffleBlockResolver,
  type ExternalShuffleBlockResolverOptions,
} from "./external-shuffle-block-resolver.js";
export { ExternalShuffleService, type ExternalShuffleServiceOptions } from "./external-shuffle-service.js";
export { MemoryBlockStore, type MemoryBlockStoreOptions } from "./memory-block-store.js";
export { OneForOneBlockFetcher, type OneForOneBlockFetcherOptions } from "./one-for-one-block-fetcher.js";
export { RegisteredExecutors, type RegisteredExecutorsOptions } from "./registered-executors.js";
export {
  type BlockTransferStarter,
  RetryingBlockTransferor,
  type RetryingBlockTransferorOptions,
} from "./retrying-block-transferor.js";
export { hashedPath, shuffleChecksumName, shuffleDataName, shuffleIndexName } from "./shuffle-files.js";
export { ShuffleIndexInformation, type ShuffleIndexRecord } from "./shuffle-index-information.js";
export type { ExternalShuffleStats, LatencyStats } from "./shuffle-metrics.js";
