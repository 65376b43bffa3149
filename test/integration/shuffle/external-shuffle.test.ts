/**
 * Spark's ExternalShuffleIntegrationSuite and its Ssl twin: a real service, real files, the real client, in plaintext, by secret
 * and by certificate.
 */
import { randomBytes } from "node:crypto";
import { truncate } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  type ExecutorShuffleInfo,
  ExternalBlockStoreClient,
  ExternalShuffleService,
} from "../../../dist/src/blocks/index.js";
import { ShuffleData } from "../../fixtures/shuffle-data.js";
import { BY_CERTIFICATE, BY_SECRET, IN_PLAINTEXT, type ShuffleSecurity } from "../../fixtures/shuffle-security.js";
import { failureOf, until } from "../../fixtures/transport.js";

const APP = "app-id";
/** As long as Spark's. */
const SHUFFLE_BLOCKS = [123, 12_345, 1_234_567].map((length) => randomBytes(length));
const OTHER_BLOCKS = [54_321, 7].map((length) => randomBytes(length));
const RDD_BLOCK = randomBytes(10_000);

interface Setup extends AsyncDisposable {
  readonly service: ExternalShuffleService;
  readonly data0: ShuffleData;
  readonly data1: ShuffleData;
  register(execId: string, info: ExecutorShuffleInfo): Promise<void>;
  fetch(execId: string, blockIds: readonly string[], port?: number): Promise<Fetched>;
  readonly client: ExternalBlockStoreClient;
}

interface Fetched {
  readonly found: ReadonlyMap<string, Buffer>;
  readonly failed: ReadonlyMap<string, Error>;
}

async function setUp(security: ShuffleSecurity): Promise<Setup> {
  const data0 = await ShuffleData.create(2, 5);
  await data0.writeShuffle(0, 0, SHUFFLE_BLOCKS);
  await data0.write("rdd_0_0", RDD_BLOCK);
  const data1 = await ShuffleData.create(6, 2);
  await data1.writeShuffle(1, 0, OTHER_BLOCKS);
  const conf = { "shuffle.service.fetch.rdd.enabled": true, "shuffle.io.maxRetries": 0 };
  const service = await ExternalShuffleService.start({ port: 0, conf, ...security.service });
  const client = new ExternalBlockStoreClient({ conf, ...security.client(APP) }).init(APP);
  return {
    service,
    data0,
    data1,
    client,
    register: (execId, info) => client.registerWithShuffleServer("127.0.0.1", service.port, execId, info),
    fetch: (execId, blockIds, port = service.port) => fetchAll(client, port, execId, blockIds),
    async [Symbol.asyncDispose]() {
      client.close();
      await service.close();
      await data0[Symbol.asyncDispose]();
      await data1[Symbol.asyncDispose]();
    },
  };
}

/** Resolves when something is known of each block; a block that failed may still arrive, so success counts. */
function fetchAll(
  client: ExternalBlockStoreClient,
  port: number,
  execId: string,
  blockIds: readonly string[],
): Promise<Fetched> {
  const found = new Map<string, Buffer>();
  const failed = new Map<string, Error>();
  return new Promise((resolve) => {
    const look = (): void => {
      if (new Set([...found.keys(), ...failed.keys()]).size === blockIds.length) resolve({ found, failed });
    };
    client.fetchBlocks("127.0.0.1", port, execId, blockIds, {
      onBlockFetchSuccess(blockId, data) {
        found.set(blockId, Buffer.from(data.bytes() as Uint8Array));
        look();
      },
      onBlockFetchFailure(blockId, error) {
        failed.set(blockId, error);
        look();
      },
    });
  });
}

function expectBlocks({ found, failed }: Fetched, blocks: Readonly<Record<string, Buffer>>): void {
  expect([...found.keys()].sort()).toEqual(Object.keys(blocks).sort());
  for (const [blockId, bytes] of Object.entries(blocks)) expect(found.get(blockId)?.equals(bytes), blockId).toBe(true);
  for (const blockId of found.keys()) expect(failed.has(blockId), blockId).toBe(false);
}

const BLOCK_0 = { shuffle_0_0_0: SHUFFLE_BLOCKS[0] as Buffer };
const BLOCKS_3 = {
  ...BLOCK_0,
  shuffle_0_0_1: SHUFFLE_BLOCKS[1] as Buffer,
  shuffle_0_0_2: SHUFFLE_BLOCKS[2] as Buffer,
};

/** What all three must do; `suite` is Spark's, or its twin over TLS. */
function integrationSuite(security: ShuffleSecurity, suite: string): void {
  it(`[net ${suite}.testFetchOneSort] one block`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    expectBlocks(await setup.fetch("exec-0", ["shuffle_0_0_0"]), BLOCK_0);
  });

  it(`[net ${suite}.testFetchThreeSort] three blocks`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    expectBlocks(await setup.fetch("exec-0", Object.keys(BLOCKS_3)), BLOCKS_3);
  });

  it(`[net ${suite}.testRegisterWithCustomShuffleManager] any shuffle manager`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-1", setup.data1.info("custom shuffle manager"));
    expect(setup.service.stats().registeredExecutorsSize).toBe(1);
    expectBlocks(await setup.fetch("exec-1", ["shuffle_1_0_1"]), { shuffle_1_0_1: OTHER_BLOCKS[1] as Buffer });
  });

  it(`[net ${suite}.testFetchWrongBlockId] an id of another kind`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-1", setup.data1.info());
    const { found, failed } = await setup.fetch("exec-1", ["broadcast_1"]);
    expect(found.size).toBe(0);
    expect(failed.get("broadcast_1")?.message).toMatch(/Unexpected block id format/);
  });

  it(`[net ${suite}.testFetchValidRddBlock] a block of an RDD`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    expectBlocks(await setup.fetch("exec-0", ["rdd_0_0"]), { rdd_0_0: RDD_BLOCK });
  });

  it(`[net ${suite}.testFetchDeletedRddBlock] one that was deleted`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    const { port } = setup.service;
    expect(await setup.client.removeBlocks("127.0.0.1", port, "exec-0", ["rdd_0_0"])).toBe(1);
    const { found, failed } = await setup.fetch("exec-0", ["rdd_0_0"]);
    expect(found.size).toBe(0);
    expect(failed.get("rdd_0_0")?.message).toMatch(/Chunk was not found/);
  });

  it(`[net ${suite}.testRemoveRddBlocks] removing two, of which one is there`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    const { port } = setup.service;
    expect(await setup.client.removeBlocks("127.0.0.1", port, "exec-0", ["rdd_0_0", "rdd_0_7"])).toBe(1);
    expect(await setup.data0.files()).not.toContain("rdd_0_0");
    expect(await setup.client.removeBlocks("127.0.0.1", port, "exec-nobody", ["rdd_0_0"])).toBe(0);
  });

  it(`[net ${suite}.testFetchCorruptRddBlock] a block whose file became shorter`, async () => {
    await using setup = await setUp(security);
    await setup.data0.writeShuffle(9, 0, [RDD_BLOCK]);
    await setup.register("exec-0", setup.data0.info());
    await truncate(setup.data0.pathOf("shuffle_9_0_0.data"), RDD_BLOCK.length / 2);
    const { found, failed } = await setup.fetch("exec-0", ["shuffle_9_0_0"]);
    expect(found.size).toBe(0);
    expect(failed.get("shuffle_9_0_0")?.message).toMatch(/actual file length 5000/);
  });

  it(`[net ${suite}.testFetchNonexistent] of a shuffle that nobody wrote`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    const { found, failed } = await setup.fetch("exec-0", ["shuffle_2_0_0"]);
    expect(found.size).toBe(0);
    expect(failed.get("shuffle_2_0_0")?.message).toMatch(/Failed to open file/);
  });

  it(`[net ${suite}.testFetchWrongExecutor] of another executor`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    await setup.data1.writeShuffle(0, 7, OTHER_BLOCKS);
    const { found, failed } = await setup.fetch("exec-0", ["shuffle_0_0_0", "shuffle_0_7_0"]);
    expect([...found.keys()]).toEqual(["shuffle_0_0_0"]);
    expect([...failed.keys()]).toEqual(["shuffle_0_7_0"]);
  });

  it(`[net ${suite}.testFetchUnregisteredExecutor] of one that nobody registered`, async () => {
    await using setup = await setUp(security);
    await setup.register("exec-0", setup.data0.info());
    const { found, failed } = await setup.fetch("exec-2", ["shuffle_0_0_0", "shuffle_0_0_1"]);
    expect(found.size).toBe(0);
    expect([...failed.keys()].sort()).toEqual(["shuffle_0_0_0", "shuffle_0_0_1"]);
    expect(failed.get("shuffle_0_0_1")?.message).toMatch(/not registered/);
  });

  it(`[net ${suite}.testFetchNoServer] of a service that is not there`, async () => {
    await using setup = await setUp(security);
    const { found, failed } = await setup.fetch("exec-0", ["shuffle_0_0_0", "shuffle_0_0_1"], 1);
    expect(found.size).toBe(0);
    expect(failed.get("shuffle_0_0_0")).toMatchObject({ code: "ERR_RPC_CONNECT" });
    expect(failed.size).toBe(2);
  });
}

describe(IN_PLAINTEXT.name, () => {
  integrationSuite(IN_PLAINTEXT, "ExternalShuffleIntegrationSuite");
});

describe(BY_SECRET.name, () => {
  integrationSuite(BY_SECRET, "SslExternalShuffleIntegrationSuite");
});

describe(BY_CERTIFICATE.name, () => {
  integrationSuite(BY_CERTIFICATE, "SslExternalShuffleIntegrationSuite");
});

describe("the client", () => {
  it("a block as a promise, local directories, and where a block was damaged", async () => {
    await using setup = await setUp(BY_SECRET);
    const { client, data0, service } = setup;
    await setup.register("exec-0", data0.info());
    const at = ["127.0.0.1", service.port] as const;
    const block = await client.fetchBlock(...at, "exec-0", "shuffle_0_0_2");
    expect(SHUFFLE_BLOCKS[2]?.equals(await block.bytes())).toBe(true);
    block.release();
    expect(await client.getHostLocalDirs(...at, ["exec-0"])).toEqual(new Map([["exec-0", data0.localDirs]]));
    expect((await failureOf(client.getHostLocalDirs(...at, ["exec-9"]))).message).toMatch(/not registered/);
    const corrupt = { shuffleId: 0, mapId: 0n, reduceId: 0, checksum: 0n, algorithm: "MD5" };
    expect(await client.diagnoseCorruption(...at, "exec-0", corrupt)).toBe("UNSUPPORTED_CHECKSUM_ALGORITHM");
    expect(await client.diagnoseCorruption("127.0.0.1", 1, "exec-0", corrupt)).toBe("UNKNOWN_ISSUE");
  });

  it("is nothing before init and after close", async () => {
    const client = new ExternalBlockStoreClient();
    const listener = { onBlockFetchSuccess() {}, onBlockFetchFailure() {} };
    expect(() => client.fetchBlocks("127.0.0.1", 1, "e", ["shuffle_0_0_0"], listener)).toThrow(/Called before init/);
    client.init("app");
    expect(() => client.init("app")).toThrow(/init was called already/);
    expect(() => client.fetchBlocks("127.0.0.1", 1, "e", [], listener)).toThrow(/Zero-sized blockIds array/);
    client.close();
    expect(() => client.fetchBlocks("127.0.0.1", 1, "e", ["shuffle_0_0_0"], listener)).toThrow(/is closed/);
  });

  it("registers again while the service cannot be reached, as often as it may", async () => {
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, warn: (_: object, text: string) => warnings.push(text), error() {} };
    const conf = { "shuffle.registration.maxAttempts": 3, "shuffle.io.retryWait": "1ms" };
    await using client = new ExternalBlockStoreClient({ conf, logger }).init("app");
    const info = { localDirs: [], subDirsPerLocalDir: 0, shuffleManager: "" };
    const error = await failureOf(client.registerWithShuffleServer("127.0.0.1", 1, "exec-0", info));
    expect(error).toMatchObject({ code: "ERR_RPC_CONNECT" });
    expect(warnings).toHaveLength(2);
  });

  it("ends a wait for another attempt to register with close, and tries no more", async () => {
    const warned: string[] = [];
    let waits = (): void => {};
    const isWaiting = new Promise<void>((resolve) => {
      waits = resolve;
    });
    const warn = (_: object, text: string): void => {
      warned.push(text);
      waits();
    };
    const logger = { debug() {}, info() {}, warn, error() {} };
    const client = new ExternalBlockStoreClient({ conf: { "shuffle.io.retryWait": "1h" }, logger }).init("app");
    const info = { localDirs: [], subDirsPerLocalDir: 0, shuffleManager: "" };
    const failed = failureOf(client.registerWithShuffleServer("127.0.0.1", 1, "exec-0", info));
    await isWaiting;
    client.close();
    expect(await failed).toMatchObject({ code: "ERR_RPC_CONNECT", message: expect.stringContaining("127.0.0.1:1") });
    expect(warned).toHaveLength(1);
  });

  it("tells its listener once of each block, also without retries", async () => {
    await using setup = await setUp(IN_PLAINTEXT);
    await setup.register("exec-0", setup.data0.info());
    const { client, service } = setup;
    const told: string[] = [];
    const blockIds = ["shuffle_0_0_0", "shuffle_0_0_9", "shuffle_0_0_2"];
    client.fetchBlocks("127.0.0.1", service.port, "exec-0", blockIds, {
      onBlockFetchSuccess: (blockId) => void told.push(blockId),
      onBlockFetchFailure: (blockId) => void told.push(blockId),
    });
    await until(() => new Set(told).size === 3);
    // Over the same connection, so behind all that could still be told.
    await client.getHostLocalDirs("127.0.0.1", service.port, ["exec-0"]);
    expect(told.sort()).toEqual(blockIds.sort());
  });

  it("registers once only where the service refuses", async () => {
    await using setup = await setUp(IN_PLAINTEXT);
    const info = { ...setup.data0.info(), localDirs: ["relative"] };
    const error = await failureOf(setup.register("exec-0", info));
    expect(error.message).toMatch(/IllegalArgumentException.*absolute path/);
    expect(setup.service.stats().registerExecutorRequestLatencyMillis.count).toBe(0);
  });
});
