/**
 * Goal: a ring is a bounded queue: what was published comes out whole and in order, at every size of record, at every
 * place of a wrap, and while positions run through the ends of int32.
 * Method: RingProducer and RingConsumer on one thread against an array, driven by random commands. The memory around the
 * ring is filled with a sentinel, so that a record that runs past its slack is seen.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  RECORD_META,
  RECORD_PAYLOAD_BYTES,
  RING_DATA,
  RING_HEAD,
  RING_HEADER_WORDS,
  RING_TAIL,
  UNIT_BYTES,
} from "../../dist/src/inbox/layout.js";
import { packMeta, RecordKind, recordUnits } from "../../dist/src/inbox/record.js";
import {
  EMPTY,
  initialiseRing,
  inlineRecordBytesMax,
  NO_ROOM,
  RingConsumer,
  RingProducer,
  ringDataBytes,
} from "../../dist/src/inbox/ring.js";

const SENTINEL = 0x5e5e5e5e;
const HEADER_UNITS = recordUnits(0);

type Command =
  | { readonly do: "post"; readonly payloadBytes: number }
  | { readonly do: "fill"; readonly payloadBytes: number }
  | { readonly do: "publish" }
  | { readonly do: "take"; readonly count: number }
  | { readonly do: "want"; readonly payloadBytes: number };

interface Setup {
  readonly capacityBytes: number;
  readonly base: number;
  readonly start: number;
  readonly rewindOffsetBytes: number;
  readonly shared: boolean;
}

const capacities = [64, 128, 256, 512, 1_024, 4_096];

/** Near the ends of int32 and of the unsigned range, and anywhere. */
const starts = fc.oneof(
  fc.integer({ min: 2 ** 31 - 600, max: 2 ** 31 + 600 }),
  fc.integer({ min: 2 ** 32 - 600, max: 2 ** 32 + 600 }),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);

const cases = fc.constantFrom(...capacities).chain((capacityBytes) => {
  const payloadMax = inlineRecordBytesMax(capacityBytes) - HEADER_UNITS * UNIT_BYTES;
  const payloadBytes = fc.oneof(fc.integer({ min: 0, max: payloadMax }), fc.constantFrom(0, payloadMax));
  const setup: fc.Arbitrary<Setup> = fc.record({
    capacityBytes: fc.constant(capacityBytes),
    base: fc.integer({ min: 1, max: 8 }).map((lines) => lines * 32),
    start: starts.map((position) => position | 0),
    rewindOffsetBytes: fc.constantFrom(0, UNIT_BYTES, capacityBytes / 4, capacityBytes / 2, capacityBytes, 8_192),
    shared: fc.boolean(),
  });
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("post" as const), payloadBytes }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("fill" as const), payloadBytes }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("publish" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("take" as const), count: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("take" as const), count: fc.constant(10_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("want" as const), payloadBytes }) },
  );
  return fc.record({ setup, commands: fc.array(command, { minLength: 20, maxLength: 200 }) });
});

/** As `expect(…).toBe(…)`, for what is asked some million times. */
function same<T>(found: T, expected: T): void {
  if (found !== expected) expect(found).toBe(expected);
}

/** A ring with its model: the payload lengths of what is in it, in order, and how many of them are published. */
class Model {
  readonly #words: Int32Array;
  readonly #setup: Setup;
  readonly #end: number;
  readonly #producer: RingProducer;
  readonly #consumer: RingConsumer;
  readonly #queue: { readonly id: number; readonly payloadBytes: number }[] = [];
  #queuedUnits = 0;
  #published = 0;
  #nextId = 1;
  #wanted = false;
  /** The consumer has seen the ring empty and nothing was posted since: the whole capacity must be free. */
  #seenEmpty = true;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#end = setup.base + RING_HEADER_WORDS + ringDataBytes(setup.capacityBytes) / 4;
    this.#words = new Int32Array(new SharedArrayBuffer((this.#end + 64) * 4)).fill(SENTINEL);
    this.#words[setup.base + RING_DATA] = setup.base + RING_HEADER_WORDS;
    initialiseRing(this.#words, setup.base, setup.start);
    this.#producer = new RingProducer(this.#words, setup.base, setup.capacityBytes, setup.rewindOffsetBytes);
    this.#consumer = new RingConsumer(this.#words, setup.base, setup.capacityBytes);
  }

  run(command: Command): void {
    switch (command.do) {
      case "post":
        this.#post(command.payloadBytes);
        break;
      case "fill":
        while (this.#post(command.payloadBytes));
        break;
      case "publish":
        same(this.#producer.publish(), this.#queue.length > this.#published);
        this.#published = this.#queue.length;
        break;
      case "take":
        for (let n = 0; n < command.count && this.#take(); n++);
        break;
      case "want":
        this.#want(recordUnits(command.payloadBytes));
        break;
    }
    this.#producer.invariants();
    for (let n = 0; n < 32; n++) {
      if (this.#words[this.#setup.base - 1 - n] !== SENTINEL) expect.fail("written before the ring");
      if (this.#words[this.#end + n] !== SENTINEL) expect.fail("written behind the slack");
    }
  }

  drain(): void {
    this.run({ do: "publish" });
    while (this.#take());
    same(this.#queue.length, 0);
    same(this.#usedUnits, 0);
  }

  get #head(): number {
    return this.#words[this.#setup.base + RING_HEAD]!;
  }

  /** Units between the shared words: what is published and not taken, PAD included. */
  get #usedUnits(): number {
    return (this.#words[this.#setup.base + RING_TAIL]! - this.#head) | 0;
  }

  get #capacityUnits(): number {
    return this.#setup.capacityBytes / UNIT_BYTES;
  }

  #post(payloadBytes: number): boolean {
    const units = recordUnits(payloadBytes);
    const index = this.#producer.claim(units);
    if (index === NO_ROOM) {
      // Only PAD may take room beside the records, and only while the consumer has not stepped over it.
      same(this.#producer.usedUnits + units > this.#capacityUnits, true);
      same(this.#seenEmpty, false);
      return false;
    }
    same(this.#queuedUnits + units <= this.#capacityUnits, true);
    same((index - this.#setup.base - RING_HEADER_WORDS) % 2, 0);
    same(index * 4 + units * UNIT_BYTES <= this.#end * 4, true);
    const id = this.#nextId++;
    this.#words[index + RECORD_PAYLOAD_BYTES] = payloadBytes;
    this.#words[index + RECORD_META] = packMeta(RecordKind.SEND, 0, 0);
    for (let word = 2; word < units * 2; word++) this.#words[index + word] = id * 4_096 + word;
    this.#producer.commit();
    this.#queue.push({ id, payloadBytes });
    this.#queuedUnits += units;
    this.#seenEmpty = false;
    return true;
  }

  #take(): boolean {
    if (this.#setup.shared) this.#consumer.refresh();
    const index = this.#consumer.peek();
    if (this.#published === 0) {
      same(index, EMPTY);
      same(this.#consumer.isEmpty(), true);
      if (this.#queue.length === 0) this.#seenEmpty = true;
      return false;
    }
    same(index !== EMPTY, true);
    const { id, payloadBytes } = this.#queue.shift()!;
    this.#published--;
    same(this.#words[index + RECORD_PAYLOAD_BYTES], payloadBytes);
    const units = recordUnits(payloadBytes);
    this.#queuedUnits -= units;
    for (let word = 2; word < units * 2; word++) {
      if (this.#words[index + word] !== id * 4_096 + word) expect.fail(`record ${id} is torn at word ${word}`);
    }
    const position = this.#consumer.position;
    this.#consumer.release(index);
    same((this.#head - position) | 0, units);
    const used = this.#usedUnits;
    const owed = this.#wanted && used <= this.#capacityUnits - this.#capacityUnits / 4;
    same(this.#consumer.takeWant(), owed);
    if (owed) this.#wanted = false;
    return true;
  }

  /** Asking for room says truly whether there is some, and is answered by the take that leaves a quarter free. */
  #want(units: number): void {
    const room = this.#producer.wantRoom(units);
    this.#wanted = true;
    same(room, this.#producer.usedUnits + units <= this.#capacityUnits);
    if (this.#seenEmpty) same(room, true);
  }
}

test("a ring gives back what was published, whole and in order", () => {
  const seed = Number(process.env.RINGPOST_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`ring against an array: seed=${seed}`);
  fc.assert(
    fc.property(cases, ({ setup, commands }) => {
      const model = new Model(setup);
      for (const command of commands) model.run(command);
      model.drain();
    }),
    { numRuns: 1_000, seed },
  );
});

test.each(capacities)(
  "a ring of %i bytes can be filled to its last unit wherever it starts, and no further",
  (capacityBytes) => {
    const unitsMax = capacityBytes / UNIT_BYTES;
    for (const around of [0, 2 ** 31, 2 ** 32]) {
      // Every offset of a small ring, and of a large one those beside the ends of the range.
      const reach = Math.min(unitsMax, 64);
      for (let shift = -reach; shift <= reach; shift++) {
        const start = (around + shift) | 0;
        // Rewinding is switched off, so that a full ring holds records only.
        const model = new Model({ capacityBytes, base: 32, start, rewindOffsetBytes: capacityBytes, shared: false });
        for (let lap = 0; lap < 3; lap++) {
          model.run({ do: "fill", payloadBytes: 0 });
          model.run({ do: "publish" });
          model.run({ do: "take", count: 1 });
          model.run({ do: "fill", payloadBytes: 0 });
          model.run({ do: "publish" });
          model.run({ do: "take", count: 10_000 });
        }
        model.drain();
      }
    }
  },
);

test("a quiet ring keeps to its first pages: a producer that finds it empty far from the start begins a new lap", () => {
  const capacityBytes = 4_096;
  const words = new Int32Array(RING_HEADER_WORDS + ringDataBytes(capacityBytes) / 4);
  words[RING_DATA] = RING_HEADER_WORDS;
  initialiseRing(words, 0, 0);
  const producer = new RingProducer(words, 0, capacityBytes, 512);
  const consumer = new RingConsumer(words, 0, capacityBytes);
  let farthest = 0;
  for (let n = 0; n < 10_000; n++) {
    const index = producer.claim(recordUnits(64));
    expect(index).not.toBe(NO_ROOM);
    farthest = Math.max(farthest, index);
    words[index + RECORD_PAYLOAD_BYTES] = 64;
    words[index + RECORD_META] = packMeta(RecordKind.SEND, 0, 0);
    producer.commit();
    producer.publish();
    consumer.release(consumer.peek());
    expect(consumer.peek()).toBe(EMPTY);
  }
  expect((farthest - RING_HEADER_WORDS) * 4).toBeLessThanOrEqual(512 + 96);
});

test("a ring in which bursts found too little room behind the padding begins its laps later, and has room for them", () => {
  const capacityBytes = 4_096;
  const words = new Int32Array(RING_HEADER_WORDS + ringDataBytes(capacityBytes) / 4);
  words[RING_DATA] = RING_HEADER_WORDS;
  initialiseRing(words, 0, 0);
  const producer = new RingProducer(words, 0, capacityBytes, 512);
  const consumer = new RingConsumer(words, 0, capacityBytes);
  let withoutRoom = 0;
  for (let burst = 0; burst < 100; burst++) {
    const recordCount = burst % 2 === 0 ? 6 : 20;
    for (let n = 0; n < recordCount; n++) {
      const index = producer.claim(recordUnits(64));
      if (index === NO_ROOM) {
        withoutRoom++;
        expect(producer.wantRoom(recordUnits(64))).toBe(false);
        break;
      }
      words[index + RECORD_PAYLOAD_BYTES] = 64;
      words[index + RECORD_META] = packMeta(RecordKind.SEND, 0, 0);
      producer.commit();
      producer.publish();
    }
    for (let index = consumer.peek(); index !== EMPTY; index = consumer.peek()) consumer.release(index);
  }
  // Once at 512 bytes, once at 1,024; at half the ring there is room for every burst of less.
  expect(withoutRoom).toBe(2);
});
