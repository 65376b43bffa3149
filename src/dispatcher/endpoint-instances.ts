/**
 * Starts instances of endpoints on their loops, at set-up and after a crash, and takes them back. Not in the data flow.
 * Main thread only.
 *
 * Every step is bounded by the start timeout. A loop that has then not answered is asked whether it turns: one that does
 * not, because a module or an onStart holds its thread, is ended; its other endpoints start again with it.
 */
import { assert } from "../common/assert.js";
import type { Clock } from "../common/clock.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { PING_TIMEOUT_MS } from "../common/limits.js";
import type { MessageCodec } from "../rpc/codec.js";
import { encodeFailure, failureToError } from "./failure.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import { type HostedMessageLoop, LoopState } from "./hosted-message-loop.js";
import type { AttachRequest, ControlResult, EncodedValue } from "./loop-protocol.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { MessageLoops } from "./message-loops.js";

export interface EndpointInstancesOptions {
  readonly clock: Clock;
  readonly codec: MessageCodec;
  readonly memory: MainLoopMemory;
  readonly loops: MessageLoops;
  /** Milliseconds for each step of a start. */
  readonly startTimeoutMs: number;
}

export class EndpointInstances {
  readonly #clock: Clock;
  readonly #codec: MessageCodec;
  readonly #memory: MainLoopMemory;
  readonly #loops: MessageLoops;
  readonly #startTimeoutMs: number;

  constructor(options: EndpointInstancesOptions) {
    this.#clock = options.clock;
    this.#codec = options.codec;
    this.#memory = options.memory;
    this.#loops = options.loops;
    this.#startTimeoutMs = options.startTimeoutMs;
  }

  /**
   * Makes an instance and runs its onStart; the loop serves the endpoint's Inbox from then on.
   * Rejects with ERR_RPC_ENDPOINT_START: it threw, the time was up, or the loop died. At a restart it then does not serve
   * and never will; at a set-up, where nothing is taken before all have started, the caller detaches it.
   */
  async attach(
    endpoint: HostedEndpoint,
    loop: HostedMessageLoop,
    restarts: number,
    reason: RpcError | null,
  ): Promise<void> {
    const position = endpoint.loops.indexOf(loop.index);
    const counters = endpoint.counters[position] as HostedEndpoint["counters"][number];
    const { id, generation, name, ring, shared, launch } = endpoint;
    assert(launch !== null, "an instance on loop 0 is made by its user");
    const request: AttachRequest = {
      ...launch,
      handlerTimeoutMs: endpoint.handlerTimeoutMs,
      endpoint: id,
      generation,
      name,
      inbox: ring,
      segment: this.#memory.handle(ring),
      shared,
      loopMax: Math.max(...endpoint.loops),
      replica: { index: position, count: endpoint.loops.length },
      counters,
      countersSegment: this.#memory.handle(counters),
      restarts,
      reason: reason && this.#encode(reason),
    };
    endpoint.starting.add(loop.index);
    try {
      await this.call(name, loop, (remote) => remote.attach(request));
      // It may have died, or have been ended, while its answer was on its way.
      if (!loop.up) throw new LoopLost(name, loop);
      // A stop that began meanwhile has taken it back.
      const wanted = endpoint.state === EndpointState.STARTING || endpoint.state === EndpointState.RUNNING;
      if (wanted) endpoint.serving.add(loop.index);
    } catch (error) {
      // It may have started just then, and have taken messages, its answer being on the way: in this case it serves.
      const late = restarts > 0 && error instanceof StartTimeout && loop.up;
      if (late) await this.#takeBackUnlessStarted(endpoint, loop);
      if (!late || !endpoint.serving.has(loop.index)) throw error;
    } finally {
      endpoint.starting.delete(loop.index);
    }
  }

  /** Takes an instance back without onStop. Resolves, and never rejects, when the loop can no longer touch its memory. */
  async detach(endpoint: HostedEndpoint, loop: HostedMessageLoop): Promise<void> {
    endpoint.serving.delete(loop.index);
    if (loop.state === LoopState.DEAD) return;
    try {
      await loop.control.call((remote) => remote.detach(endpoint.id));
    } catch {
      await loop.hosted.exited;
    }
  }

  /**
   * Takes an instance back that is starting, without onStop. One that has started, whose loop's answer is on its way,
   * has taken messages perhaps: it serves from now on. Resolves, and never rejects, when it is one or the other.
   */
  async takeBack(endpoint: HostedEndpoint, loop: HostedMessageLoop): Promise<void> {
    if (loop.state === LoopState.DEAD) return;
    if (!(await this.#takeBackUnlessStarted(endpoint, loop))) await loop.hosted.exited;
  }

  /** False: its loop has died, or been ended, and that end tells. */
  async #takeBackUnlessStarted(endpoint: HostedEndpoint, loop: HostedMessageLoop): Promise<boolean> {
    try {
      const gone = await loop.control.call((remote) => remote.takeBack(endpoint.id));
      if (!gone && loop.up) endpoint.serving.add(loop.index);
      return gone || loop.up;
    } catch {
      return false;
    }
  }

  /** The incarnation of a loop id that can be talked to, within the start timeout. */
  async whenUp(name: string, index: number): Promise<HostedMessageLoop> {
    try {
      return await this.#timed(name, this.#loops.whenUp(index));
    } catch (error) {
      if (error instanceof StartTimeout || !isRpcError(error)) throw error;
      const text = `endpoint "${name}" did not start: ${error.message}`;
      throw new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint: name, cause: error.cause ?? error });
    }
  }

  /** One call of the control plane, as a step of a start. */
  async call<T>(
    name: string,
    loop: HostedMessageLoop,
    ask: Parameters<typeof loop.control.call<ControlResult<T>>>[0],
  ): Promise<T> {
    try {
      const result = await this.#timed(name, loop.control.call(ask));
      if (result.ok) return result.value;
      const { codec, bytes, attachments } = result.failure;
      throw failureToError(name, this.#codec.decode(codec, bytes, bytes.length, attachments));
    } catch (error) {
      if (isRpcError(error, "ERR_RPC_WORKER_CRASHED")) throw new LoopLost(name, loop);
      if (error instanceof StartTimeout) await this.#endIfHung(loop, error);
      throw error;
    }
  }

  async #endIfHung(loop: HostedMessageLoop, error: RpcError): Promise<void> {
    if (!(await this.#loops.ping(loop, PING_TIMEOUT_MS))) this.#loops.endLoop(loop, error);
  }

  #timed<T>(name: string, step: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(
        () => reject(new StartTimeout(name, this.#startTimeoutMs)),
        this.#startTimeoutMs,
      );
      step.then(resolve, reject).finally(() => this.#clock.clearTimeout(timer));
    });
  }

  #encode(reason: RpcError): EncodedValue {
    encodeFailure(this.#codec, [reason.code, reason.message, reason.cause ?? null]);
    return { codec: this.#codec.payloadCodec, ...this.#codec.takeBody() };
  }
}

class StartTimeout extends RpcError {
  constructor(endpoint: string, timeoutMs: number) {
    super(
      "ERR_RPC_ENDPOINT_START",
      `endpoint "${endpoint}" did not start within ${timeoutMs} ms; rpc.startTimeout says how long it may take`,
      { endpoint },
    );
  }
}

/** Its loop died while an endpoint started on it. Whose fault that was, the loop's death tells. */
export class LoopLost extends RpcError {
  constructor(endpoint: string, loop: HostedMessageLoop) {
    const text = `endpoint "${endpoint}" did not start: message loop ${loop.index} died meanwhile`;
    super("ERR_RPC_ENDPOINT_START", text, { endpoint, cause: loop.reason?.error });
  }
}
