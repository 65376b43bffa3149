/** BlockFetchingListener: what becomes of the blocks that somebody fetches. */
import type { ManagedBuffer } from "../network/managed-buffer.js";

export interface BlockFetchingListener {
  /** The buffer is valid during the call, and afterwards if it was retained. */
  onBlockFetchSuccess(blockId: string, data: ManagedBuffer): void;
  /** Without retries it may come more than once for a block, and after a success of it. */
  onBlockFetchFailure(blockId: string, error: Error): void;
}
