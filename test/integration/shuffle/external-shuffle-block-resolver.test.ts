/** How blocks are found: real files, real directories, and every way in which a link or a lie could lead elsewhere. */
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, realpath, rename, rm, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { ExternalShuffleBlockResolver, RegisteredExecutors } from "../../../dist/src/blocks/index.js";
import { inRealDirectory } from "../../../dist/src/blocks/real-directory.js";
import { indexBytes, ShuffleData, SORT_MANAGER, temporaryDirectory } from "../../fixtures/shuffle-data.js";
import { failureOf, textOf } from "../../fixtures/transport.js";

async function resolverOf(
  ...registered: readonly [string, string, ShuffleData][]
): Promise<ExternalShuffleBlockResolver> {
  const executors = await RegisteredExecutors.open({ file: null, roots: null });
  const resolver = new ExternalShuffleBlockResolver({ executors, indexCacheBytes: 2 ** 20, fetchRddEnabled: true });
  for (const [appId, execId, data] of registered) await resolver.registerExecutor(appId, execId, data.info());
  return resolver;
}

async function read(resolver: ExternalShuffleBlockResolver, ...args: number[]): Promise<string> {
  const [shuffleId = 0, mapId = 0, start = 0, end] = args;
  return textOf(await (await resolver.getBlockData("app0", "exec1", shuffleId, mapId, start, end)).bytes());
}

describe("blocks of shuffles", () => {
  it("[net ExternalShuffleBlockResolverSuite.testSortShuffleBlocks] are parts of a map's file", async () => {
    await using data = await ShuffleData.create();
    await data.writeShuffle(0, 0, ["Hello!", "World!"]);
    const resolver = await resolverOf(["app0", "exec1", data]);
    expect(await read(resolver, 0, 0, 0)).toBe("Hello!");
    expect(await read(resolver, 0, 0, 1)).toBe("World!");
    expect(await read(resolver, 0, 0, 0, 2)).toBe("Hello!World!");
    expect(resolver.indexCache.readCount).toBe(1);
  });

  it("[net ExternalShuffleBlockResolverSuite.testBadRequests] of executors that are not registered, and those that are not there", async () => {
    await using data = await ShuffleData.create();
    const resolver = await resolverOf(["app0", "exec2", data]);
    expect((await failureOf(read(resolver))).message).toMatch(/not registered/);
    await resolver.registerExecutor("app0", "exec1", data.info());
    expect((await failureOf(read(resolver, 1, 1, 0))).message).toMatch(/Failed to open file: .*shuffle_1_1_0\.index/);
    await data.writeShuffle(1, 1, ["a"]);
    expect((await failureOf(read(resolver, 1, 1, 1))).message).toMatch(
      /no such partitions: from 1 up to, not with, 2 of 1/,
    );
  });

  it("any shuffle manager may have written them", async () => {
    await using data = await ShuffleData.create();
    await data.writeShuffle(0, 0, ["x"]);
    const resolver = await resolverOf();
    await resolver.registerExecutor("app0", "exec1", data.info("custom shuffle manager"));
    expect(await read(resolver)).toBe("x");
  });

  it("a data file that is too short is an error, and so is an index that lies", async () => {
    await using data = await ShuffleData.create();
    await data.writeShuffle(0, 0, ["Hello!", "World!"]);
    const resolver = await resolverOf(["app0", "exec1", data]);
    await truncate(data.pathOf("shuffle_0_0_0.data"), 8);
    expect(await read(resolver, 0, 0, 0)).toBe("Hello!");
    expect((await failureOf(read(resolver, 0, 0, 1))).message).toMatch(/actual file length 8/);
    const lies = Buffer.alloc(16);
    lies.writeBigInt64BE(2n ** 62n, 8);
    await data.write("shuffle_0_0_0.index", lies);
    expect((await failureOf(read(resolver))).message).toMatch(/is no index file: number 1 is no place in a file/);
    await data.write("shuffle_0_0_0.index", "12345");
    expect((await failureOf(read(resolver))).message).toMatch(/Failed to open file.*multiple of 8/);
  });

  it("an executor without directories has none", async () => {
    const resolver = await resolverOf();
    await resolver.registerExecutor("app0", "exec1", { localDirs: [], subDirsPerLocalDir: 0, shuffleManager: "" });
    expect((await failureOf(read(resolver))).message).toMatch(/no local directory to look for/);
  });
});

describe("what links lead to is not read and not removed", () => {
  it("a file that is a link", async () => {
    await using data = await ShuffleData.create(1, 64);
    await using foreign = await temporaryDirectory();
    const secret = join(foreign.path, "secret");
    await writeFile(secret, "secret");
    const resolver = await resolverOf(["app0", "exec1", data]);
    await data.write("shuffle_0_0_0.index", indexBytes([6]));
    await mkdir(dirname(data.pathOf("shuffle_0_0_0.data")), { recursive: true });
    await symlink(secret, data.pathOf("shuffle_0_0_0.data"));
    expect((await failureOf(read(resolver))).message).toMatch(/ELOOP/);
    await mkdir(dirname(data.pathOf("rdd_0_0")), { recursive: true });
    await symlink(secret, data.pathOf("rdd_0_0"));
    expect(await resolver.getRddBlockData("app0", "exec1", 0, 0)).toBeNull();
    // Removing takes the link, not what it leads to.
    expect(await resolver.removeBlocks("app0", "exec1", ["rdd_0_0"])).toBe(1);
    expect(await readOf(secret)).toBe("secret");
  });

  it("a subdirectory that is a link, before and after its executor registered", async () => {
    await using data = await ShuffleData.create(1, 64);
    await using foreign = await ShuffleData.create(1, 64);
    await foreign.writeShuffle(0, 0, ["secret"]);
    await foreign.write("rdd_0_0", "secret");
    const resolver = await resolverOf(["app0", "exec1", data]);
    for (const name of ["shuffle_0_0_0.index", "shuffle_0_0_0.data", "rdd_0_0"]) {
      await symlink(dirname(foreign.pathOf(name)), dirname(data.pathOf(name)));
    }
    for (const asked of [() => read(resolver), () => resolver.getRddBlockData("app0", "exec1", 0, 0)]) {
      expect(await failureOf(asked())).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
    }
    expect(await resolver.removeBlocks("app0", "exec1", ["rdd_0_0"])).toBe(0);
    expect(await foreign.files()).toContain("rdd_0_0");
  });

  it("a local directory that became a link after its executor registered", async () => {
    await using data = await ShuffleData.create(1, 64);
    await using foreign = await ShuffleData.create(1, 64);
    await foreign.writeShuffle(0, 0, ["secret"]);
    await foreign.write("rdd_0_0", "secret");
    const resolver = await resolverOf(["app0", "exec1", data]);
    const [dir = ""] = data.localDirs;
    await rename(dir, `${dir}.old`);
    await symlink(foreign.localDirs[0] ?? "", dir);
    for (const asked of [read(resolver), resolver.getRddBlockData("app0", "exec1", 0, 0)]) {
      expect(await failureOf(asked)).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
    }
    expect(await resolver.removeBlocks("app0", "exec1", ["rdd_0_0"])).toBe(0);
    await resolver.applicationRemoved("app0", true);
    await resolver.close();
    expect(await foreign.files()).toEqual(["rdd_0_0", "shuffle_0_0_0.data", "shuffle_0_0_0.index"]);
  });

  it("a subdirectory that became a link between finding a block and sending it", async () => {
    await using data = await ShuffleData.create(1, 64);
    await using foreign = await ShuffleData.create(1, 64);
    for (const each of [data, foreign]) await each.writeShuffle(0, 0, ["secret"]);
    const resolver = await resolverOf(["app0", "exec1", data]);
    const found = await resolver.getBlockData("app0", "exec1", 0, 0, 0);
    const swapped = dirname(data.pathOf("shuffle_0_0_0.data"));
    await rename(swapped, `${swapped}.old`);
    await symlink(dirname(foreign.pathOf("shuffle_0_0_0.data")), swapped);
    const text = process.platform === "linux" ? /a link leads to another file/ : /./;
    expect((await failureOf(Promise.resolve(found.bytes()))).message).toMatch(text);
  });

  it("a directory that becomes a link while something is removed from it", async () => {
    await using data = await temporaryDirectory();
    await using foreign = await temporaryDirectory();
    const directory = join(await realpath(data.path), "sub");
    await mkdir(directory);
    for (const path of [directory, foreign.path]) await writeFile(join(path, "file"), "");
    await inRealDirectory(directory, async (path) => {
      await rename(directory, `${directory}.old`);
      await symlink(foreign.path, directory);
      if (process.platform === "linux") await unlink(join(path, "file"));
    });
    expect(await readdir(foreign.path)).toEqual(["file"]);
    expect(await failureOf(inRealDirectory(directory, async () => {}))).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
  });

  it("a pipe holds nobody up", async () => {
    await using data = await ShuffleData.create(1, 64);
    const resolver = await resolverOf(["app0", "exec1", data]);
    await data.write("shuffle_0_0_0.index", indexBytes([6]));
    for (const name of ["shuffle_0_0_0.data", "shuffle_1_0_0.index", "rdd_0_0"]) {
      await mkdir(dirname(data.pathOf(name)), { recursive: true });
      execFileSync("mkfifo", [data.pathOf(name)]);
    }
    expect((await failureOf(read(resolver))).message).toMatch(/no regular file/);
    expect((await failureOf(read(resolver, 1, 0, 0))).message).toMatch(/no regular file/);
    expect(await resolver.getRddBlockData("app0", "exec1", 0, 0)).toBeNull();
  });
});

function readOf(path: string): Promise<string> {
  return readFile(path, "utf8");
}

describe("an application's own directories", () => {
  it("are not another's: what it registers under its name stays its own", async () => {
    await using own = await ShuffleData.create();
    await using foreign = await ShuffleData.create();
    await foreign.write("rdd_0_0", "secret");
    const resolver = await resolverOf(["app1", "exec1", foreign], ["app0", "exec1", own]);
    const error = await failureOf(resolver.registerExecutor("app0", "exec1", foreign.info(SORT_MANAGER)));
    expect(error).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
    expect(await resolver.getRddBlockData("app0", "exec1", 0, 0)).toBeNull();
    await rm(own.localDirs[0] ?? "", { recursive: true });
    expect(await resolver.getRddBlockData("app0", "exec1", 0, 0)).toBeNull();
  });
});
