/** Goal: the queue behind a full ring keeps order, keeps copies, and keeps its bounds. */
import { describe, expect, test } from "vitest";
import { OutgoingRecord, RecordKind } from "../../../dist/src/inbox/record.js";
import { SpillBudget, SpillQueue, SpillTotal } from "../../../dist/src/inbox/spill-queue.js";

const scratch = new Uint8Array(4_096);

function record(slot: number, length: number): OutgoingRecord {
  const made = new OutgoingRecord().setHeaderOnly(RecordKind.ASK, slot, slot + 1);
  made.setPayload(1, scratch.fill(slot & 255, 0, length), length);
  return made;
}

function makeQueue(messagesMax: number, bytesMax: number, total = new SpillTotal(1_000_000)): SpillQueue {
  return new SpillQueue(new SpillBudget({ messagesMax, bytesMax }, total));
}

test("records come out in order, as they were when they went in", () => {
  const queue = makeQueue(100_000, 1_000_000_000, new SpillTotal(1_000_000_000));
  // In and out in uneven steps, so that the array behind it is cut several times.
  let [into, out] = [0, 0];
  for (let step = 0; step < 200; step++) {
    for (let n = 0; n < 50; n++) queue.push(record(into++, 8), false);
    for (let n = 0; n < 40; n++) {
      const head = queue.peek();
      expect([head?.askSlot, head?.askGeneration, head?.bytes.length, head?.bytes[7]]).toEqual([
        out,
        out + 1,
        8,
        out & 255,
      ]);
      queue.shift();
      out++;
    }
    expect(queue.count).toBe(into - out);
  }
  for (; out < into; out++) {
    expect(queue.peek()?.askSlot).toBe(out);
    queue.shift();
  }
  expect([queue.count, queue.peek(), queue.budget.messages, queue.budget.bytes]).toEqual([0, null, 0, 0]);
});

test("a payload in a Buffer, whose own slice copies nothing, is copied, too", () => {
  const queue = makeQueue(10, 1_000);
  const memory = Buffer.from("first and second");
  const made = new OutgoingRecord().setHeaderOnly(RecordKind.REPLY, 1, 1);
  made.setPayload(1, memory.subarray(0, 5), 5);
  queue.push(made, false);
  memory.fill("x");
  expect(Buffer.from(queue.peek()?.bytes ?? []).toString()).toBe("first");
});

describe("bounds", () => {
  test("of messages", () => {
    const queue = makeQueue(3, 1_000_000);
    expect([1, 2, 3, 4].map((slot) => queue.push(record(slot, 8), false))).toEqual([true, true, true, false]);
    queue.shift();
    expect(queue.push(record(5, 8), false)).toBe(true);
    expect(queue.count).toBe(3);
  });

  test("of bytes", () => {
    const queue = makeQueue(1_000, 100);
    expect([40, 40, 40, 20].map((length) => queue.push(record(1, length), false))).toEqual([true, true, false, true]);
    expect(queue.budget.bytes).toBe(100);
    expect(queue.push(record(1, 1), false)).toBe(false);
    expect(queue.push(record(1, 0), false)).toBe(true);
  });

  test("of all queues together", () => {
    const total = new SpillTotal(100);
    const [one, two] = [makeQueue(1_000, 1_000, total), makeQueue(1_000, 1_000, total)];
    one.push(record(1, 60), false);
    two.push(record(1, 30), false);
    expect([two.push(record(1, 20), false), total.bytes]).toEqual([false, 90]);
    one.shift();
    expect([two.push(record(1, 20), false), total.bytes]).toEqual([true, 50]);
  });

  test("do not refuse a message where nothing else waits, nor what is forced", () => {
    const queue = makeQueue(1, 10);
    expect(queue.push(record(1, 4_000), false)).toBe(true);
    expect(queue.push(record(2, 1), false)).toBe(false);
    expect(queue.push(record(3, 1), true)).toBe(true);
    expect(queue.count).toBe(2);
  });
});
