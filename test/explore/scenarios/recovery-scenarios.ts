/**
 * What a loop leaves behind when it dies at any step, and what loop 0 makes of it: R11, R12, R16, R19, R21, R22.
 * `recoverLoop` is what src/dispatcher/crash-recovery.ts does with shared memory, in its order.
 */
import { Overflow, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { ENTRY_WORDS, RING_OPEN, TABLE_COUNT, TABLE_ENTRIES } from "../../../dist/src/inbox/layout.js";
import { RecordKind } from "../../../dist/src/inbox/record.js";
import { and, type Memory, runNow, type Scenario, spin, type Thread, turn, write } from "../explorer.js";
import {
  awaitBell,
  ENDPOINT,
  emptyRegions,
  HANDLED,
  type Inbox,
  type LoopZeroParts,
  loopPlaces,
  type MessageLoopParts,
  makeLoop,
  makeLoopZero,
  makeRecord,
  makeTracedRecord,
  parkingOf,
  type Reader,
} from "./inbox-parts.js";
import {
  allTaken,
  checkRing,
  expectExactly,
  makeState,
  post,
  type State,
  scenario,
  sharedLoop,
  takenGhost,
  takeOne,
  type Without,
} from "./inbox-threads.js";

const MEMBERS = 1_024;
/** The one that dies. */
const LOOP = 1;
const LOOP_BIT = 1 << LOOP;

interface CrashState extends State {
  /** Ids that recovery found in entries of the dead loop. */
  readonly lost: number[];
}

export type RecoveryStep =
  | "judge"
  | "release"
  | "restore"
  | "notify"
  | "own bits"
  | "open and own bits"
  | "empty regions";

/** Steps 2, 3, 5 and 6 of crash-recovery.ts. */
function* recoverShared(state: CrashState, without: Without): Thread {
  const { places } = state;
  const { inbox, ring } = places;
  const owner = inbox.lockOwner(LOOP, 1);
  for (const entry of yield* inbox.readInFlightEntries(loopPlaces(places, LOOP).entries, 0)) {
    if (without === "judge" || !(yield* inbox.isVoidEntry(entry, ring.words, 0, owner)))
      state.lost.push(entry.askGeneration);
  }
  if (without !== "release") yield* inbox.releaseDeadLock(ring.words, 0, owner);
  if (without !== "open and own bits") yield* and(ring.words, RING_OPEN, ~LOOP_BIT);
  if (without !== "restore") yield* new inbox.ReadySet(places.groupReady, 0, MEMBERS).restore(ENDPOINT);
  const parking = parkingOf(places);
  if (without !== "own bits" && without !== "open and own bits") yield* parking.notifyUnconditionally(LOOP);
  if (without !== "notify") yield* parking.notifyUnconditionally(2);
}

export interface CrashOptions {
  /** Where the Inbox starts: at 8 units its first record comes behind a PAD. */
  readonly position?: number;
  readonly without?: RecoveryStep;
}

/** R11, R12, R16, R19: loop 1 may die anywhere. What it had taken is in an entry of its; everything else loop 2 takes. */
export function crash(inbox: Inbox, count: number, { position = 0, without }: CrashOptions = {}): Scenario<unknown> {
  return scenario<CrashState>({
    name: `${count} messages from position ${position}, and loop 1 dies at any step`,
    setup: (memory) => ({ ...makeState(inbox, memory, 2, true, { position }), lost: [] }),
    threads: (state) => [post(state, count), sharedLoop(state, 0), sharedLoop(state, 1)],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: (state) => takenGhost(state) + lostGhost(state),
    crash: { threads: [1], recover: (state) => recoverShared(state, without) },
    final: (state) => checkAccounts(state, count),
  });
}

function lostGhost(state: CrashState): number {
  return state.lost.reduce((sum, id) => Math.imul(sum, 31) + id, 0) * 1_001;
}

function checkAccounts(state: CrashState, count: number): void {
  const { lost } = state;
  const finished = new Set([...allTaken(state), ...lost]);
  const missing = Array.from({ length: count }, (_, i) => i + 1).filter((id) => !finished.has(id));
  if (missing.length > 0) throw new Error(`neither taken nor accounted for: ${missing.join()}`);
  const twice = state.taken.slice(1).flatMap((ids) => ids.filter((id) => lost.includes(id)));
  if (twice.length > 0) throw new Error(`run by another loop and reported as lost with loop 1: ${twice.join()}`);
}

/**
 * R11, R19, R20: the same, and loop 1 comes back with the next epoch while loop 2 may sleep. The first message that
 * the new incarnation takes never ends, so loop 2 must get what is left.
 */
export function rejoin(inbox: Inbox, count: number, without?: RecoveryStep): Scenario<unknown> {
  return scenario<CrashState & { again: State | null }>({
    name: `${count} messages, loop 1 dies at any step and joins again`,
    setup: (memory) => ({ ...makeState(inbox, memory, 2, true), lost: [], again: null }),
    threads: (state) => [post(state, count), sharedLoop(state, 0), sharedLoop(state, 1)],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2, 3],
    ghost: (state) => takenGhost(state) + lostGhost(state),
    crash: {
      threads: [1],
      *recover(state): Thread {
        yield* recoverShared(state, without);
        const { places } = state;
        if (without !== "empty regions") emptyRegions(places, LOOP);
        // What the dead incarnation took is told apart from what the new one takes: both are loop 1.
        state.taken.push([]);
        const loops = [...state.loops, makeLoop(places, LOOP, true, 2)];
        yield* sharedLoop({ ...state, loops }, 2, { busyWithFirst: true });
      },
    },
    final: (state) => {
      checkAccounts(state, count);
      const open = liveEntries(loopPlaces(state.places, LOOP).entries);
      const running = state.taken[2]?.length ?? -1;
      if (running >= 0 && open !== running)
        throw new Error(`${running} handlers of loop 1 run, ${open} entries are open`);
    },
  });
}

function liveEntries(entries: Int32Array): number {
  let open = 0;
  for (let i = 0; i < (entries[TABLE_COUNT] as number); i++) if (entries[TABLE_ENTRIES + i * ENTRY_WORDS] !== 0) open++;
  return open;
}

/** R11: the take lock names the epoch, so whoever frees a dead loop's lock once more, late, frees nobody else's. */
export function lateRelease(inbox: Inbox): Scenario<unknown> {
  return scenario<State>({
    name: "a dead loop's lock is freed once more while its next incarnation takes",
    setup: (memory) => {
      const state = makeState(inbox, memory, 2, true);
      return { ...state, loops: [makeLoop(state.places, LOOP, true, 2), state.loops[1] as MessageLoopParts] };
    },
    threads: (state) => [
      post(state, 2),
      sharedLoop(state, 0),
      sharedLoop(state, 1),
      (function* (): Thread {
        yield* inbox.releaseDeadLock(state.places.ring.words, 0, inbox.lockOwner(LOOP, 1));
      })(),
    ],
    threadNames: ["loop 0", "loop 1", "loop 2", "recovery"],
    daemons: [1, 2],
    ghost: takenGhost,
    invariant: checkRing,
    final: (state) => expectExactly(state, 2),
  });
}

// ── One-way messages: accepted = handled + failed + dead letters ──────────────────────────────────────────────────────

/** The handler of this message throws. */
const FAILING = 2;

export type CountStep = "mark" | "mark first" | "remember failure" | "add the missing" | "mailbox";

interface OneWayState extends State {
  /** Made anew with the regions of a restarted loop. */
  zero: LoopZeroParts;
  /** Fates by id, each as loop 0 has learned it. */
  readonly handled: number[];
  readonly failed: number[];
  readonly dead: number[];
  /** Handlers that ended well, whoever knows it. */
  readonly ran: number[];
}

function makeOneWays(inbox: Inbox, memory: Memory, capacityBytes: number): OneWayState {
  const state = makeState(inbox, memory, 1, false, { mailbox: true, outbound: true, capacityBytes });
  return { ...state, zero: makeLoopZero(state.places), handled: [], failed: [], dead: [], ran: [] };
}

function oneWayGhost(state: OneWayState): number {
  const lists = [state.handled, state.failed, state.dead, state.ran];
  return lists.reduce((sum, ids) => ids.reduce((s, id) => Math.imul(s, 31) + id, Math.imul(sum, 7) + 1), 1);
}

/** Handler and accounts of a taken message, as handler-runner.ts has them: mark, count, free, or report and free. */
function* handleOneWay(state: OneWayState, loop: MessageLoopParts, failing: number, without: Without): Thread {
  const { places } = state;
  const { record, entries, outbound } = loop;
  const id = record.endpointGeneration;
  const counter = loopPlaces(places, LOOP).notes;
  yield* turn();
  if (id === failing) {
    const report = new places.inbox.OutgoingRecord();
    report.setHeaderOnly(RecordKind.SEND_FAILED, ENDPOINT, record.position, record.entry);
    report.endpointGeneration = id;
    yield* outbound.post(report, Overflow.FORCE);
    yield* outbound.flush();
  } else {
    state.ran.push(id);
    const value = (counter[HANDLED] as number) + 1;
    if (without !== "mark" && without !== "mark first") loop.entries.markCounted(record.entry, value);
    yield* turn();
    write(counter, HANDLED, value);
    state.handled.push(id);
    yield* turn();
    if (without === "mark first") loop.entries.markCounted(record.entry, value);
  }
  yield* entries.free(record.entry);
}

/** Outbound ring drained, entries judged: what the dead loop had counted, what it had failed, and the rest is lost. */
function* recoverOneWays(state: OneWayState, without: Without): Thread {
  const { places, zero } = state;
  const { inbox, ring } = places;
  const failures = new Map<number, number>();
  const { record } = zero;
  while (yield* outboundOf(zero).read(record)) {
    state.failed.push(record.endpointGeneration);
    failures.set(record.sender, record.askGeneration);
  }
  const { entries, notes, mailbox } = loopPlaces(places, LOOP);
  for (const entry of yield* inbox.readInFlightEntries(entries, 0)) {
    if (entry.askSlot !== -1) throw new Error(`entry ${entry.index} of a one-way message names ask ${entry.askSlot}`);
    const byMailbox = entry.kind === RecordKind.BROADCAST && without !== "mailbox";
    if (yield* inbox.isVoidEntry(entry, byMailbox ? mailbox.words : ring.words, 0, null)) continue;
    if (entry.count !== 0) {
      // The counter lacks this one, or has it already.
      if (((entry.count - (notes[HANDLED] as number)) | 0) > 0 && without !== "add the missing") {
        write(notes, HANDLED, entry.count);
        state.handled.push(entry.askGeneration);
      }
    } else if (without === "remember failure" || failures.get(entry.index) !== entry.position) {
      state.dead.push(entry.askGeneration);
    }
  }
}

function checkOneWays(state: OneWayState, count: number): void {
  const { handled, failed, dead, ran } = state;
  const counted = loopPlaces(state.places, LOOP).notes[HANDLED] as number;
  const text = `handled ${handled.join()} (counted ${counted}), failed ${failed.join()}, dead letters ${dead.join()}`;
  const fates = [...handled, ...failed, ...dead].sort((a, b) => a - b);
  const all = Array.from({ length: count }, (_, i) => i + 1);
  if (fates.join() !== all.join() || counted !== handled.length) throw new Error(`accepted ${all.join()}: ${text}`);
  const never = handled.filter((id) => !ran.includes(id));
  if (never.length > 0) throw new Error(`counted as handled, and never were: ${never.join()}; ${text}`);
}

function outboundOf({ outbound: [reader] }: LoopZeroParts): Reader {
  if (reader === undefined) throw new Error("loop 1 has an outbound ring");
  return reader;
}

/** R21: a loop dies at any step of a one-way message, and each accepted message is in the accounts once. */
export function oneWays(inbox: Inbox, count: number, without?: CountStep): Scenario<unknown> {
  function* serve(state: OneWayState, loop: MessageLoopParts, left: number): Thread {
    while (left > 0) {
      if ((yield* takeOne({ ...state, loops: [loop] }, 0)) !== TakeResult.TAKEN) yield* spin();
      else {
        left--;
        yield* handleOneWay(state, loop, FAILING, without);
      }
    }
  }
  return scenario<OneWayState>({
    name: `${count} one-way messages, the second fails, and their loop dies at any step`,
    setup: (memory) => makeOneWays(inbox, memory, 128),
    threads: (state) => [
      (function* (): Thread {
        for (let id = 1; id <= count; id++) {
          yield* state.producer.post(makeTracedRecord(state.places, id), Overflow.SPILL);
          yield* state.producer.flush();
          while (!(yield* state.producer.refill())) yield* spin();
        }
      })(),
      serve(state, state.loops[0] as MessageLoopParts, count),
    ],
    threadNames: ["loop 0", "loop 1"],
    ghost: oneWayGhost,
    crash: {
      threads: [1],
      *recover(state): Thread {
        yield* recoverOneWays(state, without);
        emptyRegions(state.places, LOOP);
        state.zero = makeLoopZero(state.places);
        // Taken by the dead one: what it did with them is in the accounts.
        state.taken[0] = [];
        const known = state.handled.length + state.failed.length + state.dead.length;
        yield* serve(state, makeLoop(state.places, LOOP, false, 2), count - known);
      },
    },
    final: (state) => {
      const { zero } = state;
      while (runNow(outboundOf(zero).read(zero.record))) state.failed.push(zero.record.endpointGeneration);
      checkOneWays(state, count);
    },
  });
}

/**
 * R22: broadcasts reach replicas by mailbox, with an entry that is judged against the mailbox's HEAD; a control record
 * goes without. What a dead loop leaves in its mailbox is a dead letter.
 */
export function broadcasts(inbox: Inbox, dies: boolean, without?: CountStep): Scenario<unknown> {
  return scenario<OneWayState>({
    name: `two broadcasts and a control record by mailbox${dies ? ", and their loop dies at any step" : ", through a ring of two"}`,
    setup: (memory) => makeOneWays(inbox, memory, dies ? 128 : 64),
    threads: (state) => [postBroadcasts(state), readMailbox(state, without)],
    threadNames: ["loop 0", "loop 1"],
    ghost: oneWayGhost,
    crash: { threads: dies ? [1] : [], recover: (state) => recoverOneWays(state, without) },
    final: (state) => {
      const { mailbox, record } = makeLoop(state.places, LOOP, false, 2);
      while (runNow(mailbox.read(record)))
        if (record.kind === RecordKind.BROADCAST) state.dead.push(record.endpointGeneration);
      checkOneWays(state, 2);
    },
  });
}

function* postBroadcasts({ places, zero }: OneWayState): Thread {
  const [mailbox] = zero.mailboxes;
  if (mailbox === undefined) throw new Error("loop 1 has a mailbox");
  for (const id of [1, 2])
    yield* mailbox.post(makeTracedRecord(places, id, RecordKind.BROADCAST, ENDPOINT), Overflow.FORCE);
  yield* mailbox.post(makeRecord(places, 0).setHeaderOnly(RecordKind.CANCEL, 9), Overflow.FORCE);
  yield* mailbox.flush();
  while (mailbox.spill.count > 0) {
    yield* awaitBell(zero);
    yield* mailbox.refill();
  }
}

/** As message-loop.ts reads it: a record that starts a handler is claimed, any other given back at once. */
function* readMailbox(state: OneWayState, without: Without): Thread {
  const loop = state.loops[0] as MessageLoopParts;
  const { record, entries, mailbox } = loop;
  for (let left = 3; left > 0; ) {
    if (!(yield* mailbox.peek(record))) {
      yield* spin();
      continue;
    }
    left--;
    if (record.kind !== RecordKind.BROADCAST) yield* mailbox.release();
    else {
      const endpoint = yield* mailbox.claim(record, entries, 0);
      if (endpoint !== ENDPOINT) throw new Error(`claimed for endpoint ${endpoint}`);
      yield* handleOneWay(state, loop, -1, without);
    }
  }
}
