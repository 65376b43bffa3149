/**
 * What loop 0 does about what a dead loop left behind: no ask hangs, nothing is lost unaccounted, nothing that was not
 * taken is blamed. Main thread only, and only after the loop's thread has exited, because until then it may still write.
 *
 * 1. Drain the loop's outbound ring and its body port to the end: what it had published counts.
 * 2. Judge its in-flight entries: void (still in the ring it came from), done, or taken.
 * 3. Release the take locks it held.
 * 4. Fail the asks it had taken; count the one-way messages it had taken as handled or as dead letters; re-drive a
 *    STOP it had taken.
 * 5. Cancel the asks it had made itself, and free its tickets.
 * 6. Empty its mailbox and the spill behind it: replies and events are dropped, broadcasts are dead letters.
 * 7. Take its bits out of the OPEN sets; mark every Inbox that it shared, whatever the bits say (R19), and the room of
 *    every Inbox that it served, since it may have died between taking WANT and ringing for it.
 * 8. Ring every loop, whatever its bit says: the dead one may have won the right to ring and not used it. Its own bits
 *    go with it. Loop 0 looks for itself.
 * 9. Blame, budget, back-off, epoch + 1 and new instances: loop-supervisor.ts.
 *
 * A loop that loop 0 itself ended is judged in two steps: the asks it had taken fail at once, all else waits for the
 * exit. If that does not come in time (`giveUp`), steps 4, 5, 7 and 8 are done without it, and the rest when it comes.
 */
import { RpcError } from "../common/errors.js";
import { and } from "../inbox/atomics.js";
import { type InFlightEntry, isVoidEntry, readInFlightEntries } from "../inbox/in-flight-table.js";
import { lockOwner, releaseDeadLock } from "../inbox/inbox.js";
import { COUNTER_HANDLED, EntryState, RING_OPEN } from "../inbox/layout.js";
import { RecordKind, TakenRecord } from "../inbox/record.js";
import { countersAt } from "../inbox/segment.js";
import type { DispatcherParts } from "./dispatcher-parts.js";
import type { EndpointStopper } from "./endpoint-stopper.js";
import { describeThrown } from "./failure.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import { inboxRoomMember } from "./loop-members.js";
import type { LoopZero } from "./loop-zero.js";
import { asideEntry } from "./message-counts.js";

export class CrashRecovery {
  readonly #dispatcher: DispatcherParts;
  readonly #loopZero: LoopZero;
  readonly #stopper: EndpointStopper;

  constructor(dispatcher: DispatcherParts, loopZero: LoopZero, stopper: EndpointStopper) {
    this.#dispatcher = dispatcher;
    this.#loopZero = loopZero;
    this.#stopper = stopper;
  }

  /** Its thread has exited. The numbers are those of the head comment. */
  recover(loop: HostedMessageLoop, error: unknown): void {
    const { memory } = this.#dispatcher;
    this.#loopZero.drainLoop(loop.index); // 1
    const taken = this.#entries(loop).filter((entry) => !this.#isVoid(loop, entry)); // 2
    const served = this.#served(loop);
    for (const { shared, ring } of served) {
      if (shared) releaseDeadLock(memory.words(ring), ring.word, lockOwner(loop.index, loop.epoch)); // 3
    }
    if (!loop.takenSettled) {
      this.#settle(loop, taken, error); // 4
      this.#dispatcher.forwarder.onLoopDied(loop.index); // 5
    }
    this.#dispatcher.reportedFailures.forget(loop.index);
    this.#emptyMailbox(loop, error); // 6
    for (const endpoint of served) this.#leave(endpoint, loop); // 7
    this.#ringAll(); // 8
  }

  /** Loop 0 ends it: the asks it has taken are settled now. Its thread may run on, so nothing else is judged yet. */
  failTakenAsks(loop: HostedMessageLoop, error: unknown): void {
    this.#failAsks(
      loop,
      this.#entries(loop).filter(({ state }) => state === EntryState.TAKEN),
      error,
    );
  }

  /** Its thread does not exit: everything is done that does not need to wait for that. */
  giveUp(loop: HostedMessageLoop, error: unknown): void {
    this.#loopZero.drainLoop(loop.index);
    this.#settle(loop, this.#entries(loop), error);
    loop.takenSettled = true;
    this.#dispatcher.forwarder.onLoopDied(loop.index);
    for (const endpoint of this.#served(loop)) this.#leave(endpoint, loop);
    this.#ringAll();
  }

  #entries(loop: HostedMessageLoop): InFlightEntry[] {
    const { entries } = loop.regions;
    return readInFlightEntries(this.#dispatcher.memory.words(entries), entries.word);
  }

  /** Endpoints with an instance on that loop, or that would have one. */
  #served(loop: HostedMessageLoop): HostedEndpoint[] {
    return this.#dispatcher.directory.all.filter(
      ({ loops, retired }) => retired === null && loops.includes(loop.index),
    );
  }

  /** Void: the message is still in its ring, and whoever serves that takes it. */
  #isVoid(loop: HostedMessageLoop, entry: InFlightEntry): boolean {
    const { memory } = this.#dispatcher;
    const endpoint = this.#endpoint(entry.endpoint);
    if (endpoint === undefined || endpoint.retired !== null) return false;
    if (isAside(entry, endpoint)) {
      const { mailbox } = loop.regions;
      return isVoidEntry(entry, memory.words(mailbox), mailbox.word, null);
    }
    const { ring } = endpoint;
    const owner = endpoint.shared ? lockOwner(loop.index, loop.epoch) : null;
    return isVoidEntry(entry, memory.words(ring), ring.word, owner);
  }

  #settle(loop: HostedMessageLoop, taken: readonly InFlightEntry[], error: unknown): void {
    for (const entry of taken) {
      // Of a body that it had not asked for yet; that of an ask ends with the ask, which may have ended before.
      if (entry.ticket !== null) this.#dispatcher.tickets.end(entry.ticket);
      if (entry.kind === RecordKind.STOP) {
        // Taken, and its report lost with the loop: the stop goes on as if it had come.
        this.#stopper.onRecord(loop.index, RecordKind.STOP_TAKEN, this.#endpoint(entry.endpoint));
      } else if (entry.askSlot === -1 && entry.kind !== RecordKind.EVENT) {
        this.#settleOneWay(loop, entry, error);
      }
    }
    this.#failAsks(loop, taken, error);
  }

  /** It was handled if its entry says so; it failed if the loop has reported that; else it is a dead letter. */
  #settleOneWay(loop: HostedMessageLoop, entry: InFlightEntry, error: unknown): void {
    const dispatcher = this.#dispatcher;
    const endpoint = this.#endpoint(entry.endpoint);
    if (endpoint === undefined) return;
    if (entry.count !== 0) {
      const region = endpoint.counters[endpoint.loops.indexOf(loop.index)];
      if (region === undefined) return;
      const counters = dispatcher.memory.segment(region).doubles;
      const index = countersAt(region) + COUNTER_HANDLED;
      const handled = counters[index] as number;
      // The loop died between mark and count.
      if (((handled + 1) | 0) === entry.count) counters[index] = handled + 1;
    } else {
      const named = isAside(entry, endpoint) ? asideEntry(entry.index) : entry.index;
      if (dispatcher.reportedFailures.has(loop.index, named, endpoint, entry.position)) return;
      dispatcher.deadLetter(endpoint, crashError(endpoint.name, loop.index, error, true), 1);
    }
  }

  #failAsks(loop: HostedMessageLoop, taken: readonly InFlightEntry[], error: unknown): void {
    const { directory, asks, poster } = this.#dispatcher;
    const failed = new Map<number, RpcError>();
    for (const { askSlot, askGeneration, endpoint } of taken) {
      if (askSlot === -1 || !asks.isOpen(askSlot, askGeneration)) continue;
      failed.set(askSlot, crashError(directory.nameOf(endpoint), loop.index, error, true));
    }
    poster.cancelAsks([...failed.keys()], (slot) => failed.get(slot), "failed");
  }

  #emptyMailbox(loop: HostedMessageLoop, error: unknown): void {
    const { memory } = this.#dispatcher;
    const lost = new Map<number, number>();
    const count = (kind: number, endpoint: number): void => {
      if (kind !== RecordKind.BROADCAST) return;
      lost.set(endpoint, (lost.get(endpoint) ?? 0) + 1);
    };
    loop.mailbox.flush();
    const reader = memory.backlogReader(loop.regions.mailbox);
    const record = new TakenRecord();
    while (reader.read(record)) count(record.kind, record.askSlot);
    const { spill } = loop.mailbox;
    for (let spilled = spill.peek(); spilled !== null; spilled = spill.peek()) {
      count(spilled.kind, spilled.askSlot);
      spill.shift();
    }
    for (const [id, sends] of lost) {
      const endpoint = this.#endpoint(id);
      if (endpoint === undefined) continue;
      this.#dispatcher.deadLetter(endpoint, crashError(endpoint.name, loop.index, error, false), sends);
    }
  }

  #leave(endpoint: HostedEndpoint, loop: HostedMessageLoop): void {
    endpoint.serving.delete(loop.index);
    const { memory } = this.#dispatcher;
    if (endpoint.shared) {
      const { ring } = endpoint;
      and(memory.words(ring), ring.word + RING_OPEN + (loop.index >> 5), ~(1 << (loop.index & 31)));
      memory.restoreShared(endpoint.id);
    }
    memory.ready.restore(inboxRoomMember(endpoint.id));
  }

  #ringAll(): void {
    const { loops, memory } = this.#dispatcher;
    for (const { index } of loops.all) memory.parking.notifyUnconditionally(index);
    this.#loopZero.wake();
  }

  #endpoint(id: number): HostedEndpoint | undefined {
    return this.#dispatcher.directory.get(id);
  }
}

/** Taken from the mailbox instead of the Inbox: broadcasts and events to replicas. */
function isAside({ kind }: InFlightEntry, endpoint: HostedEndpoint): boolean {
  return endpoint.shared && (kind === RecordKind.BROADCAST || kind === RecordKind.EVENT);
}

/** What happened to a message that a dead loop had, or would have had. */
export function crashError(endpoint: string, loop: number, cause: unknown, maybeExecuted: boolean): RpcError {
  return died(
    endpoint,
    loop,
    maybeExecuted ? " while it had this message" : " before this message was taken",
    cause,
    maybeExecuted,
  );
}

/** Why an endpoint starts again, or is FAILED. */
export function lastCrash(endpoint: string, loop: number, cause: unknown): RpcError {
  return died(endpoint, loop, "", cause, false);
}

function died(endpoint: string, loop: number, when: string, cause: unknown, maybeExecuted: boolean): RpcError {
  const text = `message loop ${loop} of "${endpoint}" died${when}: ${describeThrown(cause)}`;
  return new RpcError("ERR_RPC_WORKER_CRASHED", text, { endpoint, cause, maybeExecuted });
}
