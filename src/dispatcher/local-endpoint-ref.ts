/**
 * A reference to an endpoint of this env, held on the main thread. Step 1 of the data flow.
 *
 * It means a name: when the endpoint was stopped and another is set up under its name, the ref goes to that one.
 */
import { RpcError } from "../common/errors.js";
import { TIMEOUT_MS_MAX } from "../common/limits.js";
import { RecordKind } from "../inbox/record.js";
import { formatEndpointUri } from "../rpc/endpoint-uri.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import {
  REF_BRAND,
  type RpcAbortable,
  type RpcAskOptions,
  type RpcEndpointCalls,
  type RpcEndpointRef,
  type RpcWithOptions,
} from "../rpc/rpc-endpoint-ref.js";
import type { RpcUntyped } from "../rpc/rpc-protocol.js";
import type { Dispatcher } from "./dispatcher.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import { notSupportedYet } from "./not-supported-yet.js";

type Caller<Result> = (...inputs: unknown[]) => Result;
type Callers<Result> = { readonly [method: string]: Caller<Result> };

/** Checks a timeout: a positive number of milliseconds, or Infinity. */
export function checkTimeoutMs(timeoutMs: unknown): number {
  if (timeoutMs === Number.POSITIVE_INFINITY) return timeoutMs;
  if (typeof timeoutMs === "number" && timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX) return timeoutMs;
  const text = `timeoutMs must be a positive number up to ${TIMEOUT_MS_MAX}, or Infinity: timeoutMs=${String(timeoutMs)}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

/** The endpoint that a name means now. Shared by a ref and all that `with` makes of it. */
class NamedEndpoint {
  readonly dispatcher: Dispatcher;
  readonly name: string;
  #endpoint: HostedEndpoint;

  constructor(dispatcher: Dispatcher, endpoint: HostedEndpoint) {
    this.dispatcher = dispatcher;
    this.name = endpoint.name;
    this.#endpoint = endpoint;
  }

  /** No Map operation while the endpoint runs. */
  get(): HostedEndpoint {
    if (this.#endpoint.state === EndpointState.RUNNING) return this.#endpoint;
    const named = this.dispatcher.directory.find(this.name);
    if (named?.state === EndpointState.RUNNING) this.#endpoint = named;
    return this.#endpoint;
  }
}

/** What `ask`, `call` and their like do, with the defaults of one `with`. */
class LocalCalls implements RpcEndpointCalls<RpcUntyped> {
  protected readonly target: NamedEndpoint;
  protected readonly timeoutMs: number;
  protected readonly signal: AbortSignal | undefined;
  readonly #transfer: readonly ArrayBuffer[] | undefined;
  #call: Callers<Promise<unknown>> | null = null;
  #cast: Callers<boolean> | null = null;

  constructor(
    target: NamedEndpoint,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    transfer: readonly ArrayBuffer[] | undefined,
  ) {
    this.target = target;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.#transfer = transfer;
  }

  ask<Reply>(message: unknown, options?: RpcAskOptions): Promise<Reply> {
    return this.post(RecordKind.ASK, message, options) as Promise<Reply>;
  }

  askAbortable<Reply>(message: unknown, options?: RpcAskOptions): RpcAbortable<Reply> {
    const { poster } = this.target.dispatcher;
    const promise = this.ask<Reply>(message, options);
    const slot = poster.lastSlot;
    const generation = poster.generation(slot);
    const abort = (reason: unknown = new DOMException("This operation was aborted", "AbortError")): void =>
      poster.abort(slot, generation, reason);
    return { promise, abort };
  }

  send(message: unknown): boolean {
    return this.target.dispatcher.poster.send(this.target.get(), RecordKind.SEND, message, this.#transfer);
  }

  get call(): Callers<Promise<unknown>> {
    this.#call ??= callers(this.target, (method, inputs) => {
      inputs.unshift(method);
      return this.post(RecordKind.CALL, inputs, undefined);
    });
    return this.#call;
  }

  get cast(): Callers<boolean> {
    this.#cast ??= callers(this.target, (method, inputs) => {
      inputs.unshift(method);
      return this.target.dispatcher.poster.send(this.target.get(), RecordKind.CAST, inputs, this.#transfer);
    });
    return this.#cast;
  }

  with(options: RpcWithOptions): LocalCalls {
    const timeoutMs = options.timeoutMs === undefined ? this.timeoutMs : checkTimeoutMs(options.timeoutMs);
    return new LocalCalls(this.target, timeoutMs, options.signal ?? this.signal, options.transfer ?? this.#transfer);
  }

  protected post(kind: number, message: unknown, options: RpcAskOptions | undefined): Promise<unknown> {
    let { timeoutMs, signal } = this;
    if (options !== undefined) {
      signal = options.signal ?? signal;
      if (options.timeoutMs !== undefined) {
        try {
          timeoutMs = checkTimeoutMs(options.timeoutMs);
        } catch (error) {
          return Promise.reject(error);
        }
      }
    }
    return this.target.dispatcher.poster.ask(this.target.get(), kind, message, timeoutMs, signal, this.#transfer);
  }
}

/** The reference itself: calls with the env's defaults, and a name. */
export class LocalEndpointRef extends LocalCalls implements RpcEndpointRef<RpcUntyped> {
  readonly name: string;

  constructor(dispatcher: Dispatcher, endpoint: HostedEndpoint, askTimeoutMs: number) {
    super(new NamedEndpoint(dispatcher, endpoint), askTimeoutMs, undefined, undefined);
    this.name = endpoint.name;
  }

  get [REF_BRAND](): true {
    return true;
  }

  get address(): RpcAddress | null {
    return null;
  }

  get uri(): string {
    return formatEndpointUri(this.name, this.address);
  }

  ready(options?: RpcAskOptions): Promise<void> {
    try {
      const timeoutMs = options?.timeoutMs === undefined ? this.timeoutMs : checkTimeoutMs(options.timeoutMs);
      return this.target.dispatcher.poster.ready(this.target.get(), timeoutMs, options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  broadcast(_message: unknown): number {
    throw notSupportedYet("broadcast");
  }

  equals(other: RpcEndpointRef): boolean {
    return (
      other instanceof LocalEndpointRef &&
      other.target.dispatcher === this.target.dispatcher &&
      other.name === this.name
    );
  }

  override toString(): string {
    return this.uri;
  }

  /** The env that the ref belongs to, and its endpoint now. */
  endpointIn(dispatcher: Dispatcher): HostedEndpoint | null {
    return this.target.dispatcher === dispatcher ? this.target.get() : null;
  }
}

/**
 * An object with a function for each method of a service, made once. Names that its endpoint did not tell are made when
 * they are asked for; `then` and symbols are no methods, so that `await ref.call` is not taken for a promise.
 */
function callers<Result>(
  target: NamedEndpoint,
  invoke: (method: string, inputs: unknown[]) => Result,
): Callers<Result> {
  const unknownNames = new Proxy(Object.create(null) as Record<string, Caller<Result>>, {
    get: (made, key) => {
      if (typeof key === "symbol" || key === "then") return undefined;
      made[key] ??= (...inputs) => invoke(key, inputs);
      return made[key];
    },
  });
  const known: Record<string, Caller<Result>> = Object.create(unknownNames);
  for (const method of target.get().description.methods ?? []) known[method] = (...inputs) => invoke(method, inputs);
  return known;
}
