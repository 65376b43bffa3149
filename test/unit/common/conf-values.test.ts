/** Goal: times and sizes are read as Spark's JavaUtils reads them, except that milliseconds are not cut off. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  formatSizeBytes,
  formatTimeMs,
  parseFlag,
  parseInteger,
  parseSizeBytes,
  parseTimeMs,
} from "../../../dist/src/common/conf-values.js";

const DAY = 24 * 60 * 60 * 1_000;

test.each([
  ["1", 1_000],
  ["1s", 1_000],
  ["1000ms", 1_000],
  ["1000000us", 1_000],
  ["1m", 60_000],
  ["1min", 60_000],
  ["1h", 60 * 60_000],
  ["1d", DAY],
  ["500ms", 500],
  ["250us", 0.25],
  ["-1", -1_000],
  ["0", 0],
  [" 30S ", 30_000],
  ["Infinity", Number.POSITIVE_INFINITY],
])("the time %j is %d ms where a bare number means seconds", (text, ms) => {
  expect(parseTimeMs(text, "s")).toBe(ms);
});

test("a bare number has the unit of its key", () => {
  expect(parseTimeMs("7", "ms")).toBe(7);
  expect(parseTimeMs("7", "d")).toBe(7 * DAY);
  expect(parseSizeBytes("7", "b")).toBe(7);
  expect(parseSizeBytes("7", "m")).toBe(7 * 1024 ** 2);
});

test.each([
  "",
  " ",
  "s",
  "600l",
  "600 s",
  "This breaks 600s",
  "600s This breaks",
  "1.5s",
  "1,5",
  "0x10",
  "1e3",
  "--1",
  "NaN",
  "1mins",
])("%j is no time", (text) => {
  expect(parseTimeMs(text, "s")).toBeNull();
});

test.each([
  ["10", 10],
  ["10b", 10],
  ["1k", 1024],
  ["1kb", 1024],
  ["1K", 1024],
  ["3m", 3 * 1024 ** 2],
  ["3MB", 3 * 1024 ** 2],
  ["2g", 2 * 1024 ** 3],
  ["2gb", 2 * 1024 ** 3],
  ["1t", 1024 ** 4],
  ["1tb", 1024 ** 4],
  ["1p", 1024 ** 5],
  ["1pb", 1024 ** 5],
])("the size %j is %d bytes", (text, bytes) => {
  expect(parseSizeBytes(text, "b")).toBe(bytes);
});

test.each([
  "",
  "k",
  "-1",
  "-1k",
  "0.064m",
  "0.064",
  "500ub",
  "This breaks 600b",
  "600b This breaks",
  "600 k",
  "8pb1",
  "9007199254740993",
  "Infinity",
])("%j is no size", (text) => {
  expect(parseSizeBytes(text, "b")).toBeNull();
});

test("an integer is digits, a flag is true or false", () => {
  expect([parseInteger("12"), parseInteger("-1"), parseInteger(" 7 ")]).toEqual([12, -1, 7]);
  expect(["", "1.0", "1k", "abc", "1e3"].map(parseInteger)).toEqual([null, null, null, null, null]);
  expect([parseFlag("true"), parseFlag(" FALSE "), parseFlag("yes"), parseFlag("1")]).toEqual([
    true,
    false,
    null,
    null,
  ]);
});

test("no suffix is looked up where every object has something", () => {
  for (const suffix of ["constructor", "tostring", "valueof"]) {
    expect(parseTimeMs(`1${suffix}`, "s")).toBeNull();
    expect(parseSizeBytes(`1${suffix}`, "b")).toBeNull();
  }
});

test("what is written can be read back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 30 }), (value) => {
      expect(parseTimeMs(formatTimeMs(value), "s")).toBe(value);
      expect(parseSizeBytes(formatSizeBytes(value), "m")).toBe(value);
    }),
  );
  expect([formatTimeMs(0.25), formatTimeMs(Number.POSITIVE_INFINITY)]).toEqual(["250us", "Infinity"]);
  expect([formatSizeBytes(1024 ** 3), formatSizeBytes(3 * 1024), formatSizeBytes(1_000)]).toEqual([
    "1g",
    "3k",
    "1000b",
  ]);
});
