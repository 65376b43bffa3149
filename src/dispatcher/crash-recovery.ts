/**
 * What loop 0 does when a message loop has died: no ask hangs, nothing that was not taken is blamed. Main thread only,
 * and only after the loop's thread has exited, because until then it may still write.
 *
 * 1. Drain the loop's outbound ring to the end: what it had published counts.
 * 2. Judge its in-flight entries: void (still in the Inbox) or taken.
 * 3. Release the take locks it held.
 * 4. Fail the asks it had taken; count the one-way messages it had taken as dead letters; free the bodies that wait
 *    for either; cancel the asks it had made.
 * 5. Take its bits out of the OPEN sets and mark what it shared, so that the other loops go on.
 * 6. Ring every loop, whatever its bit says: the dead one may have won the right to ring and not used it. Its own bit
 *    goes with it.
 * 7. Endpoints that no live loop serves are FAILED: what waits for them fails too, and they answer fast from now on.
 *
 * Loops are not restarted yet: an endpoint whose loops are gone stays FAILED until it is stopped and set up again.
 */
import { RpcError } from "../common/errors.js";
import { and } from "../inbox/atomics.js";
import { type InFlightEntry, isVoidEntry, readInFlightEntries } from "../inbox/in-flight-table.js";
import { lockOwner, releaseDeadLock } from "../inbox/inbox.js";
import { COUNTER_HANDLED, RING_OPEN } from "../inbox/layout.js";
import { RecordKind } from "../inbox/record.js";
import { counterView } from "../inbox/segment.js";
import type { DispatcherParts } from "./dispatcher-parts.js";
import type { EndpointStopper } from "./endpoint-stopper.js";
import { describeThrown } from "./failure.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { LoopZero } from "./loop-zero.js";
import type { HostedMessageLoop } from "./message-loops.js";

export class CrashRecovery {
  readonly #dispatcher: DispatcherParts;
  readonly #loopZero: LoopZero;
  readonly #stopper: EndpointStopper;

  constructor(dispatcher: DispatcherParts, loopZero: LoopZero, stopper: EndpointStopper) {
    this.#dispatcher = dispatcher;
    this.#loopZero = loopZero;
    this.#stopper = stopper;
  }

  /** The numbers are those of the head comment. */
  recover(loop: HostedMessageLoop, error: unknown): void {
    const dispatcher = this.#dispatcher;
    const { memory } = dispatcher;
    const blamed = this.#endpoint(dispatcher.loops.status(loop).endpoint);
    this.#loopZero.drainLoop(loop.index); // 1
    this.#loopZero.setReader(loop.index, undefined);
    const { entries } = loop.regions;
    const taken = readInFlightEntries(memory.words(entries), entries.word).filter(
      (entry) => !this.#isVoid(loop, entry), // 2
    );
    const served = dispatcher.directory.all.filter((endpoint) => endpoint.loops.includes(loop.index));
    for (const endpoint of served) this.#leave(endpoint, loop); // 3, 5
    this.#failTaken(loop, taken, error); // 4
    dispatcher.forwarder.onLoopDied(loop.index);
    for (const { index } of dispatcher.loops.all) memory.parking.notifyUnconditionally(index); // 6
    loop.control.close();
    loop.bodyPort.close();
    dispatcher.events.loopCrashed(loop.index, blamed?.name ?? null, error);
    for (const endpoint of served) {
      if (endpoint.loops.every((index) => !dispatcher.loops.get(index).alive)) this.#fail(endpoint, loop, error); // 7
    }
    this.#stopper.loopDied(loop.index);
  }

  /** Void: the message is still in its Inbox, and whoever serves that takes it. */
  #isVoid(loop: HostedMessageLoop, entry: InFlightEntry): boolean {
    const endpoint = this.#endpoint(entry.endpoint);
    if (endpoint === undefined) return false;
    const { region } = endpoint.ring;
    const owner = endpoint.shared ? lockOwner(loop.index, loop.epoch) : null;
    return isVoidEntry(entry, this.#dispatcher.memory.words(region), region.word, owner);
  }

  #leave(endpoint: HostedEndpoint, loop: HostedMessageLoop): void {
    if (!endpoint.shared) return;
    const { memory } = this.#dispatcher;
    const { region } = endpoint.ring;
    const words = memory.words(region);
    releaseDeadLock(words, region.word, lockOwner(loop.index, loop.epoch));
    and(words, region.word + RING_OPEN + (loop.index >> 5), ~(1 << (loop.index & 31)));
    memory.restoreShared(endpoint.id);
    endpoint.producer.refill();
  }

  #failTaken(loop: HostedMessageLoop, taken: readonly InFlightEntry[], error: unknown): void {
    const dispatcher = this.#dispatcher;
    const failed = new Map<number, RpcError>();
    for (const entry of taken) {
      const name = dispatcher.directory.nameOf(entry.endpoint);
      // Of a body that it had not asked for yet; that of an ask ends with the ask, which may have ended before.
      if (entry.ticket !== null) dispatcher.tickets.end(entry.ticket);
      const crash = crashError(name, loop.index, error, true);
      if (entry.kind === RecordKind.STOP) {
        // Taken, and its report lost with the loop: the stop goes on as if it had come.
        this.#stopper.onRecord(loop.index, RecordKind.STOP_TAKEN, this.#endpoint(entry.endpoint));
      } else if (entry.askSlot === -1) {
        this.#loseOneWay(loop, entry, crash);
      } else if (dispatcher.asks.isOpen(entry.askSlot, entry.askGeneration)) {
        failed.set(entry.askSlot, crash);
      }
    }
    dispatcher.poster.cancelAsks([...failed.keys()], (slot) => failed.get(slot), "failed");
  }

  /** A one-way message was taken; unless it was handled and counted, or its failure reported, it is lost here. */
  #loseOneWay(loop: HostedMessageLoop, entry: InFlightEntry, crash: RpcError): void {
    const dispatcher = this.#dispatcher;
    const endpoint = this.#endpoint(entry.endpoint);
    if (endpoint === undefined || entry.kind === RecordKind.EVENT) return;
    if (dispatcher.reportedFailures.has(loop.index, entry.index, entry.position)) return;
    const counters = endpoint.counters[endpoint.loops.indexOf(loop.index)];
    if (counters !== undefined && entry.count !== 0) {
      const handled = counterView(dispatcher.memory.segment(counters), counters)[COUNTER_HANDLED] as number;
      if (((handled - entry.count) | 0) >= 0) return;
    }
    dispatcher.deadLetter(endpoint, crash, 1);
  }

  #fail(endpoint: HostedEndpoint, loop: HostedMessageLoop, error: unknown): void {
    const dispatcher = this.#dispatcher;
    const untaken = crashError(endpoint.name, loop.index, error, false);
    const text = `endpoint "${endpoint.name}" has no message loop left; stop it and set it up again`;
    endpoint.failure = new RpcError("ERR_RPC_ENDPOINT_FAILED", text, { endpoint: endpoint.name, cause: error });
    if (endpoint.state === EndpointState.RUNNING) endpoint.state = EndpointState.FAILED;
    dispatcher.poster.cancelAsks(dispatcher.asks.slots(endpoint.id), () => untaken, "failed");
    const sends = dispatcher.discardBacklog(endpoint);
    if (sends > 0) dispatcher.deadLetter(endpoint, untaken, sends);
    endpoint.settleRoomWaiters(endpoint.failure);
    dispatcher.events.endpointFailed(endpoint.name, endpoint.failure);
  }

  #endpoint(id: number): HostedEndpoint | undefined {
    return this.#dispatcher.directory.get(id);
  }
}

function crashError(endpoint: string, loop: number, cause: unknown, maybeExecuted: boolean): RpcError {
  const why = describeThrown(cause);
  const what = maybeExecuted ? "while it had this message" : "before this message was taken";
  const text = `message loop ${loop} of "${endpoint}" died ${what}: ${why}`;
  return new RpcError("ERR_RPC_WORKER_CRASHED", text, { endpoint, cause, maybeExecuted });
}
