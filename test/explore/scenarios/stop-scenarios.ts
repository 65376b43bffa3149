/**
 * Stop: STOP is the Inbox's last record and taken like a message; QUIESCE goes to every loop; when all have answered,
 * ON_STOP. Loop 0's part is endpoint-stopper.ts, the loops' part message-loop.ts.
 */
import { Overflow, TakeResult } from "../../../dist/src/inbox/inbox.js";
import { RING_OPEN } from "../../../dist/src/inbox/layout.js";
import { MAILBOX_MEMBER } from "../../../dist/src/inbox/loop-queues.js";
import { RecordKind } from "../../../dist/src/inbox/record.js";
import { load, type Scenario, sleep, spin, type Thread, turn } from "../explorer.js";
import {
  awaitBell,
  ENDPOINT,
  type Inbox,
  LOOPS_MAX,
  type LoopZeroParts,
  type MessageLoopParts,
  makeLoopZero,
  makeRecord,
  makeTracedRecord,
} from "./inbox-parts.js";
import { makeState, type State, scenario, type Without } from "./inbox-threads.js";

export type StopStep = "quiesce" | "wait for all" | "wait for handlers" | "leave";

interface StopState extends State {
  readonly zero: LoopZeroParts;
  /** Handlers running now, by loop. */
  readonly running: number[];
  /** Loops that have run onStop. */
  readonly stopped: number[];
  handled: number;
  done: boolean;
}

/** R24: the backlog, then what is in flight anywhere, then onStop on every loop, last and alone; then nobody touches the ring. */
export function stop(inbox: Inbox, loopCount: number, without?: StopStep): Scenario<unknown> {
  return scenario<StopState>({
    name: `an endpoint on ${loopCount} loops is stopped behind a message`,
    setup: (memory) => {
      const state = makeState(inbox, memory, loopCount, true, { mailbox: true, outbound: true });
      const running = state.loops.map(() => 0);
      return { ...state, zero: makeLoopZero(state.places), running, stopped: [], handled: 0, done: false };
    },
    threads: (state) => [stopper(state, without), ...state.loops.map((loop) => stoppedLoop(state, loop, without))],
    threadNames: ["loop 0", "loop 1", "loop 2"],
    ghost: ({ running, stopped, handled, done }) =>
      [...running, 9, ...stopped, handled, done ? 1 : 0].reduce((sum, n) => Math.imul(sum, 11) + n + 1, 0),
    final: ({ done, handled }) => {
      if (!done || handled !== 1) throw new Error(`stopped: ${done}; messages handled: ${handled} of 1`);
    },
  });
}

function* stopper(state: StopState, without: Without): Thread {
  const { places, producer, zero } = state;
  yield* producer.post(makeTracedRecord(places, 1), Overflow.SPILL);
  yield* producer.post(makeTracedRecord(places, 2, RecordKind.STOP), Overflow.FORCE);
  yield* producer.flush();
  const waiting = new Set<number>();
  function* tellAll(kind: number): Thread {
    for (const [i, mailbox] of zero.mailboxes.entries()) {
      waiting.add(i);
      yield* mailbox.post(makeRecord(places, 0).setHeaderOnly(kind, ENDPOINT), Overflow.FORCE);
      yield* mailbox.flush();
    }
  }
  for (;;) {
    yield* awaitBell(zero);
    for (const [i, reader] of zero.outbound.entries()) {
      while (yield* reader.read(zero.record)) {
        const { kind } = zero.record;
        if (kind === RecordKind.STOP_TAKEN)
          yield* tellAll(without === "quiesce" ? RecordKind.ON_STOP : RecordKind.QUIESCE);
        else if (kind === RecordKind.QUIESCED) {
          waiting.delete(i);
          if (without === "wait for all") waiting.clear();
          if (waiting.size === 0) yield* tellAll(RecordKind.ON_STOP);
        } else {
          waiting.delete(i);
          const open = yield* load(places.ring.words, RING_OPEN);
          if ((open & (1 << (i + 1))) !== 0) throw new Error(`loop ${i + 1} has left, and is still open for the Inbox`);
          if (waiting.size > 0) continue;
          state.done = true;
          return;
        }
      }
    }
  }
}

function* stoppedLoop(state: StopState, loop: MessageLoopParts, without: Without): Thread {
  const { queues, entries, record, mailbox, outbound, consumer } = loop;
  const index = loop.loop - 1;
  let running = -1;
  let quiescing = false;
  let settling = false;
  function* report(kind: number): Thread {
    yield* outbound.post(makeRecord(state.places, 0).setHeaderOnly(kind, ENDPOINT), Overflow.FORCE);
    yield* outbound.flush();
  }
  yield* queues.joinShared(ENDPOINT, state.places.ring.words, 0, LOOPS_MAX - 1);
  for (;;) {
    yield* queues.unpark();
    yield* queues.own.collect();
    if (queues.own.isPending(MAILBOX_MEMBER)) {
      while (yield* mailbox.read(record)) {
        if (record.kind === RecordKind.QUIESCE) {
          quiescing = running !== -1 && without !== "wait for handlers";
          if (!quiescing) yield* report(RecordKind.QUIESCED);
        } else {
          if (state.running.some((count) => count > 0)) throw new Error(`onStop on loop ${loop.loop} beside a handler`);
          if (state.stopped.includes(index)) throw new Error(`loop ${loop.loop} runs onStop twice`);
          state.stopped.push(index);
          if (without !== "leave") yield* queues.leaveShared(ENDPOINT);
          yield* report(RecordKind.STOPPED);
          return;
        }
      }
      queues.own.settle(MAILBOX_MEMBER);
    }
    for (let member = yield* queues.shared.next(); member !== -1; member = yield* queues.shared.next()) {
      if (state.done) throw new Error(`loop ${loop.loop} looks into a ring that was given back`);
      const result = yield* consumer.take(record, entries, 0);
      if (result === TakeResult.BUSY) yield* spin();
      if (result !== TakeResult.TAKEN) continue;
      yield* queues.ringSibling();
      if (record.kind === RecordKind.STOP) {
        yield* report(RecordKind.STOP_TAKEN);
        yield* entries.free(record.entry);
      } else {
        if (state.stopped.length > 0) throw new Error(`a handler starts on loop ${loop.loop} after onStop`);
        running = record.entry;
        settling = true;
        state.running[index] = 1;
      }
    }
    if (running !== -1) {
      // The handler's promise settles in a later turn than the next: what its loop is told meanwhile comes beside it.
      yield* turn();
      if (settling) {
        settling = false;
        continue;
      }
      state.running[index] = 0;
      state.handled++;
      yield* entries.free(running);
      running = -1;
      if (quiescing) yield* report(RecordKind.QUIESCED);
      quiescing = false;
    } else if (yield* queues.park()) yield* sleep();
  }
}
