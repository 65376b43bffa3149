/**
 * What is watched, and by what. From this and the mutants, coverage.test.ts writes coverage.md; a rule, a flaw of the
 * prototype or a pitfall without a scenario or a test is red.
 */

/** Names of mutants, "guard: …" of guards.ts, or "file › start of a test's title". */
export interface Watched {
  readonly id: string;
  readonly what: string;
  readonly by: readonly string[];
}

/** Mutants of src/dispatcher that real threads catch, by the test that builds and runs them. */
export const THREAD_MUTANTS: readonly { rule: string; name: string; file: string; test: string }[] = [
  {
    rule: "R18",
    name: "no-second-look",
    file: "poster.ts",
    test: "test/integration/eaten-bells.test.ts › does not look again",
  },
  {
    rule: "R18",
    name: "no-look-in-the-sweep",
    file: "poster.ts",
    test: "test/integration/eaten-bells.test.ts › looks again a millisecond later, and not in its sweeps",
  },
];

const PROCESS = "test/integration/process.test.ts";
const CRASH = "test/integration/crash.test.ts";
const TIDY = "test/tidy.test.ts";

/** Flaws that a throwaway prototype of the protocol had, each once reproduced or reasoned out. */
export const FLAWS: readonly Watched[] = [
  {
    id: "F1",
    what: "the bit of a shared Inbox is cleared while messages are left, or left set so that nobody is rung",
    by: ["always-unmark", "never-unmark", "no-restore", "no-sibling-rung"],
  },
  {
    id: "F2",
    what: "a bell for shared work is eaten by a loop that serves its own endpoint first",
    by: ["own-work-before-the-bell-is-passed-on"],
  },
  {
    id: "F3",
    what: "a turn has no bound in time (not shared memory)",
    by: ["guard: a turn without a bound in time"],
  },
  {
    id: "F4",
    what: "a loop that sleeps is deaf to its timers, sockets and control port: it never sits in Atomics.wait",
    by: [`${PROCESS} › still runs the timers and sockets`, `${TIDY} › Atomics`],
  },
  {
    id: "F5",
    what: "bounded waits burn a core with many loops: no time-out on a wait",
    by: [`${PROCESS} › uses next to no processor while idle`, "guard: armed with a timeout"],
  },
  { id: "F6", what: "a burst fills a ring whose consumer was never told", by: ["full-before-flush"] },
  {
    id: "F7",
    what: "a bit is settled though its ring was not seen empty",
    by: ["settled-and-not-seen-empty", "bits-cleared-after-tail"],
  },
  { id: "F8", what: "a stale PARKED bit draws a bell to a busy loop", by: ["stale-parked-bit"] },
  {
    id: "F9",
    what: "the packer moves to another buffer (not shared memory)",
    by: ["test/unit/rpc/codec-neighbours.test.ts › what others pack is not overwritten"],
  },
  { id: "F10", what: "an entry is freed before its reply is published", by: ["entry-freed-before-its-reply"] },
  {
    id: "F11",
    what: "a death between entry and HEAD leaves a message both taken and queued",
    by: ["taking-counts-as-taken", "void-by-position-alone", "entry-after-head", "entries-not-judged"],
  },
  {
    id: "F12",
    what: "both rings are full and each side waits for the other",
    by: ["overflow-never-refilled", "congested-deaf-to-its-mailbox", "nobody-rings-for-room-of-a-mailbox"],
  },
  { id: "F13", what: "a waiter is armed twice, poll chains pile up", by: ["armed-twice", "guard: armed twice"] },
  { id: "F14", what: "the slack does not cover the largest inline record", by: ["guard: no slack behind the ring"] },
  {
    id: "F15",
    what: "a sleeper is rung beside a spinner, or a spinner that is none is trusted",
    by: ["spin-bit-kept"],
  },
  {
    id: "F16",
    what: "deadlines are compared with a stale clock (not shared memory)",
    by: ["guard: deadlines by the clock of an earlier message"],
  },
];

/** The pitfalls of rings in shared memory under Node that our code can meet. */
export const PITFALLS: readonly Watched[] = [
  {
    id: "1",
    what: "a native unpacker on shared memory: records are copied to private memory, and the codec refuses any other",
    by: ["guard: decodes shared memory"],
  },
  { id: "2", what: "decoded bytes alias memory that is used again", by: ["guard: decoded bytes alias the scratch"] },
  {
    id: "3",
    what: "sleep without a second look; a wake taken as proof",
    by: ["park-without-second-look", "bit-before-waiter", "want-without-second-look"],
  },
  {
    id: "4",
    what: "positions compared for equality or by plain size",
    by: ["full-by-plain-compare", "no-refresh"],
  },
  {
    id: "5",
    what: "waitAsync keeps no event loop alive: a loop's control port holds its thread, a timer the process",
    by: [
      "test/integration/idle-threads.test.ts › a thread that nothing holds is gone in its sleep",
      "guard: an environment that does not hold its process",
    ],
  },
  {
    id: "6",
    what: "waitAsync with a time-out, or armed twice",
    by: ["armed-twice", "guard: armed twice", "guard: armed with a timeout"],
  },
  {
    id: "7",
    what: "Atomics.wait: the seam has none, and nobody else may name Atomics",
    by: [`${TIDY} › Atomics`, `${PROCESS} › still runs the timers and sockets`],
  },
  {
    id: "8",
    what: "mutual blocking on full rings: no post waits, it spills or refuses",
    by: ["overflow-never-refilled", "nobody-rings-for-room-of-a-mailbox", "nobody-rings-for-room"],
  },
  {
    id: "9",
    what: "a producer dies between claim and commit: one producer a ring, nothing is visible before TAIL; judged after exit",
    by: [
      "tail-before-record",
      "entries-judged-before-replies-are-read",
      `${CRASH} › a serial endpoint: the message it had`,
    ],
  },
  {
    id: "10",
    what: "wrap-around: slack, no split record, positions that start near 2^31 and 2^32",
    by: ["guard: no slack behind the ring", "one-record-too-many", "pad-is-a-message", "entry-before-pad"],
  },
  {
    id: "11",
    what: "a notify for each message",
    by: [
      "woken-though-another-won",
      "guard: everybody notifies",
      "test/integration/costs.test.ts › a burst of messages",
    ],
  },
  { id: "12", what: "copies of shared memory that are not 8-aligned", by: ["guard: payloads from an odd address"] },
  { id: "13", what: "shared memory for each message", by: ["guard: shared memory for each message"] },
  { id: "14", what: "queues without a bound, trusting in resourceLimits", by: ["guard: spill without a bound"] },
  {
    id: "15",
    what: "boxed control words, a port for each lane",
    by: ["guard: control words of 64 bits", "guard: a port for each endpoint"],
  },
];
