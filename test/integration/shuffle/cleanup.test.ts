/**
 * What goes when an application or an executor goes: Spark's ExternalShuffleCleanupSuite and
 * CleanupNonShuffleServiceServedFilesSuite over real directories, and that nothing else goes.
 */
import { execFile } from "node:child_process";
import { access, chmod, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { type Cleaner, ExternalShuffleBlockResolver, RegisteredExecutors } from "../../../dist/src/blocks/index.js";
import { ShuffleData, temporaryDirectory } from "../../fixtures/shuffle-data.js";
import { failureOf } from "../../fixtures/transport.js";

const run = promisify(execFile);
const UNPRIVILEGED = fileURLToPath(new URL("../../../build/test/fixtures/unprivileged-cleanup.js", import.meta.url));

interface Setup {
  readonly resolver: ExternalShuffleBlockResolver;
  readonly register: (appId: string, execId: string, data: ShuffleData) => Promise<void>;
}

async function setUp({
  fetchRddEnabled = true,
  cleaner,
}: {
  fetchRddEnabled?: boolean;
  cleaner?: Cleaner;
} = {}): Promise<Setup> {
  const executors = await RegisteredExecutors.open({ file: null, roots: null });
  const options = { executors, indexCacheBytes: 0, fetchRddEnabled };
  const resolver = new ExternalShuffleBlockResolver(cleaner === undefined ? options : { ...options, cleaner });
  return { resolver, register: (appId, execId, data) => resolver.registerExecutor(appId, execId, data.info()) };
}

/** An executor that has written two maps. */
async function executor(): Promise<ShuffleData> {
  const data = await ShuffleData.create(2, 64);
  await data.writeShuffle(0, 0, ["Hello!", "World!"]);
  await data.writeShuffle(1, 5, ["x"]);
  return data;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Both of its directories, or neither. */
async function areThere({ localDirs }: ShuffleData): Promise<boolean> {
  const there = await Promise.all(localDirs.map(isThere));
  expect(new Set(there).size).toBe(1);
  return there[0] === true;
}

/** Keeps what it is given until it is told to run it. */
function heldCleaner(): { readonly cleaner: Cleaner; readonly held: (() => Promise<void>)[] } {
  const held: (() => Promise<void>)[] = [];
  return { held, cleaner: (work) => held.push(work) };
}

describe("a removal that is under way", () => {
  it("keeps the directories from others until it ends: their files have the same names", async () => {
    const { resolver, register } = await setUp();
    await using data = await executor();
    await register("app", "exec", data);
    const names = Array.from({ length: 200 }, (_, map) => `shuffle_9_${map}_0.data`);
    let asked = 0;
    const removal = resolver.removeBlocks("app", "exec", [...names, "shuffle_0_0_0.data"], () => {
      asked++;
    });
    await resolver.applicationRemoved("app", false);
    expect(asked).toBeLessThan(names.length);
    expect(await failureOf(register("another", "exec", data))).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
    await removal;
    await register("another", "exec", data);
    await resolver.close();
  });
});

describe("an application that has ended", () => {
  it("[net ExternalShuffleCleanupSuite.noCleanupAndCleanup] leaves its files, or not, as is wanted", async () => {
    await using data = await executor();
    const { resolver, register } = await setUp();
    await register("app", "exec0", data);
    await resolver.applicationRemoved("app", false);
    await register("app", "exec1", data);
    await resolver.applicationRemoved("app", false);
    await resolver.close();
    expect(await areThere(data)).toBe(true);

    const second = await setUp();
    await second.register("app", "exec0", data);
    await second.resolver.applicationRemoved("app", true);
    await second.resolver.close();
    expect(await areThere(data)).toBe(false);
  });

  it("[net ExternalShuffleCleanupSuite.cleanupUsesExecutor] is cleaned up after by the cleaner, when that runs", async () => {
    await using data = await executor();
    const { cleaner, held } = heldCleaner();
    const { resolver, register } = await setUp({ cleaner });
    await register("app", "exec0", data);
    await resolver.applicationRemoved("app", true);
    expect(held).toHaveLength(1);
    expect(await areThere(data)).toBe(true);
    await held[0]?.();
    expect(await areThere(data)).toBe(false);
  });

  it("[net ExternalShuffleCleanupSuite.cleanupMultipleExecutors] with all of its executors", async () => {
    await using one = await executor();
    await using two = await executor();
    const { resolver, register } = await setUp();
    await register("app", "exec0", one);
    await register("app", "exec1", two);
    await resolver.applicationRemoved("app", true);
    await resolver.close();
    expect([await areThere(one), await areThere(two)]).toEqual([false, false]);
  });

  it("[net ExternalShuffleCleanupSuite.cleanupOnlyRemovedApp] and without others; again it harms nobody", async () => {
    await using one = await executor();
    await using two = await executor();
    const { resolver, register } = await setUp();
    await register("app-0", "exec0", one);
    await register("app-1", "exec0", two);
    await resolver.applicationRemoved("app-nonexistent", true);
    await resolver.applicationRemoved("app-0", true);
    await resolver.applicationRemoved("app-0", true);
    expect(resolver.registeredExecutorCount).toBe(1);
    expect(await two.files()).toHaveLength(4);
    await resolver.applicationRemoved("app-1", true);
    await resolver.close();
    expect([await areThere(one), await areThere(two)]).toEqual([false, false]);
  });

  it("loses what an executor makes, and nothing else that lies in its directories", async () => {
    await using data = await ShuffleData.create(1, 64);
    await using foreign = await temporaryDirectory();
    const [dir = ""] = data.localDirs;
    await writeFile(join(foreign.path, "secret"), "secret");
    for (const name of ["00", "3f", "40", "AA", "0", "abc", "documents", "blockmgr-1"]) {
      await mkdir(join(dir, name));
      await writeFile(join(dir, name, "file"), "");
    }
    await writeFile(join(dir, "file"), "");
    await mkdir(join(dir, "3f", "folder"));
    await symlink(join(foreign.path, "secret"), join(dir, "00", "link"));
    await symlink(foreign.path, join(dir, "01"));
    const { resolver, register } = await setUp();
    await register("app", "exec0", data);
    await resolver.applicationRemoved("app", true);
    await resolver.close();
    // 00 is gone, 3f has a folder in it, 40 is one more than there are, 01 is a link.
    const kept = ["01", "0", "3f", "40", "AA", "abc", "blockmgr-1", "documents", "file"];
    expect((await readdir(dir)).sort()).toEqual(kept.sort());
    expect(await readdir(join(dir, "3f"))).toEqual(["folder"]);
    expect(await readdir(foreign.path)).toEqual(["secret"]);
  });

  it("a directory that nobody may change does not stop the others, and is said", async () => {
    await using fixed = await ShuffleData.create(1, 64);
    await using open = await ShuffleData.create(1, 64);
    for (const data of [fixed, open]) {
      const file = await data.write("rdd_0_0", "x");
      // Also for somebody else, as whom the program runs when root starts it.
      const [dir = ""] = data.localDirs;
      for (const path of [dirname(dir), dir, dirname(file)]) await chmod(path, data === open ? 0o777 : 0o555);
    }
    const dirs = [...fixed.localDirs, ...open.localDirs];
    const { stdout } = await run(process.execPath, [UNPRIVILEGED, ...dirs]);
    // The file, the subdirectory with it in, the local directory; and nothing of the other one.
    const said = ["unlink", "rmdir", "rmdir"].map((call) =>
      expect.stringContaining(`EACCES: permission denied, ${call}`),
    );
    expect(JSON.parse(stdout)).toEqual(said);
    expect([await fixed.files(), await areThere(open)]).toEqual([["rdd_0_0"], false]);
    for (const dir of fixed.localDirs) for (const path of [dirname(dir), dir]) await chmod(path, 0o755);
    await chmod(dirname(fixed.pathOf("rdd_0_0")), 0o755);
  });

  it("keeps its directories until it is cleaned up, also from a cleanup of an executor that is still to come", async () => {
    await using data = await executor();
    const { cleaner, held } = heldCleaner();
    const { resolver, register } = await setUp({ cleaner });
    await register("a", "exec0", data);
    resolver.executorRemoved("a", "exec0");
    await resolver.applicationRemoved("a", true);
    for (let count = 0; count < 2; count++) {
      const error = await failureOf(register("b", "exec0", data));
      expect(error).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
      expect(error.message).toMatch(/belongs to another application/);
      await held[count]?.();
    }
    for (const dir of data.localDirs) await mkdir(dir);
    await register("b", "exec0", data);
    await data.write("rdd_0_0", "of b");
    expect(held).toHaveLength(2);
    // Without files to remove, who is removed lets go at once.
    await resolver.applicationRemoved("b", false);
    await register("c", "exec0", data);
    await resolver.close();
    expect(await data.files()).toEqual(["rdd_0_0"]);
  });

  it("leaves directories of others that lie in its own, and the files in them", async () => {
    await using outer = await ShuffleData.create(1, 64);
    const [dir = ""] = outer.localDirs;
    const inner = join(dir, "0a");
    await mkdir(inner);
    const { resolver, register } = await setUp();
    await register("above", "exec0", outer);
    const info = { localDirs: [inner], subDirsPerLocalDir: 64, shuffleManager: "" };
    await resolver.registerExecutor("below", "exec0", info);
    await writeFile(join(inner, "file"), "");
    await resolver.applicationRemoved("above", true);
    await resolver.close();
    expect(await readdir(inner)).toEqual(["file"]);
  });

  it("a resolver that is closed says that it does nothing any more; what it was told before is done", async () => {
    await using data = await executor();
    const { resolver, register } = await setUp();
    await register("app", "exec0", data);
    const removed = resolver.applicationRemoved("app", true);
    await resolver.close();
    expect(await areThere(data)).toBe(false);
    await removed;
    const late = [resolver.applicationRemoved("app", true), register("app", "exec1", data)];
    for (const one of late) expect(await failureOf(one)).toMatchObject({ code: "ERR_RPC_ENV_STOPPED" });
    expect(() => resolver.executorRemoved("app", "exec0")).toThrow(/closed/);
  });

  it("a directory that is gone already does not stop the others", async () => {
    await using one = await executor();
    await using two = await executor();
    const { resolver, register } = await setUp();
    await register("app", "exec0", one);
    await register("app", "exec1", two);
    await one[Symbol.asyncDispose]();
    await resolver.applicationRemoved("app", true);
    await resolver.close();
    expect(await areThere(two)).toBe(false);
  });
});

const SERVED = ["shuffle_782_450_0.data", "shuffle_782_450_0.index"];
const NOT_SERVED = ["shuffle_782_450_0.checksum.ADLER32", "temp_local_1", "temp_shuffle_2", "broadcast_3", "rddx_1_2"];
const RDDS = ["rdd_12_34", "rdd_1_1"];

/** An executor with files of all kinds, or only with such as are not handed out. */
async function leftovers(hasServed = true): Promise<ShuffleData> {
  const data = await ShuffleData.create(2, 5);
  for (const name of hasServed ? [...SERVED, ...NOT_SERVED, ...RDDS] : NOT_SERVED) await data.write(name, name);
  return data;
}

const ALL = [...SERVED, ...NOT_SERVED, ...RDDS].sort();
const KEPT = {
  Enabled: [...SERVED, ...RDDS].sort(),
  Disabled: [...SERVED].sort(),
} as const;

describe.each(["Enabled", "Disabled"] as const)("an executor that has ended, RDDs %s", (rdds) => {
  const fetchRddEnabled = rdds === "Enabled";

  it(`[net CleanupNonShuffleServiceServedFilesSuite.cleanupOnRemovedExecutorWithFilesToKeepFetchRdd${rdds}] leaves what is handed out`, async () => {
    await using data = await leftovers();
    const { resolver, register } = await setUp({ fetchRddEnabled });
    await register("app", "exec0", data);
    resolver.executorRemoved("app", "exec0");
    await resolver.close();
    expect(await data.files()).toEqual(KEPT[rdds]);
  });

  it(`[net CleanupNonShuffleServiceServedFilesSuite.cleanupOnlyRemovedExecutorWithFilesToKeepFetchRdd${rdds}] and others leave all`, async () => {
    await using one = await leftovers();
    await using two = await leftovers();
    const { resolver, register } = await setUp({ fetchRddEnabled });
    await register("app", "exec0", one);
    await register("app", "exec1", two);
    resolver.executorRemoved("app", "exec-nonexistent");
    resolver.executorRemoved("app", "exec0");
    resolver.executorRemoved("app", "exec0");
    await resolver.close();
    expect(await one.files()).toEqual(KEPT[rdds]);
    expect(await two.files()).toEqual(ALL);
  });

  it(`[net CleanupNonShuffleServiceServedFilesSuite.cleanupOnlyRegisteredExecutorWithFilesToKeepFetchRdd${rdds}] if it registered`, async () => {
    await using data = await leftovers();
    const { resolver, register } = await setUp({ fetchRddEnabled });
    await register("app", "exec0", data);
    resolver.executorRemoved("app", "exec1");
    resolver.executorRemoved("app2", "exec0");
    await resolver.close();
    expect(await data.files()).toEqual(ALL);
  });
});

describe("an executor that has ended", () => {
  it("[net CleanupNonShuffleServiceServedFilesSuite.cleanupOnRemovedExecutorWithoutFilesToKeep] leaves no empty folder", async () => {
    await using data = await leftovers(false);
    const { resolver, register } = await setUp();
    await register("app", "exec0", data);
    resolver.executorRemoved("app", "exec0");
    expect(resolver.registeredExecutorCount).toBe(1);
    await resolver.close();
    expect(await data.files()).toEqual([]);
    for (const dir of data.localDirs) expect(await readdir(dir)).toEqual([]);
  });

  it("[net CleanupNonShuffleServiceServedFilesSuite.cleanupOnlyRemovedExecutorWithoutFilesToKeep] and others leave all", async () => {
    await using one = await leftovers(false);
    await using two = await leftovers(false);
    const { resolver, register } = await setUp();
    await register("app", "exec0", one);
    await register("app", "exec1", two);
    resolver.executorRemoved("app", "exec0");
    await resolver.close();
    expect([await one.files(), await two.files()]).toEqual([[], [...NOT_SERVED].sort()]);
  });

  it("[net CleanupNonShuffleServiceServedFilesSuite.cleanupOnlyRegisteredExecutorWithoutFilesToKeep] if it registered", async () => {
    await using data = await leftovers(false);
    const { resolver, register } = await setUp();
    await register("app", "exec0", data);
    resolver.executorRemoved("app", "exec1");
    await resolver.close();
    expect(await data.files()).toEqual([...NOT_SERVED].sort());
  });

  async function cleanedLater(hasServed: boolean): Promise<void> {
    await using data = await leftovers(hasServed);
    const { cleaner, held } = heldCleaner();
    const { resolver, register } = await setUp({ cleaner });
    await register("app", "exec0", data);
    const before = await data.files();
    resolver.executorRemoved("app", "exec0");
    expect(held).toHaveLength(1);
    expect(await data.files()).toEqual(before);
    await held[0]?.();
    expect(await data.files()).toEqual(hasServed ? KEPT.Enabled : []);
  }

  it("[net CleanupNonShuffleServiceServedFilesSuite.cleanupUsesExecutorWithFilesToKeep] is cleaned up after by the cleaner", () =>
    cleanedLater(true));

  it("[net CleanupNonShuffleServiceServedFilesSuite.cleanupUsesExecutorWithoutFilesToKeep] also where nothing stays", () =>
    cleanedLater(false));
});
