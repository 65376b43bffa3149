/**
 * Goal: Spark's clients of a shuffle service and ours, Spark's service and ours, are one.
 * Method: as transport.test.ts: one suite, three pairs, with and without the older message; files in Spark's layout, written here.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RpcError } from "ringpost";
import { ExternalBlockStoreClient, ExternalShuffleService } from "ringpost/blocks";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { authority, leaf } from "../fixtures/certificates.js";
import { printedRandom } from "../fixtures/random.js";
import { ShuffleData } from "../fixtures/shuffle-data.js";
import { pattern, toldOf } from "../fixtures/spark-peer.js";
import { ClientBlockAsker, JvmBlockAsker } from "./block-asker.js";
import { blocksContract } from "./blocks.contract.js";
import { Jvm } from "./jvm.js";
import { Relay, randomChange } from "./relay.js";
import { SPARK_LINES, type SparkLine } from "./spark-lines.js";

const PAIRS: readonly (readonly [line: SparkLine, protocol: "FetchShuffleBlocks" | "OpenBlocks"])[] = [
  ["4.0", "FetchShuffleBlocks"],
  ["3.5", "FetchShuffleBlocks"],
  ["4.0", "OpenBlocks"],
];

describe.each(PAIRS)("Spark %s, %s", (line, protocol) => {
  const byIds = protocol === "OpenBlocks";
  const conf = { "spark.shuffle.useOldFetchProtocol": String(byIds) };
  const client = new ExternalBlockStoreClient({ conf });
  let service: ExternalShuffleService;
  let jvmServer: Jvm;
  let jvmClient: Jvm;
  let jvmPort = 0;

  beforeAll(async () => {
    client.init("app");
    service = await ExternalShuffleService.start({ port: 0 });
    [{ jvm: jvmServer, port: jvmPort }, { jvm: jvmClient }] = await Promise.all([
      Jvm.started(line, "BlockServerMain"),
      Jvm.started(line, "BlockClientMain", { conf }, "app"),
    ]);
  });
  afterAll(async () => {
    client.close();
    await Promise.all([service?.close(), jvmServer?.kill(), jvmClient?.kill()]);
  });

  describe("its client with our service", () => {
    blocksContract({ byIds, asker: () => new JvmBlockAsker(jvmClient), port: () => service.port });
  });

  describe("our client with its service", () => {
    blocksContract({ byIds, asker: () => new ClientBlockAsker(client), port: () => jvmPort });
  });

  describe("its client with its service", () => {
    blocksContract({ byIds, asker: () => new JvmBlockAsker(jvmClient), port: () => jvmPort });
  });
});

test("Spark 4.0, over TLS: its client is the application that its certificate names, and no other", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringpost-stores-"));
  const root = authority("executors and services");
  const tls = { ...leaf(root, "executor", { names: ["URI:app", "IP:127.0.0.1"] }), ca: root.cert };
  await using service = await ExternalShuffleService.start({ port: 0, tls });
  await using data = await ShuffleData.create();
  await data.writeShuffle(0, 0, [pattern(100_000)]);
  const { port } = service;
  await using own = (await Jvm.started("4.0", "BlockClientMain", { tls: { folder, ...tls } }, "app")).jvm;
  await using strange = (await Jvm.started("4.0", "BlockClientMain", { tls: { folder, ...tls } }, "another")).jvm;
  await new JvmBlockAsker(own).register(port, "executor", data.localDirs, data.subDirsPerLocalDir);
  const names = ["shuffle_0_0_0"];
  const fetched = await new JvmBlockAsker(own).fetch(port, "executor", names);
  expect(fetched).toEqual([{ block: "shuffle_0_0_0", ...toldOf(pattern(100_000)) }]);
  const [refused] = await new JvmBlockAsker(strange).fetch(port, "executor", names);
  expect(refused).toEqual({ block: names[0], error: expect.stringMatching(/^java\.lang\.SecurityException: /) });
  rmSync(folder, { recursive: true });
});

test("Spark 4.0, over TLS: our client and its service", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringpost-stores-"));
  const root = authority("executors and services");
  const tls = { ...leaf(root, "service", { names: ["URI:app", "IP:127.0.0.1"] }), ca: root.cert };
  await using data = await ShuffleData.create();
  await data.writeShuffle(0, 0, [pattern(100_000)]);
  const { jvm, port } = await Jvm.started("4.0", "BlockServerMain", { tls: { folder, ...tls } });
  await using _ = jvm;
  await using client = new ExternalBlockStoreClient({ tls }).init("app");
  const asker = new ClientBlockAsker(client);
  await asker.register(port, "executor", data.localDirs, data.subDirsPerLocalDir);
  const fetched = await asker.fetch(port, "executor", ["shuffle_0_0_0"]);
  expect(fetched).toEqual([{ block: "shuffle_0_0_0", ...toldOf(pattern(100_000)) }]);
  rmSync(folder, { recursive: true });
});

describe.each(SPARK_LINES)("Spark %s, changed on the way", (line) => {
  const NAMES = Array.from({ length: 4 }, (_, reduce) => `shuffle_0_0_${reduce}`);
  const EXCHANGES = 24;

  test("whatever happens to the bytes between our client and its service, every block ends once", async () => {
    const random = printedRandom(`bytes of blocks changed on their way, Spark ${line}`);
    await using data = await ShuffleData.create();
    await data.writeShuffle(
      0,
      0,
      NAMES.map((_, index) => pattern(1_000, index)),
    );
    const { jvm, port } = await Jvm.started(line, "BlockServerMain", {
      conf: { "spark.shuffle.io.connectionTimeout": "2s" },
    });
    await using _ = jvm;
    const conf = { "shuffle.io.connectionTimeout": "1s", "shuffle.io.maxRetries": 1, "shuffle.io.retryWait": "100ms" };
    await using client = new ExternalBlockStoreClient({ conf }).init("app");
    const asker = new ClientBlockAsker(client);
    await asker.register(port, "executor", data.localDirs, data.subDirsPerLocalDir);
    const failures: unknown[] = [];
    for (let exchange = 0; exchange < EXCHANGES; exchange++) {
      await using relay = await Relay.to(port, randomChange(random));
      const ends: string[] = [];
      await new Promise<void>((resolve) => {
        const ended = (block: string): void => {
          ends.push(block);
          if (ends.length === NAMES.length) resolve();
        };
        client.fetchBlocks("127.0.0.1", relay.port, "executor", NAMES, {
          onBlockFetchSuccess: ended,
          onBlockFetchFailure: (block, error) => {
            failures.push(error);
            ended(block);
          },
        });
      });
      expect(ends.toSorted()).toEqual(NAMES);
    }
    for (const error of failures) expect(error).toBeInstanceOf(RpcError);
    // Some have to have gone wrong and some well, or nothing was tried.
    expect([failures.length > 0, failures.length < EXCHANGES * NAMES.length]).toEqual([true, true]);
    const fetched = await asker.fetch(port, "executor", NAMES);
    expect(fetched).toEqual(NAMES.map((block, index) => ({ block, ...toldOf(pattern(1_000, index)) })));
  });
});

describe.each(SPARK_LINES)("Spark %s, killed", (line) => {
  const NAMES = Array.from({ length: 4 }, (_, reduce) => `shuffle_0_0_${reduce}`);
  /** Together more than any buffer on the way holds. */
  const PARTS = NAMES.map((_, index) => pattern(20_000_000, index));
  const folder = mkdtempSync(join(tmpdir(), "ringpost-registered-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Fetches blocks from a service that is killed as soon as one has come. Tells every block's end, in their order. */
  async function fetchFromOneThatDies(maxRetries: number, again: boolean): Promise<unknown[]> {
    await using data = await ShuffleData.create();
    await data.writeShuffle(0, 0, PARTS);
    const store = join(folder, `${line}-${maxRetries}`);
    const { jvm, port } = await Jvm.started(line, "BlockServerMain", {}, "0", store);
    await using _ = jvm;
    await using client = new ExternalBlockStoreClient({
      conf: { "shuffle.io.maxRetries": maxRetries, "shuffle.io.retryWait": "1s" },
    }).init("app");
    const { localDirs, subDirsPerLocalDir } = data;
    await new ClientBlockAsker(client).register(port, "executor", localDirs, subDirsPerLocalDir);
    const ends = new Map<string, unknown>();
    const all = new Promise<void>((resolve) => {
      const ended = (block: string, end: unknown): void => {
        expect(ends.has(block)).toBe(false);
        if (ends.size === 0) jvm.signal("SIGKILL");
        ends.set(block, end);
        if (ends.size === NAMES.length) resolve();
      };
      client.fetchBlocks("127.0.0.1", port, "executor", NAMES, {
        onBlockFetchSuccess: (block, bytes) => ended(block, toldOf(bytes.bytes() as Uint8Array)),
        onBlockFetchFailure: ended,
      });
    });
    await jvm.exited;
    if (again) {
      const next = await Jvm.started(line, "BlockServerMain", {}, String(port), store);
      await using _next = next.jvm;
      await all;
    } else await all;
    return NAMES.map((name) => ends.get(name));
  }

  test("its service killed in the middle of a fetch and started again: the fetch ends well", async () => {
    expect(await fetchFromOneThatDies(60, true)).toEqual(PARTS.map(toldOf));
  });

  test("its service killed in the middle of a fetch: every block that had not come fails once, by its type", async () => {
    const ends = await fetchFromOneThatDies(1, false);
    expect(ends[0]).toEqual(toldOf(PARTS[0] as Buffer));
    expect(ends.at(-1)).toMatchObject({ code: "ERR_RPC_CONNECT" });
  });
});
