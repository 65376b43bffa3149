/** Deliberate bugs of sleeping, waking and recovery: R16–R20. */
import type { CaughtMutant } from "../mutants.js";
import * as scenarios from "../scenarios/inbox-scenarios.js";
import * as recovery from "../scenarios/recovery-scenarios.js";

export const PARK_MUTANTS: readonly CaughtMutant[] = [
  {
    name: "park-without-second-look",
    rule: "R16",
    file: "loop-queues.js",
    find: "        this.#parker.announce();\n        if (this.hasWork()) {",
    replace: "        this.#parker.announce();\n        if (false) {",
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "bit-before-waiter",
    rule: "R16",
    file: "parking.js",
    find: `        if (!this.#armed) {
            this.#armed = true;
            this.arm(waitAsync(this.#words, this.#bell));
        }
        this.#announced = true;
        or(this.#words, this.#parked, this.#bit);`,
    replace: `        this.#announced = true;
        or(this.#words, this.#parked, this.#bit);
        if (!this.#armed) {
            this.#armed = true;
            this.arm(waitAsync(this.#words, this.#bell));
        }`,
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "bell-without-notify",
    rule: "R16",
    file: "parking.js",
    find: `        if ((and(this.#words, word, ~bit) & bit) === 0)
            return false;
        notify(this.#words, this.#bells + loop * LINE_WORDS);`,
    replace: "        and(this.#words, word, ~bit);",
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "stale-parked-bit",
    rule: "R17",
    file: "parking.js",
    find: "        this.#announced = false;\n        and(this.#words, this.#parked, ~this.#bit);",
    replace: "        this.#announced = false;",
    scenario: (inbox) => scenarios.busySibling(inbox, 3),
  },
  {
    name: "spin-bit-kept",
    rule: "R20",
    file: "parking.js",
    find: "and(this.#words, this.#spinning, ~this.#bit);",
    replace: "load(this.#words, this.#spinning);",
    scenario: (inbox) => scenarios.shared(inbox, 2, 0),
  },
  {
    name: "recovery-trusts-the-leaf",
    rule: "R19",
    file: "ready-set.js",
    find: `        or(this.words, this.leaf + (member >> 5), 1 << (member & 31));
        or(this.words, this.summary + (member >> 10), 1 << ((member >> 5) & 31));`,
    replace: "        this.mark(member);",
    scenario: (inbox) => recovery.crash(inbox, 2),
  },
  {
    name: "armed-twice",
    rule: "R16",
    file: "parking.js",
    find: `        if (!this.#armed) {
`,
    replace: `        {
`,
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "woken-though-another-won",
    rule: "R16",
    file: "parking.js",
    find: `        if ((and(this.#words, word, ~bit) & bit) === 0)
            return false;
        notify`,
    replace: `        and(this.#words, word, ~bit);
        notify`,
    scenario: (inbox) => scenarios.twoRingers(inbox),
  },
  {
    name: "recovery-without-notify",
    rule: "R19",
    file: "parking.js",
    find: `        notify(this.#words, this.#bells + loop * LINE_WORDS);
    }
}
/** One loop`,
    replace: `    }
}
/** One loop`,
    scenario: (inbox) => recovery.crash(inbox, 2),
  },
  {
    name: "recovery-keeps-the-spin-bit",
    rule: "R19",
    file: "parking.js",
    find: `        and(this.#words, this.#spinning + (loop >> 5), ~(1 << (loop & 31)));
        notify`,
    replace: `        notify`,
    scenario: (inbox) => recovery.rejoin(inbox, 2),
  },
];
