/**
 * What a shuffle service of Spark does for its clients, for any client and any service. As with the transport, Spark with Spark is
 * the judge of the suite.
 */
import { readdirSync } from "node:fs";
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { ShuffleData, temporaryDirectory } from "../fixtures/shuffle-data.js";
import { pattern, toldOf } from "../fixtures/spark-peer.js";
import type { BlockAsker, BlockEnd } from "./block-asker.js";

export interface BlockPair {
  readonly asker: () => BlockAsker;
  readonly port: () => number;
  /** The client asks by OpenBlocks, in which a service reads a map's id in 32 bits, and which knows no batches. */
  readonly byIds: boolean;
}

const SUB_DIRS = 5;
/** Spark counts attempts of tasks, in 64 bits. */
const farMapOf = ({ byIds }: BlockPair): number => (byIds ? 2_000_000_000 : 5_000_000_000);

let executors = 0;

/** An executor with two map outputs and a block of an RDD, registered. */
async function registered(pair: BlockPair): Promise<{ data: ShuffleData; executor: string }> {
  const { asker, port } = pair;
  const data = await ShuffleData.create(2, SUB_DIRS);
  const executor = `executor ${executors++}`;
  await data.writeShuffle(0, 0, [pattern(100, 1), pattern(0), pattern(50_000, 2), pattern(1, 3)]);
  await data.writeShuffle(0, farMapOf(pair), [pattern(3_000_000, 4), pattern(7, 5)]);
  await data.write("rdd_1_2", pattern(1_234, 6));
  await asker().register(port(), executor, data.localDirs, SUB_DIRS);
  return { data, executor };
}

function block(name: string, bytes: Uint8Array): BlockEnd {
  return { block: name, ...toldOf(bytes) };
}

function failed(name: string, text: string): unknown {
  return { block: name, error: expect.stringContaining(text) };
}

export function blocksContract(pair: BlockPair): void {
  const { asker, port, byIds } = pair;
  const farMap = farMapOf(pair);

  test("blocks of several maps come, empty ones too, each as it lies in its file", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    const names = ["shuffle_0_0_2", `shuffle_0_${farMap}_0`, "shuffle_0_0_1", "shuffle_0_0_0", `shuffle_0_${farMap}_1`];
    const parts = [pattern(50_000, 2), pattern(3_000_000, 4), pattern(0), pattern(100, 1), pattern(7, 5)];
    const expected = names.map((name, index) => block(name, parts[index] as Buffer));
    expect(await asker().fetch(port(), executor, names)).toEqual(expected);
  });

  test("a batch is the reducers' parts in one piece, where it can be asked for", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    const whole = Buffer.concat([pattern(100, 1), pattern(0), pattern(50_000, 2)]);
    const names = ["shuffle_0_0_0_3", `shuffle_0_${farMap}_1_2`];
    const batches = [block("shuffle_0_0_0_3", whole), block(names[1] as string, pattern(7, 5))];
    const refused = names.map((name) =>
      failed(name, "java.lang.IllegalArgumentException: Unexpected block id format: "),
    );
    expect(await asker().fetch(port(), executor, names)).toEqual(byIds ? refused : batches);
  });

  test("blocks may be received into files", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    await using folder = await temporaryDirectory();
    const names = ["shuffle_0_0_0", `shuffle_0_${farMap}_0`];
    expect(await asker().fetch(port(), executor, names, folder.path)).toEqual([
      block(names[0] as string, pattern(100, 1)),
      block(names[1] as string, pattern(3_000_000, 4)),
    ]);
    expect(readdirSync(folder.path).length).toBeLessThanOrEqual(2);
  });

  test("blocks of an RDD come until they are removed", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    expect(await asker().fetch(port(), executor, ["rdd_1_2"])).toEqual([block("rdd_1_2", pattern(1_234, 6))]);
    expect(await asker().remove(port(), executor, ["rdd_1_2", "rdd_9_9"])).toBe(1);
    expect(await asker().fetch(port(), executor, ["rdd_1_2"])).toEqual([failed("rdd_1_2", "Chunk was not found")]);
    expect(await data.files()).not.toContain("rdd_1_2");
  });

  test("what is not there fails by its text: the executor, the map, the kind of block", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    expect(await asker().fetch(port(), "nobody", ["shuffle_0_0_0"])).toEqual([
      failed("shuffle_0_0_0", "not registered"),
    ]);
    const [gone] = await asker().fetch(port(), executor, ["shuffle_7_0_0"]);
    expect(gone).toEqual(failed("shuffle_7_0_0", "shuffle_7_0_0.index"));
    expect(await asker().fetch(port(), executor, ["broadcast_1"])).toEqual([
      failed("broadcast_1", "java.lang.IllegalArgumentException: Unexpected block id format: "),
    ]);
    const mixed = await asker().fetch(port(), executor, ["shuffle_0_0_0", "rdd_1_2"]);
    expect(mixed.every((end) => "error" in end)).toBe(true);
    expect(await asker().remove(port(), "nobody", ["rdd_1_2"])).toBe(0);
  });

  test("whose map output has lost its index is told so, and the others are not disturbed", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    const names = ["shuffle_0_0_0", "shuffle_0_4_0"];
    const ends = await asker().fetch(port(), executor, names);
    expect(ends).toEqual([block("shuffle_0_0_0", pattern(100, 1)), failed("shuffle_0_4_0", "shuffle_0_4_0.index")]);
  });

  test("where executors keep their files is told to who asks", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    expect(await asker().localDirs(port(), [executor])).toEqual({ [executor]: data.localDirs });
  });

  test("a wrong checksum is traced to the disk, to the network, or to nobody", async () => {
    const { data, executor } = await registered(pair);
    await using _ = data;
    const parts = [pattern(100, 1), pattern(0), pattern(50_000, 2), pattern(1, 3)];
    const sums = Buffer.alloc(8 * parts.length);
    for (const [index, part] of parts.entries()) sums.writeBigInt64BE(BigInt(crc32(part)), 8 * index);
    await data.write("shuffle_0_0_0.checksum.CRC32", sums);
    const ask = (reduce: number, checksum: number, more: object = {}): Promise<string> => {
      const about = { executor, shuffle: 0, map: 0, reduce, checksum: String(checksum), algorithm: "CRC32", ...more };
      return asker().diagnose(port(), about);
    };
    expect(await ask(0, crc32(parts[0] as Buffer))).toBe("CHECKSUM_VERIFY_PASS");
    expect(await ask(1, crc32(parts[1] as Buffer))).toBe("CHECKSUM_VERIFY_PASS");
    expect(await ask(2, 42)).toBe("NETWORK_ISSUE");
    expect(await ask(0, 42, { algorithm: "XXH32" })).toBe("UNSUPPORTED_CHECKSUM_ALGORITHM");
    expect(await ask(0, 42, { executor: "nobody" })).toBe("UNKNOWN_ISSUE");
    expect(await ask(0, 42, { map: 3 })).toBe("UNKNOWN_ISSUE");
    sums.writeBigInt64BE(1n, 0);
    await data.write("shuffle_0_0_0.checksum.CRC32", sums);
    expect(await ask(0, crc32(parts[0] as Buffer))).toBe("DISK_ISSUE");
  });
}
