/**
 * The threads of scenarios: loop 0 that posts, loops that take, as src/dispatcher does both. Where a step is the
 * dispatcher's and not src/inbox's, a scenario can leave it out (`Without`): that is how such a step gets its mutant.
 */
import { Overflow, PostResult, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { RING_TAIL } from "../../../dist/src/inbox/layout.js";
import { type Memory, type Scenario, sleep, spin, type Thread } from "../explorer.js";
import {
  ENDPOINT,
  type Inbox,
  LOOPS_MAX,
  type MessageLoopParts,
  makeLoop,
  makePlaces,
  makeProducer,
  makeTracedRecord,
  type Places,
  type PlacesOptions,
  type Producer,
  RING_HEAD,
} from "./inbox-parts.js";

/** Steps of the dispatcher that the variant of a scenario leaves out, to show that the search misses them. */
export type Without = string | undefined;

export interface State {
  readonly places: Places;
  readonly producer: Producer;
  readonly loops: readonly MessageLoopParts[];
  /** Ids in the order they were taken, by loop. */
  readonly taken: number[][];
}

export function makeState(
  inbox: Inbox,
  memory: Memory,
  loopCount: number,
  shared: boolean,
  options: PlacesOptions = {},
): State {
  const places = makePlaces(inbox, memory, loopCount, options);
  return {
    places,
    producer: makeProducer(places, shared),
    loops: places.loops.map((_, i) => makeLoop(places, i + 1, shared)),
    taken: places.loops.map(() => []),
  };
}

export function allTaken(state: State): number[] {
  return state.taken.flat();
}

/** The state of the search knows shared memory only: which loop took what is private, and matters. */
export function takenGhost(state: State): number {
  return state.taken.reduce((sum, ids, loop) => ids.reduce((s, id) => Math.imul(s, 31) + id, sum + loop * 7), 1);
}

export function expectExactly(state: State, count: number): void {
  const ids = allTaken(state).sort((a, b) => a - b);
  const expected = Array.from({ length: count }, (_, i) => i + 1);
  if (ids.join() !== expected.join()) throw new Error(`taken: ${ids.join()}; posted: ${expected.join()}`);
}

/** Loop 0: posts `count` messages, each as a tick of its own, and keeps what finds no room until it is rung. */
export function* post(state: State, count: number): Thread {
  const { producer, places } = state;
  for (let id = 1; id <= count; id++) {
    const result = yield* producer.post(makeTracedRecord(places, id), Overflow.SPILL);
    if (result === PostResult.FULL) throw new Error("the spill is not bounded here");
    yield* producer.flush();
  }
  const ready = new places.inbox.CollectedReadySet(places.zeroReady, 0, 1_024);
  ready.include(ENDPOINT);
  const parker = new places.inbox.Parker(places.env, 0, 0, () => {});
  while (producer.spill.count > 0) {
    yield* parker.announce();
    yield* ready.collect();
    if ((yield* ready.next()) === -1) yield* sleep();
    else ready.settle(ENDPOINT);
    yield* parker.retract();
    yield* producer.refill();
  }
}

/** One message of a loop, as message-loop.ts takes it. The handler is a note of its id. */
export function* takeOne(state: State, index: number): Thread<number> {
  const loop = state.loops[index] as MessageLoopParts;
  const result = yield* loop.consumer.take(loop.record, loop.entries, 0);
  if (result !== TakeResult.TAKEN) return result;
  const id = loop.record.endpointGeneration;
  if (loop.record.kind !== state.places.inbox.RecordKind.SEND) throw new Error(`torn record: kind=${loop.record.kind}`);
  if (allTaken(state).includes(id)) throw new Error(`message ${id} was taken twice`);
  state.taken[index]?.push(id);
  return result;
}

/** A loop that is the only consumer. Ends when it has taken `count`. */
export function* pinnedLoop(state: State, count: number): Thread {
  const { queues, entries, record } = state.loops[0] as MessageLoopParts;
  while (state.taken[0]?.length !== count) {
    yield* queues.unpark();
    yield* queues.own.collect();
    while ((yield* queues.own.next()) !== -1) {
      let result = yield* takeOne(state, 0);
      while (result === TakeResult.TAKEN) {
        yield* entries.free(record.entry);
        result = yield* takeOne(state, 0);
      }
      queues.own.settle(ENDPOINT);
    }
    if (state.taken[0]?.length === count) return;
    if (yield* queues.park()) yield* sleep();
  }
}

export interface SharedLoopOptions {
  /** The handler of this message never ends. */
  readonly busyWith?: number;
  /** The handler of the first message never ends. */
  readonly busyWithFirst?: boolean;
  /** Comes to this and goes no further: user code that it runs while asleep never ends, or it spins without a core. */
  readonly deaf?: "asleep" | "spinning";
}

/** A loop that shares the Inbox with others. Sleeps for ever when there is nothing left. */
export function* sharedLoop(state: State, index: number, options: SharedLoopOptions = {}): Thread {
  const { queues, entries, record, parker } = state.loops[index] as MessageLoopParts;
  yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0, LOOPS_MAX - 1);
  if (options.deaf === "spinning") return yield* parker.beginSpin();
  for (;;) {
    yield* queues.unpark();
    let member = yield* queues.shared.next();
    while (member !== -1) {
      const result = yield* takeOne(state, index);
      if (result === TakeResult.BUSY) yield* spin();
      if (result === TakeResult.TAKEN) {
        yield* queues.ringSibling();
        if (options.busyWithFirst === true || record.endpointGeneration === options.busyWith) return;
        yield* entries.free(record.entry);
      }
      member = yield* queues.shared.next();
    }
    if (yield* queues.spin(1)) continue;
    if (!(yield* queues.park())) continue;
    if (options.deaf === "asleep") return;
    yield* sleep();
  }
}

export function scenario<S>(definition: Scenario<S>): Scenario<unknown> {
  return definition as unknown as Scenario<unknown>;
}

/** R3 and the invariant of every ring: 0 ≤ TAIL − HEAD ≤ capacity. */
export function checkRing(state: State): void {
  const { words } = state.places.ring;
  const units = state.places.capacityBytes / 8;
  const used = ((words[RING_TAIL] as number) - (words[RING_HEAD] as number)) | 0;
  if (used < 0 || used > units) throw new Error(`the ring holds ${used} of ${units} units`);
}
