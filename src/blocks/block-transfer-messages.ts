/**
 * The messages of Spark's block transfer: what the bodies of RPC requests, their answers, and the `meta` of uploads hold.
 * How they are written: block-transfer-codec.ts. 64-bit numbers are bigint.
 */
import type { RoaringBitmap } from "../network/roaring-bitmap.js";

export const BlockTransferMessageType = {
  OPEN_BLOCKS: 0,
  UPLOAD_BLOCK: 1,
  REGISTER_EXECUTOR: 2,
  STREAM_HANDLE: 3,
  UPLOAD_BLOCK_STREAM: 6,
  REMOVE_BLOCKS: 7,
  BLOCKS_REMOVED: 8,
  FETCH_SHUFFLE_BLOCKS: 9,
  GET_LOCAL_DIRS_FOR_EXECUTORS: 10,
  LOCAL_DIRS_FOR_EXECUTORS: 11,
  PUSH_BLOCK_STREAM: 12,
  FINALIZE_SHUFFLE_MERGE: 13,
  MERGE_STATUSES: 14,
  FETCH_SHUFFLE_BLOCK_CHUNKS: 15,
  DIAGNOSE_CORRUPTION: 16,
  CORRUPTION_CAUSE: 17,
  BLOCK_PUSH_RETURN_CODE: 18,
  REMOVE_SHUFFLE_MERGE: 19,
} as const;

type Types = typeof BlockTransferMessageType;

/** Asks for blocks of an executor by their ids; answered by a StreamHandle. */
export interface OpenBlocks {
  readonly type: Types["OPEN_BLOCKS"];
  readonly appId: string;
  readonly execId: string;
  readonly blockIds: readonly string[];
}

/** A block to be kept; answered by nothing. */
export interface UploadBlock {
  readonly type: Types["UPLOAD_BLOCK"];
  readonly appId: string;
  readonly execId: string;
  readonly blockId: string;
  /** How it is to be kept. Opaque: Spark writes Java objects. */
  readonly metadata: Uint8Array;
  readonly blockData: Uint8Array;
}

/** Where an executor's shuffle files lie. */
export interface ExecutorShuffleInfo {
  readonly localDirs: readonly string[];
  readonly subDirsPerLocalDir: number;
  /** The class of Spark's shuffle manager; any text. */
  readonly shuffleManager: string;
}

/** An executor tells a shuffle service where its files are; answered by nothing. */
export interface RegisterExecutor {
  readonly type: Types["REGISTER_EXECUTOR"];
  readonly appId: string;
  readonly execId: string;
  readonly executorInfo: ExecutorShuffleInfo;
}

/** The stream from which the blocks that were asked for can be fetched, one chunk each. */
export interface StreamHandle {
  readonly type: Types["STREAM_HANDLE"];
  readonly streamId: bigint;
  readonly numChunks: number;
}

/** Before a stream with a block to be kept. */
export interface UploadBlockStream {
  readonly type: Types["UPLOAD_BLOCK_STREAM"];
  readonly blockId: string;
  readonly metadata: Uint8Array;
}

/** Blocks that nobody needs any more; answered by BlocksRemoved. */
export interface RemoveBlocks {
  readonly type: Types["REMOVE_BLOCKS"];
  readonly appId: string;
  readonly execId: string;
  readonly blockIds: readonly string[];
}

export interface BlocksRemoved {
  readonly type: Types["BLOCKS_REMOVED"];
  readonly numRemovedBlocks: number;
}

/** Asks for blocks of one shuffle; answered by a StreamHandle. */
export interface FetchShuffleBlocks {
  readonly type: Types["FETCH_SHUFFLE_BLOCKS"];
  readonly appId: string;
  readonly execId: string;
  readonly shuffleId: number;
  readonly mapIds: readonly bigint[];
  /** For each map its reducers; with `batchFetchEnabled` the first and the one behind the last. */
  readonly reduceIds: readonly (readonly number[])[];
  readonly batchFetchEnabled: boolean;
}

/** Asks where executors keep their files; answered by LocalDirsForExecutors. */
export interface GetLocalDirsForExecutors {
  readonly type: Types["GET_LOCAL_DIRS_FOR_EXECUTORS"];
  readonly appId: string;
  readonly execIds: readonly string[];
}

export interface LocalDirsForExecutors {
  readonly type: Types["LOCAL_DIRS_FOR_EXECUTORS"];
  readonly localDirsByExec: ReadonlyMap<string, readonly string[]>;
}

/** Push-merge: before a pushed block. */
export interface PushBlockStream {
  readonly type: Types["PUSH_BLOCK_STREAM"];
  readonly appId: string;
  readonly appAttemptId: number;
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
  readonly mapIndex: number;
  readonly reduceId: number;
  /** Its place among the blocks of the request. */
  readonly index: number;
}

/** Push-merge: no more is pushed; answered by MergeStatuses. */
export interface FinalizeShuffleMerge {
  readonly type: Types["FINALIZE_SHUFFLE_MERGE"];
  readonly appId: string;
  readonly appAttemptId: number;
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
}

export interface MergeStatuses {
  readonly type: Types["MERGE_STATUSES"];
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
  /** For each reducer the maps that were merged. */
  readonly bitmaps: readonly RoaringBitmap[];
  readonly reduceIds: readonly number[];
  readonly sizes: readonly bigint[];
}

/** Push-merge: asks for chunks of merged blocks; answered by a StreamHandle. */
export interface FetchShuffleBlockChunks {
  readonly type: Types["FETCH_SHUFFLE_BLOCK_CHUNKS"];
  readonly appId: string;
  readonly execId: string;
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
  readonly reduceIds: readonly number[];
  readonly chunkIds: readonly (readonly number[])[];
}

/** A block's checksum is wrong at its reader: where did that happen? Answered by CorruptionCause. */
export interface DiagnoseCorruption {
  readonly type: Types["DIAGNOSE_CORRUPTION"];
  readonly appId: string;
  readonly execId: string;
  readonly shuffleId: number;
  readonly mapId: bigint;
  readonly reduceId: number;
  /** What the reader computed. */
  readonly checksum: bigint;
  /** ADLER32, CRC32 or CRC32C. */
  readonly algorithm: string;
}

/** In the order of Spark's ordinals. */
export const CORRUPTION_CAUSES = [
  "DISK_ISSUE",
  "NETWORK_ISSUE",
  "UNKNOWN_ISSUE",
  "CHECKSUM_VERIFY_PASS",
  "UNSUPPORTED_CHECKSUM_ALGORITHM",
] as const;

export type Cause = (typeof CORRUPTION_CAUSES)[number];

export interface CorruptionCause {
  readonly type: Types["CORRUPTION_CAUSE"];
  readonly cause: Cause;
}

export interface BlockPushReturnCode {
  readonly type: Types["BLOCK_PUSH_RETURN_CODE"];
  /** 0 SUCCESS, 1 TOO_LATE_BLOCK_PUSH, 2 BLOCK_APPEND_COLLISION_DETECTED, 3 STALE_BLOCK_PUSH, 4 TOO_OLD_ATTEMPT_PUSH. */
  readonly returnCode: number;
  /** Empty on success. */
  readonly failureBlockId: string;
}

/** Push-merge: merged files that nobody needs any more. Not answered. */
export interface RemoveShuffleMerge {
  readonly type: Types["REMOVE_SHUFFLE_MERGE"];
  readonly appId: string;
  readonly appAttemptId: number;
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
}

export type BlockTransferMessage =
  | OpenBlocks
  | UploadBlock
  | RegisterExecutor
  | StreamHandle
  | UploadBlockStream
  | RemoveBlocks
  | BlocksRemoved
  | FetchShuffleBlocks
  | GetLocalDirsForExecutors
  | LocalDirsForExecutors
  | PushBlockStream
  | FinalizeShuffleMerge
  | MergeStatuses
  | FetchShuffleBlockChunks
  | DiagnoseCorruption
  | CorruptionCause
  | BlockPushReturnCode
  | RemoveShuffleMerge;
