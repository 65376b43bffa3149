/**
 * Goal: a file that a block is received into is its owner's alone, is gone when nobody needs it, and holds no descriptor.
 * Method: real files in a directory of the test; descriptors are counted by the system.
 */
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectoryDownloadFileManager, SimpleDownloadFile } from "ringpost/blocks";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { failureOf, until } from "../../fixtures/transport.js";

let folder = "";
let path = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-"));
  path = join(folder, "block");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function targetOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return "";
  }
}

const streamError = expect.objectContaining({ code: "ERR_RPC_STREAM" });

async function written(file: SimpleDownloadFile, ...pieces: string[]) {
  const channel = await file.openForWriting();
  for (const piece of pieces) await channel.write(Buffer.from(piece));
  return channel;
}

describe("a download file", () => {
  test("[net SimpleDownloadFileSuite.testChannelIsClosedAfterCloseAndRead] is closed when it is read", async () => {
    const channel = await written(new SimpleDownloadFile(path), "ab", "", "cd");
    expect(channel.isOpen).toBe(true);
    const buffer = await channel.closeAndRead();
    expect(channel.isOpen).toBe(false);
    expect(buffer.size).toBe(4);
    expect(Buffer.from(await buffer.bytes()).toString()).toBe("abcd");
    expect(await failureOf(channel.write(Buffer.from("e")))).toEqual(streamError);
    await channel.close();
  });

  test("is made when it is opened, for its owner only", async () => {
    const file = new SimpleDownloadFile(path);
    expect(existsSync(path)).toBe(false);
    const channel = await written(file, "x");
    const { mode } = lstatSync(path);
    expect(mode & 0o777).toBe(0o600);
    await channel.close();
  });

  test("takes no place that is taken, not even by a link that leads nowhere, and deletes nothing there", async () => {
    writeFileSync(path, "theirs");
    const taken = new SimpleDownloadFile(path);
    expect(await failureOf(taken.openForWriting())).toMatchObject({
      code: "ERR_RPC_STREAM",
      cause: { code: "EEXIST" },
    });
    expect(await taken.delete()).toBe(false);
    expect(readFileSync(path, "utf8")).toBe("theirs");

    const link = join(folder, "link");
    symlinkSync(join(folder, "elsewhere"), link);
    expect(await failureOf(new SimpleDownloadFile(link).openForWriting())).toMatchObject({ cause: { code: "EEXIST" } });
    expect(readdirSync(folder).sort()).toEqual(["block", "link"]);
  });

  test("is opened once, and not after it was deleted", async () => {
    const file = new SimpleDownloadFile(path);
    const channel = await file.openForWriting();
    expect(await failureOf(file.openForWriting())).toEqual(streamError);
    expect(await file.delete()).toBe(true);
    expect(channel.isOpen).toBe(false);
    expect(existsSync(path)).toBe(false);
    const never = new SimpleDownloadFile(path);
    expect(await never.delete()).toBe(false);
    expect(await failureOf(never.openForWriting())).toEqual(streamError);
    expect(existsSync(path)).toBe(false);
  });

  test("is deleted with the last release of its buffer, whose bytes are then gone", async () => {
    const buffer = await (await written(new SimpleDownloadFile(path), "abc")).closeAndRead();
    buffer.retain();
    buffer.release();
    expect(existsSync(path)).toBe(true);
    buffer.release();
    await until(() => !existsSync(path));
    buffer.release();
    expect(() => buffer.retain()).toThrow(streamError);
    await expect(buffer.bytes()).rejects.toEqual(streamError);
  });

  test("is deleted although its directory is gone", async () => {
    const file = new SimpleDownloadFile(path);
    await written(file, "abc");
    rmSync(folder, { recursive: true });
    expect(await file.delete()).toBe(true);
  });

  test("is deleted although it cannot be closed, as on a network disk whose quota is used up", async () => {
    const file = new SimpleDownloadFile(path);
    await written(file, "abc");
    const fd = readdirSync("/proc/self/fd").find((name) => targetOf(name) === path);
    // Closed under it: its own close fails with EBADF.
    closeSync(Number(fd));
    expect(await file.delete()).toBe(true);
    expect(existsSync(path)).toBe(false);
  });

  test("can be deleted again when it could not be", async () => {
    let deleted = 0;
    const file = new SimpleDownloadFile(path, () => void deleted++);
    await written(file, "abc");
    rmSync(path);
    mkdirSync(path);
    expect(await failureOf(file.delete())).toEqual(streamError);
    expect(deleted).toBe(0);
    rmSync(path, { recursive: true });
    writeFileSync(path, "still there");
    expect(await file.delete()).toBe(true);
    expect([existsSync(path), deleted]).toEqual([false, 1]);
  });

  test("cannot be opened in a directory that is not there", async () => {
    const file = new SimpleDownloadFile(join(folder, "not", "there"));
    expect(await failureOf(file.openForWriting())).toMatchObject({ code: "ERR_RPC_STREAM", cause: { code: "ENOENT" } });
  });
});

describe("a manager of download files", () => {
  test("names each file differently, in its directory, and deletes what is left in the end", async () => {
    const manager = new DirectoryDownloadFileManager(folder);
    const [one, two, three] = [manager.createTempFile(), manager.createTempFile(), manager.createTempFile()];
    for (const file of [one, two, three]) {
      const channel = await file.openForWriting();
      await channel.write(Buffer.from("bytes"));
      if (file === three) (await channel.closeAndRead()).release();
    }
    await until(() => readdirSync(folder).length === 2);
    expect(manager.registerTempFileToClean(one)).toBe(true);
    await manager.close();
    expect(readdirSync(folder)).toEqual([]);
    await manager.close();
    expect(() => manager.createTempFile()).toThrow(streamError);
    expect(manager.registerTempFileToClean(two)).toBe(false);
  });

  test("leaves no descriptor behind, whatever became of its files", async () => {
    const descriptors = (): string[] => readdirSync("/proc/self/fd");
    const before = descriptors().length;
    {
      await using manager = new DirectoryDownloadFileManager(folder);
      for (let index = 0; index < 30; index++) {
        const channel = await manager.createTempFile().openForWriting();
        await channel.write(Buffer.alloc(1_000));
        if (index % 3 === 0) await channel.closeAndRead();
        if (index % 3 === 1) await channel.close();
      }
      expect(descriptors().length).toBeGreaterThanOrEqual(before + 10);
    }
    expect(descriptors().length).toBeLessThanOrEqual(before);
    expect(readdirSync(folder)).toEqual([]);
  });
});
