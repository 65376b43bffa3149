/** A message of each type beside the bytes that the encode() methods of Spark 4.0.0 printed for it. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type BlockTransferMessage, BlockTransferMessageType as Type } from "ringpost/blocks";
import { RoaringBitmap } from "../../../dist/src/network/index.js";

const APP = { appId: "app", execId: "1" };
const APP0 = { appId: "app0", execId: "exec1" };
const MERGE = { appId: "app", appAttemptId: 1, shuffleId: 2, shuffleMergeId: 3 };

/** By the names in the fixture. */
const MESSAGES: Readonly<Record<string, BlockTransferMessage>> = {
  OpenBlocks: { type: Type.OPEN_BLOCKS, ...APP, blockIds: ["b1", "b2"] },
  UploadBlock: {
    type: Type.UPLOAD_BLOCK,
    ...APP,
    blockId: "b",
    metadata: Uint8Array.of(1, 2),
    blockData: Uint8Array.of(4, 5, 6),
  },
  RegisterExecutor: {
    type: Type.REGISTER_EXECUTOR,
    ...APP,
    executorInfo: { localDirs: ["/a", "/b"], subDirsPerLocalDir: 64, shuffleManager: "sort" },
  },
  StreamHandle: { type: Type.STREAM_HANDLE, streamId: 12_345n, numChunks: 16 },
  UploadBlockStream: { type: Type.UPLOAD_BLOCK_STREAM, blockId: "b", metadata: Uint8Array.of(1) },
  RemoveBlocks: { type: Type.REMOVE_BLOCKS, ...APP, blockIds: ["rdd_0_0"] },
  BlocksRemoved: { type: Type.BLOCKS_REMOVED, numRemovedBlocks: 1 },
  FetchShuffleBlocks: {
    type: Type.FETCH_SHUFFLE_BLOCKS,
    ...APP0,
    shuffleId: 0,
    mapIds: [0n],
    reduceIds: [[0, 1]],
    batchFetchEnabled: false,
  },
  FetchShuffleBlocksBatch: {
    type: Type.FETCH_SHUFFLE_BLOCKS,
    ...APP0,
    shuffleId: 0,
    mapIds: [5n],
    reduceIds: [[0, 3]],
    batchFetchEnabled: true,
  },
  GetLocalDirs: { type: Type.GET_LOCAL_DIRS_FOR_EXECUTORS, appId: "app", execIds: ["1"] },
  LocalDirs: { type: Type.LOCAL_DIRS_FOR_EXECUTORS, localDirsByExec: new Map([["1", ["/a", "/b"]]]) },
  PushBlockStream: {
    type: Type.PUSH_BLOCK_STREAM,
    ...MERGE,
    mapIndex: 4,
    reduceId: 5,
    index: 6,
  },
  FinalizeShuffleMerge: { type: Type.FINALIZE_SHUFFLE_MERGE, ...MERGE },
  "MergeStatuses{0,1,2}": {
    type: Type.MERGE_STATUSES,
    shuffleId: 0,
    shuffleMergeId: 0,
    bitmaps: [RoaringBitmap.of([0, 1, 2])],
    reduceIds: [3],
    sizes: [30n],
  },
  FetchShuffleBlockChunks: {
    type: Type.FETCH_SHUFFLE_BLOCK_CHUNKS,
    ...APP0,
    shuffleId: 0,
    shuffleMergeId: 0,
    reduceIds: [0],
    chunkIds: [[0, 1]],
  },
  DiagnoseCorruption: {
    type: Type.DIAGNOSE_CORRUPTION,
    ...APP,
    shuffleId: 1,
    mapId: 2n,
    reduceId: 3,
    checksum: 4n,
    algorithm: "CRC32",
  },
  CorruptionCause: { type: Type.CORRUPTION_CAUSE, cause: "NETWORK_ISSUE" },
  BlockPushReturnCode: { type: Type.BLOCK_PUSH_RETURN_CODE, returnCode: 0, failureBlockId: "" },
  RemoveShuffleMerge: { type: Type.REMOVE_SHUFFLE_MERGE, ...MERGE },
};

export interface GoldenMessage {
  readonly name: string;
  readonly message: BlockTransferMessage;
  readonly bytes: Buffer;
}

export function goldenMessages(): GoldenMessage[] {
  const path = fileURLToPath(new URL("../../fixtures/spark-golden-bytes.txt", import.meta.url));
  const text = readFileSync(path, "utf8");
  return [...text.matchAll(/^(\S+) len=(\d+)\n {2}(.*)$/gm)].map(([, name = "", length, hex = ""]) => {
    const message = MESSAGES[name];
    const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
    if (message === undefined) throw new Error(`no message stands here for ${name}`);
    if (bytes.length !== Number(length)) throw new Error(`${name} has ${bytes.length} bytes, not ${length}`);
    return { name, message, bytes };
  });
}

/** With plain values that can be compared: Buffers and bitmaps are none. */
export function plainMessage(message: BlockTransferMessage): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? [...value] : plainItems(value),
    ]),
  );
}

function plainItems(value: unknown): unknown {
  return Array.isArray(value) ? value.map((item) => (item instanceof RoaringBitmap ? [...item] : item)) : value;
}
