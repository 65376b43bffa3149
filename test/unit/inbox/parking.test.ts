/**
 * Goal: a bell rings one sleeping loop, once, and nobody who is awake; the PARKED bits say who sleeps.
 * Method: several Parkers on one thread; a waiter is awaited where it must be rung.
 */
import { describe, expect, test } from "vitest";
import { wokenThreads } from "../../../dist/src/common/woken-threads.js";
import { envRegionWords, GroupBell, LoopBell, Parker, Parking } from "../../../dist/src/inbox/parking.js";

const LOOPS = 256;
const REGION = 64;

function makeParking(loops: readonly number[]) {
  const words = new Int32Array(new SharedArrayBuffer((REGION + envRegionWords(LOOPS)) * 4));
  const parking = new Parking(words, REGION, LOOPS);
  const rings: number[] = [];
  const waiters = new Map<number, () => void>();
  const parkers = new Map(
    loops.map((loop) => {
      const onBell = (): void => {
        rings.push(loop);
        waiters.get(loop)?.();
      };
      return [loop, new Parker(words, REGION, loop, onBell)] as const;
    }),
  );
  const open = new Int32Array(new SharedArrayBuffer(8 * 4));
  return {
    parking,
    parkers,
    rings,
    open,
    park: (loop: number) => parkers.get(loop)?.announce(),
    retract: (loop: number) => parkers.get(loop)?.retract(),
    setOpen: (loop: number) => {
      open[loop >> 5] = open[loop >> 5]! | (1 << (loop & 31));
    },
    rung: (loop: number) =>
      new Promise<void>((resolve) => {
        if (rings.includes(loop)) resolve();
        else waiters.set(loop, resolve);
      }),
  };
}

describe("one loop", () => {
  test.each([0, 1, 31, 32, 255])("that sleeps is rung once, by whoever clears its bit: loop %i", async (loop) => {
    const { parking, park, rung, rings } = makeParking([loop]);
    expect(parking.unpark(loop)).toBe(false);
    park(loop);
    expect(parking.isParked(loop)).toBe(true);
    expect([parking.unpark(loop), parking.unpark(loop)]).toEqual([true, false]);
    expect(parking.isParked(loop)).toBe(false);
    await rung(loop);
    expect(rings).toEqual([loop]);
  });

  test("that took its bit back is not rung", () => {
    const { parking, park, retract, parkers } = makeParking([3]);
    park(3);
    expect(parkers.get(3)?.announced).toBe(true);
    retract(3);
    retract(3);
    expect([parking.isParked(3), parking.unpark(3), parkers.get(3)?.announced]).toEqual([false, false, false]);
  });

  test("can sleep and be rung again and again: its waiter is armed anew", async () => {
    const { parking, park, retract, rings, rung } = makeParking([5]);
    for (let round = 0; round < 100; round++) {
      rings.length = 0;
      park(5);
      // Back and to sleep once more: the waiter that is armed stays the only one.
      retract(5);
      park(5);
      expect(parking.unpark(5)).toBe(true);
      await rung(5);
      expect(rings).toEqual([5]);
    }
  });

  test("is rung whatever its bit says, after a crash", async () => {
    const { parking, park, rung, rings } = makeParking([7]);
    park(7);
    parking.unpark(7);
    await rung(7);
    rings.length = 0;
    park(7);
    parking.notifyUnconditionally(7);
    expect(parking.isParked(7)).toBe(false);
    await rung(7);
  });

  test("tells loop 0 apart: it does not count as a loop that sleeps", () => {
    const { parking, park } = makeParking([0, 40]);
    park(0);
    expect(parking.anyParked(LOOPS - 1)).toBe(false);
    park(40);
    expect(parking.anyParked(LOOPS - 1)).toBe(true);
  });
});

test("whoever wakes a loop is known to have woken a thread", () => {
  const { parking, park, setOpen, open } = makeParking([3, 9]);
  const before = wokenThreads();
  parking.unpark(3);
  expect(wokenThreads()).toBe(before);
  park(3);
  parking.unpark(3);
  expect(wokenThreads()).toBe(before + 1);
  park(9);
  setOpen(9);
  parking.unparkOne(open, 0);
  parking.unparkOne(open, 0);
  expect(wokenThreads()).toBe(before + 2);
});

describe("a group", () => {
  test("has one loop rung that sleeps and is open, and no other", async () => {
    const { parking, park, setOpen, open, rung, rings } = makeParking([2, 33, 200]);
    for (const loop of [2, 33, 200]) park(loop);
    for (const loop of [1, 33, 200]) setOpen(loop);
    expect(parking.unparkOne(open, 0)).toBe(true);
    await rung(33);
    expect([parking.isParked(2), parking.isParked(33), parking.isParked(200)]).toEqual([true, false, true]);
    expect(parking.unparkOne(open, 0)).toBe(true);
    await rung(200);
    expect(parking.unparkOne(open, 0)).toBe(false);
    expect(rings).toEqual([33, 200]);
  });

  test("bell tells when it rang, so that somebody looks whether it was heard", async () => {
    const { parking, park, setOpen, open, rung } = makeParking([9]);
    let told = 0;
    const bell = new GroupBell(parking, open, 0, () => told++);
    setOpen(9);
    bell.ring();
    expect(told).toBe(0);
    park(9);
    bell.ring();
    bell.ring();
    expect(told).toBe(1);
    await rung(9);
  });

  test("of one needs no set", async () => {
    const { parking, park, rung } = makeParking([4]);
    park(4);
    new LoopBell(parking, 4).ring();
    await rung(4);
  });
});
