/** Goal: the default number of loops is what this process may really use, and never fewer than two. */
import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { availableCores } from "../../../dist/src/env/available-cores.js";

test("at least two, and no more than affinity allows beyond that", () => {
  const cores = availableCores();
  expect(Number.isInteger(cores)).toBe(true);
  expect(cores).toBeGreaterThanOrEqual(2);
  expect(cores).toBeLessThanOrEqual(Math.max(2, availableParallelism()));
});
