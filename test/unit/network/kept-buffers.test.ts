/** Memory that is used again is nobody else's, and bounded. */
import { expect, test } from "vitest";
import { WeaklyKeptBuffers } from "../../../dist/src/network/kept-buffers.js";

test("as many are kept as there may be, the last one first", () => {
  const buffers = new WeaklyKeptBuffers(100, 2);
  const taken = [buffers.take(), buffers.take(), buffers.take()].map(({ buffer }) => buffer);
  expect(new Set(taken).size).toBe(3);
  for (const memory of taken) buffers.giveBack(memory);
  expect(buffers.take().buffer).toBe(taken[1]);
  expect(buffers.take().buffer).toBe(taken[0]);
  expect(taken).not.toContain(buffers.take().buffer);
});

test("what was not taken, or comes back twice, is not kept", () => {
  const buffers = new WeaklyKeptBuffers(100, 2);
  const { buffer: memory } = buffers.take();
  buffers.giveBack(memory);
  buffers.giveBack(memory);
  buffers.giveBack(new ArrayBuffer(100));
  const next = buffers.take();
  expect(next.buffer).toBe(memory);
  expect(next).toHaveLength(100);
  const other = buffers.take().buffer;
  expect(other).not.toBe(memory);
  expect(buffers.take().buffer).not.toBe(other);
});
