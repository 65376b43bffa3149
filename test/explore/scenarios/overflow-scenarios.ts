/**
 * Asks through a ring of two and replies through a ring of two: both sides find no room, and neither waits for it. Then
 * the same with a loop that dies at any step and is started again, as src/dispatcher recovers and restarts it.
 */
import { Overflow, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { MAILBOX_MEMBER } from "../../../dist/src/inbox/loop-queues.js";
import { RecordKind } from "../../../dist/src/inbox/record.js";
import { load, type Memory, type Scenario, sleep, spin, store, type Thread } from "../explorer.js";
import {
  awaitBell,
  ENDPOINT,
  EXITED,
  emptyRegions,
  type Inbox,
  type LoopZeroParts,
  loopPlaces,
  type MessageLoopParts,
  makeLoop,
  makeLoopZero,
  makeRecord,
  makeTracedRecord,
  OUTBOUND,
  parkingOf,
  type Reader,
} from "./inbox-parts.js";
import { checkRing, makeState, type State, scenario, takenGhost, takeOne, type Without } from "./inbox-threads.js";

export type OverflowStep = "owe" | "refill";
export type RestartStep = "drain first" | "restore outbound" | "mark inbox";

const LOOP = 1;

interface OverflowState extends State {
  readonly zero: LoopZeroParts;
  /** Entries whose reply is in the overflow list. */
  readonly owed: number[];
  readonly replied: number[];
  /** Asks that recovery found taken and unanswered. */
  readonly failed: number[];
}

function makeOverflow(inbox: Inbox, memory: Memory): OverflowState {
  const state = makeState(inbox, memory, 1, false, { capacityBytes: 64, outbound: true });
  return { ...state, zero: makeLoopZero(state.places), owed: [], replied: [], failed: [] };
}

function ghost(state: OverflowState): number {
  return [state.replied, state.failed].reduce(
    (sum, ids) => ids.reduce((s, id) => Math.imul(s, 31) + id, Math.imul(sum, 31) + 7),
    takenGhost(state),
  );
}

function checkSettled({ replied, failed }: OverflowState, count: number): void {
  const settled = [...replied, ...failed].sort((a, b) => a - b);
  const all = Array.from({ length: count }, (_, i) => i + 1);
  if (settled.join() !== all.join())
    throw new Error(`of ${count} asks replied: ${replied.join()}; failed: ${failed.join()}`);
}

/** R6, R14 (F12): nobody waits for room, and an entry is owed while its reply is in the overflow list. */
export function overflow(inbox: Inbox, count: number, without?: OverflowStep): Scenario<unknown> {
  return scenario<OverflowState>({
    name: `${count} asks and replies through rings of two`,
    setup: (memory) => makeOverflow(inbox, memory),
    threads: (state) => [askAll(state, count), replyToAll(state, state.loops[0] as MessageLoopParts, count, without)],
    threadNames: ["loop 0", "loop 1"],
    ghost,
    invariant: checkRing,
    final: (state) => checkSettled(state, count),
  });
}

/**
 * R14 (F10, F11), R19: the same, and the loop dies at any step. Loop 0 hears of it in a turn of its own, recovers, and
 * starts it again with empty regions; every ask is replied to or fails, once, and what nobody had taken is served.
 */
export function restart(inbox: Inbox, count: number, without?: OverflowStep | RestartStep): Scenario<unknown> {
  return scenario<OverflowState>({
    name: `${count} asks and replies through rings of two, and the loop dies at any step and starts again`,
    setup: (memory) => makeOverflow(inbox, memory),
    threads: (state) => [
      askAll(state, count, without),
      replyToAll(state, state.loops[0] as MessageLoopParts, count, without),
    ],
    threadNames: ["loop 0", "loop 1"],
    // The next incarnation does not know that it took the last.
    daemons: [1, 2],
    ghost,
    invariant: checkRing,
    crash: {
      threads: [1],
      recover: (state) =>
        nextIncarnation(state, (loop) => {
          state.owed.length = 0;
          return replyToAll(state, loop, count, without);
        }),
    },
    final: (state) => checkSettled(state, count),
  });
}

function outboundOf({ outbound: [reader] }: LoopZeroParts): Reader {
  if (reader === undefined) throw new Error("loop 1 has an outbound ring");
  return reader;
}

function* readReplies({ replied }: OverflowState, zero: LoopZeroParts): Thread {
  const reader = outboundOf(zero);
  while (yield* reader.read(zero.record)) replied.push(zero.record.endpointGeneration);
}

/** Loop 0: posts all asks in one tick, then drains replies whenever it is rung, and never waits for room to do so. */
function* askAll(state: OverflowState, count: number, without?: Without): Thread {
  const { places, producer } = state;
  const { notes } = loopPlaces(places, LOOP);
  let { zero } = state;
  for (let id = 1; id <= count; id++) yield* producer.post(makeTracedRecord(places, id), Overflow.SPILL);
  yield* producer.flush();
  while (state.replied.length + state.failed.length < count) {
    if ((yield* load(notes, EXITED)) === 1) {
      yield* recoverAsks(state, zero, without);
      // New readers for what is new; the ready set and its private bits stay.
      zero = { ...makeLoopZero(places), parker: zero.parker, ready: zero.ready };
      yield* store(notes, EXITED, 2);
    }
    yield* readReplies(state, zero);
    yield* producer.refill();
    if (state.replied.length + state.failed.length < count) yield* awaitBell(zero, notes);
  }
}

/**
 * R6, R19: four messages through a ring of two, and the loop dies at any step and starts again. Loop 0 refills only when
 * it is rung for room, so the bit of that must not be left half set. `without`: recovery leaves it as it is.
 */
export function restartWithSpill(inbox: Inbox, without?: "restore room"): Scenario<unknown> {
  return scenario<OverflowState>({
    name: "4 messages through a ring of two, and the loop dies at any step and starts again",
    setup: (memory) => makeOverflow(inbox, memory),
    threads: (state) => [postAll(state, without), takeAll(state, state.loops[0] as MessageLoopParts)],
    threadNames: ["loop 0", "loop 1"],
    daemons: [0, 1, 2],
    ghost,
    invariant: checkRing,
    crash: { threads: [1], recover: (state) => nextIncarnation(state, (loop) => takeAll(state, loop)) },
    final: (state) => {
      const known = new Set([...(state.taken[0] ?? []), ...state.failed]);
      if (known.size !== 4) throw new Error(`taken by either: ${[...known].join()} of 4`);
    },
  });
}

function* postAll(state: OverflowState, without: Without): Thread {
  const { places, producer, zero } = state;
  const { notes } = loopPlaces(places, LOOP);
  for (let id = 1; id <= 4; id++) yield* producer.post(makeTracedRecord(places, id), Overflow.SPILL);
  yield* producer.flush();
  let recovered = false;
  while (producer.spill.count > 0 || !recovered) {
    if (!recovered && (yield* load(notes, EXITED)) === 1) {
      yield* recoverAsks(state, zero, without);
      yield* store(notes, EXITED, 2);
      recovered = true;
    }
    yield* producer.refill();
    if (producer.spill.count === 0 && state.taken[0]?.length === 4) return;
    if (producer.spill.count > 0 || !recovered) yield* awaitBell(zero, notes);
  }
}

function* takeAll(state: OverflowState, { queues, entries, record, consumer }: MessageLoopParts): Thread {
  for (;;) {
    yield* queues.unpark();
    yield* queues.own.collect();
    while (queues.own.isPending(ENDPOINT)) {
      if ((yield* consumer.take(record, entries, 0)) !== TakeResult.TAKEN) queues.own.settle(ENDPOINT);
      else {
        state.taken[0]?.push(record.endpointGeneration);
        yield* entries.free(record.entry);
      }
    }
    if (yield* queues.park()) yield* sleep();
  }
}

/** The exit is told to loop 0, and the next thread runs when that has recovered. */
function* nextIncarnation({ places }: OverflowState, run: (loop: MessageLoopParts) => Thread): Thread {
  const { notes } = loopPlaces(places, LOOP);
  yield* store(notes, EXITED, 1);
  yield* parkingOf(places).notifyUnconditionally(0);
  while ((yield* load(notes, EXITED)) !== 2) yield* spin();
  yield* run(makeLoop(places, LOOP, false, 2));
}

/** Drain, judge, fail; then empty regions, and every bit that the dead one may have left half set. */
function* recoverAsks(state: OverflowState, zero: LoopZeroParts, without: Without): Thread {
  const { places } = state;
  const { inbox, ring } = places;
  if (without !== "drain first") yield* readReplies(state, zero);
  for (const entry of yield* inbox.readInFlightEntries(loopPlaces(places, LOOP).entries, 0)) {
    const isVoid = yield* inbox.isVoidEntry(entry, ring.words, 0, null);
    if (!isVoid && !state.replied.includes(entry.askGeneration)) state.failed.push(entry.askGeneration);
  }
  if (without === "drain first") yield* readReplies(state, zero);
  emptyRegions(places, LOOP);
  const zeroReady = new inbox.ReadySet(places.zeroReady, 0, 1_024);
  if (without !== "restore outbound") yield* zeroReady.restore(OUTBOUND + LOOP);
  if (without !== "restore room") yield* zeroReady.restore(ENDPOINT);
  if (without !== "mark inbox") yield* new inbox.ReadySet(loopPlaces(places, LOOP).ready, 0, 1_024).restore(ENDPOINT);
  yield* parkingOf(places).notifyUnconditionally(LOOP);
}

/** Loop 1: handler-runner.ts and outbound.ts. Ends when it has taken all; the next incarnation sleeps instead. */
function* replyToAll(state: OverflowState, loop: MessageLoopParts, count: number, without: Without): Thread {
  const { queues, entries, record, outbound } = loop;
  const own = { ...state, loops: [loop] };
  for (;;) {
    yield* queues.unpark();
    yield* queues.own.collect();
    if (queues.own.isPending(MAILBOX_MEMBER)) queues.own.settle(MAILBOX_MEMBER);
    if (outbound.congested && without !== "refill" && (yield* outbound.refill())) {
      for (const entry of state.owed.splice(0)) yield* entries.free(entry);
    }
    while (!outbound.congested && queues.own.isPending(ENDPOINT)) {
      if ((yield* takeOne(own, 0)) !== TakeResult.TAKEN) {
        queues.own.settle(ENDPOINT);
        break;
      }
      const reply = makeRecord(state.places, record.endpointGeneration);
      reply.kind = RecordKind.REPLY;
      yield* outbound.post(reply, Overflow.FORCE);
      yield* outbound.flush();
      if (outbound.congested && without !== "owe") state.owed.push(record.entry);
      else yield* entries.free(record.entry);
    }
    if (state.taken[0]?.length === count && !outbound.congested) return;
    if (yield* outbound.congested ? queues.parkForMailbox() : queues.park()) yield* sleep();
  }
}
