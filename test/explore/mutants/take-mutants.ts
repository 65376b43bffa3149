/** Deliberate bugs of taking and its accounts: R11–R15, R21–R24. */
import type { CaughtMutant } from "../mutants.js";
import * as full from "../scenarios/full-scenarios.js";
import * as scenarios from "../scenarios/inbox-scenarios.js";
import * as overflow from "../scenarios/overflow-scenarios.js";
import * as recovery from "../scenarios/recovery-scenarios.js";
import * as stopping from "../scenarios/stop-scenarios.js";

export const TAKE_MUTANTS: readonly CaughtMutant[] = [
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
    name: "broadcast-head-before-entry",
    rule: "R22",
    file: "inbox.js",
    find: `        entries.publishTaking(entry, endpoint, record, startedAt);
        this.#ring.release(this.#peeked);
`,
    replace: `        this.#ring.release(this.#peeked);
        entries.publishTaking(entry, endpoint, record, startedAt);
`,
    scenario: (inbox) => recovery.broadcasts(inbox, true),
  },
  {
    name: "broadcast-entry-names-an-ask",
    rule: "R22",
    file: "inbox.js",
    find: `        record.askSlot = -1;
        entries.publishTaking(entry, endpoint,`,
    replace: `        entries.publishTaking(entry, endpoint,`,
    scenario: (inbox) => recovery.broadcasts(inbox, true),
  },
  {
    name: "count-kept-by-the-entry",
    rule: "R21",
    file: "in-flight-table.js",
    find: `        words[index + ENTRY_COUNT] = 0;
`,
    replace: ``,
    scenario: (inbox) => recovery.oneWays(inbox, 3),
  },
  {
    name: "count-not-written",
    rule: "R21",
    file: "in-flight-table.js",
    find: `        this.#words[this.#base + TABLE_ENTRIES + entry * ENTRY_WORDS + ENTRY_COUNT] = value;
`,
    replace: ``,
    scenario: (inbox) => recovery.oneWays(inbox, 3),
  },
  {
    name: "lock-without-epoch",
    rule: "R11",
    file: "inbox.js",
    find: `return loop | (epoch << 8);`,
    replace: `return loop;`,
    scenario: (inbox) => recovery.lateRelease(inbox),
  },
  {
    name: "saturated-and-open",
    rule: "R23",
    file: "loop-queues.js",
    find: `        this.shared.mask(endpoint);
        and(set.words, set.open + this.#loopWord, ~this.#loopBit);`,
    replace: `        this.shared.mask(endpoint);
        load(set.words, set.open);`,
    scenario: (inbox) => full.saturated(inbox, 3, "replica"),
  },
  {
    name: "saturated-and-offered",
    rule: "R23",
    file: "loop-queues.js",
    find: `        this.shared.mask(endpoint);
        and(`,
    replace: `        and(`,
    scenario: (inbox) => full.saturated(inbox, 3, "replica"),
  },
  {
    name: "reopened-and-not-rung",
    rule: "R23",
    file: "loop-queues.js",
    find: `        this.shared.unmask(endpoint);
        or(set.words, set.open + this.#loopWord, this.#loopBit);`,
    replace: `        this.shared.unmask(endpoint);
        load(set.words, set.open);`,
    scenario: (inbox) => full.saturated(inbox, 3, "replica"),
  },
  {
    name: "reopened-and-not-offered",
    rule: "R23",
    file: "loop-queues.js",
    find: `        this.shared.unmask(endpoint);
        or(`,
    replace: `        or(`,
    scenario: (inbox) => full.saturated(inbox, 3, "replica"),
  },
  {
    name: "congested-and-open",
    rule: "R23",
    file: "loop-queues.js",
    find: `    parkForMailbox() {
        this.closeShared();
`,
    replace: `    parkForMailbox() {
`,
    scenario: (inbox) => full.saturated(inbox, 3, "loop"),
  },
  {
    name: "congested-and-never-open-again",
    rule: "R23",
    file: "loop-queues.js",
    find: `        if (this.#closed)
            this.openShared();`,
    replace: ``,
    scenario: (inbox) => full.saturated(inbox, 3, "loop"),
  },
  {
    name: "congested-deaf-to-its-mailbox",
    rule: "R23",
    file: "loop-queues.js",
    find: `        if (this.own.isPending(MAILBOX_MEMBER) || this.stopRequested()) {`,
    replace: `        if (this.stopRequested()) {`,
    scenario: (inbox) => overflow.overflow(inbox, 4),
  },
  {
    name: "left-and-open",
    rule: "R24",
    file: "loop-queues.js",
    find: `    leaveShared(endpoint) {
        this.saturate(endpoint);
`,
    replace: `    leaveShared(endpoint) {
        if (endpoint < 0)
            this.saturate(endpoint);
`,
    scenario: (inbox) => stopping.stop(inbox, 2),
  },
];
