/**
 * Goal: what the explorer says can be trusted: it finds the bugs that it is there for, and none where there are none.
 * Method: a small correct fixture and mutants of it, one for each kind of bug, plus a smoke run over the shipped files.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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
  runNow,
  type Scenario,
  sleep,
  spin,
  store,
  type Thread,
  turn,
  type Waiter,
  waitAsync,
  write,
} from "./explorer.js";
import { formatSchedule, parseSchedule } from "./schedule.js";
import { applyMutant, loadVariant, type Mutant, transform } from "./transform.js";

const FIXTURES = fileURLToPath(new URL("fixtures/inbox", import.meta.url));

interface Mail {
  post(value: number): Thread;
  take(): Thread<number>;
  park(): Thread<Waiter | null>;
}

interface Fixture {
  readonly Mail: new (words: Int32Array) => Mail;
  increment(words: Int32Array): Thread;
  tryLock(words: Int32Array, lock: number, owner: number): Thread<boolean>;
  unlock(words: Int32Array, lock: number): Thread;
  recoverLock(words: Int32Array, lock: number, owner: number): Thread;
  lockOrder(first: number, second: number): [number, number];
  napUntilPosted(words: Int32Array): Thread<number>;
  readonly FULL: number;
  readonly COUNT: number;
  readonly LOCK: number;
  readonly WORDS: number;
}

interface Case {
  readonly mutant: Mutant;
  readonly scenario: (fixture: Fixture) => Scenario<unknown>;
  readonly message: RegExp;
  /** Fewest preemptions that show the bug. */
  readonly preemptions: number;
}

function fixture(mutant?: Mutant): Fixture {
  const variant = mutant === undefined ? "fixture" : `fixture-${mutant.name}`;
  return loadVariant<Fixture>(variant, mutant === undefined ? [] : [mutant], { sourceDir: FIXTURES });
}

function scenario<S>(definition: Scenario<S>): Scenario<unknown> {
  return definition as unknown as Scenario<unknown>;
}

function counter(mail: Fixture): Scenario<unknown> {
  return scenario({
    name: "two threads count to two",
    setup: (memory) => memory.words("mail", mail.WORDS),
    threads: (words) => [mail.increment(words), mail.increment(words)],
    final: (words) => expect(words[mail.COUNT], "count").toBe(2),
  });
}

interface Posting {
  readonly words: Int32Array;
  readonly sender: Mail;
  readonly receiver: Mail;
  readonly got: number[];
}

function postings(mail: Fixture, memory: Memory): Posting {
  const words = memory.words("mail", mail.WORDS);
  return { words, sender: new mail.Mail(words), receiver: new mail.Mail(words), got: [] };
}

function polling(mail: Fixture): Scenario<unknown> {
  return scenario<Posting>({
    name: "one posts, one polls",
    setup: (memory) => postings(mail, memory),
    threads: (state) => [
      state.sender.post(42),
      (function* (): Thread {
        let value = yield* state.receiver.take();
        while (value === -1) {
          yield* spin();
          value = yield* state.receiver.take();
        }
        state.got.push(value);
      })(),
    ],
    final: (state) => expect(state.got).toEqual([42]),
    nameWord: (_region, word) => ["FULL", "VALUE"][word],
  });
}

function sleeping(mail: Fixture): Scenario<unknown> {
  return scenario<Posting>({
    name: "one posts, one sleeps",
    setup: (memory) => postings(mail, memory),
    threadNames: ["sender", "receiver"],
    threads: (state) => [
      state.sender.post(42),
      (function* (): Thread {
        const rung = yield* state.receiver.park();
        if (rung !== null) yield* sleep(rung);
        state.got.push(yield* state.receiver.take());
      })(),
    ],
    final: (state) => expect(state.got).toEqual([42]),
  });
}

function* lockBoth(mail: Fixture, words: Int32Array, places: [number, number], owner: number): Thread {
  for (const place of places) while (!(yield* mail.tryLock(words, place, owner))) yield* spin();
  for (const place of places) yield* mail.unlock(words, place);
}

function locking(mail: Fixture): Scenario<unknown> {
  return scenario({
    name: "two threads take two locks",
    setup: (memory) => memory.words("locks", mail.WORDS),
    threads: (words) => [
      lockBoth(mail, words, mail.lockOrder(5, 6), 1),
      lockBoth(mail, words, mail.lockOrder(6, 5), 2),
    ],
  });
}

function dying(mail: Fixture): Scenario<unknown> {
  return scenario({
    name: "a thread may die with the lock",
    setup: (memory) => memory.words("locks", mail.WORDS),
    threads: (words) => [lockBoth(mail, words, [mail.LOCK, 6], 1), lockBoth(mail, words, [mail.LOCK, 6], 2)],
    crash: {
      threads: [0],
      *recover(words): Thread {
        yield* mail.recoverLock(words, mail.LOCK, 1);
        yield* mail.recoverLock(words, 6, 1);
      },
    },
    final: (words) => expect([words[mail.LOCK], words[6]], "locks").toEqual([0, 0]),
  });
}

const MAIL = "mail.js";
const CASES: readonly Case[] = [
  {
    mutant: {
      name: "lost-update",
      rule: "R1",
      file: MAIL,
      find: "if (compareExchange(words, COUNT, count, count + 1) === count) return;",
      replace: "store(words, COUNT, count + 1); return;",
    },
    scenario: counter,
    message: /count/,
    preemptions: 1,
  },
  {
    mutant: {
      name: "torn-publish",
      rule: "R2",
      file: MAIL,
      find: "words[VALUE] = value;\n    store(words, FULL, 1);",
      replace: "store(words, FULL, 1);\n    words[VALUE] = value;",
    },
    scenario: polling,
    message: /at the end/,
    preemptions: 1,
  },
  {
    mutant: {
      name: "no-second-look",
      rule: "R3",
      file: MAIL,
      find: "if (load(this.#words, FULL) !== 0) return null;",
      replace: "",
    },
    scenario: sleeping,
    message: /lost wake-up: receiver sleeps on mail\.4/,
    preemptions: 0,
  },
  {
    mutant: {
      name: "armed-late",
      rule: "R4",
      file: MAIL,
      find: "const rung = waitAsync(this.#words, BELL);\n    store(this.#words, PARKED, 1);\n    if (load(this.#words, FULL) !== 0) return null;\n    return rung;",
      replace:
        "store(this.#words, PARKED, 1);\n    if (load(this.#words, FULL) !== 0) return null;\n    return waitAsync(this.#words, BELL);",
    },
    scenario: sleeping,
    message: /lost wake-up: receiver sleeps/,
    preemptions: 1,
  },
  {
    mutant: { name: "no-lock-order", rule: "R5", file: MAIL, find: "first < second", replace: "true" },
    scenario: locking,
    message: /deadlock or lost wake-up: thread 0 spins, thread 1 spins/,
    preemptions: 1,
  },
  {
    mutant: {
      name: "no-recovery",
      rule: "R6",
      file: MAIL,
      find: "compareExchange(words, lock, owner, 0);",
      replace: "load(words, lock);",
    },
    scenario: dying,
    message: /deadlock or lost wake-up: thread 1 spins/,
    preemptions: 0,
  },
];

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

describe("mutants", () => {
  const mutant: Mutant = { name: "m", rule: "R1", file: MAIL, find: "nowhere", replace: "" };
  test("must be found exactly once", () => {
    expect(() => fixture(mutant)).toThrow('mutant m: its text occurs 0 times in mail.js, must be once: "nowhere"');
    expect(() => fixture({ ...mutant, find: "load" })).toThrow(/occurs \d+ times/);
    expect(() => fixture({ ...mutant, file: "male.js" })).toThrow("no file male.js");
  });
  test("are put in as they stand", () => {
    expect(applyMutant({ ...mutant, find: "b", replace: "$&$1" }, "abc")).toBe("a$&$1c");
  });
});

describe("the transform", () => {
  const seam = readFileSync(join(FIXTURES, "atomics.js"), "utf8");
  const head = 'import { load, store } from "./atomics.js";\n';
  function transformed(text: string, more: Record<string, string> = {}): string {
    const sources = new Map([["atomics.js", seam], ["x.js", text], ...Object.entries(more)]);
    return transform(sources, (specifier) => `up/${specifier}`).get("x.js") ?? "";
  }
  const body = (text: string): string =>
    transformed(head + text)
      .split("\n")
      .slice(1)
      .join("\n");

  test("colours callers through files, methods and private names", () => {
    const text =
      'import { inner } from "./y.js";\nexport function outer(w) { return inner(w) + other(w); }\nfunction other(w) { return w; }';
    const more = { "y.js": `${head}export function inner(w) { return load(w, 0); }` };
    expect(transformed(text, more)).toContain("function *outer(w) { return (yield* inner(w)) + other(w); }");
    expect(body("class A { static #peep(w) { return load(w, 0); } go(w) { return A.#peep(w); } }")).toBe(
      "class A { static *#peep(w) { return (yield load(w, 0)); } *go(w) { return (yield* A.#peep(w)); } }",
    );
    expect(body("const f = function (w) { store(w, 0, 1); };")).toBe(
      "const f = function* (w) { (yield store(w, 0, 1)); };",
    );
  });

  test("marks plain accesses and leaves names that only look like them", () => {
    expect(body("function f(w, i) { w[i] = w[i + 1]; w[i] += 2; w[i]++; return w[w[0]]; }")).toBe(
      "function f(w, i) { $write(w, i, $read(w, i + 1)); $write(w, i, $read(w, i) + (2)); $write(w, i, $read(w, i) + 1); return $read(w, $read(w, 0)); }",
    );
    expect(body("function f(a, b) { a.set(b, 8); [a.x] = b; return table[0](a[1]); }")).toBe(
      'function f(a, b) { $method(a, "set", b, 8); [a.x] = b; return table[0]($read(a, 1)); }',
    );
  });

  test("keeps lines where they were, comments and all", () => {
    const text = `/**\n * Head.\n */\n${head}\nexport function f(w) {\n  // Why.\n  return load(w, 0);\n}\n`;
    expect(transformed(text).split("\n").length).toBe(text.split("\n").length);
    expect(transformed(text)).toContain("  // Why.\n  return (yield load(w, 0));\n");
    expect(transformed('export * from "../common/x.js";\n')).toContain('export * from "up/../common/x.js";');
  });

  const refused: Record<string, [text: string, message: string]> = {
    "an arrow function": ["function f(w) { w.map((i) => load(w, i)); }", "x.js:2:30: an arrow function calls load"],
    "a constructor": ["class A { constructor(w) { load(w, 0); } }", "a constructor calls load"],
    "a getter": ["class A { get x() { return load(this.w, 0); } }", "an accessor calls load"],
    "an initialiser": ["class A { x = load(w, 0); }", "an initialiser calls load"],
    "the top level": ["load(w, 0);", "code at the top level calls load"],
    "a default": ["function f(w, x = load(w, 0)) {}", "the default of a parameter calls load"],
    "a generator": ["function* f(w) { yield load(w, 0); }", "f is a generator and calls load"],
    "a nameless function": ["export default [function (w) { load(w, 0); }];", "a function without a name of its own"],
    "a built-in's name": ["class A { push(w) { load(w, 0); } }", "x.js:2:11: method push calls load"],
    "the seam as a value": ["const f = load;", "load reaches the seam and is used as a value"],
    "a coloured function as a value": ["function f(w) { load(w, 0); }\nx.map(f);", "x.js:3:7: f reaches the seam"],
    "a coloured method as a value": [
      "class A { go(w) { load(w, 0); } all(x) { x.map(this.go); } }",
      "go reaches the seam",
    ],
    "a variable of that name": [
      "function f(w) { load(w, 0); }\nfunction g(f) { f(); }",
      "f is also the name of a function",
    ],
    "an optional call": ["class A { go(w) { load(w, 0); } all(x) { x?.go(); } }", "optional call of go"],
    "async without await": ["async function f(w) { load(w, 0); }\nasync function g(w) { f(w); }", "f is async"],
    "destructuring into elements": ["function f(w) { [w[0], w[1]] = [1, 2]; }", "destructuring into an element"],
    "an old value of ++": ["function f(w) { return w[0]++; }", "the old value of an element's ++ or --"],
    "an effect in a target": ["function f(w, i) { w[i++] += 1; }", "an effect inside the target of an update"],
  };
  for (const [what, [text, message]] of Object.entries(refused)) {
    test(`refuses ${what}, with file and line`, () => {
      expect(() => transformed(head + text)).toThrow(message);
    });
  }

  test("refuses other names for the seam, and a seam it does not know", () => {
    expect(() => transformed('import { load as peep } from "./atomics.js";')).toThrow("under their own names");
    expect(() => transformed('import * as atomics from "./atomics.js";')).toThrow("import the seam by name");
    const wide = new Map([["atomics.js", "export function wait() {}"]]);
    expect(() => transform(wide, String)).toThrow("the seam exports wait, for which the explorer has no double");
  });
});

describe("the shipped inbox", () => {
  test("is accepted by the transform and runs", () => {
    const inbox = loadVariant<{ ringUsedUnits(words: Int32Array, base: number): Thread<number> }>("shipped");
    expect(runNow(inbox.ringUsedUnits(new Int32Array(new SharedArrayBuffer(4096)), 0))).toBe(0);
  });
});
