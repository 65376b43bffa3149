/**
 * Goal: what block transfer and the transport below it are given wrong is refused where it is given, by name: with
 * ERR_RPC_INVALID_ARGUMENT, which is not tried again, and never by doing something else instead.
 * Method: real services; every case is a value that its type excludes.
 */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isRpcError, type RpcError } from "ringpost";
import {
  type BlockFetchingListener,
  BlockTransferService,
  DiskBlockStore,
  ExternalBlockStoreClient,
  ExternalShuffleBlockResolver,
  ExternalShuffleService,
  MemoryBlockStore,
  OneForOneBlockFetcher,
  RegisteredExecutors,
  RetryingBlockTransferor,
} from "ringpost/blocks";
import {
  createSecurity,
  FileSegmentManagedBuffer,
  NioManagedBuffer,
  NoOpRpcHandler,
  OneForOneStreamManager,
  openStreamReadable,
  TransportConf,
  TransportContext,
  TransportFrameDecoder,
} from "ringpost/network";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../dist/src/common/clock.js";
import { BlockServices } from "../../fixtures/block-services.js";
import { temporaryDirectory } from "../../fixtures/shuffle-data.js";

const HOST = "127.0.0.1";
const SECRET = randomBytes(32);
const clock = systemClock(0);
const blockDataManager = new MemoryBlockStore();
const service = { execId: "e", blockDataManager };
const rpcHandler = new NoOpRpcHandler();

type Make = (options: never) => unknown;

async function refusal(make: () => unknown): Promise<RpcError> {
  let made: unknown;
  try {
    made = await make();
  } catch (error) {
    if (!isRpcError(error)) throw error;
    expect([error.code, error.retryable, error.maybeExecuted]).toEqual(["ERR_RPC_INVALID_ARGUMENT", false, false]);
    return error;
  }
  // So that a test that fails leaves nothing that listens.
  await (made as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose]?.();
  throw new Error("it was accepted");
}

const create: Make = (options) => BlockTransferService.create(options);
const start: Make = (options) => ExternalShuffleService.start(options);
const client: Make = (options) => new ExternalBlockStoreClient(options);
const disk: Make = (options) => DiskBlockStore.create(options);
const memory: Make = (options) => new MemoryBlockStore(options);
const context: Make = (options) => new TransportContext(options);
const server: Make = (options) => new TransportContext({ rpcHandler }).createServer(options);
const factory: Make = (options) => new TransportContext({ rpcHandler }).createClientFactory(options);
const security: Make = (options) => createSecurity(options, clock);
const buffer: Make = (options) => new NioManagedBuffer(options);

const fetcher: Make = (options) => new OneForOneBlockFetcher(options);
const transferor: Make = (options) => new RetryingBlockTransferor(options);
const resolver: Make = (options) => new ExternalShuffleBlockResolver(options);
const registrations: Make = (options) => RegisteredExecutors.open(options);
const decoder: Make = (options) => new TransportFrameDecoder({} as never, options);
const segment: Make = (options) => new FileSegmentManagedBuffer("f", 0, 1, options);
const readable: Make = (options) => openStreamReadable({} as never, "s", options);
const streams: Make = (options) => new OneForOneStreamManager(Math.random).registerStream(options);

const CASES: readonly (readonly [what: string, make: Make, options: unknown, says: string])[] = [
  ["a service", create, { ...service, prot: 1 }, "BlockTransferService.create has no key prot; it has: appId, execId"],
  ["a service", create, undefined, "BlockTransferService.create takes an object of options: undefined"],
  ["a service", create, { execId: "e" }, "blockDataManager must have getLocalBlockData, putBlockData"],
  ["a service", create, { ...service, blockDataManager: {} }, "it lacks getLocalBlockData, putBlockData"],
  ["a service", create, { ...service, execId: 5 }, "execId must be a text: execId=5"],
  ["a service", create, { ...service, port: "7077" }, 'port must be 0 or 1024 to 65535: port="7077"'],
  ["a service", create, { ...service, isExecutorAlive: true }, "isExecutorAlive must be a function"],
  ["a shuffle service", start, { port: 0, secert: SECRET }, "has no key secert; it has: host, port"],
  ["a shuffle service", start, { port: 0, localDirRoot: ["/tmp"] }, "has no key localDirRoot"],
  ["a shuffle service", start, null, "ExternalShuffleService.start takes an object of options: null"],
  [
    "a shuffle service",
    start,
    { port: 0, localDirRoots: "x" },
    'localDirRoots must be an array of texts: localDirRoots="x"',
  ],
  ["a shuffle service", start, { port: 0, localDirRoots: [3] }, "localDirRoots[0] must be a text: localDirRoots[0]=3"],
  ["a shuffle service", start, { port: 0, registeredExecutorsFile: 3 }, "registeredExecutorsFile=3"],
  ["a shuffle service", start, { port: 0, secretOf: "s" }, 'secretOf must be a function: secretOf="s"'],
  ["its client", client, { secert: SECRET }, "ExternalBlockStoreClient has no key secert; it has: conf, secret"],
  ["its client", client, null, "ExternalBlockStoreClient takes an object of options: null"],
  ["a store on disk", disk, undefined, "DiskBlockStore.create takes an object of options: undefined"],
  ["a store on disk", disk, {}, "dirs must be a path or an array of paths: dirs=undefined"],
  ["a store on disk", disk, { dirs: "d", subDirs: 4 }, "DiskBlockStore.create has no key subDirs"],
  ["a store on disk", disk, { dirs: "d", subDirsPerLocalDir: "64" }, 'subDirsPerLocalDir="64"'],
  ["a store in memory", memory, { maxBytes: 5 }, "MemoryBlockStore has no key maxBytes; it has: bytesMax"],
  ["a store in memory", memory, { bytesMax: "5" }, 'bytesMax must be a whole number from 1 on: bytesMax="5"'],
  ["a transport", context, { rpcHandler, securty: null }, "TransportContext has no key securty; it has: rpcHandler"],
  ["a transport", context, { rpcHandler, settings: { frameBytes: 1 } }, "settings has no key frameBytes; it has: conn"],
  ["a transport", context, {}, "rpcHandler must be an RpcHandler: rpcHandler=undefined"],
  ["a server", server, { prot: 1 }, "createServer has no key prot; it has: host, port"],
  ["a server", server, null, "createServer takes an object of options: null"],
  ["clients", factory, { bootstraps: [] }, "bootstraps must be an array: bootstraps=an object"],
  ["a security", security, { secert: SECRET }, "createSecurity has no key secert; it has: secret, secretOf"],
  ["a security", security, { secretOf: () => SECRET }, "secretOf needs secret, too"],
  ["a security", security, { tls: { key: "k", crt: "c" } }, "tls has no key crt; it has: key, cert, ca"],
  ["a fetcher", fetcher, { blocks: ["b"] }, "OneForOneBlockFetcher has no key blocks; it has: client, appId"],
  ["retries", transferor, { maxRetries: 3 }, "RetryingBlockTransferor has no key maxRetries; it has: conf, starter"],
  ["a resolver", resolver, { cacheBytes: 1 }, "ExternalShuffleBlockResolver has no key cacheBytes; it has: executors"],
  ["registrations", registrations, { dbFile: "f" }, "RegisteredExecutors.open has no key dbFile; it has: file, roots"],
  ["a decoder", decoder, { frameBytes: 8 }, "TransportFrameDecoder has no key frameBytes; it has: frameBytesMax"],
  ["a file segment", segment, { followLinks: false }, "FileSegmentManagedBuffer has no key followLinks; it has: foll"],
  ["a readable", readable, { hwm: 1 }, "openStreamReadable has no key hwm; it has: highWaterMark"],
  ["a stream", streams, { buffers: [], app: "a" }, "registerStream has no key app; it has: appId, buffers"],
  ["a buffer", buffer, "text", 'bytes must be a Uint8Array or an array of them: bytes="text"'],
  ["a buffer", buffer, undefined, "bytes must be a Uint8Array or an array of them: bytes=undefined"],
  ["a buffer", buffer, [new Uint8Array(1), "text"], 'each piece must be a Uint8Array: piece="text"'],
];

test.each(CASES)("%s is not made: %#", async (_what, make, options, says) => {
  expect((await refusal(() => make(options as never))).message).toContain(says);
});

test("a transport takes a TransportConf as its settings, spread or not", () => {
  const conf = new TransportConf("shuffle");
  for (const settings of [conf, { ...conf }, { frameBytesMax: 1_000 }]) new TransportContext({ rpcHandler, settings });
});

describe("who asks for blocks", () => {
  test.each(["x", undefined, 0, 65_536, 1.5])("at port %j is told so", async (port) => {
    await using services = new BlockServices();
    const asking = await services.service();
    const error = await refusal(() => asking.fetchBlock(HOST, port as number, "e", "rdd_0_0"));
    expect(error.message).toBe(`port must be an integer from 1 to 65535: port=${JSON.stringify(port)}`);
  });

  test("of what is no host, no list of ids, no listener, is told so", async () => {
    await using services = new BlockServices();
    const asking = await services.service();
    const listener: BlockFetchingListener = { onBlockFetchSuccess() {}, onBlockFetchFailure() {} };
    const says = async (host: unknown, execId: unknown, ids: unknown, told: unknown): Promise<string> =>
      (
        await refusal(() =>
          asking.fetchBlocks(host as string, 1, execId as string, ids as string[], told as BlockFetchingListener),
        )
      ).message;
    expect(await says(HOST, "e", "rdd_0_0", listener)).toBe('blockIds must be an array of texts: blockIds="rdd_0_0"');
    expect(await says(HOST, "e", ["rdd_0_0", 5], listener)).toBe("blockIds[1] must be a text: blockIds[1]=5");
    expect(await says(HOST, undefined, ["rdd_0_0"], listener)).toBe("execId must be a text: execId=undefined");
    expect(await says(HOST, "e", ["rdd_0_0"], {})).toContain("it lacks onBlockFetchSuccess, onBlockFetchFailure");
    const noHost = await refusal(() => asking.fetchBlock(undefined as never, 1, "e", "rdd_0_0"));
    expect(noHost.message).toBe("host must be a name or an address: host=undefined");
  });
});

describe("who gives a block away", () => {
  test.each(["hello", undefined, new Uint8Array(5), { size: 5 }])(
    "as %j is told so, and the connection stays",
    async (data) => {
      await using services = new BlockServices();
      const [asking, other] = [await services.service(), await services.service()];
      const { host, port } = other.address;
      for (const blockId of ["rdd_0_0", "shuffle_0_0_0"]) {
        const error = await refusal(() => asking.uploadBlock(host, port, "e", blockId, data as never));
        expect(error.message).toContain("data must be a ManagedBuffer, such as new NioManagedBuffer(bytes): data=");
      }
      for (const store of [new MemoryBlockStore(), await services.disk()]) {
        await refusal(() => store.putBlockData("rdd_0_0", data as never));
      }
      await asking.uploadBlock(host, port, "e", "rdd_0_0", new NioManagedBuffer(Buffer.from("kept")));
    },
  );

  test("gets its buffer back when the rest cannot be", async () => {
    await using services = new BlockServices();
    const asking = await services.service();
    let released = 0;
    const data = new NioManagedBuffer(Buffer.from("x"));
    data.release = () => {
      released++;
      return data;
    };
    expect((await refusal(() => asking.uploadBlock(HOST, 1, "e", 5 as never, data))).message).toBe(
      "blockId must be a text: blockId=5",
    );
    await refusal(() => asking.uploadBlock(HOST, 1, "e", "rdd_0_0", data, "m" as never));
    expect(released).toBe(2);
  });
});

describe("who registers", () => {
  const info = { localDirs: ["/tmp"], subDirsPerLocalDir: 64, shuffleManager: "sort" };
  test.each([
    [undefined, "executorInfo takes an object of options: undefined"],
    [{ ...info, localDirs: "/tmp" }, 'localDirs must be an array of texts: localDirs="/tmp"'],
    [{ ...info, subDirsPerLocalDir: "64" }, 'subDirsPerLocalDir must be an integer: subDirsPerLocalDir="64"'],
    [{ ...info, shuffleManager: undefined }, "shuffleManager must be a text: shuffleManager=undefined"],
  ])("as %j is told so", async (given, says) => {
    const executor = new ExternalBlockStoreClient().init("app");
    const error = await refusal(() => executor.registerWithShuffleServer(HOST, 1, "e1", given as never));
    expect(error.message).toContain(says);
    executor.close();
  });

  test("a file as a local directory is told so, and has claimed nothing", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "file");
    await writeFile(file, "no directory");
    const executors = await RegisteredExecutors.open({ file: null, roots: null });
    const error = await refusal(() => executors.register("app", "1", { ...info, localDirs: [directory.path, file] }));
    expect(error.message).toBe(`a local directory is a directory: ${file} is something else`);
    expect(executors.size).toBe(0);
    await executors.register("another app", "1", { ...info, localDirs: [directory.path] });
    await executors.close();
  });
});
