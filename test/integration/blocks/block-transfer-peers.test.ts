/**
 * Goal: who asks for blocks gets what is his, and whoever breaks the rules, by what he sends or by how much, disturbs nobody else.
 * Method: services with their own sockets; what a peer of ours would not send is sent by a client of the transport.
 */
import { BlockTransferMessageType, encodeBlockTransferMessage, MemoryBlockStore } from "ringpost/blocks";
import { createSecurity, genStreamChunkId, NioManagedBuffer } from "ringpost/network";
import { describe, expect, test } from "vitest";
import { BlockRpcHandler } from "../../../dist/src/blocks/block-rpc-handler.js";
import {
  ask,
  BlockServices,
  fetchAll,
  filled,
  open,
  openAll,
  rawClient,
  scripted,
  send,
} from "../../fixtures/block-services.js";
import { failureOf, fetchChunk, stream, Transports, until } from "../../fixtures/transport.js";

const NOTHING = new Uint8Array(0);
const SECRET = "s".repeat(32);
const Type = BlockTransferMessageType;

describe("a peer", () => {
  test("streams that nobody fetched are given back with their connection", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const server = await services.service({ blockDataManager: await filled(new MemoryBlockStore()) });
    const client = await rawClient(transports, server);
    const handle = await ask(client, open("rdd_0_0", "shuffle_0_0_0"));
    await ask(client, open("rdd_0_0"));
    expect(handle).toMatchObject({ type: Type.STREAM_HANDLE, numChunks: 2 });
    if (handle.type !== Type.STREAM_HANDLE) return;
    expect(await fetchChunk(client, handle.streamId, 0)).toEqual(Buffer.from("rdd"));
    expect(server.stats.openStreams).toBe(2);
    client.close();
    await until(() => server.stats.openStreams === 0);
  });

  test("whoever opens blocks and fetches none is refused at the limit, and may fetch what he has opened", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const server = await services.service({ blockDataManager: await filled(new MemoryBlockStore()) });
    const client = await rawClient(transports, server);
    const many = openAll(new Array<string>(200_000).fill("rdd_0_0"));
    const first = await ask(client, many);
    const error = await failureOf(ask(client, many));
    expect(error.message).toContain("asked=200000, waiting=200000, max=262144");
    if (first.type !== Type.STREAM_HANDLE) throw new Error("no handle");
    expect(await fetchChunk(client, first.streamId, 0)).toEqual(Buffer.from("rdd"));
    // Another connection has a count of its own.
    expect(await ask(await rawClient(transports, server), many)).toMatchObject({ numChunks: 200_000 });
  });

  test("whoever uploads, opens and removes the same block again and again fills the store, until he fetches or goes", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const store = new MemoryBlockStore({ bytesMax: 300_000 });
    const client = await rawClient(transports, await services.service({ blockDataManager: store, execId: "exec" }));
    const blockData = Buffer.alloc(200_000, "x");
    const block = { appId: "ringpost", execId: "exec", blockId: "rdd_0_0", metadata: NOTHING, blockData };
    const upload = encodeBlockTransferMessage({ type: Type.UPLOAD_BLOCK, ...block });
    const removal = { type: Type.REMOVE_BLOCKS, appId: "ringpost", execId: "exec", blockIds: ["rdd_0_0"] } as const;
    await send(client, upload);
    const handle = await ask(client, open("rdd_0_0"));
    expect(await ask(client, removal)).toMatchObject({ numRemovedBlocks: 1 });
    expect((await failureOf(send(client, upload))).message).toContain("no room in memory");
    if (handle.type !== Type.STREAM_HANDLE) throw new Error("no handle");
    expect(await fetchChunk(client, handle.streamId, 0)).toEqual(blockData);
    await until(() => store.bytes === 0);
    await send(client, upload);
    await ask(client, open("rdd_0_0"));
    await ask(client, removal);
    client.close();
    await until(() => store.bytes === 0);
  });

  test("blocks that are being stored are bounded together, with their metadata", async () => {
    await using transports = new Transports();
    const ends: ((isStored: boolean) => void)[] = [];
    const blocks = scripted({ putBlockData: () => new Promise<boolean>((resolve) => ends.push(resolve)) });
    const options = { appId: "ringpost", execId: "exec", blocks, random: () => 0, uploadsUnderWayBytesMax: 10_000 };
    const server = await transports.serve(new BlockRpcHandler(options));
    const client = await transports.client(server);
    const upload = (metadataBytes: number, dataBytes: number): Promise<unknown> => {
      const [metadata, blockData] = [new Uint8Array(metadataBytes), new Uint8Array(dataBytes)];
      const block = { appId: "ringpost", execId: "exec", blockId: "rdd_0_0", metadata, blockData };
      return send(client, encodeBlockTransferMessage({ type: Type.UPLOAD_BLOCK, ...block }));
    };
    const first = upload(6_000, 4_000);
    await until(() => ends.length === 1);
    expect((await failureOf(upload(1, 0))).message).toContain("bytes=1, underWay=10000, max=10000");
    ends[0]?.(true);
    await first;
    const second = upload(0, 10_000);
    await until(() => ends.length === 2);
    ends[1]?.(true);
    await second;
  });

  test("a stream's metadata may be as long as a request", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const client = await rawClient(transports, await services.service());
    const metadata = new Uint8Array(17_000_000);
    const meta = encodeBlockTransferMessage({ type: Type.UPLOAD_BLOCK_STREAM, blockId: "b", metadata });
    const failed = failureOf(
      new Promise((resolve, reject) => {
        const data = new NioManagedBuffer(Buffer.from("x"));
        client.uploadStream(meta, data, { onSuccess: resolve, onFailure: reject });
      }),
    );
    expect((await failed).message).toContain("metadata too long");
  });

  test.each<[string, Uint8Array, string]>([
    ["an unknown type", Buffer.from([99]), "Unknown message type: 99"],
    ["nothing at all", NOTHING, "java.lang.IllegalArgumentException"],
    ["a count that lies", Buffer.from("00000000016100000001627fffffff", "hex"), "java.lang.IllegalArgumentException"],
    [
      "a message that is no request",
      encodeBlockTransferMessage({ type: Type.BLOCKS_REMOVED, numRemovedBlocks: 1 }),
      "type=8",
    ],
    [
      "a stream's message as a request",
      encodeBlockTransferMessage({ type: Type.UPLOAD_BLOCK_STREAM, blockId: "b", metadata: NOTHING }),
      "type=6",
    ],
    ["no ids", encodeBlockTransferMessage(open()), "no blocks are asked for"],
    ["too many ids to read", Buffer.alloc(17_000_000), "request too long"],
  ])("%s is answered with a failure, and the connection goes on", async (_what, body, text) => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const server = await services.service({ blockDataManager: await filled(new MemoryBlockStore()) });
    const client = await rawClient(transports, server);
    expect((await failureOf(send(client, body))).message).toContain(text);
    expect(await ask(client, open("rdd_0_0"))).toMatchObject({ numChunks: 1 });
  });

  test("a frame longer than an upload may be ends its connection only", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const blockDataManager = await filled(new MemoryBlockStore());
    const server = await services.service({ blockDataManager, conf: { "spark.maxRemoteBlockSizeFetchToMem": 1_000 } });
    const other = await services.service();
    const fetching = fetchAll(other, server.address, ["shuffle_0_5_1"]);
    const client = await rawClient(transports, server);
    await failureOf(send(client, Buffer.alloc(18_000_000)));
    expect((await fetching).get("shuffle_0_5_1")).toHaveLength(3_000_000);
    await until(() => server.stats.connections === 1);
  });

  test("chunks beyond shuffle.maxChunksBeingTransferred end the connection, as in Spark; one at a time all come", async () => {
    await using services = new BlockServices();
    const blockDataManager = await filled(new MemoryBlockStore());
    const server = await services.service({ blockDataManager, conf: { "shuffle.maxChunksBeingTransferred": 1 } });
    const client = await services.service({ conf: { "shuffle.io.maxRetries": 0 } });
    const blockIds = ["rdd_0_0", "shuffle_0_5_1", "shuffle_0_0_0"];
    const ends = await fetchAll(client, server.address, blockIds);
    expect(ends.get("shuffle_0_0_0")).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    await until(() => server.stats.connections === 0 && server.stats.openStreams === 0);
    for (const blockId of blockIds) {
      expect((await fetchAll(client, server.address, [blockId])).get(blockId)).toBeInstanceOf(Buffer);
    }
  });
});

describe("removals", () => {
  const removal = (blockIds: readonly string[]) =>
    ({ type: Type.REMOVE_BLOCKS, appId: "ringpost", execId: "exec", blockIds }) as const;
  const many = Array.from({ length: 262_144 }, (_, index) => `shuffle_0_${index}_1234567`);

  /** A service whose store removes so many blocks at a time as it is asked to, and waits with each answer. */
  async function slow(services: BlockServices) {
    const removed: string[] = [];
    const answers: (() => void)[] = [];
    const removeBlocks = (blockIds: readonly string[]): Promise<number> => {
      removed.push(...blockIds);
      return new Promise((resolve) => answers.push(() => resolve(blockIds.length)));
    };
    const service = await services.service({ blockDataManager: scripted({ removeBlocks }), execId: "exec" });
    return { service, removed, answers };
  }

  test("end when whoever asked has gone: what he has asked besides is not begun", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const { service, removed, answers } = await slow(services);
    const client = await rawClient(transports, service);
    const lost = Array.from({ length: 4 }, () => failureOf(ask(client, removal(many))));
    await until(() => answers.length === 2);
    client.connection.fail(new Error("gone"));
    for (const error of await Promise.all(lost)) expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    await until(() => service.stats.connections === 0);
    for (const answer of answers.splice(0)) answer();
    // A request of somebody else is taken and done behind them.
    const other = ask(await rawClient(transports, service), removal(["rdd_0_0"]));
    await until(() => answers.length > 0);
    for (const answer of answers.splice(0)) answer();
    expect(await other).toMatchObject({ numRemovedBlocks: 1 });
    expect(removed).toEqual([...many.slice(0, 64), ...many.slice(0, 64), "rdd_0_0"]);
  });

  test("end when the service closes", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const { service, removed, answers } = await slow(services);
    const lost = failureOf(ask(await rawClient(transports, service), removal(many)));
    await until(() => answers.length === 1);
    const closed = service.close();
    for (const answer of answers.splice(0)) answer();
    await Promise.all([closed, lost]);
    expect([removed.length, answers.length]).toEqual([64, 0]);
  });

  test("are refused when those of one connection hold too much; the connection goes on, and so do others", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const { service, answers } = await slow(services);
    const client = await rawClient(transports, service);
    const few = removal(many.slice(0, 100));
    const first = [ask(client, removal(many)), ask(client, removal(many))];
    expect((await failureOf(ask(client, removal(many)))).message).toContain("too many removals of this connection");
    const others = ask(await rawClient(transports, service), few);
    const own = ask(client, few);
    let isOver = false;
    const all = Promise.all([...first, others, own]).finally(() => {
      isOver = true;
    });
    await until(() => {
      for (const answer of answers.splice(0)) answer();
      return isOver;
    });
    expect(await all).toMatchObject([262_144, 262_144, 100, 100].map((numRemovedBlocks) => ({ numRemovedBlocks })));
  });
});

describe("what else is asked", () => {
  test("local directories are those of the one who is asked", async () => {
    await using services = new BlockServices();
    const blockDataManager = await services.disk();
    const { host, port } = (await services.service({ blockDataManager, execId: "7" })).address;
    const client = await services.service();
    expect(await client.getHostLocalDirs(host, port, ["7"])).toEqual(
      new Map([["7", blockDataManager.getLocalDiskDirs()]]),
    );
    for (const execIds of [["8"], ["7", "8"], []]) {
      const error = await failureOf(client.getHostLocalDirs(host, port, execIds));
      expect(error.message).toContain("its own local directories only: this is 7");
    }
    const foreign = await services.service({ appId: "other" });
    const refused = {
      code: "ERR_RPC_HANDLER",
      message: expect.stringContaining("incorrect application id: asked for other"),
    };
    expect(await failureOf(foreign.getHostLocalDirs(host, port, ["7"]))).toMatchObject(refused);
    expect(await failureOf(foreign.removeBlocks(host, port, "7", ["rdd_0_0"]))).toMatchObject(refused);
  });

  test("corruption is what the store says of it, and unknown when it says nothing or fails", async () => {
    await using services = new BlockServices();
    const asked: unknown[] = [];
    const blockDataManager = scripted({
      diagnoseShuffleBlockCorruption: (blockId, checksum) => {
        asked.push([blockId, checksum]);
        if (asked.length > 1) throw new Error("no file");
        return "DISK_ISSUE";
      },
    });
    const { host, port } = (await services.service({ blockDataManager })).address;
    const plain = (await services.service()).address;
    const client = await services.service();
    const block = { shuffleId: 1, mapId: 2n, reduceId: 3, checksum: 4n, algorithm: "CRC32" };
    expect(await client.diagnoseCorruption(host, port, "exec", block)).toBe("DISK_ISSUE");
    expect(asked).toEqual([["shuffle_1_2_3", { value: 4n, algorithm: "CRC32" }]]);
    expect(await client.diagnoseCorruption(host, port, "exec", block)).toBe("UNKNOWN_ISSUE");
    expect(await client.diagnoseCorruption(plain.host, plain.port, "exec", block)).toBe("UNKNOWN_ISSUE");
  });
});

describe("an application", () => {
  test("gets nothing of another one, and may not bring anything; its own goes on", async () => {
    await using services = new BlockServices();
    const secret = SECRET;
    const blockDataManager = await filled(new MemoryBlockStore());
    const server = await services.service({ blockDataManager, appId: "a", execId: "7", secret });
    const { host, port } = server.address;
    const own = await services.service({ appId: "a", secret });
    const foreign = await services.service({ appId: "b", secret });
    const data = () => new NioManagedBuffer(Buffer.from("x"));

    const [end] = [...(await fetchAll(foreign, server.address, ["rdd_0_0"])).values()];
    const refused = { message: expect.stringContaining("java.lang.SecurityException") };
    expect(end).toMatchObject(refused);
    expect(await failureOf(foreign.uploadBlock(host, port, "7", "rdd_5_5", data()))).toMatchObject(refused);
    expect(await failureOf(foreign.getHostLocalDirs(host, port, ["7"]))).toMatchObject(refused);
    expect(await failureOf(foreign.removeBlocks(host, port, "7", ["rdd_0_0"]))).toMatchObject(refused);
    expect(await failureOf(foreign.uploadBlock(host, port, "7", "shuffle_5_5_5", data()))).toBeInstanceOf(Error);
    expect(() => blockDataManager.getLocalBlockData("shuffle_5_5_5")).toThrow("was not found");

    await own.uploadBlock(host, port, "7", "shuffle_5_5_5", data());
    expect((await fetchAll(own, server.address, ["rdd_0_0"])).get("rdd_0_0")).toEqual(Buffer.from("rdd"));
  });

  test("is the one that was proved, whatever a message says; streams of another one cannot be read", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const blockDataManager = await filled(new MemoryBlockStore());
    const server = await services.service({ blockDataManager, appId: "a", secret: SECRET });
    const { host, port } = server.address;
    const clientOf = (appId: string) => {
      const security = createSecurity({ appId, secret: SECRET }, transports.clock);
      return transports.factory(transports.context({ security })).createClient(host, port);
    };
    const [own, liar] = [await clientOf("a"), await clientOf("b")];
    const refused = { message: expect.stringContaining("java.lang.SecurityException") };
    expect(await failureOf(ask(liar, { ...open("rdd_0_0"), appId: "a" }))).toMatchObject(refused);
    expect(await failureOf(ask(liar, { ...open("rdd_0_0"), appId: "b" }))).toMatchObject(refused);
    expect(await failureOf(ask(own, { ...open("rdd_0_0"), appId: "b" }))).toMatchObject(refused);

    const handle = await ask(own, { ...open("rdd_0_0"), appId: "a" });
    if (handle.type !== Type.STREAM_HANDLE) throw new Error("no handle");
    expect(await failureOf(fetchChunk(liar, handle.streamId, 0))).toMatchObject(refused);
    expect(await failureOf(stream(liar, genStreamChunkId(handle.streamId, 0)))).toMatchObject(refused);
    expect(await stream(own, genStreamChunkId(handle.streamId, 0))).toEqual(Buffer.from("rdd"));
  });
});
