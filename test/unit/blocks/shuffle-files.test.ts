/** Where files lie. The hashes and places are those that Spark's own code computes. */
import { describe, expect, it } from "vitest";
import {
  hashedPath,
  javaStringHash,
  nonNegativeHash,
  shuffleChecksumName,
  shuffleDataName,
  shuffleIndexName,
} from "../../../dist/src/blocks/shuffle-files.js";

const EXAMPLES = [
  { name: "shuffle_0_0_0.index", hash: 861282032, ofTwo: "/b0/01", ofOne: "/b0/30" },
  { name: "shuffle_0_0_0.data", hash: 581811660, ofTwo: "/b0/00", ofOne: "/b0/0c" },
  { name: "rdd_1_2", hash: 1054351959, ofTwo: "/b1/04", ofOne: "/b0/17" },
  { name: "shuffle_782_450_0.data", hash: 1108457644, ofTwo: "/b0/02", ofOne: "/b0/2c" },
];

describe("files of a shuffle", () => {
  it.each(EXAMPLES)("$name lies where Spark puts it", ({ name, hash, ofTwo, ofOne }) => {
    expect(nonNegativeHash(name)).toBe(hash);
    expect(hashedPath(["/b0", "/b1"], 5, name)).toBe(`${ofTwo}/${name}`);
    expect(hashedPath(["/b0"], 64, name)).toBe(`${ofOne}/${name}`);
  });

  it("a hash is that of Java, over UTF-16 units and with a sign", () => {
    expect(javaStringHash("")).toBe(0);
    expect(javaStringHash("a")).toBe(97);
    expect(javaStringHash("polygenelubricants")).toBe(-(2 ** 31));
    // Two units, U+D83D and U+DE00: 55357 · 31 + 56832.
    expect(javaStringHash("\u{1F600}")).toBe(1772899);
  });

  it("the one hash without a positive twin counts as 0", () => {
    expect(nonNegativeHash("polygenelubricants")).toBe(0);
    expect(hashedPath(["/b0", "/b1"], 5, "polygenelubricants")).toBe("/b0/00/polygenelubricants");
  });

  it("more than 256 subdirectories take more digits", () => {
    expect(hashedPath(["/b0"], 4096, "shuffle_0_0_0.index")).toBe(
      `/b0/${(861282032 % 4096).toString(16)}/shuffle_0_0_0.index`,
    );
  });

  it("names take map ids of 64 bits", () => {
    expect(shuffleDataName(1, 2n ** 62n)).toBe("shuffle_1_4611686018427387904_0.data");
    expect(shuffleIndexName(1, 2)).toBe("shuffle_1_2_0.index");
    expect(shuffleChecksumName(1, 2, "CRC32C")).toBe("shuffle_1_2_0.checksum.CRC32C");
  });

  it("refuses a layout without a directory", () => {
    expect(() => hashedPath([], 64, "rdd_0_0")).toThrow(/no local directory/);
    expect(() => hashedPath(["/b0"], 0, "rdd_0_0")).toThrow(/subDirsPerLocalDir.*got 0/);
    expect(() => hashedPath(["/b0"], 1.5, "rdd_0_0")).toThrow(/got 1.5/);
  });
});
