/**
 * Goal: a server that is killed in the middle of a transfer costs an attempt, not a block: what comes in the end is right,
 * byte for byte, and each block is told of once; when retries are used up, each block has one typed error. Neither files nor
 * descriptors are left behind.
 * Method: a server in a process of its own, killed with SIGKILL when half a block has come, started again on its port.
 */
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BlockFetchingListener,
  type BlockTransferStarter,
  DirectoryDownloadFileManager,
  type DownloadFileManager,
  OneForOneBlockFetcher,
  RetryingBlockTransferor,
} from "ringpost/blocks";
import { type ManagedBuffer, NoOpRpcHandler, TransportConf, TransportContext } from "ringpost/network";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Child } from "../../fixtures/child-process.js";
import { printedRandom } from "../../fixtures/random.js";
import { until } from "../../fixtures/transport.js";

const MIB = 1_048_576;
const BLOCKS = ["b0", "b1", "b2", "b3"] as const;

let folder = "";
let source = "";
let target = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-"));
  source = join(folder, "source");
  target = join(folder, "target");
  mkdirSync(source);
  mkdirSync(target);
  const random = printedRandom("blocks");
  for (const blockId of BLOCKS) {
    const bytes = Buffer.alloc(random.integer(1, 4) * MIB + random.integer(0, 1_000));
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeInt32LE((random.next() * 2 ** 31) | 0, at);
    writeFileSync(join(source, blockId), bytes);
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Fetches all blocks, with retries after `retryWaitMs`. */
function fetchAll(port: number, context: TransportContext, maxRetries: number, files: DownloadFileManager | null) {
  const factory = context.createClientFactory();
  const outcomes = new Map<string, string[]>();
  let finished = (): void => {};
  const done = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const told = (blockId: string, outcome: string): void => {
    outcomes.set(blockId, [...(outcomes.get(blockId) ?? []), outcome]);
    if (outcomes.size === BLOCKS.length) finished();
  };
  const listener: BlockFetchingListener = {
    onBlockFetchSuccess: (blockId: string, data: ManagedBuffer) => {
      data.retain();
      void Promise.resolve(data.bytes()).then((bytes) => {
        told(blockId, hashOf(bytes));
        data.release();
      });
    },
    onBlockFetchFailure: (blockId: string, error: Error) => told(blockId, String((error as { code?: unknown }).code)),
  };
  const starter: BlockTransferStarter = {
    createAndStart: async (blockIds, heard) => {
      const client = await factory.createClient("127.0.0.1", port, { fastFail: maxRetries > 0 });
      const common = { appId: "app", execId: "1", downloadFileManager: files };
      new OneForOneBlockFetcher({ client, ...common, blockIds, listener: heard }).start();
    },
  };
  const conf = new TransportConf("shuffle", { "shuffle.io.maxRetries": maxRetries, "shuffle.io.retryWait": "100ms" });
  const transferor = new RetryingBlockTransferor({
    conf,
    starter,
    blockIds: BLOCKS,
    listener,
  });
  transferor.start();
  return { outcomes, done, transferor, factory };
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function contextOf(): TransportContext {
  return new TransportContext({
    rpcHandler: new NoOpRpcHandler(),
    settings: { retryWaitMs: 100, frameBytesMax: 2 ** 31 },
  });
}

/** Descriptors of files in `target`. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${fd}`);
      return file.startsWith(target) ? [file] : [];
    } catch {
      return [];
    }
  });
}

function server(port: number, stuckAt = ""): Child {
  return new Child("block-server-main", [String(port), source, stuckAt]);
}

async function portOf(child: Child): Promise<number> {
  return ((await child.says()) as { port: number }).port;
}

const expected = (): Map<string, string[]> =>
  new Map(BLOCKS.map((blockId) => [blockId, [hashOf(readFileSync(join(source, blockId)))]]));

describe.each([
  ["into memory", false],
  ["into files", true],
])("blocks fetched %s", (_form, intoFiles) => {
  const managerOf = (): DirectoryDownloadFileManager | null =>
    intoFiles ? new DirectoryDownloadFileManager(target) : null;

  test("come whole from a server that was killed in the middle and started again", async () => {
    await using first = server(0, "b2");
    const port = await portOf(first);
    const context = contextOf();
    const { outcomes, done, transferor, factory } = fetchAll(port, context, 1_000, managerOf());
    expect(await first.says()).toEqual({ asked: BLOCKS });
    // Two blocks are there, and as much of the third as will ever come.
    await until(() => transferor.outstandingCount === 2);
    if (intoFiles) await until(() => readdirSync(target).some((file) => lstatSync(join(target, file)).size > 500_000));
    first.signal("SIGKILL");
    await first.exited;
    await until(() => transferor.retryCount > 0);
    await using second = server(port);
    expect(await portOf(second)).toBe(port);
    await done;
    expect(outcomes).toEqual(expected());
    expect(await second.says()).toEqual({ asked: ["b2", "b3"] });
    await until(() => readdirSync(target).length === 0 && openFiles().length === 0);
    factory.close();
  });

  test("fail once each, with a typed error, when the server stays away", async () => {
    await using first = server(0, "b2");
    const port = await portOf(first);
    const context = contextOf();
    const { outcomes, done, transferor, factory } = fetchAll(port, context, 3, managerOf());
    await until(() => transferor.outstandingCount === 2);
    first.signal("SIGKILL");
    await first.exited;
    await done;
    const [b0, b1] = BLOCKS.map((blockId) => expected().get(blockId)?.[0] as string);
    expect(Object.fromEntries(outcomes)).toEqual({
      b0: [b0],
      b1: [b1],
      b2: ["ERR_RPC_CONNECT"],
      b3: ["ERR_RPC_CONNECT"],
    });
    expect(transferor.retryCount).toBe(3);
    expect(transferor.outstandingCount).toBe(0);
    await until(() => readdirSync(target).length === 0 && openFiles().length === 0);
    factory.close();
    expect(context.registeredConnections).toBe(0);
  });
});

test("a block that is not there is asked for once, however many retries are left", async () => {
  rmSync(join(source, "b3"));
  await using child = server(0);
  const port = await portOf(child);
  const { outcomes, done, transferor, factory } = fetchAll(port, contextOf(), 3, null);
  await done;
  expect([...outcomes.values()]).toEqual(new Array(4).fill(["ERR_RPC_HANDLER"]));
  expect(transferor.retryCount).toBe(0);
  factory.close();
});
