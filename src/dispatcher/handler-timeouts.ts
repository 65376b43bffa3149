/**
 * Ends handlers that have had their `handlerTimeoutMs`. Main thread only; looks at the in-flight tables of loops that
 * serve an endpoint with a timeout, every 50 ms while there is one.
 *
 * An entry past its time → its ask fails with ERR_RPC_HANDLER_TIMEOUT → EXPIRE to its loop, which gives the message up.
 * A loop that does not answer a ping within a second does not turn: it is ended, with all that runs on it.
 */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { PING_TIMEOUT_MS, SWEEP_PERIOD_MS } from "../common/limits.js";
import type { InFlightEntry } from "../inbox/in-flight-table.js";
import { RecordKind } from "../inbox/record.js";
import type { DispatcherParts } from "./dispatcher-parts.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";

export class HandlerTimeouts {
  readonly #dispatcher: DispatcherParts;
  readonly #clock: Clock;
  readonly #endpoints = new Set<HostedEndpoint>();
  /** Entries dealt with, by loop and entry: the message they held. */
  readonly #expired = new Map<string, string>();
  #running = false;

  constructor(dispatcher: DispatcherParts, clock: Clock) {
    this.#dispatcher = dispatcher;
    this.#clock = clock;
  }

  /** Watches the handlers of an endpoint that has just started. */
  watch(endpoint: HostedEndpoint): void {
    if (endpoint.handlerTimeoutMs === Number.POSITIVE_INFINITY) return;
    this.#endpoints.add(endpoint);
    if (!this.#running) this.#run();
  }

  #run(): void {
    this.#running = true;
    const timer = this.#clock.setTimeout(() => {
      this.#sweep();
      if (this.#endpoints.size > 0) timer.refresh();
      else this.#running = false;
    }, SWEEP_PERIOD_MS);
    timer.unref();
  }

  #sweep(): void {
    const loops = new Set<number>();
    for (const endpoint of this.#endpoints) {
      const over = endpoint.state === EndpointState.STOPPED || endpoint.state === EndpointState.FAILED;
      if (over) this.#endpoints.delete(endpoint);
      else for (const loop of endpoint.loops) loops.add(loop);
    }
    const nowMs = this.#clock.now() | 0;
    for (const loop of loops) {
      if (!this.#dispatcher.isAlive(loop)) continue;
      for (const entry of this.#dispatcher.inFlight(loop)) this.#look(loop, entry, nowMs);
    }
  }

  #look(loop: number, entry: InFlightEntry, nowMs: number): void {
    const endpoint = this.#dispatcher.directory.get(entry.endpoint);
    if (endpoint === undefined || !this.#endpoints.has(endpoint)) return;
    if (((nowMs - entry.startedAt) | 0) < endpoint.handlerTimeoutMs) return;
    const place = `${loop}:${entry.index}`;
    const message = `${entry.position}:${entry.startedAt}`;
    if (this.#expired.get(place) === message) return;
    this.#expired.set(place, message);
    const error = handlerTimeout(endpoint);
    const { askSlot, askGeneration } = entry;
    const { asks, poster } = this.#dispatcher;
    if (askSlot !== -1 && asks.isOpen(askSlot, askGeneration)) poster.cancelAsks([askSlot], () => error, "failed");
    this.#dispatcher.tell(loop, RecordKind.EXPIRE, endpoint.id, entry.position, entry.index);
    // Loop 0 turns, or this would not run.
    if (loop !== 0) void this.#endUnlessTurning(this.#dispatcher.loops.get(loop), error);
  }

  async #endUnlessTurning(loop: HostedMessageLoop, error: RpcError): Promise<void> {
    const { loops } = this.#dispatcher;
    if (!(await loops.ping(loop, PING_TIMEOUT_MS))) loops.endLoop(loop, error);
  }
}

function handlerTimeout({ name, handlerTimeoutMs }: HostedEndpoint): RpcError {
  const text = `a handler of "${name}" did not end within ${handlerTimeoutMs} ms`;
  return new RpcError("ERR_RPC_HANDLER_TIMEOUT", text, { endpoint: name, maybeExecuted: true });
}
