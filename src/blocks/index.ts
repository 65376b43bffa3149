/** Block transfer, exported as `ringpost/blocks`: fetchers, stores, the services that hand blocks out. */
export type { BlockFetchingListener } from "./block-fetching-listener.js";
export {
  type BlockTransferMessage,
  BlockTransferMessageType,
  type Cause,
  CORRUPTION_CAUSES,
  type ExecutorShuffleInfo,
} from "./block-transfer-messages.js";
