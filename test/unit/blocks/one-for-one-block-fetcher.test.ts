/**
 * Goal: blocks are fetched as Spark's OneForOneBlockFetcherSuite demands, over real sockets.
 * Method: a server keeps what it is asked and answers from a script; a real stream manager hands the chunks out.
 */
import {
  BlockTransferMessageType,
  encodeBlockTransferMessage,
  OneForOneBlockFetcher,
  type OneForOneBlockFetcherOptions,
} from "ringpost/blocks";
import { type ManagedBuffer, NioManagedBuffer, type TransportClient } from "ringpost/network";
import { describe, expect, test } from "vitest";
import { BlockPeer, bufferOf, bytesOfBlock, RecordingListener, streamHandle } from "../../fixtures/block-peer.js";
import { ScriptedHandler, Transports, until } from "../../fixtures/transport.js";

const APP = { appId: "app-id", execId: "exec-id" };
const invalid = expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" });

type Blocks = Readonly<Record<string, ManagedBuffer | null>>;

function fetcherOf(
  client: TransportClient,
  blockIds: readonly string[],
  more: Partial<OneForOneBlockFetcherOptions> = {},
) {
  const listener = new RecordingListener();
  const fetcher = new OneForOneBlockFetcher({ client, ...APP, blockIds, listener, ...more });
  return { listener, fetcher };
}

/** Fetches `blockIds` from a peer whose chunks are those of `blocks`, in their order. */
async function fetched(
  transports: Transports,
  blockIds: readonly string[],
  blocks: Blocks,
  useOldFetchProtocol = false,
) {
  const peer = BlockPeer.of(Object.values(blocks));
  const client = await transports.client(await transports.serve(peer));
  const { listener, fetcher } = fetcherOf(client, blockIds, { useOldFetchProtocol });
  fetcher.start();
  return { peer, client, listener, fetcher };
}

function expectAll(listener: RecordingListener, blockIds: readonly string[], length = 100): void {
  expect(listener.told).toEqual(blockIds.map((id) => [id, bytesOfBlock(id, length)]));
}

function buffersOf(blockIds: readonly string[]): Blocks {
  return Object.fromEntries(blockIds.map((id) => [id, bufferOf(id)]));
}

const FETCH = { type: BlockTransferMessageType.FETCH_SHUFFLE_BLOCKS, ...APP };
const OPEN = { type: BlockTransferMessageType.OPEN_BLOCKS, ...APP };
const CHUNKS = { type: BlockTransferMessageType.FETCH_SHUFFLE_BLOCK_CHUNKS, ...APP };

describe("OneForOneBlockFetcherSuite", () => {
  test("[net OneForOneBlockFetcherSuite.testFetchOne] a block without bytes arrives", async () => {
    await using transports = new Transports();
    const { peer, listener } = await fetched(transports, ["shuffle_0_0_0"], { shuffle_0_0_0: bufferOf("x", 0) });
    await listener.hasHeard(1);
    expect(peer.messages).toEqual([
      { ...FETCH, shuffleId: 0, mapIds: [0n], reduceIds: [[0]], batchFetchEnabled: false },
    ]);
    expectAll(listener, ["shuffle_0_0_0"], 0);
  });

  test("[net OneForOneBlockFetcherSuite.testUseOldProtocol] shuffle blocks are asked for by their ids", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_0_0_0"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds), true);
    await listener.hasHeard(1);
    expect(peer.messages).toEqual([{ ...OPEN, blockIds }]);
    expectAll(listener, blockIds);
  });

  test("[net OneForOneBlockFetcherSuite.testFetchThreeShuffleBlocks] three blocks of a map", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_0_0_0", "shuffle_0_0_1", "shuffle_0_0_2"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(3);
    expect(peer.messages).toEqual([
      { ...FETCH, shuffleId: 0, mapIds: [0n], reduceIds: [[0, 1, 2]], batchFetchEnabled: false },
    ]);
    expectAll(listener, blockIds);
  });

  test("[net OneForOneBlockFetcherSuite.testBatchFetchThreeShuffleBlocks] a batch of three is one block", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_0_0_0_3"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(1);
    expect(peer.messages).toEqual([
      { ...FETCH, shuffleId: 0, mapIds: [0n], reduceIds: [[0, 3]], batchFetchEnabled: true },
    ]);
    expectAll(listener, blockIds);
  });

  test("[net OneForOneBlockFetcherSuite.testFetchThree] other blocks are asked for by their ids", async () => {
    await using transports = new Transports();
    const blockIds = ["b0", "b1", "b2"];
    const { peer, listener, client } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(3);
    expect(peer.messages).toEqual([{ ...OPEN, blockIds }]);
    expectAll(listener, blockIds);
    expect(client.outstandingCount).toBe(0);
  });

  test("[net OneForOneBlockFetcherSuite.testFailure] a chunk's failure is that of those behind it, too", async () => {
    await using transports = new Transports();
    const blockIds = ["b0", "b1", "b2"];
    const { listener } = await fetched(transports, blockIds, { b0: bufferOf("b0"), b1: null, b2: null });
    await listener.hasHeard(4);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ERR_RPC_STREAM", "b2 ERR_RPC_STREAM", "b2 ERR_RPC_STREAM"]);
  });

  test("[net OneForOneBlockFetcherSuite.testFailureAndSuccess] one behind it may still come", async () => {
    await using transports = new Transports();
    const blockIds = ["b0", "b1", "b2"];
    const { listener } = await fetched(transports, blockIds, { b0: bufferOf("b0"), b1: null, b2: bufferOf("b2") });
    await listener.hasHeard(4);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ERR_RPC_STREAM", "b2 ERR_RPC_STREAM", "b2 ok"]);
  });

  test("[net OneForOneBlockFetcherSuite.testEmptyBlockFetch] no blocks at all are refused", async () => {
    await using transports = new Transports();
    const client = await transports.client(await transports.serve(BlockPeer.of([])));
    expect(() => fetcherOf(client, [])).toThrow(/Zero-sized blockIds array/);
    expect(() => fetcherOf(client, [])).toThrow(invalid);
  });

  test("[net OneForOneBlockFetcherSuite.testFetchShuffleBlocksOrder] maps stay in their order", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_0_0_0", "shuffle_0_2_1", "shuffle_0_10_2"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(3);
    expect(peer.messages).toEqual([
      { ...FETCH, shuffleId: 0, mapIds: [0n, 2n, 10n], reduceIds: [[0], [1], [2]], batchFetchEnabled: false },
    ]);
    expectAll(listener, blockIds);
  });

  test("[net OneForOneBlockFetcherSuite.testBatchFetchShuffleBlocksOrder] also in batches", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_0_0_1_2", "shuffle_0_2_2_3", "shuffle_0_10_3_4"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(3);
    const reduceIds = [
      [1, 2],
      [2, 3],
      [3, 4],
    ];
    expect(peer.messages).toEqual([
      { ...FETCH, shuffleId: 0, mapIds: [0n, 2n, 10n], reduceIds, batchFetchEnabled: true },
    ]);
    expectAll(listener, blockIds);
  });

  test("[net OneForOneBlockFetcherSuite.testShuffleBlockChunksFetch] chunks of merged blocks, by reducer", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffleChunk_0_0_0_0", "shuffleChunk_0_0_0_1", "shuffleChunk_0_0_0_2"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(3);
    expect(peer.messages).toEqual([
      { ...CHUNKS, shuffleId: 0, shuffleMergeId: 0, reduceIds: [0], chunkIds: [[0, 1, 2]] },
    ]);
    expectAll(listener, blockIds);
  });

  test("[net OneForOneBlockFetcherSuite.testShuffleBlockChunkFetchFailure] one of them is missing", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffleChunk_0_0_0_0", "shuffleChunk_0_0_0_1", "shuffleChunk_0_0_0_2"];
    const [first, second, third] = blockIds as [string, string, string];
    const { listener } = await fetched(transports, blockIds, {
      first: bufferOf(first),
      second: null,
      third: bufferOf(third),
    });
    await listener.hasHeard(4);
    expect(listener.outcomes).toEqual([
      `${first} ok`,
      `${second} ERR_RPC_STREAM`,
      `${third} ERR_RPC_STREAM`,
      `${third} ok`,
    ]);
  });

  test("[net OneForOneBlockFetcherSuite.testInvalidShuffleBlockIds] ids with too few or too many parts are refused", async () => {
    await using transports = new Transports();
    const client = await transports.client(await transports.serve(BlockPeer.of([])));
    expect(() => fetcherOf(client, ["shuffle_0_0"])).toThrow(invalid);
    expect(() => fetcherOf(client, ["shuffle_0_0_0_0_0"])).toThrow(invalid);
    expect(() => fetcherOf(client, ["shuffleChunk_0_0_0"])).toThrow(invalid);
  });
});

describe("what is asked for together", () => {
  test("blocks are grouped by map, and told of in that order", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_7_5_1", "shuffle_7_3_0", "shuffle_7_5_0", "shuffle_7_3_9"];
    const inOrder = ["shuffle_7_5_1", "shuffle_7_5_0", "shuffle_7_3_0", "shuffle_7_3_9"];
    const { peer, listener, fetcher } = await fetched(transports, blockIds, buffersOf(inOrder));
    await listener.hasHeard(4);
    expect(fetcher.blockIds).toEqual(inOrder);
    expect(peer.messages).toEqual([
      {
        ...FETCH,
        shuffleId: 7,
        mapIds: [5n, 3n],
        reduceIds: [
          [1, 0],
          [0, 9],
        ],
        batchFetchEnabled: false,
      },
    ]);
    expectAll(listener, inOrder);
  });

  test("two batches of one map are two blocks", async () => {
    await using transports = new Transports();
    const blockIds = ["shuffle_0_4_0_3", "shuffle_0_4_5_6"];
    const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
    await listener.hasHeard(2);
    const reduceIds = [
      [0, 3],
      [5, 6],
    ];
    expect(peer.messages).toEqual([{ ...FETCH, shuffleId: 0, mapIds: [4n, 4n], reduceIds, batchFetchEnabled: true }]);
    expectAll(listener, blockIds);
  });

  test("shuffle blocks among others are asked for by their ids, as chunks among shuffle blocks", async () => {
    await using transports = new Transports();
    for (const blockIds of [
      ["shuffle_0_0_0", "rdd_0_0"],
      ["shuffle_0_0_0", "shuffleChunk_0_0_0_0"],
    ]) {
      const { peer, listener } = await fetched(transports, blockIds, buffersOf(blockIds));
      await listener.hasHeard(2);
      expect(peer.messages).toEqual([{ ...OPEN, blockIds }]);
    }
  });

  test.each([
    ["two shuffles", ["shuffle_0_0_0", "shuffle_1_0_0"]],
    ["a batch and a block", ["shuffle_0_0_0_1", "shuffle_0_0_0"]],
    ["a block and a batch", ["shuffle_0_0_0", "shuffle_0_0_0_1"]],
    ["chunks of two shuffles", ["shuffleChunk_0_0_0_0", "shuffleChunk_1_0_0_0"]],
    ["chunks of two merges", ["shuffleChunk_0_0_0_0", "shuffleChunk_0_1_0_0"]],
  ])("%s are not", async (_what, blockIds) => {
    await using transports = new Transports();
    const client = await transports.client(await transports.serve(BlockPeer.of([])));
    expect(() => fetcherOf(client, blockIds)).toThrow(invalid);
  });
});

describe("an answer that is none", () => {
  async function answered(transports: Transports, blockIds: readonly string[], answer: Uint8Array | Error) {
    const peer = new BlockPeer((_message, _client, reply) => {
      if (answer instanceof Error) reply.onFailure(answer);
      else reply.onSuccess(answer);
    });
    const client = await transports.client(await transports.serve(peer));
    const { listener, fetcher } = fetcherOf(client, blockIds);
    fetcher.start();
    await listener.hasHeard(blockIds.length);
    return { listener, client };
  }

  test.each([
    ["2^31 - 1 chunks", streamHandle(1n, 2 ** 31 - 1)],
    ["a negative number of chunks", streamHandle(1n, -1)],
    ["one chunk too many", streamHandle(1n, 3)],
    ["one too few, for which nobody would wait for ever", streamHandle(1n, 1)],
    ["no chunks", streamHandle(1n, 0)],
    [
      "another message",
      encodeBlockTransferMessage({ type: BlockTransferMessageType.BLOCKS_REMOVED, numRemovedBlocks: 2 }),
    ],
    ["no message", Buffer.from("garbage")],
    ["nothing", Buffer.alloc(0)],
  ])("%s: all blocks fail, no chunk is asked for", async (_what, answer) => {
    await using transports = new Transports();
    const before = process.memoryUsage().heapUsed;
    const { listener, client } = await answered(transports, ["b0", "b1"], answer);
    expect(listener.outcomes).toEqual(["b0 ERR_RPC_PROTOCOL", "b1 ERR_RPC_PROTOCOL"]);
    expect(client.outstandingCount).toBe(0);
    expect(client.isActive).toBe(true);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50_000_000);
  });

  test("a failure's text arrives", async () => {
    await using transports = new Transports();
    const { listener } = await answered(transports, ["b0", "b1"], new Error("no such app"));
    expect(listener.outcomes).toEqual(["b0 ERR_RPC_HANDLER", "b1 ERR_RPC_HANDLER"]);
    expect((listener.told[0] as [string, Error])[1].message).toContain("no such app");
  });
});

test("each of thousands of blocks is told of twice at most, whatever fails", async () => {
  await using transports = new Transports();
  const blockIds = Array.from({ length: 5_000 }, (_, index) => `b${index}`);
  const { listener, client } = await fetched(
    transports,
    blockIds,
    Object.fromEntries(blockIds.map((id) => [id, null])),
  );
  await until(() => listener.told.length > 0 && client.outstandingCount === 0);
  expect(listener.told.length).toBe(2 * blockIds.length - 1);
});

test("a connection that ends fails what has not come, each block twice at most", async () => {
  await using transports = new Transports();
  const blockIds = ["b0", "b1", "b2", "b3"];
  const late: ManagedBuffer = new NioManagedBuffer(Buffer.from("late"));
  late.toBody = () => new Promise<never>(() => {});
  const { listener, client, peer } = await fetched(transports, blockIds, {
    b0: bufferOf("b0"),
    b1: late,
    b2: bufferOf("b2"),
    b3: bufferOf("b3"),
  });
  await listener.hasHeard(1);
  expect(client.outstandingCount).toBe(3);
  client.connection.fail(new Error("the cable is cut"));
  expect(client.outstandingCount).toBe(0);
  expect(listener.outcomesOf("b0")).toEqual(["ok"]);
  const lost = "ERR_RPC_CONNECTION_LOST";
  expect(listener.told.slice(1).map(([, error]) => (error as { code?: unknown }).code)).toEqual(
    new Array(5).fill(lost),
  );
  expect(listener.outcomesOf("b1")).toEqual([lost]);
  expect(listener.outcomesOf("b3")).toEqual([lost, lost]);
  await until(() => peer.streams.streamCount === 0);
});

test("chunks are handed out once: a second fetch of the same stream fails", async () => {
  await using transports = new Transports();
  let handle: Uint8Array | null = null;
  const peer: BlockPeer = new BlockPeer((_message, client, reply) => {
    handle ??= streamHandle(
      peer.streams.registerStream({ buffers: [bufferOf("b0")], chunkCount: 1, connection: client.connection }),
      1,
    );
    reply.onSuccess(handle);
  });
  const client = await transports.client(await transports.serve(peer));
  const first = fetcherOf(client, ["b0"]);
  first.fetcher.start();
  await first.listener.hasHeard(1);
  const second = fetcherOf(client, ["b0"]);
  second.fetcher.start();
  await second.listener.hasHeard(1);
  expect([first.listener.outcomes, second.listener.outcomes]).toEqual([["b0 ok"], ["b0 ERR_RPC_STREAM"]]);
});

test("a listener that throws does not keep the others from their blocks", async () => {
  await using transports = new Transports();
  const handler = BlockPeer.of([bufferOf("b0"), null, new NioManagedBuffer(Buffer.from("b2"))]);
  const client = await transports.client(await transports.serve(handler));
  const heard: string[] = [];
  const warnings: string[] = [];
  const logger = { debug() {}, info() {}, warn: (_fields: object, text: string) => warnings.push(text), error() {} };
  const listener = {
    onBlockFetchSuccess(blockId: string): void {
      heard.push(`${blockId} ok`);
      throw new Error("mine");
    },
    onBlockFetchFailure(blockId: string): void {
      heard.push(`${blockId} failed`);
      throw new Error("mine");
    },
  };
  new OneForOneBlockFetcher({ client, ...APP, blockIds: ["b0", "b1", "b2"], listener, logger }).start();
  await until(() => heard.length === 4);
  expect(heard).toEqual(["b0 ok", "b1 failed", "b2 failed", "b2 ok"]);
  expect(warnings).toEqual(new Array(4).fill("a listener of a fetch threw"));
});

test("a fetcher is started once; on a client that has ended all its blocks fail", async () => {
  await using transports = new Transports();
  const client = await transports.client(await transports.serve(new ScriptedHandler()));
  client.close();
  const { listener, fetcher } = fetcherOf(client, ["b0", "b1"]);
  fetcher.start();
  expect(() => fetcher.start()).toThrow(invalid);
  await listener.hasHeard(2);
  expect(listener.outcomes).toEqual(["b0 ERR_RPC_CONNECTION_LOST", "b1 ERR_RPC_CONNECTION_LOST"]);
});
