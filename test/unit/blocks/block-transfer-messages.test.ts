/** Goal: what Spark's suites demand of the messages of block transfer. */
import {
  type BlockTransferMessage,
  decodeBlockTransferMessage,
  encodeBlockTransferMessage,
  BlockTransferMessageType as Type,
} from "ringpost/blocks";
import { expect, test } from "vitest";
import { plainMessage } from "./block-transfer-messages.js";

const APP = { appId: "app-1", execId: "exec-2" };

function expectToSurvive(message: BlockTransferMessage): void {
  const decoded = decodeBlockTransferMessage(encodeBlockTransferMessage(message));
  expect(plainMessage(decoded)).toEqual(plainMessage(message));
}

test("[net BlockTransferMessagesSuite.serializeOpenShuffleBlocks] requests and StreamHandle survive the wire", () => {
  expectToSurvive({ type: Type.OPEN_BLOCKS, ...APP, blockIds: ["b1", "b2"] });
  expectToSurvive({
    type: Type.FETCH_SHUFFLE_BLOCKS,
    ...APP,
    shuffleId: 0,
    mapIds: [0n, 1n],
    reduceIds: [
      [0, 1],
      [0, 1, 2],
    ],
    batchFetchEnabled: false,
  });
  expectToSurvive({
    type: Type.FETCH_SHUFFLE_BLOCKS,
    ...APP,
    shuffleId: 0,
    mapIds: [0n, 1n],
    reduceIds: [
      [0, 3],
      [2, 7],
    ],
    batchFetchEnabled: true,
  });
  expectToSurvive({
    type: Type.REGISTER_EXECUTOR,
    ...APP,
    executorInfo: { localDirs: ["/local1", "/local2"], subDirsPerLocalDir: 32, shuffleManager: "MyShuffleManager" },
  });
  expectToSurvive({
    type: Type.UPLOAD_BLOCK,
    ...APP,
    blockId: "block-3",
    metadata: Uint8Array.of(1, 2),
    blockData: Uint8Array.of(4, 5, 6, 7),
  });
  expectToSurvive({ type: Type.STREAM_HANDLE, streamId: 12_345n, numChunks: 16 });
  expectToSurvive({ type: Type.STREAM_HANDLE, streamId: -(2n ** 63n), numChunks: -(2 ** 31) });
});

test("[net BlockTransferMessagesSuite.testLocalDirsMessages] directories of executors survive the wire", () => {
  expectToSurvive({ type: Type.GET_LOCAL_DIRS_FOR_EXECUTORS, appId: "app-1", execIds: ["exec-1", "exec-2"] });
  const localDirsByExec = new Map([
    ["exec-1", ["loc1.1"]],
    ["exec-2", ["loc2.1", "loc2.2"]],
    ["exec-3", []],
  ]);
  expectToSurvive({ type: Type.LOCAL_DIRS_FOR_EXECUTORS, localDirsByExec });
});

/** Spark counts a message without its type. */
function encodedLength(message: BlockTransferMessage): number {
  return encodeBlockTransferMessage(message).length - 1;
}

test("[net FetchShuffleBlocksSuite.testFetchShuffleBlockEncodeDecode] two blocks take 50 bytes", () => {
  const message: BlockTransferMessage = {
    type: Type.FETCH_SHUFFLE_BLOCKS,
    appId: "app0",
    execId: "exec1",
    shuffleId: 0,
    mapIds: [0n],
    reduceIds: [[0, 1]],
    batchFetchEnabled: false,
  };
  expect(encodedLength(message)).toBe(50);
  expectToSurvive(message);
});

const CHUNKS: BlockTransferMessage = {
  type: Type.FETCH_SHUFFLE_BLOCK_CHUNKS,
  appId: "app0",
  execId: "exec1",
  shuffleId: 0,
  shuffleMergeId: 0,
  reduceIds: [0],
  chunkIds: [[0, 1]],
};

test("[net FetchShuffleBlockChunksSuite.testFetchShuffleBlockChunksEncodeDecode] two chunks take 49 bytes", () => {
  expect(encodedLength(CHUNKS)).toBe(49);
  expectToSurvive(CHUNKS);
});

test("[net FetchShuffleBlockChunksSuite.testDecodeRejectsCountExceedingReceivedBytes] a lying count is refused", () => {
  const bytes = Buffer.from(encodeBlockTransferMessage(CHUNKS));
  // Behind the type, two texts and two ids stands the count of reducers, one of them, then the count of lists.
  const listCountAt = 1 + 8 + 9 + 8 + 4 + 4;
  expect(bytes.readInt32BE(listCountAt)).toBe(1);
  for (const count of [2, 1_000, 2 ** 31 - 1, -1]) {
    bytes.writeInt32BE(count, listCountAt);
    expect(() => decodeBlockTransferMessage(bytes)).toThrow(expect.objectContaining({ code: "ERR_RPC_PROTOCOL" }));
  }
});
