/**
 * Goal: blocks that are received into files arrive whole, cost no memory, and leave neither files nor descriptors behind,
 * whatever fails; a disk that fails is no concern of others on the same connection.
 * Method: real servers, real files.
 */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BlockFetchingListener,
  DirectoryDownloadFileManager,
  type DownloadFile,
  type DownloadFileManager,
  type DownloadFileWritableChannel,
  OneForOneBlockFetcher,
  SimpleDownloadFile,
} from "ringpost/blocks";
import { FileSegmentManagedBuffer, type ManagedBuffer, NioManagedBuffer, type TransportClient } from "ringpost/network";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BlockDownload } from "../../../dist/src/blocks/block-download.js";
import { BlockPeer, bufferOf, bytesOfBlock, RecordingListener } from "../../fixtures/block-peer.js";
import { Transports, until } from "../../fixtures/transport.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Descriptors of files in there. */
function descriptorsOf(directory: string): number {
  const fds = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // That of the listing itself.
      return "";
    }
  });
  return fds.filter((target) => target.startsWith(directory)).length;
}

/** A listener that takes no hold of buffers. */
class Sizes implements BlockFetchingListener {
  readonly sizes: number[] = [];

  onBlockFetchSuccess(_blockId: string, data: ManagedBuffer): void {
    this.sizes.push(data.size);
  }

  onBlockFetchFailure(_blockId: string, error: Error): void {
    throw error;
  }
}

/** A disk that is full: writing to /dev/full fails with ENOSPC. */
class FullFile implements DownloadFile {
  readonly path = "/dev/full";
  #channel: Promise<FileHandle> | null = null;

  async openForWriting(): Promise<DownloadFileWritableChannel> {
    this.#channel = open(this.path, "w");
    const file = await this.#channel;
    const close = (): Promise<void> => file.close();
    return {
      isOpen: true,
      write: async (bytes) => {
        await file.write(bytes);
      },
      closeAndRead: async () => new NioManagedBuffer(new Uint8Array(0)),
      close,
    };
  }

  async delete(): Promise<boolean> {
    await (await this.#channel)?.close();
    return true;
  }
}

function download(
  client: TransportClient,
  blockIds: readonly string[],
  downloadFileManager: DownloadFileManager,
  listener: BlockFetchingListener = new RecordingListener(),
): void {
  new OneForOneBlockFetcher({ client, appId: "app", execId: "1", blockIds, listener, downloadFileManager }).start();
}

async function served(transports: Transports, buffers: readonly (ManagedBuffer | null)[]): Promise<TransportClient> {
  return transports.client(await transports.serve(BlockPeer.of(buffers)));
}

test("blocks of any size arrive, each in a file of its own that is deleted with its buffer", async () => {
  await using transports = new Transports();
  const sizes = { b0: 0, b1: 1, b2: 300_000, b3: 65_536 };
  const blockIds = Object.keys(sizes);
  const client = await served(
    transports,
    Object.entries(sizes).map(([id, size]) => bufferOf(id, size)),
  );
  const listener = new RecordingListener();
  const manager = new DirectoryDownloadFileManager(folder);
  download(client, blockIds, manager, listener);
  await listener.hasHeard(4);
  const byId = new Map(listener.told);
  for (const [id, size] of Object.entries(sizes)) {
    expect(bytesOfBlock(id, size).equals(byId.get(id) as Buffer), id).toBe(true);
  }

  const files = readdirSync(folder);
  expect(files.length).toBe(4);
  for (const file of files) expect(lstatSync(join(folder, file)).mode & 0o777).toBe(0o600);
  // Whoever read them closes after the last byte.
  await until(() => descriptorsOf(folder) === 0);
  for (const buffer of listener.buffers) buffer.release();
  await until(() => readdirSync(folder).length === 0);
});

test("a buffer that nobody retains is deleted when the listener has heard of it", async () => {
  await using transports = new Transports();
  const client = await served(transports, [bufferOf("b0"), bufferOf("b1")]);
  const listener = new Sizes();
  download(client, ["b0", "b1"], new DirectoryDownloadFileManager(folder), listener);
  await until(() => listener.sizes.length === 2 && readdirSync(folder).length === 0);
  expect(listener.sizes).toEqual([100, 100]);
});

test("a missing block fails, and leaves no file; the one behind it still comes", async () => {
  await using transports = new Transports();
  const client = await served(transports, [bufferOf("b0"), null, bufferOf("b2")]);
  const listener = new RecordingListener();
  download(client, ["b0", "b1", "b2"], new DirectoryDownloadFileManager(folder), listener);
  await listener.hasHeard(4);
  expect(listener.outcomesOf("b0")).toEqual(["ok"]);
  expect(listener.outcomesOf("b1")).toEqual(["ERR_RPC_STREAM"]);
  expect(listener.outcomesOf("b2").sort()).toEqual(["ERR_RPC_STREAM", "ok"]);
  expect(readdirSync(folder).length).toBe(2);
});

test("a connection that ends in the middle of a block leaves neither file nor descriptor", async () => {
  await using transports = new Transports();
  const endless: ManagedBuffer = new NioManagedBuffer(new Uint8Array(10_000_000));
  // So much of it comes, then nothing more.
  let rest = 1_000_000;
  endless.toBody = () => ({
    read: async (bytesMax) => {
      if (rest === 0) return new Promise<never>(() => {});
      const bytes = new Uint8Array(Math.min(bytesMax, rest));
      rest -= bytes.length;
      return bytes;
    },
    close() {},
  });
  const client = await served(transports, [endless, bufferOf("b1")]);
  const listener = new RecordingListener();
  download(client, ["b0", "b1"], new DirectoryDownloadFileManager(folder), listener);
  await until(() => readdirSync(folder).some((file) => lstatSync(join(folder, file)).size > 500_000));
  expect(descriptorsOf(folder)).toBe(1);
  client.connection.fail(new Error("the cable is cut"));
  await listener.hasHeard(3);
  expect(new Set(listener.outcomesOf("b0"))).toEqual(new Set(["ERR_RPC_CONNECTION_LOST"]));
  expect(new Set(listener.outcomesOf("b1"))).toEqual(new Set(["ERR_RPC_CONNECTION_LOST"]));
  expect(readdirSync(folder)).toEqual([]);
  expect(descriptorsOf(folder)).toBe(0);
});

test("a disk that fails in the middle fails that block; the connection goes on, and nothing is left behind", async () => {
  await using transports = new Transports();
  const blockIds = ["b0", "b1"];
  const client = await served(
    transports,
    blockIds.map((id) => bufferOf(id, 1_000_000)),
  );
  const full: DownloadFileManager = { createTempFile: () => new FullFile(), registerTempFileToClean: () => false };
  const listener = new RecordingListener();
  download(client, blockIds, full, listener);
  await listener.hasHeard(3);
  const [[, error]] = listener.told as unknown as [[string, Error]];
  expect(error).toMatchObject({ code: "ERR_RPC_STREAM", cause: { code: "ENOSPC" } });
  expect(descriptorsOf("/dev/full")).toBe(0);
  expect(client.isActive).toBe(true);

  const again = new RecordingListener();
  download(client, blockIds, new DirectoryDownloadFileManager(folder), again);
  await again.hasHeard(2);
  expect(again.outcomes).toEqual(["b0 ok", "b1 ok"]);
});

test("a directory that is not there fails the blocks, not the connection", async () => {
  await using transports = new Transports();
  const client = await served(transports, [bufferOf("b0"), bufferOf("b1", 0)]);
  const listener = new RecordingListener();
  download(client, ["b0", "b1"], new DirectoryDownloadFileManager(join(folder, "not-there")), listener);
  await listener.hasHeard(3);
  expect((listener.told[0] as [string, Error])[1]).toMatchObject({ code: "ERR_RPC_STREAM", cause: { code: "ENOENT" } });
  expect(client.isActive).toBe(true);
  expect(client.outstandingCount).toBe(0);
});

test("a manager that closes in the middle fails what is under way and deletes it", async () => {
  await using transports = new Transports();
  const late: ManagedBuffer = new NioManagedBuffer(new Uint8Array(200_000));
  let go = (): void => {};
  const gone = new Promise<void>((resolve) => {
    go = resolve;
  });
  let rest = 200_000;
  late.toBody = () => ({
    read: async () => {
      if (rest < 200_000) await gone;
      const bytes = new Uint8Array(Math.min(100_000, rest));
      rest -= bytes.length;
      return bytes;
    },
    close() {},
  });
  const client = await served(transports, [late]);
  const manager = new DirectoryDownloadFileManager(folder);
  const listener = new RecordingListener();
  download(client, ["b0"], manager, listener);
  await until(() => readdirSync(folder).length === 1);
  await manager.close();
  expect(readdirSync(folder)).toEqual([]);
  go();
  await listener.hasHeard(1);
  expect(listener.outcomes).toEqual(["b0 ERR_RPC_STREAM"]);
  expect(client.isActive).toBe(true);
  expect(descriptorsOf(folder)).toBe(0);
});

/** What a download tells, in the order in which it tells it. */
class Told {
  readonly ends: string[] = [];

  succeeded(buffer: ManagedBuffer): void {
    this.ends.push(`${buffer.size} bytes`);
  }

  failed(error: Error): void {
    this.ends.push((error as Error & { code?: string }).code ?? error.message);
  }
}

test.each([0, 1, 2, 3, 5, 8])(
  "a manager that closes between the last byte and the end: no block of a file that is gone (%i turns)",
  async (turns) => {
    const told = new Told();
    const manager = new DirectoryDownloadFileManager(folder);
    const download = new BlockDownload(manager, told);
    await download.onData("s", Buffer.from("hello"));
    const closed = manager.close();
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    await download.onComplete();
    await closed;
    expect(told.ends).toEqual(["ERR_RPC_STREAM"]);
    expect(readdirSync(folder)).toEqual([]);
  },
);

test.each([0, 1, 2, 3, 5, 8])("nor of one that is closed while the block ends (%i turns)", async (turns) => {
  const told = new Told();
  const manager = new DirectoryDownloadFileManager(folder);
  const download = new BlockDownload(manager, told);
  await download.onData("s", Buffer.from("hello"));
  const ended = download.onComplete();
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
  await manager.close();
  await ended;
  expect(told.ends).toEqual(["ERR_RPC_STREAM"]);
  expect(readdirSync(folder)).toEqual([]);
});

test("a manager that throws instead of taking a file fails the block, and the file is gone", async () => {
  const told = new Told();
  const manager: DownloadFileManager = {
    createTempFile: () => new SimpleDownloadFile(join(folder, "block")),
    registerTempFileToClean() {
      throw new Error("no files any more");
    },
  };
  const download = new BlockDownload(manager, told);
  await download.onData("s", Buffer.from("hello"));
  await download.onComplete();
  expect(told.ends).toEqual(["no files any more"]);
  expect([readdirSync(folder), descriptorsOf(folder)]).toEqual([[], 0]);
});

test("a block of 256 MiB costs little memory", async () => {
  await using transports = new Transports();
  const source = join(folder, "source");
  const target = join(folder, "target");
  mkdirSync(target);
  const MIB = 1_048_576;
  writeFileSync(source, "the beginning");
  truncateSync(source, 256 * MIB);
  const client = await served(transports, [new FileSegmentManagedBuffer(source, 0, 256 * MIB)]);
  const before = process.memoryUsage.rss();
  let peak = before;
  const listener = new Sizes();
  download(client, ["b0"], new DirectoryDownloadFileManager(target), listener);
  await until(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
    return listener.sizes.length > 0;
  });
  expect(listener.sizes).toEqual([256 * MIB]);
  expect(peak - before).toBeLessThan(64 * MIB);
});
