/** Goal: block ids are read as Spark writes them, exactly, and nothing else is taken for one. */
import {
  type BlockId,
  formatBlockId,
  parseBlockId,
  parseShuffleBlockId,
  parseShuffleChunkBlockId,
} from "ringpost/blocks";
import { expect, test } from "vitest";

const invalid = expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" });

test.each<[string, BlockId]>([
  ["shuffle_0_1_2", { kind: "shuffle", shuffleId: 0, mapId: 1n, reduceId: 2 }],
  [
    "shuffle_2147483647_9223372036854775807_2147483647",
    { kind: "shuffle", shuffleId: 2147483647, mapId: 2n ** 63n - 1n, reduceId: 2147483647 },
  ],
  ["shuffle_0_1_2_5", { kind: "shuffleBatch", shuffleId: 0, mapId: 1n, startReduceId: 2, endReduceId: 5 }],
  ["shuffleChunk_0_1_2_3", { kind: "shuffleChunk", shuffleId: 0, shuffleMergeId: 1, reduceId: 2, chunkId: 3 }],
  ["shufflePush_0_1_2_3", { kind: "shufflePush", shuffleId: 0, shuffleMergeId: 1, mapIndex: 2, reduceId: 3 }],
  ["rdd_10_20", { kind: "rdd", rddId: 10, splitIndex: 20 }],
])("%s", (id, block) => {
  expect(parseBlockId(id)).toEqual(block);
  expect(formatBlockId(block)).toBe(id);
});

test.each([
  "",
  "b1",
  "broadcast_1",
  "shuffle_0_0",
  "shuffle_0_0_0_0_0",
  "shuffleChunk_0_0_0",
  "shufflePush_0_0_0",
  "rdd_0",
  "rdd_0_0_0",
  "shuffle_-1_0_0",
  "shuffle_0_0_0x10",
  "shuffle_0_0_1e3",
  "shuffle_0_0_ 1",
  "shuffle_00_0_0",
  "shuffle_0_0_0\n",
  "shuffle_0__0",
  "shuffle_2147483648_0_0",
  "shuffle_0_9223372036854775808_0",
  "shuffle_0_0_2147483648",
  "rdd_0_2147483648",
  `shuffle_0_${"9".repeat(1_000_000)}_0`,
  "shuffle_٣_0_0",
])("%.40s is none of them", (id) => {
  expect(parseBlockId(id)).toBeNull();
  expect(() => parseShuffleBlockId(id)).toThrow(invalid);
  expect(() => parseShuffleChunkBlockId(id)).toThrow(invalid);
});

test("a parser of one kind refuses the others", () => {
  expect(() => parseShuffleBlockId("shuffleChunk_0_0_0_0")).toThrow(invalid);
  expect(() => parseShuffleChunkBlockId("shuffle_0_0_0_0")).toThrow(invalid);
  expect(parseShuffleChunkBlockId("shuffleChunk_0_0_0_0").kind).toBe("shuffleChunk");
  expect(parseShuffleBlockId("shuffle_0_0_0").kind).toBe("shuffle");
});

test("an error text shows the start of a long id only", () => {
  expect(() => parseShuffleBlockId("x".repeat(1_000_000))).toThrow(/^.{0,400}$/);
});

test("numbers that no id holds are not formatted", () => {
  expect(() => formatBlockId({ kind: "rdd", rddId: -1, splitIndex: 0 })).toThrow(invalid);
  expect(() => formatBlockId({ kind: "rdd", rddId: 1.5, splitIndex: 0 })).toThrow(invalid);
  expect(() => formatBlockId({ kind: "shuffle", shuffleId: 0, mapId: 2n ** 63n, reduceId: 0 })).toThrow(invalid);
});
