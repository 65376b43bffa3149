/**
 * What is searched: ring, shared take, park against post, room, cancel, crash. Each scenario says the rules of
 * docs/adr/0001-shared-memory-protocol.md that it watches.
 */

import { Overflow, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { RING_HEAD, RING_TAIL } from "../../../dist/src/inbox/layout.js";
import { type Scenario, spin, store, type Thread } from "../explorer.js";
import {
  ENDPOINT,
  type Inbox,
  LINE_WORDS,
  LOOPS_MAX,
  type MessageLoopParts,
  makeProducer,
  makeRecord,
  type Places,
  parkingOf,
  sleep,
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

/** Where a ring starts: in the middle of nothing, just below 2^31, and just below 2^32 (as int32: below 0). */
export const POSITIONS: readonly (readonly [name: string, position: number])[] = [
  ["0", 0],
  ["2^31", 0x7fff_fff8],
  ["2^32", -8],
];

/** R1, R2, R3, R5, R6, R7, R8, R16: everything between one producer and one consumer, spill and room included. */
export function pinned(inbox: Inbox, count: number, position: number): Scenario<unknown> {
  return scenario<State>({
    name: `${count} messages through a ring of four to one loop, from position ${position}`,
    setup: (memory) => makeState(inbox, memory, 1, false, { position }),
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
    setup: (memory) => makeState(inbox, memory, 2, true, { position }),
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
        yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0, LOOPS_MAX - 1);
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
    setup: (memory) => ({ ...makeState(inbox, memory, 1, false, { position: 0x7fff_fffc }), verdicts: [] }),
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

/** R16: two threads have something for one sleeper. One of them rings; a bell more is a lock of the whole process. */
export function twoRingers(inbox: Inbox): Scenario<unknown> {
  return scenario<State & { rung: number }>({
    name: "two ring one sleeper",
    setup: (memory) => ({ ...makeState(inbox, memory, 1, false), rung: 0 }),
    threads: (state) => {
      function* ringer(): Thread {
        if (yield* parkingOf(state.places).unpark(1)) state.rung++;
      }
      function* sleeper(): Thread {
        yield* (state.loops[0] as MessageLoopParts).parker.announce();
        yield* sleep();
      }
      return [sleeper(), ringer(), ringer()];
    },
    daemons: [0],
    ghost: (state) => state.rung,
    invariant: ({ rung }) => {
      if (rung > 1) throw new Error(`one sleep was rung ${rung} times`);
    },
  });
}
