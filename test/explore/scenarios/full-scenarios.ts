/**
 * What happens when there is no room or no hand: saturated replicas, congested loops, spill towards an Inbox, rewind
 * beside sleepers, and bells that others ate. Overflow towards loop 0: overflow-scenarios.ts.
 */
import { Overflow, PostResult, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { RING_OPEN } from "../../../dist/src/inbox/layout.js";
import { MAILBOX_MEMBER } from "../../../dist/src/inbox/loop-queues.js";
import { exchange, idle, load, type Scenario, sleep, spin, store, type Thread, turn } from "../explorer.js";
import {
  awaitBell,
  ENDPOINT,
  type Inbox,
  LOOPS_MAX,
  type LoopZeroParts,
  loopPlaces,
  type MessageLoopParts,
  mailboxDoorbell,
  makeLoopZero,
  makeProducer,
  makeTracedRecord,
  parkingOf,
} from "./inbox-parts.js";
import {
  allTaken,
  checkRing,
  expectExactly,
  makeState,
  pinnedLoop,
  post,
  type State,
  scenario,
  sharedLoop,
  takenGhost,
  takeOne,
} from "./inbox-threads.js";

// ── No hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Note: a handler of the loop runs. */
const RUNNING = 2;

/** How a loop that can take no more stands aside: one replica of it, or the whole loop. */
export type Aside = "replica" | "loop";

/**
 * R15, R23: each loop takes one message at a time and says so by its OPEN bit; its handler ends when nothing else
 * happens. Loop 0 posts again when all is quiet: whoever has room by then must hear of it.
 */
export function saturated(inbox: Inbox, count: number, aside: Aside): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages to two loops that take one at a time, a full ${aside} stands aside`,
    setup: (memory) => makeState(inbox, memory, 2, true),
    threads: (state) => [
      postLate(state, count),
      asideLoop(state, 0, aside),
      asideLoop(state, 1, aside),
      endHandlers(state, count),
    ],
    threadNames: ["loop 0", "loop 1", "loop 2", "timers"],
    daemons: [1, 2],
    ghost: takenGhost,
    final: (state) => expectExactly(state, count),
  });
}

/** Posts all but the last message at once, and that when nobody has anything to do. */
function* postLate(state: State, count: number): Thread {
  const { places, producer } = state;
  for (let id = 1; id <= count; id++) {
    if (id === count) yield* idle();
    yield* producer.post(makeTracedRecord(places, id), Overflow.SPILL);
    yield* producer.flush();
  }
}

function* asideLoop(state: State, index: number, aside: Aside): Thread {
  const { queues, entries, record } = state.loops[index] as MessageLoopParts;
  yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0, LOOPS_MAX - 1);
  for (;;) {
    yield* queues.unpark();
    const result = (yield* queues.shared.next()) === -1 ? TakeResult.EMPTY : yield* takeOne(state, index);
    if (result === TakeResult.BUSY) yield* spin();
    else if (result === TakeResult.TAKEN) {
      yield* queues.ringSibling();
      const { entry } = record;
      if (aside === "replica") yield* queues.saturate(ENDPOINT);
      yield* runAside(state, index, aside);
      yield* entries.free(entry);
      if (aside === "replica") yield* queues.reopen(ENDPOINT);
    } else if (yield* queues.park()) yield* sleep();
  }
}

/** The handler runs on; its loop sleeps until that ends. A bell that finds it so is passed on by the way to sleep. */
function* runAside(state: State, index: number, aside: Aside): Thread {
  const { queues } = state.loops[index] as MessageLoopParts;
  const { notes } = loopPlaces(state.places, index + 1);
  yield* store(notes, RUNNING, 1);
  while ((yield* load(notes, RUNNING)) === 1) {
    if (aside === "replica" && (yield* queues.shared.next()) !== -1)
      throw new Error("a full replica is offered another message");
    if (!(yield* aside === "replica" ? queues.park() : queues.parkForMailbox()))
      throw new Error("a loop that can take nothing has found something to do");
    yield* sleep();
    yield* queues.unpark();
  }
}

/** Ends handlers, one at a time, when nothing else happens. */
function* endHandlers({ places }: State, count: number): Thread {
  for (let ended = 0; ended < count; ended++) {
    yield* idle();
    for (const [i, { notes }] of places.loops.entries()) {
      if ((yield* exchange(notes, RUNNING, 0)) === 0) continue;
      yield* parkingOf(places).notifyUnconditionally(i + 1);
      break;
    }
  }
}

/**
 * R15 (F2): a loop that wakes for a shared Inbox serves its own endpoint first, whose handler never ends. The shared
 * message must reach the other loop. `without`: it does not ring a sibling before that handler.
 */
export function eatenWake(inbox: Inbox, without?: "ring sibling"): Scenario<unknown> {
  return scenario<State>({
    name: "a loop that was rung for a shared Inbox serves its own endpoint for ever",
    setup: (memory) => makeState(inbox, memory, 2, true),
    threads: (state) => [
      (function* (): Thread {
        yield* post(state, 1);
        yield* mailboxDoorbell(state.places, 1).press();
      })(),
      (function* (): Thread {
        const { queues, entries, record } = state.loops[0] as MessageLoopParts;
        yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0, LOOPS_MAX - 1);
        for (;;) {
          yield* queues.unpark();
          yield* queues.own.collect();
          if (queues.own.isPending(MAILBOX_MEMBER)) {
            if (without !== "ring sibling") yield* queues.ringSibling();
            return;
          }
          const member = yield* queues.shared.next();
          const result = member === -1 ? TakeResult.EMPTY : yield* takeOne(state, 0);
          if (result === TakeResult.BUSY) yield* spin();
          else if (result === TakeResult.TAKEN) {
            yield* queues.ringSibling();
            yield* entries.free(record.entry);
          } else if (!(yield* queues.spin(1)) && (yield* queues.park())) yield* sleep();
        }
      })(),
      sharedLoop(state, 1),
    ],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: takenGhost,
    final: (state) => expectExactly(state, 1),
  });
}

/**
 * R18: loop 0 rings for a shared Inbox, and who is rung does not hear it: user code on his thread (a timer, a promise) goes
 * on for ever, or he was thought to spin and has lost his core. The message must reach the loop that is left. `without`: loop 0 does not
 * look again; looks once; rings nobody beside a spinner.
 */
export function deaf(
  inbox: Inbox,
  deafLoops: readonly ("asleep" | "spinning")[],
  without?: "look again" | "go on looking" | "ring beside a spinner",
): Scenario<unknown> {
  const loopCount = deafLoops.length + 1;
  return scenario<State & { rung: boolean }>({
    name: `a bell for ${loopCount} loops, and all but the last hear none: ${deafLoops.join(", ")}`,
    setup: (memory) => {
      const state = { ...makeState(inbox, memory, loopCount, true), rung: false };
      const onRing = (): void => {
        state.rung = true;
      };
      return Object.assign(state, { producer: makeProducer(state.places, true, onRing) });
    },
    threads: (state) => [
      (function* (): Thread {
        yield* post(state, 1);
        if (!state.rung || without === "look again") return;
        const { places } = state;
        const ready = new inbox.ReadySet(places.groupReady, 0, 1_024);
        const parking = parkingOf(places);
        // Its timer, then its sweeps: more looks than loops would find nobody new.
        for (let look = 0; look < loopCount; look++) {
          yield* idle();
          if (!(yield* ready.isMarked(ENDPOINT))) return;
          if (without === "ring beside a spinner") yield* parking.unparkOne(places.ring.words, RING_OPEN);
          else yield* parking.ringOne(places.ring.words, RING_OPEN);
          if (without === "go on looking") return;
        }
      })(),
      ...deafLoops.map((deaf, index) => sharedLoop(state, index, { deaf })),
      sharedLoop(state, loopCount - 1),
    ],
    threadNames: ["loop 0", "loop 1", "loop 2", "loop 3"].slice(0, loopCount + 1),
    daemons: Array.from({ length: loopCount }, (_, i) => i + 1),
    ghost: takenGhost,
    final: (state) => expectExactly(state, 1),
  });
}

/**
 * R8 (F7): the loop takes one message a turn, more wait than that, and no new bit comes for them. `without`: it settles
 * its bit after a turn, and not when it saw the ring empty.
 */
export function throughput(inbox: Inbox, count: number, without?: "see it empty"): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages to a loop that takes one a turn`,
    setup: (memory) => makeState(inbox, memory, 1, false),
    threads: (state) => [
      post(state, count),
      (function* (): Thread {
        const { queues, entries, record } = state.loops[0] as MessageLoopParts;
        while (state.taken[0]?.length !== count) {
          yield* queues.unpark();
          yield* queues.own.collect();
          if ((yield* queues.own.next()) !== -1) {
            const result = yield* takeOne(state, 0);
            if (result === TakeResult.TAKEN) yield* entries.free(record.entry);
            if (result === TakeResult.EMPTY || without === "see it empty") queues.own.settle(ENDPOINT);
            yield* turn();
          } else if (yield* queues.park()) yield* sleep();
        }
      })(),
    ],
    threadNames: ["loop 0", "loop 1"],
    invariant: checkRing,
    final: (state) => expectExactly(state, count),
  });
}

// ── No room ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** R6 (F6): a synchronous burst of sends; one that is refused says so only after the consumer was told of the others. */
export function burst(inbox: Inbox, count: number): Scenario<unknown> {
  return scenario<State & { zero: LoopZeroParts }>({
    name: `${count} messages in one tick, refused and sent again when there is room`,
    setup: (memory) => {
      const state = makeState(inbox, memory, 1, false, { capacityBytes: 64 });
      return { ...state, zero: makeLoopZero(state.places) };
    },
    threads: (state) => [
      (function* (): Thread {
        const { places, producer, zero } = state;
        for (let id = 1; id <= count; ) {
          const result = yield* producer.post(makeTracedRecord(places, id), Overflow.REFUSE);
          if (result === PostResult.ACCEPTED) id++;
          else yield* awaitBell(zero);
        }
        yield* producer.flush();
      })(),
      pinnedLoop(state, count),
    ],
    threadNames: ["loop 0", "loop 1"],
    invariant: checkRing,
    final: (state) => expectExactly(state, count),
  });
}

/** R6: nothing overtakes what waits in the spill queue. */
export function spillOrder(inbox: Inbox, count: number): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages in order through a ring of two`,
    setup: (memory) => makeState(inbox, memory, 1, false, { capacityBytes: 64 }),
    threads: (state) => [post(state, count), pinnedLoop(state, count)],
    threadNames: ["loop 0", "loop 1"],
    invariant: checkRing,
    final: (state) => {
      const order = allTaken(state).join();
      if (order !== Array.from({ length: count }, (_, i) => i + 1).join()) throw new Error(`order: ${order}`);
    },
  });
}

/** R6 with several consumers: the take that makes room holds the lock, and rings loop 0 after it. */
export function sharedSpill(inbox: Inbox, count: number): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages through a ring of two to two loops that share`,
    setup: (memory) => makeState(inbox, memory, 2, true, { capacityBytes: 64 }),
    threads: (state) => [post(state, count), sharedLoop(state, 0), sharedLoop(state, 1)],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: takenGhost,
    invariant: checkRing,
    final: (state) => expectExactly(state, count),
  });
}

/** R5: loop 0 finds the ring empty and rewinds it while one of the loops sleeps, whose last look was a lap ago. */
export function rewind(inbox: Inbox): Scenario<unknown> {
  return scenario<State>({
    name: "the ring is rewound while a loop sleeps",
    setup: (memory) => makeState(inbox, memory, 2, true),
    threads: (state) => [
      (function* (): Thread {
        const { places, producer } = state;
        for (let id = 1; id <= 3; id++) {
          // The third finds the ring empty, beyond the offset from which it is rewound.
          if (id === 3) while (allTaken(state).length < 2) yield* spin();
          yield* producer.post(makeTracedRecord(places, id), Overflow.SPILL);
          yield* producer.flush();
        }
      })(),
      sharedLoop(state, 0),
      sharedLoop(state, 1),
    ],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: takenGhost,
    invariant: checkRing,
    final: (state) => expectExactly(state, 3),
  });
}
