/**
 * Deliberate bugs, at least one for each rule of docs/adr/0001-shared-memory-protocol.md that the local engine has in
 * src/inbox, each with the scenario that must catch it. A mutant that survives means a rule that nothing watches.
 */
import type { Scenario } from "./explorer.js";
import type { Inbox } from "./scenarios/inbox-parts.js";
import * as scenarios from "./scenarios/inbox-scenarios.js";
import * as recovery from "./scenarios/recovery-scenarios.js";
import type { Mutant } from "./variants.js";

export interface CaughtMutant extends Mutant {
  readonly scenario: (inbox: Inbox) => Scenario<unknown>;
}

const near2to31 = 0x7fff_fff8;

export const MUTANTS: readonly CaughtMutant[] = [
  {
    name: "tail-before-record",
    rule: "R1",
    file: "inbox.js",
    find: "        this.#writer.write(this.#segment, index, record);\n        this.#ring.commit();",
    replace: `        this.#ring.commit();
        if (this.#ring.publish())
            this.#doorbell.press();
        this.#writer.write(this.#segment, index, record);`,
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "head-before-copy",
    rule: "R2",
    file: "inbox.js",
    find: `        record.entry = entry;
        record.position = this.#ring.position;
        record.copyFrom(this.#segment, index);
        entries.publishTaking(entry, this.endpoint, record, startedAt);
        this.#ring.release(index);
        entries.publishTaken(entry, this.endpoint);
        if (this.#ring.takeWant())
            this.#room.press();
        return TakeResult.TAKEN;`,
    replace: `        record.entry = entry;
        record.position = this.#ring.position;
        this.#ring.release(index);
        record.copyFrom(this.#segment, index);
        entries.publishTaking(entry, this.endpoint, record, startedAt);
        entries.publishTaken(entry, this.endpoint);
        if (this.#ring.takeWant())
            this.#room.press();
        return TakeResult.TAKEN;`,
    scenario: (inbox) => scenarios.pinned(inbox, 6, 0),
  },
  {
    name: "full-by-plain-compare",
    rule: "R3",
    file: "ring.js",
    find: `            if (((this.#tail + units - this.#head) | 0) > this.#capacity)
                return NO_ROOM;`,
    replace: "            if (this.#tail + units - this.#head > this.#capacity)\n                return NO_ROOM;",
    scenario: (inbox) => scenarios.pinned(inbox, 6, near2to31),
  },
  {
    name: "one-record-too-many",
    rule: "R3",
    file: "ring.js",
    find: "        if (((this.#tail + units - this.#head) | 0) > this.#capacity) {",
    replace: "        if (((this.#tail + units - this.#head) | 0) > this.#capacity + 4) {",
    scenario: (inbox) => scenarios.pinned(inbox, 6, 0),
  },
  {
    name: "no-refresh",
    rule: "R4",
    file: "inbox.js",
    find: "        this.#ring.refresh();\n",
    replace: "",
    scenario: (inbox) => scenarios.jump(inbox),
  },
  {
    name: "pad-is-a-message",
    rule: "R5",
    file: "ring.js",
    find: "if ((metaFlags(this.#words[index + RECORD_META]) & RecordFlag.PAD) === 0)",
    replace: "if (true)",
    scenario: (inbox) => scenarios.pinned(inbox, 6, 0),
  },
  {
    name: "rewind-while-not-empty",
    rule: "R5",
    file: "ring.js",
    find: "        if (this.#head !== this.#tail)\n            return;\n",
    replace: "",
    scenario: (inbox) => scenarios.pinned(inbox, 6, 0),
  },
  {
    name: "want-without-second-look",
    rule: "R6",
    file: "ring.js",
    find: `        store(this.#words, this.#base + RING_WANT, 1);
        this.#head = load(this.#words, this.#base + RING_HEAD);`,
    replace: `        this.#head = load(this.#words, this.#base + RING_HEAD);
        store(this.#words, this.#base + RING_WANT, 1);`,
    scenario: (inbox) => scenarios.pinned(inbox, 6, 0),
  },
  {
    name: "nobody-rings-for-room",
    rule: "R6",
    file: "inbox.js",
    find: `        entries.publishTaken(entry, this.endpoint);
        if (this.#ring.takeWant())
            this.#room.press();
        return TakeResult.TAKEN;`,
    replace: `        entries.publishTaken(entry, this.endpoint);
        return TakeResult.TAKEN;`,
    scenario: (inbox) => scenarios.pinned(inbox, 6, 0),
  },
  {
    name: "mark-before-tail",
    rule: "R7",
    file: "inbox.js",
    find: "        if (this.#ring.publish())\n            this.#doorbell.press();",
    replace: "        this.#doorbell.press();\n        this.#ring.publish();",
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "no-mark",
    rule: "R7",
    file: "inbox.js",
    find: "        if (this.#ring.publish())\n            this.#doorbell.press();",
    replace: "        this.#ring.publish();",
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "summary-before-leaf",
    rule: "R7",
    file: "ready-set.js",
    find: `        if ((or(this.words, leaf, bit) & bit) !== 0)
            return false;
        const summary = this.summary + (member >> 10);
        const summaryBit = 1 << ((member >> 5) & 31);
        if ((load(this.words, summary) & summaryBit) === 0)
            or(this.words, summary, summaryBit);
        return true;`,
    replace: `        const summary = this.summary + (member >> 10);
        const summaryBit = 1 << ((member >> 5) & 31);
        if ((load(this.words, summary) & summaryBit) === 0)
            or(this.words, summary, summaryBit);
        if ((or(this.words, leaf, bit) & bit) !== 0)
            return false;
        return true;`,
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "bits-cleared-after-tail",
    rule: "R8",
    file: "ready-set.js",
    find: "this.#pending[leaf] = this.#pending[leaf] | exchange(this.words, this.leaf + leaf, 0);",
    replace: "this.#pending[leaf] = this.#pending[leaf] | load(this.words, this.leaf + leaf);",
    scenario: (inbox) => scenarios.pinned(inbox, 2, 0),
  },
  {
    name: "no-restore",
    rule: "R9",
    file: "inbox.js",
    find: "        if (!this.#ring.isEmpty())\n            this.#ready.mark(this.endpoint);",
    replace: "",
    scenario: (inbox) => scenarios.shared(inbox, 2, 0),
  },
  {
    name: "never-unmark",
    rule: "R9",
    file: "inbox.js",
    find: "        this.#ready.unmark(this.endpoint);\n",
    replace: "",
    scenario: (inbox) => scenarios.shared(inbox, 2, 0),
  },
  {
    name: "always-unmark",
    rule: "R9",
    file: "inbox.js",
    find: "        if (this.#ring.drained)\n            this.unmarkIfEmpty();",
    replace: "        this.#ready.unmark(this.endpoint);",
    scenario: (inbox) => scenarios.busySibling(inbox, 3),
  },
  {
    name: "summary-without-restore",
    rule: "R10",
    file: "ready-set.js",
    find: `                and(this.words, this.summary + i, ~bit);
                if (load(this.words, leaf) !== 0)
                    or(this.words, this.summary + i, bit);`,
    replace: "                and(this.words, this.summary + i, ~bit);",
    scenario: (inbox) => scenarios.summary(inbox),
  },
  {
    name: "no-lock",
    rule: "R11",
    file: "inbox.js",
    find: "if (load(this.#words, this.#lock) !== 0 || compareExchange(this.#words, this.#lock, 0, this.#owner) !== 0) {",
    replace: "if (false) {",
    scenario: (inbox) => scenarios.shared(inbox, 2, 0),
  },
  {
    name: "lock-by-load-and-store",
    rule: "R11",
    file: "inbox.js",
    find: "compareExchange(this.#words, this.#lock, 0, this.#owner) !== 0) {",
    replace: "(store(this.#words, this.#lock, this.#owner), false)) {",
    scenario: (inbox) => scenarios.shared(inbox, 2, 0),
  },
  {
    name: "lock-kept-by-the-dead",
    rule: "R11",
    file: "inbox.js",
    find: "return compareExchange(words, ringBase + RING_LOCK, owner, 0) === owner;",
    replace: "return load(words, ringBase + RING_LOCK) === owner;",
    scenario: (inbox) => recovery.crash(inbox, 2),
  },
  {
    name: "entry-after-head",
    rule: "R12",
    file: "inbox.js",
    find: `        entries.publishTaking(entry, this.endpoint, record, startedAt);
        this.#ring.release(index);
        entries.publishTaken(entry, this.endpoint);
        if (this.#ring.drained)`,
    replace: `        this.#ring.release(index);
        entries.publishTaking(entry, this.endpoint, record, startedAt);
        entries.publishTaken(entry, this.endpoint);
        if (this.#ring.drained)`,
    scenario: (inbox) => recovery.crash(inbox, 2),
  },
  {
    name: "taking-counts-as-taken",
    rule: "R12",
    file: "in-flight-table.js",
    find: `    if (entry.state !== EntryState.TAKING)
        return false;
    if (load(words, ringBase + RING_HEAD) !== entry.position)
        return false;`,
    replace: "    return false;",
    scenario: (inbox) => recovery.crash(inbox, 2),
  },
  {
    name: "void-by-position-alone",
    rule: "R12",
    file: "in-flight-table.js",
    find: "    if (entry.state !== EntryState.TAKING)\n        return false;\n",
    replace: "",
    scenario: (inbox) => scenarios.openEntry(inbox),
  },
  {
    name: "scan-misses-the-taken",
    rule: "R13",
    file: "in-flight-table.js",
    find: "        if (state === EntryState.FREE)\n            continue;",
    replace: "        if (state !== EntryState.TAKING)\n            continue;",
    scenario: (inbox) => scenarios.cancel(inbox),
  },
  {
    name: "cancelled-not-stored",
    rule: "R13",
    file: "ask-table.js",
    find: "store(this.#words, this.#base + slot, askWord(this.#generations[slot], AskState.CANCELLED));",
    replace: "load(this.#words, this.#base + slot);",
    scenario: (inbox) => scenarios.cancel(inbox),
  },
  {
    name: "no-sibling-rung",
    rule: "R15",
    file: "loop-queues.js",
    find: "    ringSibling() {\n",
    replace: "    ringSibling() {\n        if (this.#loopBit !== 0)\n            return;\n",
    scenario: (inbox) => scenarios.busySibling(inbox, 3),
  },
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
];
