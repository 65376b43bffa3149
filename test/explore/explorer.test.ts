/**
 * Goal: what the explorer says can be trusted: it finds the bugs that it is there for, and none where there are none.
 * Method: a small correct fixture and mutants of it, one for each kind of bug; and scenarios of a few lines.
 */
import { describe, expect, test } from "vitest";
import {
  type Exploration,
  explore,
  exploreAll,
  idle,
  load,
  type Memory,
  notify,
  read,
  replay,
  type Scenario,
  sleep,
  store,
  type Thread,
  turn,
  waitAsync,
  write,
} from "./explorer.js";
import { CASES, counter, fixture, type Posting, polling, postings, scenario } from "./fixtures/mail-cases.js";
import { formatSchedule, parseSchedule } from "./schedule.js";

function found(result: Exploration): string | undefined {
  return result.failure?.message;
}

describe("the search", () => {
  for (const { mutant, scenario: make, message, preemptions } of CASES) {
    test(`finds ${mutant.name}, with and without pruning, and its schedule fails again when replayed`, () => {
      const broken = make(fixture(mutant));
      for (const prune of [true, false]) {
        const result = explore(broken, { prune });
        expect(found(result)).toMatch(message);
        expect(result.failure?.preemptions).toBe(preemptions);
        const again = replay(broken, result.failure?.schedule ?? "");
        expect(again.message).toBe(result.failure?.message);
        expect(again.trace).toEqual(result.failure?.trace);
      }
    });

    test(`finds nothing where ${mutant.name} is not made`, () => {
      const right = make(fixture());
      const pruned = explore(right);
      const whole = explore(right, { prune: false });
      expect(found(pruned)).toBeUndefined();
      expect(found(whole)).toBeUndefined();
      expect(pruned.schedules).toBeGreaterThan(1);
      expect(whole.schedules).toBeGreaterThanOrEqual(pruned.schedules);
    });
  }

  test("needs the preemption that a bug needs", () => {
    const broken = counter(fixture(CASES[0]?.mutant));
    expect(found(explore(broken, { preemptions: 0 }))).toBeUndefined();
    expect(found(explore(broken, { preemptions: 1 }))).toMatch(/count/);
  });

  test("tries every order of independent steps", () => {
    const orders = new Set<string>();
    const result = explore(
      scenario<{ words: Int32Array; order: string[] }>({
        name: "three threads of two steps",
        setup: (memory) => ({ words: memory.words("words", 4), order: [] }),
        threads: ({ words, order }) =>
          ["a", "b", "c"].map(function* (name): Thread {
            yield* store(words, 0, 1);
            order.push(name);
            yield* store(words, 0, 1);
            order.push(name);
          }),
        final: ({ order }) => {
          orders.add(order.join(""));
        },
      }),
      { preemptions: 9, prune: false },
    );
    expect(found(result)).toBeUndefined();
    expect(orders.size).toBe(90);
  });

  test("prunes by what final looks at, if ghost says so", () => {
    const ordered = (ghost: boolean): Scenario<unknown> =>
      scenario<{ words: Int32Array; order: number[] }>({
        name: "order shows outside shared memory only",
        setup: (memory) => ({ words: memory.words("words", 2), order: [] }),
        threads: ({ words, order }) => [
          ...[1, 2].map(function* (id): Thread {
            yield* store(words, 0, 0);
            order.push(id);
          }),
          (function* (): Thread {
            yield* idle();
          })(),
        ],
        final: ({ order }) => expect(order, "order").toEqual([1, 2]),
        ...(ghost ? { ghost: ({ order }) => order.reduce((sum, id) => sum * 3 + id, 0) } : {}),
      });
    expect(found(explore(ordered(true)))).toMatch(/order/);
    // Both orders end in the same memory, and neither thread has read anything that tells them apart.
    expect(found(explore(ordered(false)))).toBeUndefined();
  });

  test("stops between an operation and the plain code behind it", () => {
    const pair: Scenario<Int32Array> = {
      name: "two words that belong together",
      setup: (memory) => memory.words("pair", 2),
      threads: (words) => [
        (function* (): Thread {
          yield* store(words, 0, 1);
          write(words, 1, 1);
        })(),
        (function* (): Thread {
          if ((yield* load(words, 0)) === 1 && read(words, 1) === 0) throw new Error("torn");
        })(),
      ],
    };
    const result = explore(pair);
    expect(result.failure).toMatchObject({ message: "torn", schedule: "aAb2", preemptions: 1 });
  });

  test("checks the invariant after every step", () => {
    const stages = (last: number): Scenario<Int32Array> => ({
      name: "a word counts up",
      setup: (memory) => memory.words("words", 2),
      threads: (words) => [
        (function* (): Thread {
          for (let value = 1; value <= last; value++) yield* store(words, 0, value);
          yield* store(words, 0, 0);
        })(),
      ],
      invariant: (words) => {
        if ((words[0] ?? 0) > 2) throw new Error("above 2");
      },
    });
    expect(found(explore(stages(2)))).toBeUndefined();
    expect(explore(stages(3)).failure).toMatchObject({ message: "invariant: above 2", schedule: "a4" });
  });

  test("reports an endless retry instead of running for ever", () => {
    const result = explore(
      scenario<Int32Array>({
        name: "one thread that never gives up",
        setup: (memory) => memory.words("words", 2),
        threads: (words) => [
          (function* (): Thread {
            while ((yield* load(words, 0)) === 0) yield* turn();
          })(),
        ],
      }),
      { stepsMax: 100 },
    );
    expect(found(result)).toMatch(/no end after 100 steps/);
  });
});

describe("sleepers", () => {
  interface Bells {
    readonly words: Int32Array;
    rung: number;
  }
  const setup = (memory: Memory): Bells => ({ words: memory.words("bells", 4), rung: 0 });
  function* ring(words: Int32Array): Thread {
    yield* store(words, 1, 1);
    yield* notify(words, 0);
  }

  test("a notify before the sleep is kept by the waiter, and its callback runs on waking", () => {
    const result = explore(
      scenario<Bells>({
        name: "sleep without naming the waiter",
        setup,
        threads: (state) => [
          (function* (): Thread {
            const waiter = yield* waitAsync(state.words, 0);
            waiter.then(() => {
              state.rung++;
            });
            if ((yield* load(state.words, 1)) === 1) return;
            yield* sleep();
            if (state.rung !== 1) throw new Error("woke without its callback");
          })(),
          ring(state.words),
        ],
      }),
    );
    expect(found(result)).toBeUndefined();
    expect(result.schedules).toBeGreaterThan(3);
  });

  test("a notify wakes one of two, and a daemon may sleep on", () => {
    const two = scenario<Bells>({
      name: "two sleepers, one bell",
      setup,
      threads: ({ words }) => [
        sleepOnce(words),
        sleepOnce(words),
        (function* (): Thread {
          yield* idle();
          yield* notify(words, 0);
        })(),
      ],
    });
    function* sleepOnce(words: Int32Array): Thread {
      yield* sleep(yield* waitAsync(words, 0));
    }
    expect(found(explore(two))).toMatch(/lost wake-up: thread [01] sleeps/);
    expect(found(explore({ ...two, daemons: [0, 1] }))).toBeUndefined();
  });

  test("a bell that goes to a thread that then dies is lost, and the search sees it", () => {
    const heir = scenario<Bells>({
      name: "the bell dies with its hearer",
      setup,
      threads: ({ words }) => [
        (function* (): Thread {
          yield* sleep(yield* waitAsync(words, 0));
          yield* notify(words, 0);
        })(),
        (function* (): Thread {
          yield* sleep(yield* waitAsync(words, 0));
        })(),
        (function* (): Thread {
          yield* idle();
          yield* notify(words, 0);
        })(),
      ],
      crash: { threads: [0] },
    });
    const result = explore(heir);
    expect(found(result)).toMatch(/lost wake-up: thread 1 sleeps/);
    expect(result.failure?.trace.join("\n")).toMatch(/wakes thread 0\n(.*sleep .* ends\n)?.*thread 0 {2}dies/);
    // A dead thread's waiters are gone, so a bell after its death finds the living one.
    expect(replay(heir, "a2b2c!ac2b").message).toBeUndefined();
  });

  test("an async function sleeps at its await", () => {
    const mail = fixture();
    const result = explore(
      scenario<Posting>({
        name: "await",
        setup: (memory) => postings(mail, memory),
        threads: (state) => [
          state.sender.post(1),
          (function* (): Thread {
            if ((yield* mail.napUntilPosted(state.words)) !== 1) throw new Error("woke for nothing");
          })(),
        ],
      }),
    );
    expect(found(result)).toBeUndefined();
  });
});

describe("schedules", () => {
  test("are read back as they are written", () => {
    const choices = [0, 0, 0, 11, 1, 1, 20, 2];
    expect(formatSchedule(choices)).toBe("a3Bb2!ac");
    expect(parseSchedule("a3Bb2!ac")).toEqual(choices);
    expect(() => parseSchedule("a3?")).toThrow('not a schedule: "?"');
  });

  test("that do not fit are refused, and traces name threads, words and values", () => {
    const torn = polling(fixture(CASES[1]?.mutant));
    const failure = explore(torn).failure;
    expect(failure?.trace.join("\n")).toMatch(/thread 0 {2}store mail\.FULL 0 → 1/);
    expect(() => replay(torn, "a99")).toThrow("schedule does not fit");
    expect(() => exploreAll(torn)).toThrow(
      `replay(scenario, "${failure?.schedule}") with 1 preemptions:\n  #1  thread`,
    );
  });
});
