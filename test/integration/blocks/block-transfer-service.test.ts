/**
 * Goal: an executor's blocks can be had by others, and theirs can be kept, whatever the store, the peer or the disk does.
 * Method: services with their own sockets, stores in memory and on disk; what a peer of ours would not send is sent by a
 * client of the transport.
 */
import { readdirSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  BlockTransferMessageType,
  DiskBlockStore,
  encodeBlockTransferMessage,
  MemoryBlockStore,
} from "ringpost/blocks";
import { FileSegmentManagedBuffer, NioManagedBuffer } from "ringpost/network";
import { describe, expect, test } from "vitest";
import { BLOCKS, BlockServices, fetchAll, filled, rawClient, scripted, take } from "../../fixtures/block-services.js";
import { openFiles } from "../../fixtures/open-files.js";
import { failureOf, Transports, until } from "../../fixtures/transport.js";

const NOTHING = new Uint8Array(0);
const Type = BlockTransferMessageType;

describe.each([
  ["in memory", async () => new MemoryBlockStore()],
  ["on disk", (services: BlockServices) => services.disk()],
])("blocks %s", (_where, storeOf) => {
  test("are fetched, shuffle blocks and others, many and one", async () => {
    await using services = new BlockServices();
    const server = await services.service({ blockDataManager: await filled(await storeOf(services)) });
    const client = await services.service();
    const ids = BLOCKS.map(([blockId]) => blockId);
    const fetched = await fetchAll(client, server.address, ids);
    for (const [blockId, bytes] of BLOCKS) expect(Buffer.compare(fetched.get(blockId) as Buffer, bytes)).toBe(0);
    const mixed = await fetchAll(client, server.address, ["rdd_0_0", "shuffle_0_0_0"]);
    expect(mixed.get("rdd_0_0")).toEqual(Buffer.from("rdd"));
    const { host, port } = server.address;
    expect(await take(await client.fetchBlock(host, port, "exec", "shuffle_0_0_0_3"))).toEqual(
      Buffer.from("three reducers"),
    );
    expect(server.stats.openStreams).toBe(0);
  });

  test("are fetched in the old way as well", async () => {
    await using services = new BlockServices();
    const server = await services.service({ blockDataManager: await filled(await storeOf(services)) });
    const client = await services.service({ conf: { "spark.shuffle.useOldFetchProtocol": true } });
    const fetched = await fetchAll(
      client,
      server.address,
      BLOCKS.map(([blockId]) => blockId),
    );
    for (const [blockId, bytes] of BLOCKS) expect(Buffer.compare(fetched.get(blockId) as Buffer, bytes)).toBe(0);
  });

  test("are uploaded, small ones in a message, shuffle blocks and long ones as a stream", async () => {
    await using services = new BlockServices();
    const blockDataManager = await storeOf(services);
    const { host, port } = (await services.service({ blockDataManager })).address;
    const client = await services.service({ conf: { "spark.maxRemoteBlockSizeFetchToMem": 1_000_000 } });
    const long = Buffer.alloc(5_000_000, "long");
    await client.uploadBlock(host, port, "exec", "rdd_0_1", new NioManagedBuffer(Buffer.from("small")));
    await client.uploadBlock(host, port, "exec", "rdd_0_2", new NioManagedBuffer(NOTHING));
    await client.uploadBlock(host, port, "exec", "rdd_0_3", new NioManagedBuffer(long));
    await client.uploadBlock(host, port, "exec", "shuffle_1_2_3", new NioManagedBuffer(Buffer.from("shuffle")));
    await client.uploadBlock(host, port, "exec", "shuffle_1_2_4", new NioManagedBuffer(NOTHING));
    const kept = async (blockId: string) => take(await blockDataManager.getLocalBlockData(blockId));
    expect(await kept("rdd_0_1")).toEqual(Buffer.from("small"));
    expect(await kept("rdd_0_2")).toEqual(Buffer.alloc(0));
    expect(Buffer.compare(await kept("rdd_0_3"), long)).toBe(0);
    expect(await kept("shuffle_1_2_3")).toEqual(Buffer.from("shuffle"));
    expect(await kept("shuffle_1_2_4")).toEqual(Buffer.alloc(0));
  });

  test("are removed, as many as were there", async () => {
    await using services = new BlockServices();
    const blockDataManager = await filled(await storeOf(services));
    const server = await services.service({ blockDataManager, execId: "7" });
    const client = await services.service();
    const { host, port } = server.address;
    expect(await client.removeBlocks(host, port, "7", ["rdd_0_0", "rdd_0_1", "shuffle_0_0_0"])).toBe(2);
    expect(await failureOf(client.removeBlocks(host, port, "8", ["shuffle_0_0_1"]))).toMatchObject({
      code: "ERR_RPC_HANDLER",
      message: expect.stringContaining("its own blocks only"),
    });
    expect(await fetchAll(client, server.address, ["shuffle_0_0_1"])).toEqual(
      new Map([["shuffle_0_0_1", Buffer.alloc(0)]]),
    );
  });

  test("of a file that is uploaded and fetched, nothing stays open", async () => {
    await using services = new BlockServices();
    const directory = await services.directory();
    const path = join(directory, "source");
    await writeFile(path, Buffer.alloc(2_000_000, "source"));
    const { host, port } = (await services.service({ blockDataManager: await storeOf(services) })).address;
    const client = await services.service();
    const data = new FileSegmentManagedBuffer(path, 1_000, 1_500_000);
    await client.uploadBlock(host, port, "exec", "shuffle_0_0_0", data);
    const fetched = await take(await client.fetchBlock(host, port, "exec", "shuffle_0_0_0"));
    expect(Buffer.compare(fetched, Buffer.from(await data.bytes()))).toBe(0);
    await until(() => openFiles(directory) === 0);
  });
});

describe("what fails", () => {
  test("a block that is not there fails all that were asked for with it, with its name", async () => {
    await using services = new BlockServices();
    const server = await services.service({ blockDataManager: await filled(new MemoryBlockStore()) });
    const client = await services.service();
    const ends = await fetchAll(client, server.address, ["rdd_0_0", "rdd_0_9"]);
    for (const end of ends.values()) {
      expect(end).toMatchObject({ code: "ERR_RPC_HANDLER", message: expect.stringContaining("rdd_0_9") });
    }
    expect(server.stats.openStreams).toBe(0);
    expect((await fetchAll(client, server.address, ["rdd_0_0"])).get("rdd_0_0")).toEqual(Buffer.from("rdd"));
  });

  test("buffers found before the one that is not there are released", async () => {
    await using services = new BlockServices();
    let owners = 0;
    const buffer = new NioManagedBuffer(Buffer.from("x"));
    buffer.release = () => {
      owners--;
      return buffer;
    };
    const blockDataManager = scripted({
      getLocalBlockData(blockId) {
        if (blockId === "gone") throw new Error("gone");
        owners++;
        return buffer;
      },
    });
    const server = await services.service({ blockDataManager });
    const ends = await fetchAll(await services.service(), server.address, ["a", "b", "gone", "c"]);
    expect(ends.get("c")).toMatchObject({ message: expect.stringContaining("gone") });
    expect(owners).toBe(0);
  });

  test("an upload that the store does not keep, and one that it fails with", async () => {
    await using services = new BlockServices();
    const blockDataManager = scripted({
      putBlockData: async (blockId) => {
        if (blockId === "thrown") throw new Error("thrown by the store");
        return false;
      },
    });
    const { host, port } = (await services.service({ blockDataManager })).address;
    const client = await services.service();
    const upload = (blockId: string) => client.uploadBlock(host, port, "exec", blockId, new NioManagedBuffer(NOTHING));
    expect((await failureOf(upload("refused"))).message).toContain("Upload block for refused failed");
    expect((await failureOf(upload("thrown"))).message).toContain("thrown by the store");
  });

  test("a store that is full fails the upload, and the connection goes on", async () => {
    await using services = new BlockServices();
    const blockDataManager = await filled(new MemoryBlockStore({ bytesMax: 4_000_000 }));
    const server = await services.service({ blockDataManager });
    const { host, port } = server.address;
    const client = await services.service();
    const bytes = new NioManagedBuffer(Buffer.alloc(2_000_000));
    const fetching = fetchAll(client, server.address, ["shuffle_0_5_1"]);
    for (const blockId of ["rdd_9_9", "shuffle_9_9_9"]) {
      const error = await failureOf(client.uploadBlock(host, port, "exec", blockId, bytes));
      expect(error).toMatchObject({ code: "ERR_RPC_HANDLER", message: expect.stringContaining("no room in memory") });
    }
    expect((await fetching).get("shuffle_0_5_1")).toHaveLength(3_000_000);
    expect(server.stats.connections).toBe(1);
  });

  test("a store that throws in the middle of a stream ends the connection, as in Spark; the next upload makes another", async () => {
    await using services = new BlockServices();
    const failures: string[] = [];
    let isBroken = true;
    const store = new MemoryBlockStore();
    const blockDataManager = scripted({
      putBlockDataAsStream: (blockId) => ({
        ...store.putBlockDataAsStream(blockId),
        ...(isBroken
          ? {
              onData: () => {
                throw new Error("the disk is gone");
              },
              onFailure: (_id: string, error: Error) => failures.push(error.message),
            }
          : {}),
      }),
    });
    const server = await services.service({ blockDataManager });
    const { host, port } = server.address;
    const client = await services.service();
    const upload = () =>
      client.uploadBlock(host, port, "exec", "shuffle_0_0_0", new NioManagedBuffer(Buffer.alloc(9_000_000, 1)));
    expect((await failureOf(upload())).message).toMatch(/the disk is gone|connection/i);
    expect(failures).toEqual([expect.stringContaining("the disk is gone")]);
    isBroken = false;
    await until(() => server.stats.connections === 0);
    await upload();
    expect(store.getLocalBlockData("shuffle_0_0_0").size).toBe(9_000_000);
  });

  test("a client that goes away in the middle of an upload leaves nothing", async () => {
    await using services = new BlockServices();
    await using transports = new Transports();
    const directory = await services.directory();
    const blockDataManager = await DiskBlockStore.create({ dirs: directory });
    const server = await services.service({ blockDataManager });
    const client = await rawClient(transports, server);
    const path = join(await services.directory(), "source");
    await writeFile(path, NOTHING);
    await truncate(path, 2 ** 33);
    const meta = encodeBlockTransferMessage({
      type: Type.UPLOAD_BLOCK_STREAM,
      blockId: "shuffle_0_0_0",
      metadata: NOTHING,
    });
    const failed = new Promise((resolve) => {
      client.uploadStream(meta, new FileSegmentManagedBuffer(path, 0, 2 ** 33), {
        onSuccess: () => resolve("stored"),
        onFailure: resolve,
      });
    });
    const files = () => readdirSync(directory, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
    await until(() => files().length === 1);
    client.connection.fail(new Error("gone"));
    expect(await failed).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    await until(() => files().length === 0 && openFiles(directory) === 0);
    await until(() => server.stats.connections === 0);
  });

  test("an executor that is dead is tried as often as the conf says; then each block has one error", async () => {
    await using services = new BlockServices();
    const dead = await services.service();
    const { address } = dead;
    await dead.close();
    const asked: string[] = [];
    const conf = { "shuffle.io.retryWait": "20ms", "shuffle.io.maxRetries": 2 };
    const client = await services.service({
      conf,
      isExecutorAlive: (execId) => {
        asked.push(execId);
        return true;
      },
    });
    const ends = await fetchAll(client, address, ["rdd_0_0", "rdd_0_1"]);
    expect([...ends.values()]).toEqual([
      expect.objectContaining({ code: "ERR_RPC_CONNECT" }),
      expect.objectContaining({ code: "ERR_RPC_CONNECT" }),
    ]);
    expect(asked).toEqual(["exec", "exec", "exec"]);
  });

  test("one that is known to be dead is not tried again", async () => {
    await using services = new BlockServices();
    const dead = await services.service();
    const { address } = dead;
    await dead.close();
    let asked = 0;
    const client = await services.service({
      isExecutorAlive: async () => {
        asked++;
        return false;
      },
    });
    const [end] = [...(await fetchAll(client, address, ["rdd_0_0"])).values()];
    expect(end).toMatchObject({
      code: "ERR_RPC_CONNECT",
      retryable: false,
      message: expect.stringContaining("is dead"),
    });
    expect(asked).toBe(1);
  });

  test("one of which nobody knows is tried again, and its blocks fail with what the network says", async () => {
    await using services = new BlockServices();
    const dead = await services.service();
    const { address } = dead;
    await dead.close();
    let asked = 0;
    const client = await services.service({
      conf: { "shuffle.io.retryWait": "5ms", "shuffle.io.maxRetries": 3 },
      isExecutorAlive: (): Promise<boolean> => {
        asked++;
        if (asked % 2 === 0) throw new Error("the driver is busy");
        return Promise.reject(new Error("the driver is busy"));
      },
    });
    const [end] = [...(await fetchAll(client, address, ["rdd_0_0"])).values()];
    expect(end).toMatchObject({ code: "ERR_RPC_CONNECT", message: expect.not.stringContaining("busy") });
    expect(asked).toBe(4);
  });

  test("an answer about an executor that never comes holds up neither close nor the listener", async () => {
    await using services = new BlockServices();
    const dead = await services.service();
    const { address } = dead;
    await dead.close();
    let asked = false;
    const client = await services.service({
      isExecutorAlive: () => {
        asked = true;
        return new Promise(() => {});
      },
    });
    const fetching = fetchAll(client, address, ["rdd_0_0", "rdd_0_1"]);
    await until(() => asked);
    await client.close();
    const error = expect.objectContaining({ code: "ERR_RPC_CONNECT" });
    expect([...(await fetching).values()]).toEqual([error, error]);
  });

  test("after close nothing is asked any more, and what waits for a retry fails", async () => {
    await using services = new BlockServices();
    const dead = await services.service();
    const { address } = dead;
    await dead.close();
    let tried = () => {};
    const first = new Promise<void>((resolve) => {
      tried = resolve;
    });
    const client = await services.service({
      isExecutorAlive: () => {
        tried();
        return true;
      },
    });
    const fetching = fetchAll(client, address, ["rdd_0_0"]);
    await first;
    await client.close();
    expect((await fetching).get("rdd_0_0")).toMatchObject({ code: "ERR_RPC_CONNECT" });
    expect(() => client.fetchBlocks(address.host, address.port, "exec", ["b"], {} as never)).toThrow("is closed");
    expect(await failureOf(client.fetchBlock(address.host, address.port, "exec", "b"))).toMatchObject({
      code: "ERR_RPC_CONNECT",
      retryable: false,
    });
  });

  test("no ids, and no name, are the caller's mistake", async () => {
    await using services = new BlockServices();
    const client = await services.service();
    expect(() => client.fetchBlocks("127.0.0.1", client.address.port, "exec", [], {} as never)).toThrow(
      expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" }),
    );
    expect(await failureOf(services.service({ execId: "" }))).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    expect(await failureOf(services.service({ host: "0.0.0.0" }))).toMatchObject({ code: "ERR_RPC_INSECURE_BIND" });
  });
});
