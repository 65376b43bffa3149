/** Block transfer, exported as `ringpost/blocks`: fetchers, stores, the services that hand blocks out. */
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
export { decodeBlockTransferMessage, encodeBlockTransferMessage } from "./block-transfer-codec.js";
export {
  type BlockTransferMessage,
  BlockTransferMessageType,
  type Cause,
  CORRUPTION_CAUSES,
  type ExecutorShuffleInfo,
} from "./block-transfer-messages.js";
