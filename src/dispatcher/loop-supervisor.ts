/**
 * What follows from the death of a loop: recovery (crash-recovery.ts), then blame and budget, and new instances of its
 * endpoints when it is up again. Main thread only.
 *
 * A crash is blamed on the endpoint whose code was on the stack; so is a restart whose onStart fails. One that has spent
 * its budget is FAILED: it would take its neighbours down for ever. A crash that is nobody's makes the back-off of its
 * loop grow and nothing else.
 *
 * The endpoints of a loop that is stuck in a native call go on elsewhere: a shared one on its other loops, one of a
 * single instance on another loop with what was not taken (endpoint-mover.ts).
 */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { readInFlightEntries } from "../inbox/in-flight-table.js";
import { type CrashRecovery, lastCrash } from "./crash-recovery.js";
import type { DispatcherParts } from "./dispatcher-parts.js";
import { type EndpointInstances, LoopLost } from "./endpoint-instances.js";
import type { EndpointMover } from "./endpoint-mover.js";
import type { EndpointStopper } from "./endpoint-stopper.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import type { LoopWatcher } from "./loop-slot.js";

export interface LoopSupervisorOptions {
  readonly dispatcher: DispatcherParts;
  readonly clock: Clock;
  readonly recovery: CrashRecovery;
  readonly stopper: EndpointStopper;
  readonly instances: EndpointInstances;
  readonly mover: EndpointMover;
}

export class LoopSupervisor implements LoopWatcher {
  readonly #dispatcher: DispatcherParts;
  readonly #clock: Clock;
  readonly #recovery: CrashRecovery;
  readonly #stopper: EndpointStopper;
  readonly #instances: EndpointInstances;
  readonly #mover: EndpointMover;

  constructor(options: LoopSupervisorOptions) {
    this.#dispatcher = options.dispatcher;
    this.#clock = options.clock;
    this.#recovery = options.recovery;
    this.#stopper = options.stopper;
    this.#instances = options.instances;
    this.#mover = options.mover;
  }

  up(loop: HostedMessageLoop): void {
    for (const endpoint of this.#running(loop)) this.#restart(endpoint, loop);
  }

  ending(loop: HostedMessageLoop, error: unknown): void {
    this.#recovery.failTakenAsks(loop, error);
  }

  stuck(loop: HostedMessageLoop, error: unknown): void {
    const blamed = this.#blamed(loop);
    this.#recovery.giveUp(loop, error);
    // Told to end with its env or its endpoint: nothing of it goes on.
    const running = loop.told ? [] : this.#running(loop);
    this.#noteCrash(running, loop, error);
    const failed = loop.told ? null : this.#blame(blamed);
    const moving = running.filter((endpoint) => !endpoint.shared && endpoint !== failed);
    this.#report(loop, blamed, moving, true, error);
    if (failed !== null) this.#fail(failed);
    for (const endpoint of moving) {
      if (endpoint.state !== EndpointState.RUNNING) continue;
      const to = this.#mover.move(endpoint, loop);
      if (to !== null) this.#restartWhenUp(endpoint, to);
    }
    this.#stopper.loopDied(loop.index);
  }

  died(loop: HostedMessageLoop, error: unknown): void {
    const blamed = this.#blamed(loop);
    this.#recovery.recover(loop, error);
    // Everything that follows from a stuck loop was done when it was found stuck.
    if (loop.takenSettled) return;
    const running = this.#running(loop);
    this.#noteCrash(running, loop, error);
    const failed = this.#blame(blamed);
    const restarted = running.filter((endpoint) => endpoint !== failed);
    this.#report(loop, blamed, restarted, false, error);
    if (failed !== null) this.#fail(failed);
    this.#stopper.loopDied(loop.index);
  }

  /** Most have nothing left that could be judged. One that had to be forced may have had messages, and a stop may wait. */
  ended(loop: HostedMessageLoop): void {
    this.#recovery.recover(loop, loop.reason?.error ?? new Error("it was told to end"));
    this.#stopper.loopDied(loop.index);
  }

  /** Endpoints that have, or should have, an instance on that loop. */
  #running(loop: HostedMessageLoop): HostedEndpoint[] {
    return this.#dispatcher.directory.all.filter(
      ({ state, loops }) => state === EndpointState.RUNNING && loops.includes(loop.index),
    );
  }

  /** Id of the endpoint whose code was on the stack, or whose module was being imported; 0 if there was none. */
  #blamed(loop: HostedMessageLoop): number {
    const { endpoint, loading } = this.#dispatcher.loops.status(loop);
    return endpoint === 0 ? loading : endpoint;
  }

  #noteCrash(endpoints: readonly HostedEndpoint[], loop: HostedMessageLoop, error: unknown): void {
    const stopping = this.#dispatcher.directory.all.filter(
      ({ state, loops }) => state !== EndpointState.RUNNING && loops.includes(loop.index),
    );
    for (const endpoint of [...endpoints, ...stopping]) {
      endpoint.lastCrash = lastCrash(endpoint.name, loop.index, error);
    }
  }

  /** One more crash or failed restart of this endpoint; returns it if that was one too many. */
  #blame(id: number): HostedEndpoint | null {
    const endpoint = this.#dispatcher.directory.get(id);
    if (endpoint?.state !== EndpointState.RUNNING) return null;
    return endpoint.crashes.spend(this.#clock.now()) ? endpoint : null;
  }

  #report(
    loop: HostedMessageLoop,
    blamed: number,
    restarted: readonly HostedEndpoint[],
    stuck: boolean,
    error: unknown,
  ): void {
    const { events, directory } = this.#dispatcher;
    events.loopCrashed({
      loop: loop.index,
      blamed: blamed === 0 ? null : directory.nameOf(blamed),
      restarted: restarted.map(({ name }) => name),
      stuck,
      error,
    });
  }

  // ── Restarts ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #restart(endpoint: HostedEndpoint, loop: HostedMessageLoop): void {
    if (endpoint.serving.has(loop.index) || endpoint.starting.has(loop.index)) return;
    const restarts = endpoint.countRestart(loop.index);
    this.#instances
      .attach(endpoint, loop, restarts, endpoint.lastCrash)
      .catch((error: RpcError) => this.#restartFailed(endpoint, loop, error));
  }

  #restartWhenUp(endpoint: HostedEndpoint, index: number): void {
    this.#dispatcher.loops.whenUp(index).then(
      (loop) => this.#restartIfRunning(endpoint, loop),
      // Its group was closed, and with it the endpoint; or its next incarnation tries again.
      () => {},
    );
  }

  #restartIfRunning(endpoint: HostedEndpoint, loop: HostedMessageLoop): void {
    const wanted = endpoint.state === EndpointState.RUNNING && endpoint.loops.includes(loop.index);
    if (wanted && loop.up) this.#restart(endpoint, loop);
  }

  /** The loop lives, and the endpoint did not start on it: tried again, within its budget. */
  #restartFailed(endpoint: HostedEndpoint, loop: HostedMessageLoop, error: RpcError): void {
    const successor = this.#dispatcher.loops.get(loop.index);
    if (successor !== loop) {
      // It was up again before this start had ended, and found the endpoint starting.
      this.#restartIfRunning(endpoint, successor);
      return;
    }
    if (endpoint.state !== EndpointState.RUNNING || !loop.up || error instanceof LoopLost) return;
    endpoint.lastCrash = error;
    const failed = this.#blame(endpoint.id);
    if (failed !== null) {
      this.#fail(failed);
      return;
    }
    const delayMs = endpoint.backOff.failed(this.#clock.now());
    this.#clock.setTimeout(() => this.#restartIfRunning(endpoint, loop), delayMs).unref();
  }

  // ── The end of an endpoint ─────────────────────────────────────────────────────────────────────────────────────────

  #fail(endpoint: HostedEndpoint): void {
    const { blamedMax, windowMs } = endpoint.crashes.settings;
    const why = `after ${blamedMax} crashes or failed restarts within ${windowMs} ms`;
    this.#failFor(endpoint, why, endpoint.lastCrash);
  }

  /** A handler of its was given up, and no new instance could take the place of the old one. */
  irreplaceable(endpoint: HostedEndpoint): void {
    this.#failFor(endpoint, "because a handler did not end in time and no new instance could be started", null);
  }

  #failFor(endpoint: HostedEndpoint, why: string, lastCrash: RpcError | null): void {
    // Who was told of the crash may have stopped it.
    if (endpoint.state !== EndpointState.RUNNING) return;
    const { name } = endpoint;
    const dispatcher = this.#dispatcher;
    const text = `endpoint "${name}" is out of service ${why}; stop it and set it up again`;
    const failure = new RpcError("ERR_RPC_ENDPOINT_FAILED", text, { endpoint: name, cause: lastCrash });
    endpoint.failure = failure;
    endpoint.state = EndpointState.FAILED;
    const taken = this.#takenAsks();
    const untaken = dispatcher.asks.slots(endpoint.id).filter((slot) => {
      return taken.get(slot) !== dispatcher.asks.generation(slot);
    });
    dispatcher.poster.cancelAsks(untaken, () => failure, "failed");
    this.#stopper.retire(endpoint);
    dispatcher.events.endpointFailed(name, failure);
  }

  /** Generations by slot of the asks that a living loop has taken. */
  #takenAsks(): Map<number, number> {
    const { loops, memory } = this.#dispatcher;
    const taken = new Map<number, number>();
    for (const loop of loops.all) {
      if (!loop.alive) continue;
      const { entries } = loop.regions;
      for (const { askSlot, askGeneration } of readInFlightEntries(memory.words(entries), entries.word)) {
        if (askSlot !== -1) taken.set(askSlot, askGeneration);
      }
    }
    return taken;
  }
}
