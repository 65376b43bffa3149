/**
 * What a shuffle service answers: a real server, real files, messages sent one by one. Spark's ExternalBlockHandlerSuite has its
 * resolver mocked; here the real one reads what the test wrote.
 */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { createChecksum } from "../../../dist/src/blocks/checksums.js";
import {
  type BlockTransferMessage,
  type Cause,
  ExternalShuffleService,
  encodeBlockTransferMessage,
  BlockTransferMessageType as Type,
} from "../../../dist/src/blocks/index.js";
import { NioManagedBuffer } from "../../../dist/src/network/index.js";
import { ShuffleData } from "../../fixtures/shuffle-data.js";
import { ShufflePeer } from "../../fixtures/shuffle-peer.js";
import { failureOf, stream, textOf } from "../../fixtures/transport.js";

const APP = "app0";
const EXEC = "exec1";
const BLOCKS = { appId: APP, execId: EXEC } as const;

interface Setup extends AsyncDisposable {
  readonly service: ExternalShuffleService;
  readonly data: ShuffleData;
  readonly peer: ShufflePeer;
}

/** A service with one executor that has written maps 0 and 1 of shuffle 0. */
async function setUp(): Promise<Setup> {
  const data = await ShuffleData.create();
  await data.writeShuffle(0, 0, ["Hello!", "World!", ""]);
  await data.writeShuffle(0, 1, ["one", "two", "three", "four"]);
  const service = await ExternalShuffleService.start({ port: 0 });
  const peer = await ShufflePeer.connect(service.port);
  await peer.register(APP, EXEC, data.info());
  return {
    service,
    data,
    peer,
    async [Symbol.asyncDispose]() {
      peer[Symbol.dispose]();
      await service.close();
      await data[Symbol.asyncDispose]();
    },
  };
}

function texts(chunks: readonly (Buffer | Error)[]): string[] {
  return chunks.map((chunk) => (chunk instanceof Error ? `failed: ${chunk.message}` : textOf(chunk)));
}

describe("registering", () => {
  it("[net ExternalBlockHandlerSuite.testRegisterExecutor] is answered with nothing, and counted", async () => {
    await using setup = await setUp();
    const { count, totalMs, maxMs } = setup.service.stats().registerExecutorRequestLatencyMillis;
    expect(count).toBe(1);
    expect(totalMs).toBeGreaterThan(0);
    expect(maxMs).toBe(totalMs);
    expect(setup.service.stats().registeredExecutorsSize).toBe(1);
    expect(setup.service.stats().numActiveConnections).toBe(1);
  });

  it("of the same executor again counts for the next block", async () => {
    await using setup = await setUp();
    await using other = await ShuffleData.create(1, 64);
    await other.writeShuffle(0, 0, ["moved"]);
    await setup.peer.register(APP, EXEC, other.info());
    expect(setup.service.stats().registeredExecutorsSize).toBe(1);
    const opened = await setup.peer.open(APP, EXEC, ["shuffle_0_0_0"]);
    expect(texts(await setup.peer.chunks(opened))).toEqual(["moved"]);
  });
});

describe("opening blocks", () => {
  it("[net ExternalBlockHandlerSuite.testCompatibilityWithOldVersion] by their ids", async () => {
    await using setup = await setUp();
    const opened = await setup.peer.open(APP, EXEC, ["shuffle_0_0_0", "shuffle_0_0_1", "shuffle_0_1_2"]);
    expect(opened.numChunks).toBe(3);
    expect(texts(await setup.peer.chunks(opened))).toEqual(["Hello!", "World!", "three"]);
    expect(setup.service.stats()).toMatchObject({
      blockTransferRate: 3,
      blockTransferMessageRate: 3,
      blockTransferRateBytes: 17,
      openStreams: 0,
      openBlocks: 0,
    });
    expect(setup.service.stats().openBlockRequestLatencyMillis.count).toBe(1);
  });

  it("[net ExternalBlockHandlerSuite.testFetchShuffleBlocks] by numbers, all of a map before the next map", async () => {
    await using setup = await setUp();
    const opened = (await setup.peer.ask({
      type: Type.FETCH_SHUFFLE_BLOCKS,
      ...BLOCKS,
      shuffleId: 0,
      mapIds: [1n, 0n],
      reduceIds: [[3, 0], [1]],
      batchFetchEnabled: false,
    })) as BlockTransferMessage & { streamId: bigint; numChunks: number };
    expect(opened.numChunks).toBe(3);
    expect(texts(await setup.peer.chunks(opened))).toEqual(["four", "one", "World!"]);
  });

  it("[net ExternalBlockHandlerSuite.testFetchShuffleBlocksInBatch] a batch is one chunk that counts as its blocks", async () => {
    await using setup = await setUp();
    const opened = (await setup.peer.ask({
      type: Type.FETCH_SHUFFLE_BLOCKS,
      ...BLOCKS,
      shuffleId: 0,
      mapIds: [1n],
      reduceIds: [[0, 3]],
      batchFetchEnabled: true,
    })) as BlockTransferMessage & { streamId: bigint; numChunks: number };
    expect(texts(await setup.peer.chunks(opened))).toEqual(["onetwothree"]);
    expect(setup.service.stats()).toMatchObject({ blockTransferRate: 3, blockTransferMessageRate: 1 });
  });

  it("[net ExternalBlockHandlerSuite.testOpenDiskPersistedRDDBlocks] of RDDs", async () => {
    await using setup = await setUp();
    await setup.data.write("rdd_0_0", "zero");
    await setup.data.write("rdd_0_1", "one");
    const opened = await setup.peer.open(APP, EXEC, ["rdd_0_0", "rdd_0_1"]);
    expect(texts(await setup.peer.chunks(opened))).toEqual(["zero", "one"]);
  });

  it("[net ExternalBlockHandlerSuite.testOpenDiskPersistedRDDBlocksWithMissingBlock] one that is missing is a chunk that fails", async () => {
    await using setup = await setUp();
    await setup.data.write("rdd_0_0", "zero");
    await setup.data.write("rdd_0_2", "two");
    const opened = await setup.peer.open(APP, EXEC, ["rdd_0_0", "rdd_0_1", "rdd_0_2"]);
    const [zero, one, two] = texts(await setup.peer.chunks(opened));
    expect([zero, two]).toEqual(["zero", "two"]);
    expect(one).toMatch(/java\.lang\.IllegalStateException: Chunk was not found/);
    expect(setup.service.stats().openStreams).toBe(0);
  });

  it("a partition without bytes is a chunk without bytes, with and without a data file", async () => {
    await using setup = await setUp();
    const ids = ["shuffle_0_0_2", "shuffle_0_0_2"];
    const opened = await setup.peer.open(APP, EXEC, ids);
    expect(await setup.peer.chunk(opened, 0)).toHaveLength(0);
    await rm(setup.data.pathOf("shuffle_0_0_0.data"));
    expect(await setup.peer.chunk(opened, 1)).toHaveLength(0);
  });

  it("chunks can be had as streams, whose length is only known when they are found", async () => {
    await using setup = await setUp();
    const { streamId } = await setup.peer.open(
      APP,
      EXEC,
      ["shuffle_0_0_0", "shuffle_0_0_2", "shuffle_9_9_9"].slice(0, 2),
    );
    const both = [stream(setup.peer.client, `${streamId}_0`), stream(setup.peer.client, `${streamId}_1`)];
    expect((await Promise.all(both)).map(textOf)).toEqual(["Hello!", ""]);
    const missing = await setup.peer.open(APP, EXEC, ["rdd_7_7"]);
    const error = await failureOf(stream(setup.peer.client, `${missing.streamId}_0`));
    expect(error.message).toMatch(/Chunk was not found/);
    // The connection goes on.
    const again = await setup.peer.open(APP, EXEC, ["shuffle_0_0_1"]);
    expect(textOf(await stream(setup.peer.client, `${again.streamId}_0`))).toBe("World!");
  });

  it("looks for a block when its chunk is asked for, not when it is opened", async () => {
    await using setup = await setUp();
    const opened = await setup.peer.open(APP, EXEC, ["rdd_5_0", "rdd_5_1"]);
    await setup.data.write("rdd_5_0", "later");
    expect(textOf(await setup.peer.chunk(opened, 0))).toBe("later");
    expect(setup.service.stats()).toMatchObject({ openStreams: 1, openBlocks: 1 });
  });

  it("large blocks arrive as they are, many at once", async () => {
    await using setup = await setUp();
    const blocks = Array.from({ length: 40 }, (_, index) => randomBytes(50_000 + index * 7_919));
    await setup.data.writeShuffle(3, 2n ** 40n, blocks);
    const ids = blocks.map((_, index) => `shuffle_3_${2n ** 40n}_${index}`);
    const opened = await setup.peer.open(APP, EXEC, ids);
    const chunks = await setup.peer.chunks(opened);
    expect(chunks.every((chunk, index) => chunk instanceof Buffer && chunk.equals(blocks[index] as Buffer))).toBe(true);
  });
});

const WRONG: readonly (readonly [why: string, ids: readonly string[], text: RegExp])[] = [
  ["no ids", [], /asks for one at least/],
  ["another kind behind a shuffle's block", ["shuffle_0_0_0", "rdd_0_0"], /"rdd_0_0".*another kind/],
  ["another shuffle", ["shuffle_0_0_0", "shuffle_1_0_0"], /Expected shuffleId=0, got: 1/],
  ["a batch, which has no id here", ["shuffle_0_0_0_3"], /Unexpected block id format/],
  ["a name that leads elsewhere", ["shuffle_0_0_../../../etc/passwd"], /Unexpected block id format/],
  ["another name", ["broadcast_1"], /Unexpected block id format/],
  ["a number with zeros before it", ["rdd_00_1"], /Unexpected block id format/],
  ["a chunk of merged blocks", ["shuffleChunk_0_0_0_0"], /UnsupportedOperationException.*does not merge/],
];

describe("requests that are refused", () => {
  it.each(WRONG)("%s", async (_why, ids, text) => {
    await using setup = await setUp();
    expect((await failureOf(setup.peer.open(APP, EXEC, ids))).message).toMatch(text);
    expect(setup.service.stats().openStreams).toBe(0);
  });

  it("[net ExternalBlockHandlerSuite.testBadMessages] bytes that are no message, and messages that are not for it", async () => {
    await using setup = await setUp();
    const garbage = new Promise((_resolve, reject) => {
      setup.peer.client.sendRpc(Buffer.from([0x12, 0x34, 0x56]), { onSuccess: reject, onFailure: reject });
    });
    expect((await failureOf(garbage)).message).toMatch(/IllegalArgumentException/);
    const upload = setup.peer.ask({
      type: Type.UPLOAD_BLOCK,
      ...BLOCKS,
      blockId: "rdd_0_0",
      metadata: new Uint8Array(1),
      blockData: new Uint8Array(2),
    });
    expect((await failureOf(upload)).message).toMatch(/UnsupportedOperationException: Unexpected message/);
  });

  it("push-merge, with a text that says what to set", async () => {
    await using setup = await setUp();
    const { peer } = setup;
    const merge = { appId: APP, appAttemptId: 1, shuffleId: 0, shuffleMergeId: 0 } as const;
    const finalized = await failureOf(peer.ask({ type: Type.FINALIZE_SHUFFLE_MERGE, ...merge }));
    expect(finalized.message).toMatch(/UnsupportedOperationException.*spark\.shuffle\.push\.enabled=false/);
    const chunks = { ...BLOCKS, shuffleId: 0, shuffleMergeId: 0, reduceIds: [0], chunkIds: [[0]] };
    const fetched = await failureOf(peer.ask({ type: Type.FETCH_SHUFFLE_BLOCK_CHUNKS, ...chunks }));
    expect(fetched.message).toMatch(/does not merge/);
    const dirs = peer.ask({ type: Type.GET_LOCAL_DIRS_FOR_EXECUTORS, appId: APP, execIds: ["shuffle-push-merger"] });
    expect((await failureOf(dirs)).message).toMatch(/does not merge/);
    const meta = new Promise((_resolve, reject) => {
      peer.client.sendMergedBlockMetaReq(APP, 0, 0, 0, { onSuccess: reject, onFailure: reject });
    });
    expect((await failureOf(meta)).message).toMatch(/does not merge/);
    const push = { type: Type.PUSH_BLOCK_STREAM, ...merge, mapIndex: 0, reduceId: 0, index: 0 } as const;
    const pushed = new Promise((_resolve, reject) => {
      const bytes = encodeBlockTransferMessage(push);
      peer.client.uploadStream(bytes, new NioManagedBuffer(Buffer.from("x")), { onSuccess: reject, onFailure: reject });
    });
    expect((await failureOf(pushed)).message).toMatch(/does not merge/);
  });

  it("executors that nobody registered", async () => {
    await using setup = await setUp();
    const opened = await setup.peer.open(APP, "exec9", ["shuffle_0_0_0"]);
    expect((await failureOf(setup.peer.chunk(opened, 0))).message).toMatch(/not registered.*exec9/);
    const dirs = setup.peer.ask({ type: Type.GET_LOCAL_DIRS_FOR_EXECUTORS, appId: APP, execIds: ["exec9"] });
    expect((await failureOf(dirs)).message).toMatch(/not registered/);
    const removed = setup.peer.ask({ type: Type.REMOVE_BLOCKS, appId: "other", execId: EXEC, blockIds: ["rdd_0_0"] });
    expect((await failureOf(removed)).message).toMatch(/not registered/);
  });
});

describe("other requests", () => {
  it("where executors keep their files", async () => {
    await using setup = await setUp();
    const answer = await setup.peer.ask({ type: Type.GET_LOCAL_DIRS_FOR_EXECUTORS, appId: APP, execIds: [EXEC] });
    expect(answer).toMatchObject({ localDirsByExec: new Map([[EXEC, setup.data.localDirs]]) });
  });

  it("removing blocks counts those that were there, files of shuffles included", async () => {
    await using setup = await setUp();
    await setup.data.write("rdd_0_0", "zero");
    await setup.data.write("shuffle_0_1_0.checksum.ADLER32", "12345678");
    const blockIds = [
      "rdd_0_0",
      "rdd_0_1",
      "shuffle_0_1_0.data",
      "shuffle_0_1_0.index",
      "shuffle_0_1_0.checksum.ADLER32",
    ];
    const answer = await setup.peer.ask({ type: Type.REMOVE_BLOCKS, ...BLOCKS, blockIds });
    expect(answer).toMatchObject({ numRemovedBlocks: 4 });
    expect(await setup.data.files()).toEqual(["shuffle_0_0_0.data", "shuffle_0_0_0.index"]);
  });

  it("removing takes no other names, and then removes nothing", async () => {
    await using setup = await setUp();
    await setup.data.write("rdd_0_0", "zero");
    for (const bad of ["../../secret", "temp_local_1", "shuffle_0_0_0.data/..", "shuffle_0_0_0.data\0", "rdd_1", ""]) {
      const asked = setup.peer.ask({ type: Type.REMOVE_BLOCKS, ...BLOCKS, blockIds: ["rdd_0_0", bad] });
      expect((await failureOf(asked)).message).toMatch(/Unexpected block id format/);
    }
    expect(await setup.data.files()).toContain("rdd_0_0");
  });
});

describe("corrupt blocks", () => {
  const BLOCK = Buffer.from("the bytes of a block");

  /** What is found out about a block of which each of the three may be wrong. */
  async function diagnose(algorithm: string, { data = BLOCK, written = BLOCK, read = BLOCK } = {}): Promise<Cause> {
    await using setup = await setUp();
    await setup.data.writeShuffle(1, 2, ["zero", data]);
    const checksums = Buffer.alloc(16);
    checksums.writeBigInt64BE(sumOf(algorithm, written), 8);
    await setup.data.write(`shuffle_1_2_0.checksum.${algorithm}`, checksums);
    const answer = await setup.peer.ask({
      type: Type.DIAGNOSE_CORRUPTION,
      ...BLOCKS,
      shuffleId: 1,
      mapId: 2n,
      reduceId: 1,
      checksum: sumOf(algorithm, read),
      algorithm,
    });
    if (answer.type !== Type.CORRUPTION_CAUSE) throw new Error(`answered ${answer.type}`);
    return answer.cause;
  }

  function sumOf(algorithm: string, bytes: Uint8Array): bigint {
    const checksum = createChecksum(algorithm);
    checksum?.update(bytes);
    return checksum?.value ?? 0n;
  }

  const OTHER = Buffer.from("other");

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisDiskIssue] the file is not what was written", async () => {
    expect(await diagnose("ADLER32", { data: OTHER })).toBe("DISK_ISSUE");
  });

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisNetworkIssue] the reader got something else", async () => {
    expect(await diagnose("ADLER32", { read: OTHER })).toBe("NETWORK_ISSUE");
  });

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisChecksumVerifyPass] all three agree", async () => {
    expect(await diagnose("ADLER32")).toBe("CHECKSUM_VERIFY_PASS");
  });

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisUnSupportedAlgorithm] nobody writes that", async () => {
    expect(await diagnose("XXX")).toBe("UNSUPPORTED_CHECKSUM_ALGORITHM");
  });

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisCRC32] CRC-32", async () => {
    expect(await diagnose("CRC32")).toBe("CHECKSUM_VERIFY_PASS");
    expect(await diagnose("CRC32", { data: OTHER })).toBe("DISK_ISSUE");
  });

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisCRC32C] CRC-32C", async () => {
    expect(await diagnose("CRC32C")).toBe("CHECKSUM_VERIFY_PASS");
    expect(await diagnose("CRC32C", { read: OTHER })).toBe("NETWORK_ISSUE");
  });

  it("[net ExternalBlockHandlerSuite.testShuffleCorruptionDiagnosisUnknownIssue] there is no checksum to compare with", async () => {
    await using setup = await setUp();
    const asked = { ...BLOCKS, shuffleId: 0, mapId: 0n, reduceId: 0, checksum: 1n, algorithm: "ADLER32" };
    expect(await setup.peer.ask({ type: Type.DIAGNOSE_CORRUPTION, ...asked })).toMatchObject({
      cause: "UNKNOWN_ISSUE",
    });
  });
});
