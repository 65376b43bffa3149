/** Index files in memory, and the cache of them: real files, and every way in which one is wrong or changes. */
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ShuffleIndexCache } from "../../../dist/src/blocks/shuffle-index-cache.js";
import { ShuffleIndexInformation } from "../../../dist/src/blocks/shuffle-index-information.js";
import { indexBytes, temporaryDirectory } from "../../fixtures/shuffle-data.js";

describe("ShuffleIndexInformation", () => {
  it("[net ShuffleIndexInformationSuite.test] says where partitions lie, and what it takes in memory", () => {
    const information = new ShuffleIndexInformation("x.index", indexBytes([2, 0]));
    expect(information.partitionCount).toBe(2);
    expect(information.getIndex(0)).toEqual({ offset: 0, length: 2 });
    expect(information.getIndex(1)).toEqual({ offset: 2, length: 0 });
    expect(information.getIndex(0, 2)).toEqual({ offset: 0, length: 2 });
    expect(information.retainedMemorySize).toBe(24 + 176);
  });

  it("refuses partitions that there are not", () => {
    const information = new ShuffleIndexInformation("x.index", indexBytes([2, 0]));
    for (const [start, end] of [[2], [-1], [0, 3], [1, 1], [1, 0]] as const) {
      expect(() => information.getIndex(start, end)).toThrow(/no such partitions.*of 2 in x\.index/);
    }
  });

  it("refuses what is no index", () => {
    expect(() => new ShuffleIndexInformation("x.index", Buffer.alloc(0))).toThrow(/x\.index is no index file.*bytes=0/);
    expect(() => new ShuffleIndexInformation("x.index", Buffer.alloc(9))).toThrow(/multiple of 8: bytes=9/);
    const backwards = Buffer.alloc(24);
    backwards.writeBigInt64BE(10n, 8);
    backwards.writeBigInt64BE(5n, 16);
    expect(() => new ShuffleIndexInformation("x", backwards).getIndex(1)).toThrow(/ends at 5, before its begin 10/);
    const negative = Buffer.alloc(16, 0xff);
    expect(() => new ShuffleIndexInformation("x", negative).getIndex(0)).toThrow(/number 0 is no place in a file: -1/);
  });
});

describe("ShuffleIndexCache", () => {
  it("reads a file once, as long as it is the same", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a.index");
    await writeFile(path, indexBytes([1, 2]));
    const cache = new ShuffleIndexCache(10_000);
    // All at once, then one after the other.
    await Promise.all(Array.from({ length: 10 }, () => cache.get(path)));
    expect((await cache.get(path)).getIndex(1)).toEqual({ offset: 1, length: 2 });
    expect(cache.readCount).toBe(1);

    await writeFile(path, indexBytes([5, 2, 3]));
    expect((await cache.get(path)).getIndex(1)).toEqual({ offset: 5, length: 2 });
    expect(cache.readCount).toBe(2);
    expect(cache.bytes).toBe(4 * 8 + 176);
  });

  it("a file of the same size that took its place is another one", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a.index");
    await writeFile(path, indexBytes([1, 2]));
    const cache = new ShuffleIndexCache(10_000);
    await cache.get(path);
    await writeFile(path, indexBytes([2, 1]));
    expect((await cache.get(path)).getIndex(0)).toEqual({ offset: 0, length: 2 });
    await rm(path);
    await expect(cache.get(path)).rejects.toThrow(/Failed to open file: .*a\.index.*ENOENT/);
    expect(cache.size).toBe(0);
    expect(cache.bytes).toBe(0);
  });

  it("holds no more bytes than it may, and drops what was not used for longest", async () => {
    await using directory = await temporaryDirectory();
    const paths = ["a", "b", "c"].map((name) => join(directory.path, name));
    for (const path of paths) await writeFile(path, indexBytes([1]));
    const [a = "", b = "", c = ""] = paths;
    const cache = new ShuffleIndexCache(2 * (16 + 176));
    for (const path of [a, b, a, c]) await cache.get(path);
    expect([cache.size, cache.readCount, cache.bytes]).toEqual([2, 3, 2 * (16 + 176)]);
    await cache.get(a);
    expect(cache.readCount).toBe(3);
    await cache.get(b);
    expect(cache.readCount).toBe(4);
  });

  it("does not keep an index that is larger than all it may hold", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a");
    await writeFile(path, indexBytes([1, 2, 3]));
    const cache = new ShuffleIndexCache(100);
    await cache.get(path);
    expect([cache.size, cache.bytes]).toEqual([0, 0]);
  });

  it("follows no link, reads no directory, and remembers no failure", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a");
    await writeFile(path, indexBytes([1]));
    await symlink(path, join(directory.path, "link"));
    await mkdir(join(directory.path, "folder"));
    const cache = new ShuffleIndexCache(10_000);
    await expect(cache.get(join(directory.path, "link"))).rejects.toThrow(/Failed to open file.*ELOOP/);
    await expect(cache.get(join(directory.path, "folder"))).rejects.toThrow(/Failed to open file.*no regular file/);
    const later = join(directory.path, "later");
    await expect(cache.get(later)).rejects.toThrow(/ENOENT/);
    await writeFile(later, indexBytes([7]));
    expect((await cache.get(later)).getIndex(0)).toEqual({ offset: 0, length: 7 });
  });
});
