/**
 * Stops endpoints in order: backlog, then what is in flight, then onStop, last and alone. Main thread only.
 *
 * STOP in the Inbox ──taken by a loop──▶ QUIESCE to every loop ──all answered──▶ ON_STOP to every loop ──all answered──▶ done
 *
 * The name stays taken until then, and posts are refused from the first step on. At its timeout what is still in flight
 * is given up: signals fire, asks fail, the backlog is dropped, and onStop runs all the same. A loop that does not turn
 * cannot run it; then the stop rejects after a grace, and ends in silence when the loop turns again.
 */
import type { Clock, Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { STOP_GRACE_MS } from "../common/limits.js";
import { RecordKind } from "../inbox/record.js";
import type { DispatcherParts } from "./dispatcher-parts.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";

const Phase = { BACKLOG: 0, QUIESCE: 1, ON_STOP: 2 } as const;

interface Stop {
  readonly endpoint: HostedEndpoint;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: RpcError) => void;
  readonly waiting: Set<number>;
  phase: number;
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
      return running.promise;
    }
    if (endpoint.state === EndpointState.FAILED) {
      this.#dispatcher.remove(endpoint);
      return Promise.resolve();
    }
    if (endpoint.state !== EndpointState.RUNNING) return Promise.resolve();
    const { promise, resolve, reject } = withResolvers();
    const timer = this.#clock.setTimeout(() => this.#expired(stop), timeoutMs);
    const endsMs = this.#clock.now() + timeoutMs;
    const waiting = new Set<number>();
    const stop: Stop = { endpoint, promise, resolve, reject, waiting, phase: Phase.BACKLOG, endsMs, timer };
    this.#stops.set(endpoint.id, stop);
    endpoint.state = EndpointState.STOPPING;
    endpoint.settleRoomWaiters(this.#dispatcher.refusal(endpoint));
    this.#dispatcher.poster.postStop(endpoint);
    return promise;
  }

  onRecord(loop: number, kind: number, endpoint: HostedEndpoint | undefined): void {
    const stop = endpoint && this.#stops.get(endpoint.id);
    if (stop === undefined) return;
    switch (kind) {
      case RecordKind.STOP_TAKEN:
        this.#enter(stop, Phase.QUIESCE);
        break;
      case RecordKind.QUIESCED:
        if (stop.phase === Phase.QUIESCE) this.#answered(stop, loop);
        break;
      case RecordKind.STOPPED:
        if (stop.phase === Phase.ON_STOP) this.#answered(stop, loop);
        break;
    }
  }

  /** A loop is dead: nobody waits for its answer. */
  loopDied(loop: number): void {
    for (const stop of [...this.#stops.values()]) {
      if (stop.endpoint.loops.every((index) => !this.#isAlive(index))) this.#done(stop);
      else if (stop.phase !== Phase.BACKLOG && stop.waiting.has(loop)) this.#answered(stop, loop);
    }
  }

  #enter(stop: Stop, phase: number): void {
    stop.phase = phase;
    const kind = phase === Phase.QUIESCE ? RecordKind.QUIESCE : RecordKind.ON_STOP;
    for (const index of stop.endpoint.loops) {
      if (!this.#isAlive(index)) continue;
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

  #done(stop: Stop): void {
    this.#clock.clearTimeout(stop.timer);
    this.#stops.delete(stop.endpoint.id);
    this.#dispatcher.remove(stop.endpoint);
    stop.resolve();
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
    dispatcher.poster.cancelAsks(dispatcher.asks.slots(endpoint.id), () => error, "failed");
    if (stop.phase !== Phase.ON_STOP) {
      for (const index of endpoint.loops) {
        if (this.#isAlive(index)) dispatcher.tell(index, RecordKind.QUIESCE, endpoint.id, 0, 1);
      }
    }
    // The stop itself goes on: when its loops turn again, the endpoint ends and its name is free after all.
    stop.timer = this.#clock.setTimeout(() => {
      const loops = [...(stop.waiting.size > 0 ? stop.waiting : endpoint.loops)].join(", ");
      const text = `endpoint "${endpoint.name}" did not stop in time; still busy on loop ${loops}`;
      stop.reject(new RpcError("ERR_RPC_TIMEOUT", text, { endpoint: endpoint.name }));
    }, STOP_GRACE_MS);
  }

  #isAlive(index: number): boolean {
    return this.#dispatcher.isAlive(index);
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
