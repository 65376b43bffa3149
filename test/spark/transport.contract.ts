/**
 * What Spark's transport does, for any asker and any server. It is run with Spark on both sides too: there it says whether the
 * expectation is Spark's, and not ours alone.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Asker, End } from "../fixtures/spark-asker.js";
import { pattern, type StreamSpec, toldOf } from "../fixtures/spark-peer.js";

export interface Pair {
  connect(): Promise<Asker>;
  /** What one-way messages and uploads the server has seen since the last time. */
  events(): Promise<object[]>;
  /** Open ones of the server. */
  connections(): Promise<number>;
}

const FILE_BYTES = 8 * 1_024 * 1_024;
const BIG_BYTES = 256 * 1_024 * 1_024;

let folder = "";
let file = "";
let big = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-spark-"));
  file = join(folder, "file");
  writeFileSync(file, pattern(FILE_BYTES));
  big = join(folder, "big");
  writeFileSync(big, pattern(BIG_BYTES, 5));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function open(asker: Asker, spec: StreamSpec): Promise<string> {
  return String(await asker.rpc(`open ${JSON.stringify(spec)}`));
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error("it succeeded");
    },
    (error) => error as Error,
  );
}

function arrived(what: number | string, size: number, seed = 0): End {
  return { what: String(what), ...toldOf(pattern(size, seed)) };
}

function failed(what: number | string, text: string): unknown {
  return { what: String(what), error: expect.stringContaining(text) };
}

export function transportContract(pair: Pair): void {
  test("bodies of any size come back as they were sent", async () => {
    const asker = await pair.connect();
    expect(await asker.rpc("echo")).toEqual(Buffer.alloc(0));
    for (const size of [1, 100, 1_024]) expect(await asker.rpc("echo ", size)).toEqual(pattern(size));
    for (const size of [65_536, 1_000_003, 15_000_000]) {
      expect(await asker.rpc("echo ", size)).toEqual(toldOf(pattern(size)));
    }
    await asker.close();
  });

  test("thousands of requests at once are answered, each with its own answer", async () => {
    const asker = await pair.connect();
    const answers = await Promise.all([
      asker.rpcMany(5_000, "x".repeat(100)),
      asker.rpcMany(1_000, "short"),
      asker.rpc("size 300000"),
    ]);
    expect(answers).toEqual([5_000, 1_000, toldOf(pattern(300_000))]);
    await asker.close();
  });

  test("a handler that throws, or fails later, fails its request by Java's name of the error and its text", async () => {
    const asker = await pair.connect();
    expect((await failureOf(asker.rpc("fail boom ä"))).message).toMatch(/^java\.lang\.RuntimeException: boom ä(\n|$)/);
    expect((await failureOf(asker.rpc("later on"))).message).toMatch(/^java\.lang\.\w+Exception: on(\n|$)/);
    expect(await asker.rpc("echo still here")).toEqual(Buffer.from("still here"));
    await asker.close();
  });

  test("one-way messages arrive in their order, and nothing comes back", async () => {
    const asker = await pair.connect();
    for (const text of ["first", "second", ""]) await asker.oneWay(text);
    await asker.rpc("echo after them");
    const events = ["first", "second", ""].map((text) => ({ ...toldOf(Buffer.from(text)), oneWay: text }));
    expect(await pair.events()).toEqual(events);
    await asker.close();
  });

  test("a server asks back over the connection by which it was asked", async () => {
    const asker = await pair.connect();
    expect(await asker.rpc("back echo and forth")).toEqual(Buffer.from("and forth"));
    expect((await failureOf(asker.rpc("back fail there"))).message).toContain("java.lang.RuntimeException: there");
    await asker.close();
  });

  test("chunks from memory and from files, asked for all at once, arrive in their order, and then the stream is gone", async () => {
    const asker = await pair.connect();
    const chunks = [
      { size: 100, seed: 1 },
      { file, offset: 17, length: 5_000_000 },
      { size: 0 },
      { size: 3_000_000, seed: 3 },
      { file, offset: 0, length: 0 },
    ];
    const streamId = await open(asker, { chunks });
    expect(await asker.fetch(streamId, [0, 1, 2, 3, 4])).toEqual([
      arrived(0, 100, 1),
      { what: "1", ...toldOf(pattern(FILE_BYTES).subarray(17, 5_000_017)) },
      arrived(2, 0),
      arrived(3, 3_000_000, 3),
      arrived(4, 0),
    ]);
    const [late] = await asker.fetch(streamId, [4]);
    expect(late).toEqual(failed(4, `Requested chunk not available since streamId ${streamId} is closed`));
    await asker.close();
  });

  test("a chunk out of its turn fails alone, and may be had in its turn", async () => {
    const asker = await pair.connect();
    const streamId = await open(asker, { chunks: [{ size: 10 }, { size: 20 }] });
    const ends = await asker.fetch(streamId, [1, 0]);
    expect(ends).toEqual([failed(1, "Received out-of-order chunk index 1 (expected 0)"), arrived(0, 10)]);
    expect(await asker.fetch(streamId, [1])).toEqual([arrived(1, 20)]);
    await asker.close();
  });

  test("where the server allows any order, chunks come as they were asked for", async () => {
    const asker = await pair.connect();
    const chunks = [{ size: 10 }, { file, length: 1_000_000 }, { size: 200_000 }, { size: 1 }];
    const streamId = await open(asker, { chunks, loose: true });
    expect(await asker.fetch(streamId, [3, 1, 0, 2])).toEqual([
      arrived(3, 1),
      arrived(1, 1_000_000),
      arrived(0, 10),
      arrived(2, 200_000),
    ]);
    await asker.close();
  });

  test("a chunk that is not there, and one of no stream, fail by their text", async () => {
    const asker = await pair.connect();
    const streamId = await open(asker, { chunks: [null, { size: 5 }] });
    expect(await asker.fetch(streamId, [0, 1])).toEqual([failed(0, "Chunk was not found"), arrived(1, 5)]);
    expect(await asker.fetch("4611686018427387904", [0])).toEqual([failed(0, "is closed")]);
    await asker.close();
  });

  test("streams come one after the other in the order of the requests, also those that fail", async () => {
    const asker = await pair.connect();
    const sizes = [0, 1, 100_000, 2_000_000];
    const named = sizes.map((size) => JSON.stringify({ size }));
    const ofFile = JSON.stringify({ file, length: FILE_BYTES });
    expect(await asker.stream([...named, "none", ofFile, "refused today", named[1] as string])).toEqual([
      ...sizes.map((size, index) => arrived(named[index] as string, size)),
      { what: "none", error: "Stream 'none' was not found." },
      arrived(ofFile, FILE_BYTES),
      failed("refused today", "Exception: refused today"),
      arrived(named[1] as string, 1),
    ]);
    await asker.close();
  });

  test("a chunk of a stream may be had by name", async () => {
    const asker = await pair.connect();
    const streamId = await open(asker, { chunks: [{ size: 10 }, { size: 20 }] });
    const names = [`${streamId}_0`, `${streamId}_1`];
    expect(await asker.stream(names)).toEqual([arrived(names[0] as string, 10), arrived(names[1] as string, 20)]);
    await asker.close();
  });

  test("a stream of 256 MiB arrives, with requests beside it", async () => {
    const asker = await pair.connect();
    const name = JSON.stringify({ file: big, length: BIG_BYTES });
    const [ends, echoes] = await Promise.all([asker.stream([name]), asker.rpcMany(100, "beside")]);
    expect(ends).toEqual([arrived(name, BIG_BYTES, 5)]);
    expect(echoes).toBe(100);
    await asker.close();
  });

  test("uploads arrive, empty ones too, and requests behind them are understood", async () => {
    const asker = await pair.connect();
    const answers = await Promise.all([
      asker.upload("collect empty", { size: 0 }),
      asker.upload("collect small", { size: 10 }),
      asker.rpc("echo between"),
      asker.upload("collect file", { file, length: FILE_BYTES }),
      asker.rpc("echo behind"),
    ]);
    expect(answers.map(String)).toEqual(["", "", "between", "", "behind"]);
    expect(await pair.events()).toEqual([
      { ...toldOf(pattern(0)), upload: "empty" },
      { ...toldOf(pattern(10)), upload: "small" },
      { ...toldOf(pattern(FILE_BYTES)), upload: "file" },
    ]);
    await asker.close();
  });

  test("an upload that fails at its end fails alone; one that fails earlier takes the connection with it", async () => {
    const asker = await pair.connect();
    const atEnd = await failureOf(asker.upload("fail-end disk full", { size: 100_000 }));
    expect(atEnd.message).toMatch(/^java\.io\.IOException: Failure post-processing complete stream/);
    expect(atEnd.message).toContain("disk full");
    expect(await asker.rpc("echo still here")).toEqual(Buffer.from("still here"));
    await failureOf(asker.upload("fail-data no room", { size: 1_000_000 }));
    await expect.poll(() => asker.active()).toBe(false);
    const refused = await pair.connect();
    await failureOf(refused.upload("refuse all", { size: 1_000_000 }));
    await expect.poll(() => refused.active()).toBe(false);
    await pair.events();
  });

  test("the bitmaps of merged chunks are read to their last byte; where there are none, the request fails", async () => {
    const asker = await pair.connect();
    expect(await asker.merged(0)).toEqual({ chunks: 2, left: 0, counts: [3, 199_990] });
    expect((await failureOf(asker.merged(7))).message).toMatch(/^java\.lang\.\w+: no merged blocks of reducer 7/);
    await asker.close();
  });

  test("fifty connections at a time are served, and their end is seen", async () => {
    await expect.poll(() => pair.connections(), { timeout: 20_000 }).toBe(0);
    const askers = await Promise.all(Array.from({ length: 50 }, () => pair.connect()));
    const answers = await Promise.all(askers.map((asker, index) => asker.rpc(`echo ${index}`)));
    expect(answers.map(String)).toEqual(askers.map((_, index) => String(index)));
    expect(await pair.connections()).toBe(50);
    await Promise.all(askers.map((asker) => asker.close()));
    await expect.poll(() => pair.connections(), { timeout: 20_000 }).toBe(0);
  });
}
