/** Goal: what loop 0 appends is read by every loop, whole and in order, and the log keeps to its bounds. */
import { expect, test } from "vitest";
import { mapSegment } from "../../../dist/src/inbox/segment.js";
import { StructureLog, StructureLogOwner } from "../../../dist/src/inbox/structure-log.js";

function made() {
  const segment = mapSegment({ index: 0, buffer: new SharedArrayBuffer(128 * 1024) });
  return { owner: new StructureLogOwner(segment, 64), readers: [0, 1].map(() => new StructureLog(segment, 64)) };
}

test("entries are read once by each reader, whenever it looks", () => {
  const { owner, readers } = made();
  const [often, late] = readers as [StructureLog, StructureLog];
  expect(often.readNext()).toEqual([]);
  expect(owner.append(["id", "größe", "漢"])).toBe(true);
  expect([often.count(), often.readNext(), often.readNext()]).toEqual([1, [["id", "größe", "漢"]], []]);
  owner.append([""]);
  owner.append(Array.from({ length: 32 }, (_, n) => `k${n}`));
  expect(often.readNext()).toHaveLength(2);
  expect(late.readNext()).toEqual([["id", "größe", "漢"], [""], Array.from({ length: 32 }, (_, n) => `k${n}`)]);
  expect(owner.readNext()).toHaveLength(3);
});

test("it takes 256 shapes of at most 32 keys, and no more bytes than it has", () => {
  const { owner, readers } = made();
  expect(owner.append(Array.from({ length: 33 }, (_, n) => `k${n}`))).toBe(false);
  for (let n = 0; n < 256; n++) expect(owner.append([`k${n}`])).toBe(true);
  expect(owner.append(["one more"])).toBe(false);
  expect(readers[0]?.readNext()).toHaveLength(256);

  const { owner: other } = made();
  let taken = 0;
  while (other.append([`${taken}${"x".repeat(500)}`])) taken++;
  // A byte, two for the length, and up to 503 for the key.
  expect(Math.abs(taken - (64 * 1024 - 128) / 505)).toBeLessThan(2);
  expect(other.readNext()).toHaveLength(taken);
});
