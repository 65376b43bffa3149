/**
 * Goal: a ready set forgets no mark and serves every member in its turn, also beyond one summary word.
 * Method: the producers' and the consumers' side on one thread. All interleavings are the explorer's.
 */
import { describe, expect, test } from "vitest";
import { CollectedReadySet, ReadySet, readySetWords, SharedReadySet } from "../../../dist/src/inbox/ready-set.js";

const CAPACITY = 16_384;
const MEMBERS = [0, 1, 31, 32, 33, 1_023, 1_024, 1_025, 2_047, 2_048, 5_000, 16_383];

function makeSet(): { words: Int32Array; base: number; producer: ReadySet } {
  const base = 32;
  const words = new Int32Array(new SharedArrayBuffer((base + readySetWords(CAPACITY)) * 4));
  return { words, base, producer: new ReadySet(words, base, CAPACITY) };
}

function allNext(set: { next(): number }, count: number): number[] {
  return Array.from({ length: count }, () => set.next());
}

describe("marking", () => {
  test("is an edge: only the first mark rings", () => {
    const { producer } = makeSet();
    for (const member of MEMBERS) {
      expect([
        producer.isMarked(member),
        producer.mark(member),
        producer.mark(member),
        producer.isMarked(member),
      ]).toEqual([false, true, false, true]);
    }
  });

  test("touches the words of the set only", () => {
    const { words, base, producer } = makeSet();
    for (let member = 0; member < CAPACITY; member++) producer.mark(member);
    expect(words.subarray(0, base).every((word) => word === 0)).toBe(true);
    expect(words.length).toBe(base + readySetWords(CAPACITY));
  });
});

describe("the set of one consumer", () => {
  function collected() {
    const { words, base, producer } = makeSet();
    const consumer = new CollectedReadySet(words, base, CAPACITY);
    for (const member of MEMBERS) consumer.include(member);
    return { producer, consumer };
  }

  test("collects every mark, in any summary word, and clears it", () => {
    const { producer, consumer } = collected();
    for (const member of MEMBERS) producer.mark(member);
    expect(consumer.anyMarked()).toBe(true);
    consumer.collect();
    expect(consumer.anyMarked()).toBe(false);
    expect(MEMBERS.filter((member) => producer.isMarked(member))).toEqual([]);
    expect(MEMBERS.filter((member) => consumer.isPending(member))).toEqual(MEMBERS);
    expect(allNext(consumer, MEMBERS.length)).toEqual(MEMBERS);
  });

  test("keeps a member until it is settled, and hears of a mark made meanwhile", () => {
    const { producer, consumer } = collected();
    producer.mark(1_025);
    consumer.collect();
    expect([consumer.next(), consumer.next()]).toEqual([1_025, 1_025]);
    expect(producer.mark(1_025)).toBe(true);
    consumer.settle(1_025);
    expect(consumer.hasPending()).toBe(false);
    expect(consumer.next()).toBe(-1);
    consumer.collect();
    expect(consumer.next()).toBe(1_025);
  });

  test("serves every member in its turn, whoever is always ready", () => {
    const { producer, consumer } = collected();
    for (const member of MEMBERS) producer.mark(member);
    consumer.collect();
    for (let round = 0; round < 3; round++) expect(allNext(consumer, MEMBERS.length)).toEqual(MEMBERS);
    consumer.settle(32);
    expect(allNext(consumer, MEMBERS.length - 1)).toEqual(MEMBERS.filter((member) => member !== 32));
  });

  test("begins where it ended, also at the last bit of a word and of the set", () => {
    for (const first of MEMBERS) {
      const { producer, consumer } = collected();
      producer.mark(first);
      consumer.collect();
      expect(consumer.next()).toBe(first);
      for (const member of MEMBERS) producer.mark(member);
      consumer.collect();
      const after = MEMBERS.indexOf(first) + 1;
      expect(allNext(consumer, MEMBERS.length)).toEqual([...MEMBERS.slice(after), ...MEMBERS.slice(0, after)]);
    }
  });

  test("passes over what is masked, and does not forget it", () => {
    const { producer, consumer } = collected();
    for (const member of [31, 1_024]) producer.mark(member);
    consumer.collect();
    consumer.mask(31);
    expect(allNext(consumer, 2)).toEqual([1_024, 1_024]);
    consumer.settle(1_024);
    expect([consumer.hasPending(), consumer.next()]).toEqual([false, -1]);
    consumer.unmask(31);
    expect([consumer.hasPending(), consumer.next()]).toEqual([true, 31]);
    consumer.settle(31);
    consumer.keep(31);
    expect(consumer.next()).toBe(31);
  });

  test("looks at members that were included only", () => {
    const { words, base, producer } = makeSet();
    const consumer = new CollectedReadySet(words, base, CAPACITY);
    consumer.include(5);
    producer.mark(2_000);
    consumer.collect();
    expect([consumer.anyMarked(), consumer.next()]).toEqual([false, -1]);
    consumer.include(2_000);
    consumer.collect();
    expect(consumer.next()).toBe(2_000);
  });
});

describe("the set of several consumers", () => {
  function shared(count = 2) {
    const { words, base, producer } = makeSet();
    const consumers = Array.from({ length: count }, () => new SharedReadySet(words, base, CAPACITY));
    for (const consumer of consumers) for (const member of MEMBERS) consumer.include(member);
    return { words, base, producer, consumers, first: consumers[0]! };
  }

  test("shows every consumer every mark, until one takes it away", () => {
    const { producer, consumers, first } = shared();
    for (const member of MEMBERS) producer.mark(member);
    for (const consumer of consumers) expect(allNext(consumer, MEMBERS.length)).toEqual(MEMBERS);
    first.unmark(1_024);
    for (const consumer of consumers) {
      expect(allNext(consumer, MEMBERS.length - 1)).toEqual(MEMBERS.filter((member) => member !== 1_024));
    }
  });

  test("serves every member in its turn, from wherever it ended", () => {
    for (const start of MEMBERS) {
      const { producer, first } = shared();
      producer.mark(start);
      expect(first.next()).toBe(start);
      for (const member of MEMBERS) producer.mark(member);
      const after = MEMBERS.indexOf(start) + 1;
      expect(allNext(first, MEMBERS.length)).toEqual([...MEMBERS.slice(after), ...MEMBERS.slice(0, after)]);
    }
  });

  test("a consumer does not see what it masks; for its siblings' sake it still can", () => {
    const { producer, first, consumers } = shared();
    producer.mark(33);
    first.mask(33);
    expect([first.next(), first.isMasked(33), first.nextMarkedFrom(0)]).toEqual([-1, true, 33]);
    expect(consumers[1]?.next()).toBe(33);
    first.unmask(33);
    expect(first.next()).toBe(33);
  });

  test("tidying drops summary bits of empty words only", () => {
    const { words, base, producer, first } = shared();
    producer.mark(1_024);
    producer.mark(2_047);
    first.unmark(1_024);
    expect(words[base + 1]).toBe((1 << 0) | (1 << 31));
    first.tidy();
    expect(words[base + 1]).toBe(1 << 31);
    expect(first.next()).toBe(2_047);
    producer.mark(1_024);
    expect(first.nextFrom(0, CAPACITY)).toBe(1_024);
  });

  test("looks at a range only where it is told to", () => {
    const { producer, first } = shared();
    for (const member of [31, 1_024]) producer.mark(member);
    expect([
      first.nextFrom(0, 31),
      first.nextFrom(0, 32),
      first.nextFrom(32, 1_024),
      first.nextFrom(32, 1_025),
    ]).toEqual([-1, 31, -1, 1_024]);
    expect([first.nextMarkedFrom(32), first.nextMarkedFrom(1_025)]).toEqual([1_024, -1]);
  });
});
