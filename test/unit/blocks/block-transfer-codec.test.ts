/**
 * Goal: messages of block transfer are Spark's byte for byte, and no bytes do more than throw ERR_RPC_PROTOCOL.
 * Method: what the encode() methods of Spark 4.0.0 printed, both ways; bytes cut short, lengthened and with lying counts.
 */
import {
  type BlockTransferMessage,
  BlockTransferMessageType,
  decodeBlockTransferMessage,
  encodeBlockTransferMessage,
} from "ringpost/blocks";
import { describe, expect, test } from "vitest";
import { type GoldenMessage, goldenMessages, plainMessage } from "./block-transfer-messages.js";

const golden = goldenMessages();
const protocolError = expect.objectContaining({ code: "ERR_RPC_PROTOCOL" });

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

function decoded(hex: string): BlockTransferMessage {
  return decodeBlockTransferMessage(bytesOf(hex));
}

test("the fixture has bytes for every message type", () => {
  expect(new Set(golden.map(({ message }) => message.type))).toEqual(new Set(Object.values(BlockTransferMessageType)));
});

describe.each(golden)("$name", ({ message, bytes }: GoldenMessage) => {
  test("encodes to Spark's bytes", () => {
    expect(Buffer.from(encodeBlockTransferMessage(message)).toString("hex")).toBe(bytes.toString("hex"));
  });

  test("decodes from them", () => {
    expect(plainMessage(decodeBlockTransferMessage(bytes))).toEqual(plainMessage(message));
  });

  test("bytes behind it are ignored, as Spark ignores them", () => {
    const longer = Buffer.concat([bytes, Buffer.from([1, 2, 3])]);
    expect(plainMessage(decodeBlockTransferMessage(longer))).toEqual(plainMessage(message));
  });

  test("cut short anywhere it is refused", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeBlockTransferMessage(bytes.subarray(0, length)), `${length} bytes`).toThrow(protocolError);
    }
  });
});

test("a bitmap of MergeStatuses is read in the form with runs, too", () => {
  // {0, 1, 2} as CRoaring writes it: cookie 12347, the flag of one run container, one run from 0 to 2.
  const message = decoded(
    "0e 00000000 00000000 00000001 3b300000 01 00000200 0100 0000 0200 00000001 00000003 00000001 000000000000001e",
  );
  expect(plainMessage(message)).toMatchObject({ bitmaps: [[0, 1, 2]], reduceIds: [3], sizes: [30n] });
});

test.each([
  ["of Spark 3, Mesos", "04 00000000 0000000000000000", 4],
  ["of Spark 3, Mesos", "05 00000000", 5],
  ["behind the last", "14", 20],
  ["that is a signed byte", "ff 00", -1],
])("a type %s is unknown", (_what, hex, type) => {
  expect(() => decoded(hex)).toThrow(
    expect.objectContaining({ code: "ERR_RPC_PROTOCOL", message: `Unknown message type: ${type}` }),
  );
});

const NO_IDS = "00000000 00000000";

test.each([
  ["a count of 2^31 - 1 block ids", `00 ${NO_IDS} 7fffffff 00000000`, "a count of 2147483647, 4 bytes are left"],
  ["a negative count of block ids", `00 ${NO_IDS} ffffffff`, "a count of -1"],
  ["a negative length of a text", "06 80000000", "a length of -2147483648"],
  ["block data of 2 GiB", `01 ${NO_IDS} 00000000 00000000 7fffffff 00`, "a length of 2147483647, 1 bytes are left"],
  ["2^31 - 1 map ids", `09 ${NO_IDS} 00000000 7fffffff`, "mapIds: a count of 2147483647"],
  ["2^31 - 1 lists of reduce ids", `09 ${NO_IDS} 00000000 00000000 7fffffff`, "reduceIds: a count of 2147483647"],
  ["2^31 - 1 bitmaps", "0e 00000000 00000000 7fffffff", "bitmaps: a count of 2147483647"],
  // In each of these the first item is a bad one as well: whoever reads it before he looks at the count says so.
  [
    "more lists of reduce ids than map ids",
    `09 ${NO_IDS} 00000000 00000000 00000001 ffffffff 00`,
    "0 mapIds and 1 lists",
  ],
  [
    "fewer lists of reduce ids than map ids",
    `09 ${NO_IDS} 00000000 00000002 ${"00".repeat(16)} 00000001 ffffffff 00`,
    "2 mapIds and 1 lists",
  ],
  [
    "more lists of chunk ids than reduce ids",
    `0f ${NO_IDS} 00000000 00000000 00000000 00000001 ffffffff`,
    "0 reduceIds and 1 lists",
  ],
  ["more executors than counts", "0b 00000001 00000000 00000000 ffffffff", "1 executors, 0 counts"],
  [
    "a negative count of directories",
    "0b 00000002 00000000 00000000 00000002 ffffffff 00000001 ffffffff",
    "the sum NaN",
  ],
])("%s is refused before anything is made for it", (_what, hex, text) => {
  expect(() => decoded(hex)).toThrow(
    expect.objectContaining({ code: "ERR_RPC_PROTOCOL", message: expect.stringContaining(text) }),
  );
});

/** A request for blocks of a shuffle with lists of so many reduce ids, each 0; no more than this is allocated. */
function requestFor(listLengths: readonly number[]): Buffer {
  const maps = listLengths.length;
  const bytes = Buffer.alloc(
    1 + 4 + 4 + 4 + 4 + maps * 8 + 4 + listLengths.reduce((sum, length) => sum + 4 + 4 * length, 0) + 1,
  );
  bytes[0] = BlockTransferMessageType.FETCH_SHUFFLE_BLOCKS;
  bytes.writeInt32BE(maps, 13);
  let at = bytes.writeInt32BE(maps, 17 + maps * 8);
  for (const length of listLengths) at = bytes.writeInt32BE(length, at) + 4 * length;
  return bytes;
}

test("lists are bounded, each one of texts and all of a message together; one less is read", () => {
  const ids = (count: number): Buffer => {
    const bytes = Buffer.alloc(1 + 8 + 4 + 4 * count);
    bytes.writeInt32BE(count, 9);
    return bytes;
  };
  const refused = (text: string) =>
    expect.objectContaining({ code: "ERR_RPC_PROTOCOL", message: expect.stringContaining(text) });
  expect(decodeBlockTransferMessage(ids(262_144))).toMatchObject({ blockIds: { length: 262_144 } });
  const tooMany = "blockIds: a count of 262145, 262144 are the most";
  expect(() => decodeBlockTransferMessage(ids(262_145))).toThrow(refused(tooMany));
  // Two of maps and two of lists, and what is in them.
  expect(decodeBlockTransferMessage(requestFor([1_048_571, 1]))).toMatchObject({ mapIds: [0n, 0n] });
  expect(() => decodeBlockTransferMessage(requestFor([1_048_571, 2]))).toThrow(refused("a count of 2, 1 are the most"));
  const eachOne = requestFor(Array.from({ length: 262_144 }, () => 2));
  expect(decodeBlockTransferMessage(eachOne)).toMatchObject({ mapIds: { length: 262_144 } });
});

test.each([
  [
    "a batch of three reduce ids",
    "09 00000000 00000000 00000000 00000001 0000000000000000 00000001 00000003 00000000 00000001 00000002 01",
  ],
  ["more directories counted than there are", "0b 00000001 00000000 00000001 00000001 00000000"],
  ["a cause without a name", "11 05"],
  ["a negative cause", "11 ff"],
  ["an unknown return code", "12 05 00000000"],
])("%s is refused", (_what, hex) => {
  expect(() => decoded(hex)).toThrow(protocolError);
});

test.each<[string, BlockTransferMessage]>([
  ["a chunk count beyond 32 bits", { type: BlockTransferMessageType.STREAM_HANDLE, streamId: 1n, numChunks: 2 ** 31 }],
  ["a fraction", { type: BlockTransferMessageType.BLOCKS_REMOVED, numRemovedBlocks: 0.5 }],
  ["a stream id beyond 64 bits", { type: BlockTransferMessageType.STREAM_HANDLE, streamId: 2n ** 63n, numChunks: 1 }],
  ["an unknown cause", { type: BlockTransferMessageType.CORRUPTION_CAUSE, cause: "RATS" as "UNKNOWN_ISSUE" }],
  [
    "an unknown return code",
    { type: BlockTransferMessageType.BLOCK_PUSH_RETURN_CODE, returnCode: 5, failureBlockId: "" },
  ],
  [
    "more map ids than lists of reduce ids",
    {
      type: BlockTransferMessageType.FETCH_SHUFFLE_BLOCKS,
      appId: "",
      execId: "",
      shuffleId: 0,
      mapIds: [1n],
      reduceIds: [],
      batchFetchEnabled: false,
    },
  ],
  ["an unknown type", { type: 4 } as unknown as BlockTransferMessage],
])("%s is not written", (_what, message) => {
  expect(() => encodeBlockTransferMessage(message)).toThrow(
    expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" }),
  );
});
