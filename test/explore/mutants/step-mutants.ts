/** Steps of src/dispatcher that the protocol needs, each left out of a scenario that must miss it. */
import type { StepMutant } from "../mutants.js";
import * as full from "../scenarios/full-scenarios.js";
import * as overflow from "../scenarios/overflow-scenarios.js";
import * as recovery from "../scenarios/recovery-scenarios.js";
import * as stopping from "../scenarios/stop-scenarios.js";

const CRASH_RECOVERY = "crash-recovery.ts";
const STOPPER = "endpoint-stopper.ts";
const LOOP = "message-loop.ts";
const POSTER = "poster.ts";

export const STEP_MUTANTS: readonly StepMutant[] = [
  {
    name: "settled-and-not-seen-empty",
    rule: "R8",
    file: LOOP,
    scenario: (inbox) => full.throughput(inbox, 4, "see it empty"),
  },
  {
    name: "own-work-before-the-bell-is-passed-on",
    rule: "R15",
    file: LOOP,
    scenario: (inbox) => full.eatenWake(inbox, "ring sibling"),
  },
  {
    name: "no-second-look",
    rule: "R18",
    file: POSTER,
    scenario: (inbox) => full.deaf(inbox, ["asleep"], "look again"),
  },
  {
    name: "no-look-in-the-sweep",
    rule: "R18",
    file: POSTER,
    scenario: (inbox) => full.deaf(inbox, ["asleep", "asleep"], "go on looking"),
  },
  {
    name: "spinner-trusted-for-ever",
    rule: "R18",
    file: "main-loop-memory.ts",
    scenario: (inbox) => full.deaf(inbox, ["spinning"], "ring beside a spinner"),
  },
  {
    name: "entry-freed-before-its-reply",
    rule: "R14",
    file: "outbound.ts",
    scenario: (inbox) => overflow.restart(inbox, 4, "owe"),
  },
  {
    name: "overflow-never-refilled",
    rule: "R6",
    file: "outbound.ts",
    scenario: (inbox) => overflow.overflow(inbox, 4, "refill"),
  },
  {
    name: "entries-judged-before-replies-are-read",
    rule: "R14",
    file: CRASH_RECOVERY,
    scenario: (inbox) => overflow.restart(inbox, 4, "drain first"),
  },
  {
    name: "outbound-bit-not-restored",
    rule: "R19",
    file: "main-loop-memory.ts",
    scenario: (inbox) => overflow.restart(inbox, 4, "restore outbound"),
  },
  {
    name: "room-bit-not-restored",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => overflow.restartWithSpill(inbox, "restore room"),
  },
  {
    name: "inbox-of-a-restarted-loop-not-marked",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => overflow.restart(inbox, 4, "mark inbox"),
  },
  {
    name: "entries-not-judged",
    rule: "R12",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.crash(inbox, 2, { without: "judge" }),
  },
  {
    name: "lock-not-released",
    rule: "R11",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.crash(inbox, 2, { without: "release" }),
  },
  {
    name: "shared-bits-not-restored",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.crash(inbox, 2, { without: "restore" }),
  },
  {
    name: "sleepers-not-notified",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.crash(inbox, 2, { without: "notify" }),
  },
  {
    name: "dead-and-open",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.crash(inbox, 2, { without: "open and own bits" }),
  },
  {
    name: "bits-of-the-dead-kept",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.rejoin(inbox, 2, "own bits"),
  },
  {
    name: "entries-of-the-dead-kept",
    rule: "R19",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.rejoin(inbox, 2, "empty regions"),
  },
  {
    name: "handled-and-not-marked",
    rule: "R21",
    file: "handler-runner.ts",
    scenario: (inbox) => recovery.oneWays(inbox, 3, "mark"),
  },
  {
    name: "counted-before-it-is-marked",
    rule: "R21",
    file: "handler-runner.ts",
    scenario: (inbox) => recovery.oneWays(inbox, 3, "mark first"),
  },
  {
    name: "reported-failure-counted-again",
    rule: "R21",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.oneWays(inbox, 3, "remember failure"),
  },
  {
    name: "marked-and-never-counted",
    rule: "R21",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.oneWays(inbox, 3, "add the missing"),
  },
  {
    name: "broadcast-judged-against-its-inbox",
    rule: "R22",
    file: CRASH_RECOVERY,
    scenario: (inbox) => recovery.broadcasts(inbox, true, "mailbox"),
  },
  {
    name: "stop-without-quiesce",
    rule: "R24",
    file: STOPPER,
    scenario: (inbox) => stopping.stop(inbox, 2, "quiesce"),
  },
  {
    name: "onstop-after-the-first-answer",
    rule: "R24",
    file: STOPPER,
    scenario: (inbox) => stopping.stop(inbox, 2, "wait for all"),
  },
  {
    name: "quiesced-beside-a-handler",
    rule: "R24",
    file: LOOP,
    scenario: (inbox) => stopping.stop(inbox, 2, "wait for handlers"),
  },
  {
    name: "stopped-and-still-open",
    rule: "R24",
    file: LOOP,
    scenario: (inbox) => stopping.stop(inbox, 2, "leave"),
  },
];
