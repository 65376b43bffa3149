/**
 * Stops endpoints in order: backlog, then what is in flight, then onStop, last and alone. Main thread only.
 *
 * STOP in the Inbox ──taken by a loop──▶ QUIESCE to every loop ──all answered──▶ ON_STOP to every loop ──all answered──▶ done
 *
 * The name stays taken until then, and posts are refused from the first step on. At its timeout what is still in flight
 * is given up: signals fire, asks fail, the backlog is dropped, and onStop runs all the same. A loop that does not turn
 * cannot run it; then the stop rejects after a grace, and ends in silence when the loop turns again.
 *
 * An instance whose loop dies meanwhile is not started again: the stop goes on without it. When no instance is left, or
 * none lived in the first place, what waits in the Inbox is dropped and the stop is done.
 *
 * A FAILED endpoint goes the same way, with what it has in flight given up from the start; only its name stays.
 */
import type { Clock, Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { STOP_GRACE_MS } from "../common/limits.js";
import { RecordKind } from "../inbox/record.js";
import type { DispatcherParts } from "./dispatcher-parts.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";

const Phase = { BACKLOG: 0, QUIESCE: 1, ON_STOP: 2, DONE: 3 } as const;

interface Stop {
  readonly endpoint: HostedEndpoint;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: RpcError) => void;
  readonly waiting: Set<number>;
  phase: number;
  /** It has FAILED: its name outlives the stop. */
  readonly failed: boolean;
  /** A loop may be starting an instance of it, or have started one: which of them serve is not known yet. */
  unsettled: boolean;
  /** Env clock, ms: when what is in flight is given up. */
  endsMs: number;
  timer: Timer;
}

export class EndpointStopper {
  readonly #dispatcher: DispatcherParts;
  readonly #clock: Clock;
  readonly #stops = new Map<number, Stop>();

  constructor(dispatcher: DispatcherParts, clock: Clock) {
    this.#dispatcher = dispatcher;
    this.#clock = clock;
  }

  stop(endpoint: HostedEndpoint, timeoutMs: number): Promise<void> {
    const running = this.#stops.get(endpoint.id);
    if (running !== undefined) {
      this.#hasten(running, timeoutMs);
      return running.failed ? running.promise.then(() => this.#dispatcher.remover.remove(endpoint)) : running.promise;
    }
    if (endpoint.state === EndpointState.FAILED) return this.#dispatcher.remover.remove(endpoint);
    if (endpoint.state !== EndpointState.RUNNING) return Promise.resolve();
    endpoint.state = EndpointState.STOPPING;
    endpoint.settleRoomWaiters(this.#dispatcher.refusal(endpoint));
    return this.#begin(endpoint, timeoutMs, false).promise;
  }

  /** Takes an endpoint out of service that has just FAILED: what waits and what runs is given up, onStop runs. */
  retire(endpoint: HostedEndpoint): void {
    endpoint.settleRoomWaiters(this.#dispatcher.refusal(endpoint));
    const stop = this.#begin(endpoint, STOP_GRACE_MS, true);
    stop.promise.catch(() => {});
    this.#giveUp(stop);
  }

  #begin(endpoint: HostedEndpoint, timeoutMs: number, failed: boolean): Stop {
    const { promise, resolve, reject } = withResolvers();
    const timer = this.#clock.setTimeout(() => this.#expired(stop), timeoutMs);
    const endsMs = this.#clock.now() + timeoutMs;
    const waiting = new Set<number>();
    // An instance that is just starting again, after a crash, is not wanted any more, unless it has begun to serve.
    const starting = [...endpoint.starting].map((loop) => this.#dispatcher.takeBack(endpoint, loop));
    const unsettled = starting.length > 0;
    const phase = Phase.BACKLOG;
    const stop: Stop = { endpoint, promise, resolve, reject, waiting, phase, failed, unsettled, endsMs, timer };
    this.#stops.set(endpoint.id, stop);
    if (unsettled) void Promise.all(starting).then(() => this.#settled(stop));
    else this.#settled(stop);
    return stop;
  }

  /** `serving` says which instances there are, and there will be no others. */
  #settled(stop: Stop): void {
    stop.unsettled = false;
    if (stop.endpoint.serving.size > 0) this.#dispatcher.poster.postStop(stop.endpoint);
    else this.#drop(stop);
  }

  onRecord(loop: number, kind: number, endpoint: HostedEndpoint | undefined): void {
    const stop = endpoint && this.#stops.get(endpoint.id);
    if (stop === undefined) return;
    switch (kind) {
      case RecordKind.STOP_TAKEN:
        if (stop.phase === Phase.BACKLOG) this.#enter(stop, Phase.QUIESCE);
        break;
      case RecordKind.QUIESCED:
        if (stop.phase === Phase.QUIESCE) this.#answered(stop, loop);
        break;
      case RecordKind.STOPPED:
        if (stop.phase === Phase.ON_STOP) this.#answered(stop, loop);
        break;
    }
  }

  /** A loop is dead, and serves nothing any more: nobody waits for its answer. */
  loopDied(loop: number): void {
    for (const stop of [...this.#stops.values()]) {
      if (stop.unsettled) continue;
      if (stop.endpoint.serving.size === 0) this.#drop(stop);
      else if (stop.phase !== Phase.BACKLOG && stop.waiting.has(loop)) this.#answered(stop, loop);
    }
  }

  #enter(stop: Stop, phase: number): void {
    stop.phase = phase;
    const kind = phase === Phase.QUIESCE ? RecordKind.QUIESCE : RecordKind.ON_STOP;
    for (const index of stop.endpoint.serving) {
      stop.waiting.add(index);
      this.#dispatcher.tell(index, kind, stop.endpoint.id);
    }
    if (stop.waiting.size === 0) this.#done(stop);
  }

  #answered(stop: Stop, loop: number): void {
    stop.waiting.delete(loop);
    if (stop.waiting.size > 0) return;
    if (stop.phase === Phase.QUIESCE) this.#enter(stop, Phase.ON_STOP);
    else this.#done(stop);
  }

  /** No instance is left that could take what waits. */
  #drop(stop: Stop): void {
    const { endpoint } = stop;
    const dispatcher = this.#dispatcher;
    if (stop.phase === Phase.DONE) return;
    const untaken = this.#untaken(endpoint);
    dispatcher.poster.cancelAsks(dispatcher.asks.slots(endpoint.id), () => untaken, "failed");
    const sends = dispatcher.remover.discardBacklog(endpoint);
    if (sends > 0) dispatcher.deadLetter(endpoint, untaken, sends);
    this.#done(stop);
  }

  #done(stop: Stop): void {
    const { endpoint, failed } = stop;
    stop.phase = Phase.DONE;
    this.#clock.clearTimeout(stop.timer);
    this.#stops.delete(endpoint.id);
    const ended = failed ? this.#dispatcher.remover.retire(endpoint) : this.#dispatcher.remover.remove(endpoint);
    void ended.then(stop.resolve);
  }

  /** Why what no instance has taken fails. */
  #untaken(endpoint: HostedEndpoint): RpcError {
    return endpoint.failure ?? endpoint.lastCrash ?? this.#dispatcher.refusal(endpoint);
  }

  /** Asks that a loop has taken which may have started an instance. */
  #takenOnStart({ endpoint, unsettled }: Stop): Set<number> | null {
    if (!unsettled || endpoint.serving.size > 0) return null;
    const entries = [...endpoint.starting].flatMap((loop) => this.#dispatcher.inFlight(loop));
    return new Set(entries.map(({ askSlot }) => askSlot));
  }

  /** Somebody else stops it too, and has less time. */
  #hasten(stop: Stop, timeoutMs: number): void {
    const endsMs = this.#clock.now() + timeoutMs;
    if (endsMs >= stop.endsMs) return;
    stop.endsMs = endsMs;
    this.#clock.clearTimeout(stop.timer);
    stop.timer = this.#clock.setTimeout(() => this.#expired(stop), timeoutMs);
  }

  /** What is in flight is given up; the loops that still turn go on to onStop. */
  #expired(stop: Stop): void {
    const { endpoint } = stop;
    const dispatcher = this.#dispatcher;
    // From here on nobody can hasten it.
    stop.endsMs = Number.NEGATIVE_INFINITY;
    const error = new RpcError("ERR_RPC_NO_REPLY", `"${endpoint.name}" was stopped before it answered`, {
      endpoint: endpoint.name,
    });
    const taken = this.#takenOnStart(stop);
    const reason = (slot: number): RpcError => (taken?.has(slot) === false ? this.#untaken(endpoint) : error);
    dispatcher.poster.cancelAsks(dispatcher.asks.slots(endpoint.id), reason, "failed");
    this.#giveUp(stop);
    // The stop itself goes on: when its loops turn again, the endpoint ends and its name is free after all.
    stop.timer = this.#clock.setTimeout(() => {
      const loops = [...(stop.waiting.size > 0 ? stop.waiting : endpoint.serving)].join(", ");
      const text = `endpoint "${endpoint.name}" did not stop in time; still busy on loop ${loops}`;
      stop.reject(new RpcError("ERR_RPC_TIMEOUT", text, { endpoint: endpoint.name }));
    }, STOP_GRACE_MS);
  }

  #giveUp({ phase, endpoint }: Stop): void {
    if (phase >= Phase.ON_STOP) return;
    for (const index of endpoint.serving) this.#dispatcher.tell(index, RecordKind.QUIESCE, endpoint.id, 0, 1);
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: RpcError) => void } {
  let resolve!: () => void;
  let reject!: (error: RpcError) => void;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
