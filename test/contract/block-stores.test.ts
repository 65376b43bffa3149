/** The contract of stores, run by each, and what is one store's own. */
import { existsSync, readlinkSync, realpathSync } from "node:fs";
import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DiskBlockStore, MemoryBlockStore } from "ringpost/blocks";
import { FileSegmentManagedBuffer, type ManagedBuffer, NioManagedBuffer } from "ringpost/network";
import { describe, expect, test } from "vitest";
import { hashedPath } from "../../dist/src/blocks/shuffle-files.js";
import { openFiles } from "../fixtures/open-files.js";
import { until } from "../fixtures/transport.js";
import { failureOf } from "./ask-send.contract.js";
import { blockStoreContract, feed } from "./block-store.contract.js";

const NOTHING = new Uint8Array(0);

async function directory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "ringpost-blocks-"));
}

async function filesBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

blockStoreContract("a MemoryBlockStore", async () => {
  const store = new MemoryBlockStore();
  return {
    store,
    clean: async () => {
      await store.clear();
      return store.bytes === 0 && store.blockCount === 0;
    },
    close: async () => {},
  };
});

async function onDisk(count: number) {
  const parent = await directory();
  const dirs = Array.from({ length: count }, (_, index) => join(parent, `d${index}`));
  const store = await DiskBlockStore.create({ dirs });
  return {
    store,
    clean: async () => {
      const names = await filesBelow(parent);
      // Whoever has read a file closes it behind its last byte.
      await until(() => openFiles(parent) === 0);
      return !names.some((name) => name.startsWith("."));
    },
    close: () => rm(parent, { recursive: true }),
  };
}

blockStoreContract("a DiskBlockStore of one directory", () => onDisk(1));
blockStoreContract("a DiskBlockStore of three directories", () => onDisk(3));

describe("a MemoryBlockStore", () => {
  test("takes so many bytes and not one more, and has room again for what was removed", async () => {
    const store = new MemoryBlockStore({ bytesMax: 3_024 });
    await store.putBlockData("b1", new NioManagedBuffer(new Uint8Array(976)));
    expect(store.bytes).toBe(2_000);
    const error = await failureOf(store.putBlockData("b2", new NioManagedBuffer(new Uint8Array(1))));
    expect(error).toMatchObject({ code: "ERR_RPC_STREAM", retryable: true });
    expect(error.message).toContain("bytes=1025, used=2000, bytesMax=3024");
    expect(await store.putBlockData("b3", new NioManagedBuffer(NOTHING))).toBe(true);
    expect(store.bytes).toBe(3_024);
    await store.removeBlocks(["b1"]);
    expect(await store.putBlockData("b2", new NioManagedBuffer(new Uint8Array(976)))).toBe(true);
  });

  test("streams count while they come; one that does not fit is thrown away and fails at its end", async () => {
    const store = new MemoryBlockStore({ bytesMax: 300_000 });
    const [one, two] = [store.putBlockDataAsStream("b1"), store.putBlockDataAsStream("b2")];
    await feed(one, [new Uint8Array(200_000)]);
    await feed(two, [new Uint8Array(100_000), new Uint8Array(1), new Uint8Array(10)]);
    expect(store.bytes).toBe(200_000);
    expect(() => two.onComplete("b2")).toThrow(expect.objectContaining({ code: "ERR_RPC_STREAM" }));
    two.onFailure("b2", new Error("told as well"));
    await one.onComplete("b1");
    expect([store.bytes, store.blockCount]).toEqual([201_024, 1]);
  });

  test("keeps what is in memory without a copy, retained for as long as it is there", async () => {
    const bytes = Buffer.from("shared");
    let owners = 1;
    const data: ManagedBuffer = {
      ...new NioManagedBuffer(bytes),
      size: bytes.length,
      bytes: () => bytes,
      createInputStream: () => new NioManagedBuffer(bytes).createInputStream(),
      toBody: () => bytes,
      retain() {
        owners++;
        return this;
      },
      release() {
        owners--;
        return this;
      },
    };
    const store = new MemoryBlockStore();
    await store.putBlockData("b1", data);
    expect(owners).toBe(2);
    const got = store.getLocalBlockData("b1");
    expect(got.bytes()).toBe(bytes);
    await store.removeBlocks(["b1"]);
    expect(owners).toBe(2);
    got.release();
    expect(owners).toBe(1);
  });

  test("counts what was removed until its last owner has released it, and no one twice", async () => {
    const store = new MemoryBlockStore({ bytesMax: 4_000 });
    const data = () => new NioManagedBuffer(new Uint8Array(976));
    await store.putBlockData("b1", data());
    const [one, two] = [store.getLocalBlockData("b1"), store.getLocalBlockData("b1")];
    expect(await store.removeBlocks(["b1"])).toBe(1);
    await store.putBlockData("b1", data());
    expect([store.bytes, store.blockCount]).toEqual([4_000, 1]);
    expect((await failureOf(store.putBlockData("b2", data()))).message).toContain("used=4000");
    one.release();
    expect(store.bytes).toBe(4_000);
    two.release();
    expect(store.bytes).toBe(2_000);
    two.release();
    expect(() => two.retain()).toThrow(expect.objectContaining({ code: "ERR_RPC_STREAM" }));
    expect(store.bytes).toBe(2_000);
    await store.clear();
    expect([store.bytes, store.blockCount]).toEqual([0, 0]);
  });

  test("reads what is in a file, and counts nothing for a file that cannot be read", async () => {
    const dir = await directory();
    const path = join(dir, "file");
    await writeFile(path, "from a file");
    const store = new MemoryBlockStore();
    await store.putBlockData("b1", new FileSegmentManagedBuffer(path, 5, 6));
    await failureOf(store.putBlockData("b2", new FileSegmentManagedBuffer(path, 5, 7)));
    await rm(dir, { recursive: true });
    expect(Buffer.from(await store.getLocalBlockData("b1").bytes()).toString()).toBe("a file");
    expect([store.bytes, store.blockCount]).toEqual([1_030, 1]);
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("bytesMax %s is refused", (bytesMax) => {
    expect(() => new MemoryBlockStore({ bytesMax })).toThrow(
      expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" }),
    );
  });
});

describe("a DiskBlockStore", () => {
  test("keeps a block where Spark would look for it, for its own user only", async () => {
    const parent = await directory();
    const dirs = [join(parent, "a"), join(parent, "b")];
    const store = await DiskBlockStore.create({ dirs, subDirsPerLocalDir: 5, sync: true });
    await store.putBlockData("rdd_1_2", new NioManagedBuffer(Buffer.from("block")));
    const path = hashedPath(store.getLocalDiskDirs(), 5, "rdd_1_2");
    expect(path.endsWith(join("b", "04", "rdd_1_2"))).toBe(true);
    expect(await readFile(path, "utf8")).toBe("block");
    const modes = [dirs[0] as string, dirname(path), path].map(async (at) => (await stat(at)).mode & 0o777);
    expect(await Promise.all(modes)).toEqual([0o700, 0o700, 0o600]);
    await rm(parent, { recursive: true });
  });

  test("with sync, has its block's bytes on the disk, then its name, when it counts as stored; without, neither", async () => {
    const dir = await directory();
    const synced = await syncsOf(async () => {
      const store = await DiskBlockStore.create({ dirs: dir, sync: true });
      await store.putBlockData("b1", new NioManagedBuffer(Buffer.from("block")));
    });
    const real = await realpath(dir);
    const path = hashedPath([real], 64, "b1");
    expect(synced).toEqual([
      [expect.stringContaining(join(dirname(path), ".upload-")), false],
      [dirname(path), true],
      [real, true],
    ]);
    // Whoever comes second may find the file before its name is on the disk.
    const again = await syncsOf(async () => {
      const store = await DiskBlockStore.create({ dirs: dir, sync: true });
      await store.putBlockData("b1", new NioManagedBuffer(Buffer.from("block")));
    });
    expect(again.map(([at]) => at)).toEqual([dirname(path), real]);
    const none = await syncsOf(async () => {
      const store = await DiskBlockStore.create({ dirs: dir });
      await store.putBlockData("b2", new NioManagedBuffer(Buffer.from("block")));
    });
    expect(none).toEqual([]);
    await rm(dir, { recursive: true });

    /** What is synced meanwhile, and whether the block had its name then. */
    async function syncsOf(act: () => Promise<void>): Promise<[string, boolean][]> {
      const handle = await open(dir);
      const prototype = Object.getPrototypeOf(handle) as FileHandle;
      await handle.close();
      const sync = prototype.sync;
      const seen: [string, boolean][] = [];
      prototype.sync = function (this: FileHandle) {
        seen.push([readlinkSync(`/proc/self/fd/${this.fd}`), existsSync(hashedPath([realpathSync(dir)], 64, "b1"))]);
        return sync.call(this);
      };
      try {
        await act();
      } finally {
        prototype.sync = sync;
      }
      return seen;
    }
  });

  test("of several who remove a block at the same time, one has removed it, and none fails", async () => {
    const dir = await directory();
    const store = await DiskBlockStore.create({ dirs: dir });
    for (let round = 0; round < 20; round++) {
      for (const blockId of ["b1", "b2"]) await store.putBlockData(blockId, new NioManagedBuffer(Buffer.from("x")));
      const counts = await Promise.all(Array.from({ length: 4 }, () => store.removeBlocks(["b1", "b2"])));
      expect(counts.reduce((sum, count) => sum + count)).toBe(2);
    }
    await rm(dir, { recursive: true });
  });

  test("has the blocks of an earlier life, without what that one left half written", async () => {
    const dir = await directory();
    const before = await DiskBlockStore.create({ dirs: dir });
    await before.putBlockData("b1", new NioManagedBuffer(Buffer.from("kept")));
    const upload = before.putBlockDataAsStream("b2");
    await feed(upload, [Buffer.from("never complete")]);
    expect((await filesBelow(dir)).length).toBe(2);
    const after = await DiskBlockStore.create({ dirs: dir });
    expect(await filesBelow(dir)).toEqual(["b1"]);
    expect(Buffer.from(await (await after.getLocalBlockData("b1")).bytes()).toString()).toBe("kept");
    await upload.onFailure("b2", new Error("over"));
    await rm(dir, { recursive: true });
  });

  test("removes nothing else of what is in its directories", async () => {
    const dir = await directory();
    await mkdir(join(dir, "00"));
    await mkdir(join(dir, "other"));
    const foreign = [
      join(dir, ".upload-1"),
      join(dir, "other", ".upload-1"),
      join(dir, "00", "upload"),
      join(dir, "f"),
    ];
    for (const path of foreign) await writeFile(path, "foreign");
    await writeFile(join(dir, "00", ".upload-1-0"), "half");
    await DiskBlockStore.create({ dirs: dir });
    expect((await filesBelow(dir)).sort()).toEqual([".upload-1", ".upload-1", "f", "upload"]);
    await rm(dir, { recursive: true });
  });

  test("reads and writes nothing where a link leads out of it", async () => {
    const parent = await directory();
    const store = await DiskBlockStore.create({ dirs: join(parent, "store") });
    const secret = join(parent, "secret");
    await mkdir(secret);
    await writeFile(join(secret, "b1"), "secret");
    await writeFile(join(secret, "b2"), "secret");

    // A link in place of the block, and one in place of its directory.
    const linked = hashedPath(store.getLocalDiskDirs(), 64, "b1");
    await mkdir(dirname(linked), { recursive: true });
    await symlink(join(secret, "b1"), linked);
    const inside = hashedPath(store.getLocalDiskDirs(), 64, "b2");
    await symlink(secret, dirname(inside));

    for (const blockId of ["b1", "b2"]) {
      expect(await failureOf(store.getLocalBlockData(blockId))).toMatchObject({ code: "ERR_RPC_STREAM" });
      expect(await store.removeBlocks([blockId])).toBe(0);
    }
    const error = await failureOf(store.putBlockData("b2", new NioManagedBuffer(Buffer.from("x"))));
    expect(error.message).toContain("leads out of the store");
    const upload = store.putBlockDataAsStream("b2");
    await feed(upload, [Buffer.from("x")]);
    await expect((async () => upload.onComplete("b2"))()).rejects.toThrow("leads out of the store");
    expect((await readdir(secret)).sort()).toEqual(["b1", "b2"]);
    expect(await readFile(join(secret, "b2"), "utf8")).toBe("secret");
    await rm(parent, { recursive: true });
  });

  test("of a disk that takes no more, an upload fails at its end, and nothing is left of it", async () => {
    const dir = await directory();
    const store = await DiskBlockStore.create({ dirs: dir });
    const path = hashedPath(store.getLocalDiskDirs(), 64, "b1");
    // What stands in the way of its directory fails as a full disk does: by an error of the system.
    await writeFile(dirname(path), "in the way");
    const upload = store.putBlockDataAsStream("b1");
    await feed(upload, [new Uint8Array(10), new Uint8Array(600_000)]);
    await expect((async () => upload.onComplete("b1"))()).rejects.toMatchObject({ code: "ERR_RPC_STREAM" });
    await rm(dirname(path));
    expect(await store.putBlockData("b1", new NioManagedBuffer(Buffer.from("now")))).toBe(true);
    await rm(dir, { recursive: true });
  });

  test.each([
    ["no directory", { dirs: [] }],
    ["an empty path", { dirs: "" }],
    ["a directory twice", { dirs: [tmpdir(), `${tmpdir()}/.`] }],
    ["a file", { dirs: process.execPath }],
    ["no subdirectory", { dirs: tmpdir(), subDirsPerLocalDir: 0 }],
    ["too many of them", { dirs: tmpdir(), subDirsPerLocalDir: 65_537 }],
  ])("%s is refused", async (_what, options) => {
    expect(await failureOf(DiskBlockStore.create(options))).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
  });
});
