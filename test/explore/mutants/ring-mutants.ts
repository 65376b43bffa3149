/** Deliberate bugs of the ring and the ready sets: R1–R10. */
import type { CaughtMutant } from "../mutants.js";
import * as full from "../scenarios/full-scenarios.js";
import * as scenarios from "../scenarios/inbox-scenarios.js";
import * as overflow from "../scenarios/overflow-scenarios.js";
import * as recovery from "../scenarios/recovery-scenarios.js";

const near2to31 = 0x7fff_fff8;

export const RING_MUTANTS: readonly CaughtMutant[] = [
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
    name: "full-before-flush",
    rule: "R6",
    file: "inbox.js",
    find: `            this.flush();
            if (this.#ring.wantRoom(recordUnits(record.length)) && this.writeToRing(record))
                return PostResult.ACCEPTED;`,
    replace: `            if (this.#ring.wantRoom(recordUnits(record.length)) && this.writeToRing(record))
                return PostResult.ACCEPTED;`,
    scenario: (inbox) => full.burst(inbox, 4),
  },
  {
    name: "nobody-rings-for-room-of-a-mailbox",
    rule: "R6",
    file: "inbox.js",
    find: `    release() {
        this.#ring.release(this.#peeked);
        if (this.#ring.takeWant())
            this.#room.press();`,
    replace: `    release() {
        this.#ring.release(this.#peeked);`,
    scenario: (inbox) => overflow.overflow(inbox, 4),
  },
  {
    name: "nobody-rings-for-room-of-a-claimed-record",
    rule: "R6",
    file: "inbox.js",
    find: `        entries.publishTaken(entry, endpoint);
        if (this.#ring.takeWant())
            this.#room.press();`,
    replace: `        entries.publishTaken(entry, endpoint);`,
    scenario: (inbox) => recovery.broadcasts(inbox, false),
  },
  {
    name: "nobody-rings-for-room-of-a-shared-inbox",
    rule: "R6",
    file: "inbox.js",
    find: `        if (wanted)
            this.#room.press();`,
    replace: ``,
    scenario: (inbox) => full.sharedSpill(inbox, 5),
  },
  {
    name: "refill-overtaken",
    rule: "R6",
    file: "inbox.js",
    find: `        if (this.#spill.count === 0 && !this.held) {`,
    replace: `        if (!this.held) {`,
    scenario: (inbox) => full.spillOrder(inbox, 4),
  },
  {
    name: "entry-before-pad",
    rule: "R5",
    file: "ring.js",
    find: `            this.#head = (this.#head + this.#capacity - offset) | 0;
            store(this.#words, this.#base + RING_HEAD, this.#head);
`,
    replace: `            this.#head = (this.#head + this.#capacity - offset) | 0;
`,
    scenario: (inbox) => recovery.crash(inbox, 2, { position: 8 }),
  },
];
