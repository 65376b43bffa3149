/** Goal: the limits are finite, and the file that relates them to each other loads. */
import { expect, test } from "vitest";
import * as limits from "../../../dist/src/common/limits.js";

test("every limit is a positive finite number", () => {
  for (const [name, value] of Object.entries(limits)) {
    if (typeof value === "function") continue;
    expect(Number.isFinite(value) && value > 0, name).toBe(true);
  }
});

test("a power of two is told from other numbers", () => {
  for (const power of [1, 2, 4_096, 2 ** 30]) expect(limits.isPowerOfTwo(power)).toBe(true);
  for (const other of [0, -2, 3, 1.5, 2 ** 31, Number.NaN, Infinity]) expect(limits.isPowerOfTwo(other)).toBe(false);
});
