/** Goal: a slot of the ask table means one ask at a time, and a late reader can always tell. One thread. */
import { expect, test } from "vitest";
import { AskTable, AskTableView } from "../../../dist/src/inbox/ask-table.js";

function makeTable(capacity: number): { table: AskTable; view: AskTableView; words: Int32Array } {
  const base = 8;
  const words = new Int32Array(new SharedArrayBuffer((base + capacity) * 4));
  return { table: new AskTable(words, base, capacity), view: new AskTableView(words, base), words };
}

test("an open slot waits, in its generation only", () => {
  const { table, view } = makeTable(4_096);
  const slot = table.open();
  const generation = table.generation(slot);
  expect(view.isWaiting(slot, generation)).toBe(true);
  expect(view.isWaiting(slot, generation - 1)).toBe(false);
  expect(view.isWaiting(slot + 1, generation)).toBe(false);
});

test("a cancelled slot waits no more, and is not given out before it is closed", () => {
  const { table, view } = makeTable(1_024);
  const slots = Array.from({ length: 1_024 }, () => table.open());
  expect(new Set(slots).size).toBe(1_024);
  expect(table.open()).toBe(-1);
  const [slot] = slots as [number];
  table.cancel(slot);
  expect(view.isWaiting(slot, table.generation(slot))).toBe(false);
  expect(table.open()).toBe(-1);
  table.close(slot);
  expect(table.open()).toBe(slot);
});

test("slots are used again first in, first out, each time in a new generation", () => {
  const { table, view } = makeTable(1_024);
  const first = Array.from({ length: 1_024 }, () => table.open());
  const generations = first.map((slot) => table.generation(slot));
  const order = [...first].sort((a, b) => ((a * 7) % 1_024) - ((b * 7) % 1_024));
  for (const slot of order) table.close(slot);
  const second = Array.from({ length: 1_024 }, () => table.open());
  expect(second).toEqual(order);
  first.forEach((slot, index) => {
    expect(table.generation(slot)).toBe((generations[index] as number) + 1);
    expect(view.isWaiting(slot, generations[index] as number)).toBe(false);
  });
});

test("the table grows only when no slot is free, up to its capacity", () => {
  const { table } = makeTable(5_000);
  const counts = new Set<number>();
  const slots: number[] = [];
  for (let n = 0; n < 5_000; n++) {
    slots.push(table.open());
    counts.add(table.slotCount);
  }
  expect([...counts]).toEqual([1_024, 2_048, 4_096, 5_000]);
  expect(table.outstanding).toBe(5_000);
  expect(table.open()).toBe(-1);
  expect([...slots].sort((a, b) => a - b)).toEqual(slots.map((_, n) => n));
  for (const slot of slots) table.close(slot);
  expect(table.outstanding).toBe(0);
});

test("a few asks at a time keep to the first slots for ever", () => {
  const { table } = makeTable(100_000);
  for (let n = 0; n < 10_000; n++) {
    const slots = [table.open(), table.open()];
    for (const slot of slots) table.close(slot);
  }
  expect(table.slotCount).toBe(1_024);
});

test("a slot that is closed twice is a bug, and says so", () => {
  const { table } = makeTable(1_024);
  const slot = table.open();
  table.close(slot);
  expect(() => table.close(slot)).toThrow("closed twice");
});
