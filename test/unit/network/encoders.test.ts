/**
 * Goal: fields arrive as they were written; a length or count that lies is refused, by field and value, before memory is
 * made for it; bitmaps are those of Roaring's portable format.
 */
import { describe, expect, test } from "vitest";
import { RoaringBitmap, WireReader, WireWriter } from "../../../dist/src/network/index.js";
import { hex } from "./frames.js";

function written(write: (writer: WireWriter) => void): Uint8Array {
  const writer = new WireWriter(1);
  write(writer);
  return writer.finish();
}

function range(from: number, count: number, step = 1): number[] {
  return Array.from({ length: count }, (_, index) => from + index * step);
}

describe("Spark's suite", () => {
  test("[net EncodersSuite.testByteArraysEncodeDecode] bytes arrive as they were", () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from([1, 2, 3]), Buffer.alloc(70_000, 9)]) {
      const reader = new WireReader(
        "test",
        written((writer) => writer.byteArray(bytes)),
      );
      expect(hex(reader.byteArray("field"))).toBe(hex(bytes));
      expect(reader.remaining).toBe(0);
    }
  });

  test("[net EncodersSuite.testByteArraysDecodeShouldFailWhenLengthIsNegative] a negative length is refused", () => {
    const reader = new WireReader(
      "test",
      written((writer) => writer.i32(-1)),
    );
    expect(() => reader.byteArray("field")).toThrow("test: field: a length of -1, 0 bytes are left");
  });

  test("[net EncodersSuite.testByteArraysDecodeShouldFailWhenLengthExceedsReadableBytes] a length beyond the end is refused", () => {
    const bytes = written((writer) => {
      writer.i32(4);
      writer.raw(Buffer.from([1, 2, 3]));
    });
    const read = () => new WireReader("test", bytes).byteArray("field");
    expect(read).toThrow("test: field: a length of 4, 3 bytes are left");
    expect(read).toThrow(expect.objectContaining({ code: "ERR_RPC_PROTOCOL" }));
  });

  test("[net EncodersSuite.testRoaringBitmapEncodeDecode] a bitmap arrives as it was", () => {
    const bitmap = RoaringBitmap.of([1, 2, 3]);
    const reader = new WireReader(
      "test",
      written((writer) => bitmap.write(writer)),
    );
    expect([...RoaringBitmap.read(reader, "bitmap")]).toEqual([1, 2, 3]);
    expect(reader.remaining).toBe(0);
  });

  test("[net EncodersSuite.testBitmapArraysEncodeDecode] bitmaps arrive as they were, empty ones too", () => {
    const sets = [[1, 2, 3], [], [3, 4, 70_000], [], [2 ** 32 - 1]];
    const bytes = written((writer) => {
      writer.i32(sets.length);
      for (const set of sets) RoaringBitmap.of(set).write(writer);
    });
    const reader = new WireReader("test", bytes);
    const bitmaps = reader.list("bitmaps", 8, () => RoaringBitmap.read(reader, "bitmaps"));
    expect(bitmaps.map((bitmap) => [...bitmap])).toEqual(sets);
    expect(reader.remaining).toBe(0);
  });
});

describe("fields", () => {
  test("arrive as they were", () => {
    const bytes = written((writer) => {
      writer.bool(true);
      writer.i8(-2);
      writer.i32(-(2 ** 31));
      writer.i64(-(2n ** 63n));
      writer.i64(2n ** 63n - 1n);
      writer.string("grün ☂ 🌧");
      writer.strings(["", "a"]);
      writer.ints([1, -1]);
      writer.longs([-1n, 0n]);
      writer.bool(false);
    });
    const reader = new WireReader("test", bytes);
    expect(reader.bool("")).toBe(true);
    expect(reader.i8("")).toBe(-2);
    expect(reader.i32("")).toBe(-(2 ** 31));
    expect(reader.i64("")).toBe(-(2n ** 63n));
    expect(reader.i64("")).toBe(2n ** 63n - 1n);
    expect(reader.string("")).toBe("grün ☂ 🌧");
    expect(reader.strings("")).toEqual(["", "a"]);
    expect(reader.ints("")).toEqual([1, -1]);
    expect(reader.longs("")).toEqual([-1n, 0n]);
    expect(reader.bool("")).toBe(false);
    expect(reader.remaining).toBe(0);
  });

  test("what is no UTF-8 becomes U+FFFD, as in Java", () => {
    const bytes = written((writer) => writer.byteArray(Buffer.from([0x61, 0xff, 0x62])));
    expect(new WireReader("test", bytes).string("text")).toBe("a\ufffdb");
  });

  test.each([
    ["strings", (reader: WireReader) => reader.strings("field")],
    ["ints", (reader: WireReader) => reader.ints("field")],
    ["longs", (reader: WireReader) => reader.longs("field")],
  ] as const)("a count of %s that lies is refused before anything is made", (_name, read) => {
    for (const count of [-1, 3, 2 ** 31 - 1]) {
      const bytes = written((writer) => {
        writer.i32(count);
        writer.raw(Buffer.alloc(11));
      });
      expect(() => read(new WireReader("test", bytes))).toThrow(`test: field: a count of ${count}, 11 bytes are left`);
    }
  });

  test("a reader keeps to its end, whatever lies behind it", () => {
    const bytes = written((writer) => writer.ints([1, 2]));
    expect(() => new WireReader("test", bytes, 0, 11).ints("field")).toThrow("a count of 2, 7 bytes are left");
    const reader = new WireReader("test", bytes, 4, 7);
    expect(() => reader.i32("field")).toThrow("test: field: 4 bytes wanted, 3 are left");
  });
});

describe("bitmaps", () => {
  /** By the format's specification; the first is what Spark 4.0.0 printed inside of MergeStatuses. */
  test.each([
    ["an array", [0, 1, 2], "3a300000010000000000020010000000000001000200"],
    ["nothing", [], "3a30000000000000"],
    ["a run", range(0, 10), "3b3000000100000900010000000900"],
    ["two containers", [5, 65_541], "3a300000020000000000000001000000180000001a00000005000500"],
  ])("%s is written as Java writes it", (_what, values, expected) => {
    expect(hex(written((writer) => RoaringBitmap.of(values).write(writer)))).toBe(expected);
  });

  test.each([
    ["4,096 values apart: the largest array", range(1, 4_096, 3), 8 + 4 + 4 + 8_192],
    ["4,097 values apart: the smallest bitmap", range(1, 4_097, 3), 8 + 4 + 4 + 8_192],
    ["a whole container: one run", range(0, 65_536), 4 + 1 + 4 + 6],
    [
      "five containers with runs and without",
      [0, 3].flatMap((key) => range(key * 65_536, 9)).concat([1, 2, 9].flatMap((key) => range(key * 65_536, 9, 2))),
      4 + 1 + 5 * 8 + 2 * 6 + 3 * 18,
    ],
  ])("%s", (_what, values, byteCount) => {
    const bytes = written((writer) => RoaringBitmap.of([...values].reverse()).write(writer));
    expect(bytes.length).toBe(byteCount);
    const read = RoaringBitmap.read(new WireReader("test", bytes), "bitmap");
    expect([...read]).toEqual([...values].sort((one, other) => one - other));
    expect(read.cardinality).toBe(values.length);
    expect(values.every((value) => read.has(value))).toBe(true);
    expect(read.has(4_000_000_000)).toBe(false);
    expect(hex(written((writer) => read.write(writer)))).toBe(hex(bytes));
  });

  test.each([
    ["cookie 12345", "3930000000000000"],
    ["65537 containers", "3a30000001000100"],
    ["2147483648 containers", "3a30000000000080"],
    ["1 containers", "3a30000001000000"],
    ["4 bytes wanted, 0 are left", "3a3000000100000000000200"],
    ["6 bytes wanted, 2 are left", "3a3000000100000000000200100000000000"],
    ["value 1 out of order", "3a300000010000000000020010000000000001000100"],
    ["container 0 holds 10 values, its head says 9", "3b3000000100000800010000000900"],
    ["value 65535 out of order", "3b30000001000001000100ffff0100"],
    ["key 5 out of order", "3a300000020000000500000005000000180000001a00000005000500"],
  ])("no Roaring bitmap: %s", (says, bytes) => {
    const read = () => RoaringBitmap.read(new WireReader("test", Buffer.from(bytes, "hex")), "bitmap");
    expect(read).toThrow(says);
    expect(read).toThrow(expect.objectContaining({ code: "ERR_RPC_PROTOCOL" }));
  });
});
