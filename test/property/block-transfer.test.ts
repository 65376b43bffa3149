/**
 * Goal: messages of block transfer survive the wire whatever they hold; no bytes make the decoder fail in another way than
 * with ERR_RPC_PROTOCOL, or hold more than the bytes account for. Block ids likewise.
 * Method: fast-check: messages by their fields; random bytes; Spark's own bytes with some of them changed.
 * The seed stands in the tests' names; SEED=<n> runs it again.
 */
import fc from "fast-check";
import { isRpcError } from "ringpost";
import {
  type BlockId,
  type BlockTransferMessage,
  CORRUPTION_CAUSES,
  decodeBlockTransferMessage,
  encodeBlockTransferMessage,
  formatBlockId,
  parseBlockId,
  BlockTransferMessageType as Type,
} from "ringpost/blocks";
import { RoaringBitmap } from "ringpost/network";
import { expect, test } from "vitest";
import { goldenMessages, plainMessage } from "../unit/blocks/block-transfer-messages.js";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const many = { seed, numRuns: 1_000 };

const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const text = fc.string({ unit: "binary" });
const texts = fc.array(text, { maxLength: 10 });
const bytes = fc.uint8Array({ maxLength: 100 });
const bitmap = fc.array(fc.nat(2 ** 20)).map((values) => RoaringBitmap.of(values));
const app = { appId: text, execId: text };
const merge = { appId: text, appAttemptId: i32, shuffleId: i32, shuffleMergeId: i32 };

const of = <T extends number, F extends object>(type: T, fields: { [K in keyof F]: fc.Arbitrary<F[K]> }) =>
  fc.record({ type: fc.constant(type), ...fields }) as fc.Arbitrary<unknown> as fc.Arbitrary<BlockTransferMessage>;

const fetchShuffleBlocks = fc.boolean().chain((batchFetchEnabled) => {
  const list = fc.array(i32, batchFetchEnabled ? { minLength: 2, maxLength: 2 } : { maxLength: 5 });
  return fc.array(fc.tuple(i64, list), { maxLength: 10 }).chain((maps) =>
    of(Type.FETCH_SHUFFLE_BLOCKS, {
      ...app,
      shuffleId: i32,
      mapIds: fc.constant(maps.map(([mapId]) => mapId)),
      reduceIds: fc.constant(maps.map(([, ids]) => ids)),
      batchFetchEnabled: fc.constant(batchFetchEnabled),
    }),
  );
});
const fetchChunks = fc.array(fc.tuple(i32, fc.array(i32)), { maxLength: 10 }).chain((lists) =>
  of(Type.FETCH_SHUFFLE_BLOCK_CHUNKS, {
    ...app,
    shuffleId: i32,
    shuffleMergeId: i32,
    reduceIds: fc.constant(lists.map(([reduceId]) => reduceId)),
    chunkIds: fc.constant(lists.map(([, ids]) => ids)),
  }),
);

const message: fc.Arbitrary<BlockTransferMessage> = fc.oneof(
  of(Type.OPEN_BLOCKS, { ...app, blockIds: texts }),
  of(Type.UPLOAD_BLOCK, { ...app, blockId: text, metadata: bytes, blockData: bytes }),
  of(Type.REGISTER_EXECUTOR, {
    ...app,
    executorInfo: fc.record({ localDirs: texts, subDirsPerLocalDir: i32, shuffleManager: text }),
  }),
  of(Type.STREAM_HANDLE, { streamId: i64, numChunks: i32 }),
  of(Type.UPLOAD_BLOCK_STREAM, { blockId: text, metadata: bytes }),
  of(Type.REMOVE_BLOCKS, { ...app, blockIds: texts }),
  of(Type.BLOCKS_REMOVED, { numRemovedBlocks: i32 }),
  fetchShuffleBlocks,
  of(Type.GET_LOCAL_DIRS_FOR_EXECUTORS, { appId: text, execIds: texts }),
  of(Type.LOCAL_DIRS_FOR_EXECUTORS, {
    localDirsByExec: fc.uniqueArray(fc.tuple(text, texts), { selector: ([id]) => id }).map((dirs) => new Map(dirs)),
  }),
  of(Type.PUSH_BLOCK_STREAM, { ...merge, mapIndex: i32, reduceId: i32, index: i32 }),
  of(Type.FINALIZE_SHUFFLE_MERGE, merge),
  of(Type.MERGE_STATUSES, {
    shuffleId: i32,
    shuffleMergeId: i32,
    bitmaps: fc.array(bitmap, { maxLength: 3 }),
    reduceIds: fc.array(i32),
    sizes: fc.array(i64),
  }),
  fetchChunks,
  of(Type.DIAGNOSE_CORRUPTION, {
    ...app,
    shuffleId: i32,
    mapId: i64,
    reduceId: i32,
    checksum: i64,
    algorithm: text,
  }),
  of(Type.CORRUPTION_CAUSE, { cause: fc.constantFrom(...CORRUPTION_CAUSES) }),
  of(Type.BLOCK_PUSH_RETURN_CODE, { returnCode: fc.nat(4), failureBlockId: text }),
  of(Type.REMOVE_SHUFFLE_MERGE, merge),
);

test(`messages survive the wire (seed ${seed})`, () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(message, (given) => {
      seen.add(given.type);
      const encoded = encodeBlockTransferMessage(given);
      expect(plainMessage(decodeBlockTransferMessage(encoded))).toEqual(plainMessage(given));
    }),
    many,
  );
  expect(seen).toEqual(new Set(Object.values(Type)));
});

/** Values that a decoded message holds: each took at least some bytes, four of them in any list. */
function valuesIn(value: unknown): number {
  if (value instanceof RoaringBitmap) return 1;
  if (value instanceof Uint8Array) return value.length / 4;
  if (value instanceof Map) return valuesIn([...value.keys()]) + valuesIn([...value.values()]);
  if (typeof value !== "object" || value === null) return 1;
  return 1 + Object.values(value).reduce((sum: number, item) => sum + valuesIn(item), 0);
}

function decodesOrIsRefused(input: Uint8Array): void {
  let decoded: BlockTransferMessage;
  try {
    decoded = decodeBlockTransferMessage(input);
  } catch (error) {
    expect(isRpcError(error, "ERR_RPC_PROTOCOL"), String(error)).toBe(true);
    return;
  }
  // A dozen fields of any size, and what the bytes hold.
  expect(valuesIn(decoded)).toBeLessThanOrEqual(20 + input.length);
}

test(`any bytes are a message or are refused as none (seed ${seed})`, () => {
  const typed = fc.tuple(fc.nat(20), fc.uint8Array({ maxLength: 200 })).map(([type, rest]) => Buffer.of(type, ...rest));
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), typed), decodesOrIsRefused), many);
});

test(`Spark's bytes with some of them changed, too (seed ${seed})`, () => {
  const lie = fc.constantFrom(0x7fffffff, 0xffffffff, 0x80000000, 0x00ffffff, 1, 0);
  const change = fc.tuple(fc.nat(60), fc.oneof(fc.nat(255), lie));
  const changed = fc
    .tuple(fc.constantFrom(...goldenMessages()), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([{ bytes: golden }, changes]) => {
      const copy = Buffer.from(golden);
      for (const [at, value] of changes) {
        if (value <= 255) copy[at % copy.length] = value;
        else if (copy.length > 4) copy.writeUInt32BE(value, at % (copy.length - 3));
      }
      return copy;
    });
  fc.assert(fc.property(changed, decodesOrIsRefused), { seed, numRuns: 5_000 });
});

const number = fc.nat(2 ** 31 - 1);
const mapId = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const blockId: fc.Arbitrary<BlockId> = fc.oneof(
  fc.record({ kind: fc.constant("shuffle" as const), shuffleId: number, mapId, reduceId: number }),
  fc.record({
    kind: fc.constant("shuffleBatch" as const),
    shuffleId: number,
    mapId,
    startReduceId: number,
    endReduceId: number,
  }),
  fc.record({
    kind: fc.constant("shuffleChunk" as const),
    shuffleId: number,
    shuffleMergeId: number,
    reduceId: number,
    chunkId: number,
  }),
  fc.record({
    kind: fc.constant("shufflePush" as const),
    shuffleId: number,
    shuffleMergeId: number,
    mapIndex: number,
    reduceId: number,
  }),
  fc.record({ kind: fc.constant("rdd" as const), rddId: number, splitIndex: number }),
);

test(`a block id is read as what it was made of, and nothing else has the same (seed ${seed})`, () => {
  fc.assert(
    fc.property(blockId, (block) => {
      expect(parseBlockId(formatBlockId(block))).toEqual(block);
    }),
    many,
  );
  const like = fc.stringMatching(/^(shuffle|shuffleChunk|shufflePush|rdd)(_[0-9a-f-]{0,20}){1,5}$/);
  fc.assert(
    fc.property(fc.oneof(fc.string(), like), (id) => {
      const block = parseBlockId(id);
      if (block !== null) expect(formatBlockId(block)).toBe(id);
    }),
    many,
  );
});
