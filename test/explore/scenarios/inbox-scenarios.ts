/**
 * What is searched: ring, shared take, park against post, room, cancel, crash. Each scenario says the rules of
 * docs/adr/0001-shared-memory-protocol.md that it watches.
 */

import { Overflow, PostResult, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { RING_OPEN, RING_TAIL } from "../../../dist/src/inbox/layout.js";
import { and, type Memory, type Scenario, sleep, spin, store, type Thread } from "../explorer.js";
import {
  CAPACITY_BYTES,
  ENDPOINT,
  type Inbox,
  LINE_WORDS,
  type MessageLoopParts,
  makeLoop,
  makePlaces,
  makeProducer,
  makeRecord,
  type Places,
  type Producer,
  RING_HEAD,
} from "./inbox-parts.js";

/** Where a ring starts: in the middle of nothing, just below 2^31, and just below 2^32 (as int32: below 0). */
export const POSITIONS: readonly (readonly [name: string, position: number])[] = [
  ["0", 0],
  ["2^31", 0x7fff_fff8],
  ["2^32", -8],
];

interface State {
  readonly places: Places;
  readonly producer: Producer;
  readonly loops: readonly MessageLoopParts[];
  /** Ids in the order they were taken, by loop. */
  readonly taken: number[][];
}

function makeState(inbox: Inbox, memory: Memory, loopCount: number, shared: boolean, position = 0): State {
  const places = makePlaces(inbox, memory, loopCount, { position });
  return {
    places,
    producer: makeProducer(places, shared),
    loops: places.loops.map((_, i) => makeLoop(places, i + 1, shared)),
    taken: places.loops.map(() => []),
  };
}

function allTaken(state: State): number[] {
  return state.taken.flat();
}

/** The state of the search knows shared memory only: which loop took what is private, and matters. */
function takenGhost(state: State): number {
  return state.taken.reduce((sum, ids, loop) => ids.reduce((s, id) => Math.imul(s, 31) + id, sum + loop * 7), 1);
}

function expectExactly(state: State, count: number): void {
  const ids = allTaken(state).sort((a, b) => a - b);
  const expected = Array.from({ length: count }, (_, i) => i + 1);
  if (ids.join() !== expected.join()) throw new Error(`taken: ${ids.join()}; posted: ${expected.join()}`);
}

/** Loop 0: posts `count` messages, each as a tick of its own, and keeps what finds no room until it is rung. */
function* post(state: State, count: number): Thread {
  const { producer, places } = state;
  for (let id = 1; id <= count; id++) {
    const result = yield* producer.post(makeRecord(places, id), Overflow.SPILL);
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
function* takeOne(state: State, index: number): Thread<number> {
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
function* pinnedLoop(state: State, count: number): Thread {
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

interface SharedLoopOptions {
  /** The handler of this message never ends. */
  readonly busyWith?: number;
}

/** A loop that shares the Inbox with others. Sleeps for ever when there is nothing left. */
function* sharedLoop(state: State, index: number, options: SharedLoopOptions = {}): Thread {
  const { queues, entries, record } = state.loops[index] as MessageLoopParts;
  yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0);
  for (;;) {
    yield* queues.unpark();
    let member = yield* queues.shared.next();
    while (member !== -1) {
      const result = yield* takeOne(state, index);
      if (result === TakeResult.BUSY) yield* spin();
      if (result === TakeResult.TAKEN) {
        yield* queues.ringSibling();
        if (record.endpointGeneration === options.busyWith) return;
        yield* entries.free(record.entry);
      }
      member = yield* queues.shared.next();
    }
    if (yield* queues.spin(1)) continue;
    if (yield* queues.park()) yield* sleep();
  }
}

function scenario<S>(definition: Scenario<S>): Scenario<unknown> {
  return definition as unknown as Scenario<unknown>;
}

/** R1, R2, R3, R5, R6, R7, R8, R16: everything between one producer and one consumer, spill and room included. */
export function pinned(inbox: Inbox, count: number, position: number): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages through a ring of four to one loop, from position ${position}`,
    setup: (memory) => makeState(inbox, memory, 1, false, position),
    threads: (state) => [post(state, count), pinnedLoop(state, count)],
    threadNames: ["loop 0", "loop 1"],
    invariant: checkRing,
    final: (state) => {
      expectExactly(state, count);
      if (state.taken[0]?.some((id, i) => id !== i + 1)) throw new Error(`order: ${state.taken[0].join()}`);
    },
  });
}

/** R4, R9, R10, R11, R16: two loops share one Inbox; nothing is lost, doubled, or left beside a sleeper. */
export function shared(inbox: Inbox, count: number, position: number): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages to two loops that share, from position ${position}`,
    setup: (memory) => makeState(inbox, memory, 2, true, position),
    threads: (state) => [post(state, count), sharedLoop(state, 0), sharedLoop(state, 1)],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: takenGhost,
    invariant: checkRing,
    final: (state) => expectExactly(state, count),
  });
}

/** R15: whoever takes the first message never comes back; the other loop must get the rest without a new post. */
export function busySibling(inbox: Inbox, count: number): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages, the first of which keeps its loop for ever`,
    setup: (memory) => makeState(inbox, memory, 2, true),
    threads: (state) => [
      post(state, count),
      sharedLoop(state, 0, { busyWith: 1 }),
      sharedLoop(state, 1, { busyWith: 1 }),
    ],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: takenGhost,
    final: (state) => expectExactly(state, count),
  });
}

/** R11, R12, recovery: loop 1 may die anywhere. What it had taken is in an entry of its; everything else loop 2 takes. */
export function crash(inbox: Inbox, count: number): Scenario<unknown> {
  return scenario<State & { lost: number[] }>({
    name: `${count} messages, and loop 1 dies at any step`,
    setup: (memory) => ({ ...makeState(inbox, memory, 2, true), lost: [] }),
    threads: (state) => [post(state, count), sharedLoop(state, 0), sharedLoop(state, 1)],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    daemons: [1, 2],
    ghost: (state) => takenGhost(state) + state.lost.length * 1_001,
    crash: {
      threads: [1],
      *recover(state): Thread {
        const { places } = state;
        const owner = inbox.lockOwner(1, 1);
        const entriesOfDead = (places.loops[0] as Places["loops"][number]).entries;
        for (const entry of yield* inbox.readInFlightEntries(entriesOfDead, 0)) {
          if (!(yield* inbox.isVoidEntry(entry, places.ring.words, 0, owner))) state.lost.push(entry.position);
        }
        yield* inbox.releaseDeadLock(places.ring.words, 0, owner);
        yield* and(places.ring.words, RING_OPEN, ~2);
        yield* new inbox.ReadySet(places.groupReady, 0, 1_024).restore(ENDPOINT);
        yield* new inbox.Parking(places.env, 0, 4).notifyUnconditionally(2);
      },
    },
    final: (state) => {
      // Positions of header-only records are 4 units apart, so a lost position names its message.
      const lost = state.lost.map((position) => position / 4 + 1);
      const finished = new Set([...allTaken(state), ...lost]);
      const missing = Array.from({ length: count }, (_, i) => i + 1).filter((id) => !finished.has(id));
      if (missing.length > 0) throw new Error(`neither taken nor accounted for: ${missing.join()}`);
      const twice = (state.taken[1] ?? []).filter((id) => lost.includes(id));
      if (twice.length > 0) throw new Error(`run by loop 2 and reported as lost with loop 1: ${twice.join()}`);
    },
  });
}

/** R4: while loop 2 sleeps, 2^31 units pass through the ring; what it remembers of it means nothing. */
export function jump(inbox: Inbox): Scenario<unknown> {
  return scenario<State>({
    name: "2^31 units pass between two takes of a loop",
    setup: (memory) => makeState(inbox, memory, 1, true),
    threads: (state) => [
      (function* (): Thread {
        const { places } = state;
        const first = makeProducer(places, true);
        yield* first.post(makeRecord(places, 1), Overflow.SPILL);
        yield* first.flush();
        while (allTaken(state).length === 0) yield* spin();
        const { words } = places.ring;
        yield* store(words, RING_TAIL, (4 + 0x8000_0000) | 0);
        yield* store(words, RING_HEAD, (4 + 0x8000_0000) | 0);
        const second = makeProducer(places, true);
        yield* second.post(makeRecord(places, 2), Overflow.SPILL);
        yield* second.flush();
      })(),
      (function* (): Thread {
        const { queues, entries, record } = state.loops[0] as MessageLoopParts;
        yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0);
        while (allTaken(state).length < 2) {
          const member = yield* queues.shared.next();
          const result = member === -1 ? TakeResult.EMPTY : yield* takeOne(state, 0);
          if (result === TakeResult.TAKEN) yield* entries.free(record.entry);
          else yield* spin();
        }
      })(),
    ],
    ghost: takenGhost,
    final: (state) => {
      expectExactly(state, 2);
      checkRing(state);
    },
  });
}

/** R12: an entry stays open while HEAD jumps by 2^31, and comes round to its position; its loop then dies. It was taken. */
export function openEntry(inbox: Inbox): Scenario<unknown> {
  return scenario<State & { verdicts: boolean[] }>({
    name: "an entry is open while positions come round",
    setup: (memory) => ({ ...makeState(inbox, memory, 1, false, 0x7fff_fffc), verdicts: [] }),
    threads: (state) => [
      (function* (): Thread {
        const { places, producer } = state;
        const words = places.ring.words;
        const { entries } = places.loops[0] as Places["loops"][number];
        yield* producer.post(makeRecord(places, 1), Overflow.SPILL);
        yield* producer.flush();
        yield* takeOne(state, 0);
        // The ring goes on while the handler runs: HEAD is half a round away, then back where the record lay.
        const { position } = (state.loops[0] as MessageLoopParts).record;
        for (const head of [(position + 0x8000_0000) | 0, position]) {
          yield* store(words, RING_HEAD, head);
          for (const entry of yield* inbox.readInFlightEntries(entries, 0)) {
            state.verdicts.push(yield* inbox.isVoidEntry(entry, words, 0, null));
          }
        }
      })(),
    ],
    final: (state) => {
      if (state.verdicts.join() !== "false,false") throw new Error(`judged void: ${state.verdicts.join()}`);
    },
  });
}

/** R13: an ask is cancelled while its message is taken. Its taker drops it, or the scan finds its entry. */
export function cancel(inbox: Inbox): Scenario<unknown> {
  return scenario<State & { found: number; dropped: number }>({
    name: "an ask is cancelled while its message is taken",
    setup: (memory) => ({ ...makeState(inbox, memory, 1, false), found: 0, dropped: 0 }),
    threads: (state) => {
      const { places, producer } = state;
      const table = new inbox.AskTable(places.asks, 0, 4);
      return [
        (function* (): Thread {
          const slot = yield* table.open();
          const record = makeRecord(places, 1, table.generation(slot));
          record.askSlot = slot;
          yield* producer.post(record, Overflow.SPILL);
          yield* producer.flush();
          yield* table.cancel(slot);
          const { entries } = places.loops[0] as Places["loops"][number];
          for (const entry of yield* inbox.readInFlightEntries(entries, 0)) {
            if (entry.askSlot === slot && entry.askGeneration === table.generation(slot)) state.found++;
          }
        })(),
        (function* (): Thread {
          const loop = state.loops[0] as MessageLoopParts;
          const view = new inbox.AskTableView(places.asks, 0);
          for (;;) {
            yield* loop.queues.own.collect();
            if ((yield* loop.queues.own.next()) !== -1) break;
            yield* spin();
          }
          yield* takeOne(state, 0);
          if (!(yield* view.isWaiting(loop.record.askSlot, loop.record.askGeneration))) state.dropped++;
        })(),
      ];
    },
    ghost: (state) => state.found * 2 + state.dropped,
    final: (state) => {
      if (state.found + state.dropped === 0) throw new Error("its taker runs it, and nobody tells the handler");
    },
  });
}

/** R10: one loop tidies the summary on its way to sleep while another member of the same leaf word is marked. */
export function summary(inbox: Inbox): Scenario<unknown> {
  interface Summary {
    readonly words: Int32Array;
    seen: boolean;
  }
  return scenario<Summary>({
    name: "a summary bit is cleared while its leaf is set",
    setup: (memory) => ({ words: memory.words("ready", inbox.readySetWords(1_024)), seen: false }),
    threads: (state) => [
      (function* (): Thread {
        const set = new inbox.ReadySet(state.words, 0, 1_024);
        yield* set.mark(3);
        yield* set.mark(5);
      })(),
      (function* (): Thread {
        const set = new inbox.SharedReadySet(state.words, 0, 1_024);
        set.include(3);
        set.include(5);
        yield* set.tidy();
        yield* set.unmark(3);
        yield* set.tidy();
      })(),
    ],
    final: (state) => {
      const leaf = state.words[LINE_WORDS] as number;
      if ((leaf & (1 << 5)) !== 0 && ((state.words[0] as number) & 1) === 0) {
        throw new Error("a member is marked, and nobody who looks at the summary will see it");
      }
    },
  });
}

/** R3 and the invariant of every ring: 0 ≤ TAIL − HEAD ≤ capacity. */
function checkRing(state: State): void {
  const { words } = state.places.ring;
  const used = ((words[RING_TAIL] as number) - (words[RING_HEAD] as number)) | 0;
  if (used < 0 || used > CAPACITY_BYTES / 8) throw new Error(`the ring holds ${used} of ${CAPACITY_BYTES / 8} units`);
}
