/** Goal: loop 0 sees of a loop exactly what it has taken and not given back, and can tell what was never taken. */
import { expect, test } from "vitest";
import { InFlightTable, isVoidEntry, readInFlightEntries } from "../../../dist/src/inbox/in-flight-table.js";
import { ENTRY_WORDS, EntryState, RING_HEAD, RING_LOCK } from "../../../dist/src/inbox/layout.js";
import { RecordFlag, RecordKind, TakenRecord } from "../../../dist/src/inbox/record.js";

const BASE = 64;
const CAPACITY = 100;

function makeTable() {
  // Generous behind the end: that nothing is written there is checked too.
  const words = new Int32Array(new SharedArrayBuffer((BASE + 256 + CAPACITY * ENTRY_WORDS) * 4));
  return { words, table: new InFlightTable(words, BASE, CAPACITY), read: () => readInFlightEntries(words, BASE) };
}

function taken(position: number, askSlot: number): TakenRecord {
  const record = new TakenRecord(64);
  record.position = position;
  record.askSlot = askSlot;
  record.askGeneration = askSlot * 10;
  record.kind = RecordKind.ASK;
  return record;
}

test("an entry is seen from TAKING until it is freed, with all it says", () => {
  const { table, read } = makeTable();
  const entry = table.claim();
  expect(read()).toEqual([]);
  table.publishTaking(entry, 16_383, taken(-8, 7), 1_234);
  const said = {
    index: entry,
    endpoint: 16_383,
    position: -8,
    askSlot: 7,
    askGeneration: 70,
    startedAt: 1_234,
    count: 0,
    kind: RecordKind.ASK,
    ticket: null,
  };
  expect(read()).toMatchObject([{ ...said, state: EntryState.TAKING }]);
  table.publishTaken(entry, 16_383);
  expect(read()).toMatchObject([{ ...said, state: EntryState.TAKEN }]);
  table.free(entry);
  expect(read()).toEqual([]);
});

test("an entry says what its one-way message was counted as, until it holds another message", () => {
  const { table, read } = makeTable();
  const entry = table.claim();
  table.publishTaking(entry, 1, taken(0, -1), 0);
  table.publishTaken(entry, 1);
  table.markCounted(entry, 41);
  expect(read()[0]?.count).toBe(41);
  table.free(entry);
  expect(table.claim()).toBe(entry);
  table.publishTaking(entry, 1, taken(4, -1), 0);
  expect(read()[0]?.count).toBe(0);
});

test("an entry names the ticket of a body that its loop has still to ask for, ticket 0 included", () => {
  const { table, read } = makeTable();
  for (const sender of [0, 77]) {
    const record = taken(0, -1);
    record.kind = RecordKind.SEND;
    record.flags = RecordFlag.LARGE;
    record.sender = sender;
    const entry = table.claim();
    table.publishTaking(entry, 1, record, 0);
    expect(read()).toMatchObject([{ kind: RecordKind.SEND, ticket: sender }]);
    table.free(entry);
  }
});

test("entries are used again last in, first out, so that few asks keep to few entries", () => {
  const { table } = makeTable();
  for (let round = 0; round < 50; round++) {
    const [a, b] = [table.claim(), table.claim()];
    expect([a, b].sort()).toEqual([0, 1]);
    table.publishTaking(a, 1, taken(0, 1), 0);
    table.free(a);
    table.putBack(b);
  }
  expect(table.count).toBe(0);
});

test("there are as many as its capacity, and then none", () => {
  const { table, read } = makeTable();
  for (let n = 0; n < CAPACITY; n++) {
    const entry = table.claim();
    expect(entry).toBe(n);
    table.publishTaking(entry, n + 1, taken(n, n), n);
    table.publishTaken(entry, n + 1);
  }
  expect([table.claim(), table.count]).toEqual([-1, CAPACITY]);
  expect(read().map(({ endpoint }) => endpoint)).toEqual(Array.from({ length: CAPACITY }, (_, n) => n + 1));
  table.free(50);
  expect(read()).toHaveLength(CAPACITY - 1);
  expect(table.claim()).toBe(50);
});

test("an entry is void only while it is TAKING, HEAD is where it was, and its loop holds the lock", () => {
  const { table, read } = makeTable();
  const ring = new Int32Array(256);
  const entry = table.claim();
  table.publishTaking(entry, 1, taken(40, 1), 0);
  const [taking] = read();
  ring[RING_HEAD] = 40;
  ring[RING_LOCK] = 258;
  expect(isVoidEntry(taking!, ring, 0, 258)).toBe(true);
  expect(isVoidEntry(taking!, ring, 0, null)).toBe(true);
  expect(isVoidEntry(taking!, ring, 0, 259)).toBe(false);
  ring[RING_HEAD] = 44;
  expect(isVoidEntry(taking!, ring, 0, null)).toBe(false);
  ring[RING_HEAD] = 40;
  table.publishTaken(entry, 1);
  expect(isVoidEntry(read()[0]!, ring, 0, null)).toBe(false);
});
