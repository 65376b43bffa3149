/**
 * Requests that take a while at a shuffle service: how many are done at once, how much may wait, and that nothing goes on for
 * those who have gone. A real server, real files; where a test would not end, work was not given up.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { ExternalShuffleService, BlockTransferMessageType as Type } from "../../../dist/src/blocks/index.js";
import { indexBytes, ShuffleData } from "../../fixtures/shuffle-data.js";
import { ShufflePeer } from "../../fixtures/shuffle-peer.js";
import { failureOf, textOf } from "../../fixtures/transport.js";

const BLOCKS = { appId: "app", execId: "exec" } as const;
/** As many as a request may have: none of them is there, and to find that out takes half a minute and more. */
const MANY = Array.from({ length: 262_144 }, () => "rdd_0_1");
const MIB = 2 ** 20;

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

async function setUp(): Promise<{
  service: ExternalShuffleService;
  data: ShuffleData;
  connect: () => Promise<ShufflePeer>;
}> {
  const data = await ShuffleData.create(1, 64);
  const service = await ExternalShuffleService.start({ port: 0 });
  opened.push(data, service);
  const connect = async (): Promise<ShufflePeer> => {
    const peer = await ShufflePeer.connect(service.port);
    opened.push({ [Symbol.asyncDispose]: async () => peer[Symbol.dispose]() });
    return peer;
  };
  await (await connect()).register("app", "exec", data.info());
  return { service, data, connect };
}

function remove(peer: ShufflePeer, blockIds: readonly string[]): Promise<unknown> {
  return peer.ask({ type: Type.REMOVE_BLOCKS, ...BLOCKS, blockIds });
}

describe("removals", () => {
  it("are bounded by their ids, and beyond what one connection may have under way refused; others are served", async () => {
    const { data, connect } = await setUp();
    const greedy = await connect();
    const tooMany = await failureOf(remove(greedy, [...MANY, "rdd_0_1"]));
    expect(tooMany.message).toMatch(/blockIds: a count of 262145, 262144 are the most/);
    const two = [remove(greedy, MANY), remove(greedy, MANY)].map((asked) => failureOf(asked));
    const third = await failureOf(remove(greedy, MANY));
    expect(third.message).toMatch(/too many removals of this connection are under way: bytes=\d+, max=33554432/);
    const modest = await connect();
    await data.write("rdd_0_0", "x");
    expect(await remove(modest, ["rdd_0_0"])).toMatchObject({ numRemovedBlocks: 1 });
    greedy[Symbol.dispose]();
    for (const error of await Promise.all(two)) expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
  });

  it("of those who have gone leave their places to others", async () => {
    const { data, connect } = await setUp();
    await data.write("rdd_0_0", "x");
    const peers = await Promise.all([connect(), connect(), connect(), connect()]);
    const lost = peers.flatMap((peer) => [remove(peer, MANY), remove(peer, MANY)]).map((asked) => failureOf(asked));
    const patient = await connect();
    // Behind them, whose requests have all been taken when the last ones on their connections are refused.
    for (const peer of peers) expect((await failureOf(remove(peer, MANY))).message).toMatch(/under way/);
    const answered = remove(patient, ["rdd_0_0"]);
    for (const peer of peers) peer[Symbol.dispose]();
    expect(await answered).toMatchObject({ numRemovedBlocks: 1 });
    await Promise.all(lost);
  });

  it("end when the service is told to end, and say so", async () => {
    const { service, connect } = await setUp();
    const peer = await connect();
    const asked = failureOf(remove(peer, MANY));
    await failureOf(remove(peer, []).then(() => Promise.reject(new Error("taken"))));
    await service.close();
    expect((await asked).message).toMatch(/the service is closing: no more removals are done/);
  });
});

describe("diagnoses", () => {
  const ASKED = { type: Type.DIAGNOSE_CORRUPTION, ...BLOCKS, shuffleId: 0, mapId: 0n, reduceId: 0 } as const;

  /** A block of many bytes that takes no room on the disk. */
  async function largeBlock(data: ShuffleData, bytes: number): Promise<string> {
    await data.write("shuffle_0_0_0.index", indexBytes([bytes]));
    await data.write("shuffle_0_0_0.checksum.CRC32", Buffer.alloc(8));
    const path = await data.write("shuffle_0_0_0.data", "");
    await truncate(path, bytes);
    return path;
  }

  function diagnose(peer: ShufflePeer): Promise<unknown> {
    return peer.ask({ ...ASKED, checksum: 0n, algorithm: "CRC32" });
  }

  function openCount(path: string): number {
    return readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === path;
      } catch {
        return false;
      }
    }).length;
  }

  it("are done a few at a time, also of many connections; all are answered, and others do not wait for them", async () => {
    const { data, connect } = await setUp();
    const path = await largeBlock(data, 2 * MIB);
    await data.writeShuffle(1, 0, ["small"]);
    const peers = await Promise.all([connect(), connect(), connect()]);
    let answered = 0;
    const asked = peers.flatMap((peer) =>
      Array.from({ length: 40 }, () =>
        diagnose(peer).finally(() => {
          answered++;
        }),
      ),
    );
    const other = await connect();
    const stream = await other.open("app", "exec", ["shuffle_1_0_0"]);
    expect(textOf(await other.chunk(stream, 0))).toBe("small");
    expect(answered).toBeLessThan(asked.length);
    let openMax = 0;
    while (answered < asked.length) {
      openMax = Math.max(openMax, openCount(path));
      await setImmediate();
    }
    for (const answer of await Promise.all(asked)) expect(answer).toMatchObject({ cause: "DISK_ISSUE" });
    expect(openMax).toBeGreaterThan(0);
    expect(openMax).toBeLessThanOrEqual(4);
  });

  it("that wait are bounded for one connection; the service ends without doing them", async () => {
    const { service, data, connect } = await setUp();
    await largeBlock(data, 8 * 1_024 * MIB);
    const peer = await connect();
    const failures = Array.from({ length: 400 }, () => failureOf(diagnose(peer)));
    expect((await (failures.at(-1) as Promise<Error>)).message).toMatch(
      /too many diagnoses of this connection are under way: bytes=\d+, max=262144; try again when some are answered/,
    );
    await service.close();
    const texts = (await Promise.all(failures)).map(({ message }) => message);
    const refused = texts.filter((text) => text.includes("under way")).length;
    const stopped = texts.filter((text) => text.includes("the service is closing")).length;
    expect([refused > 100, stopped > 200, refused + stopped]).toEqual([true, true, 400]);
  });
});
