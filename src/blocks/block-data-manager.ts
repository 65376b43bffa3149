/**
 * BlockDataManager: where a BlockTransferService has its blocks from, and where it puts those that others upload.
 * MemoryBlockStore and DiskBlockStore are two; whoever keeps blocks elsewhere writes his own.
 *
 * A block does not change: an id that is there already stays what it is, and its upload counts as stored.
 * All methods are called on the thread of the service.
 */
import type { StreamCallbackWithID } from "../network/callbacks.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import type { Cause } from "./block-transfer-messages.js";

/** A checksum that a reader computed of a block, which is not the one it should be. */
export interface BlockChecksum {
  readonly value: bigint;
  /** ADLER32, CRC32 or CRC32C. */
  readonly algorithm: string;
}

export interface BlockDataManager {
  /**
   * A block's bytes. The caller releases the buffer once, when it has sent it or does not need it any more.
   * Throws or rejects with ERR_RPC_STREAM for a block that is not there, ERR_RPC_INVALID_ARGUMENT for what is no id.
   */
  getLocalBlockData(blockId: string): ManagedBuffer | Promise<ManagedBuffer>;

  /**
   * Keeps a block.
   * @param data belongs to the caller, who releases it when the promise has settled: what keeps it longer retains it.
   * @param metadata how it is to be kept, opaque: Spark writes Java objects. The manager's to keep.
   * @returns False: it was not kept, for a reason that is no error.
   * Rejects with ERR_RPC_STREAM when there is no room for it, ERR_RPC_INVALID_ARGUMENT for what is no id.
   */
  putBlockData(blockId: string, data: ManagedBuffer, metadata: Uint8Array): Promise<boolean>;

  /**
   * Keeps a block that comes as a stream. The block is there when `onComplete` has settled, and not before; after `onFailure`
   * nothing of it is left.
   * Throws ERR_RPC_INVALID_ARGUMENT for what is no id. As in Spark the uploader's connection ends then.
   */
  putBlockDataAsStream(blockId: string, metadata: Uint8Array): StreamCallbackWithID;

  /** The directories that hold its files; empty where there are none. */
  getLocalDiskDirs(): readonly string[];

  /** Forgets blocks. @returns How many of them were there. Without this method nobody can remove blocks from elsewhere. */
  removeBlocks?(blockIds: readonly string[]): Promise<number>;

  /** Where a shuffle block was damaged. Without this method: UNKNOWN_ISSUE. */
  diagnoseShuffleBlockCorruption?(blockId: string, checksum: BlockChecksum): Cause | Promise<Cause>;
}
