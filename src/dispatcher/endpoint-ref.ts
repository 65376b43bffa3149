/**
 * A reference to an endpoint, on whatever loop it is held. Step 1 of the data flow.
 *
 * It means a name: when the endpoint was stopped and another is set up under its name, the ref goes to that one.
 */
import { inspect } from "node:util";
import { RecordKind } from "../inbox/record.js";
import { formatEndpointUri } from "../rpc/endpoint-uri.js";
import { REF_BRAND } from "../rpc/ref-brand.js";
import { CALLS_BRAND, REF_HANDLE, type RefHandle } from "../rpc/ref-handle.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import type {
  RpcAbortable,
  RpcAskOptions,
  RpcEndpointCalls,
  RpcEndpointRef,
  RpcWithOptions,
} from "../rpc/rpc-endpoint-ref.js";
import type { RpcUntyped } from "../rpc/rpc-protocol.js";
import { checkAskOptions, checkWithOptions } from "./call-options.js";
import type { RefPoster, RefTarget } from "./ref-poster.js";

type Caller<Result> = (...inputs: unknown[]) => Result;
type Callers<Result> = { readonly [method: string]: Caller<Result> };

/** What `ask`, `call` and their like do, with the defaults of one `with`. */
class EndpointCalls implements RpcEndpointCalls<RpcUntyped> {
  protected readonly poster: RefPoster;
  protected readonly target: RefTarget;
  protected readonly timeoutMs: number;
  protected readonly signal: AbortSignal | undefined;
  readonly #transfer: readonly ArrayBuffer[] | undefined;
  #call: Callers<Promise<unknown>> | null = null;
  #cast: Callers<boolean> | null = null;

  constructor(
    poster: RefPoster,
    target: RefTarget,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    transfer: readonly ArrayBuffer[] | undefined,
  ) {
    this.poster = poster;
    this.target = target;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.#transfer = transfer;
  }

  get [CALLS_BRAND](): true {
    return true;
  }

  ask<Reply>(message: unknown, options?: RpcAskOptions): Promise<Reply> {
    return this.post(RecordKind.ASK, message, options) as Promise<Reply>;
  }

  askAbortable<Reply>(message: unknown, options?: RpcAskOptions): RpcAbortable<Reply> {
    const { poster } = this;
    const promise = this.ask<Reply>(message, options);
    const slot = poster.lastSlot;
    const generation = poster.generation(slot);
    const abort = (reason: unknown = new DOMException("This operation was aborted", "AbortError")): void =>
      poster.abort(slot, generation, reason);
    return { promise, abort };
  }

  send(message: unknown): boolean {
    return this.poster.send(this.target, RecordKind.SEND, message, this.#transfer);
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
      return this.poster.send(this.target, RecordKind.CAST, inputs, this.#transfer);
    });
    return this.#cast;
  }

  with(options: RpcWithOptions): EndpointCalls {
    checkWithOptions(options);
    const { timeoutMs = this.timeoutMs, transfer = this.#transfer } = options;
    return new EndpointCalls(this.poster, this.target, timeoutMs, options.signal ?? this.signal, transfer);
  }

  protected post(kind: number, message: unknown, options: RpcAskOptions | undefined): Promise<unknown> {
    let { timeoutMs, signal } = this;
    if (options !== undefined) {
      try {
        checkAskOptions("ask", options);
      } catch (error) {
        // No ask was made, and the one before it is not what `askAbortable` would give up.
        this.poster.lastSlot = -1;
        return Promise.reject(error);
      }
      signal = options.signal ?? signal;
      timeoutMs = options.timeoutMs ?? timeoutMs;
    }
    return this.poster.ask(this.target, kind, message, timeoutMs, signal, this.#transfer);
  }
}

export interface EndpointRefOptions {
  readonly env: string;
  readonly address: RpcAddress | null;
  readonly poster: RefPoster;
  readonly target: RefTarget;
  readonly askTimeoutMs: number;
}

/** The reference itself: calls with the env's defaults, and a name. */
export class EndpointRef extends EndpointCalls implements RpcEndpointRef<RpcUntyped> {
  readonly name: string;
  readonly address: RpcAddress | null;
  readonly #env: string;

  constructor({ env, address, poster, target, askTimeoutMs }: EndpointRefOptions) {
    super(poster, target, askTimeoutMs, undefined, undefined);
    this.name = target.name;
    this.address = address;
    this.#env = env;
  }

  get [REF_BRAND](): true {
    return true;
  }

  /** What of it travels. */
  get [REF_HANDLE](): RefHandle {
    const { name, id, generation, replicas } = this.target;
    return { env: this.#env, name, address: this.address, id, generation, replicas };
  }

  get uri(): string {
    return formatEndpointUri(this.name, this.address);
  }

  ready(options?: RpcAskOptions): Promise<void> {
    try {
      if (options !== undefined) checkAskOptions("ready", options);
      return this.poster.ready(this.target, options?.timeoutMs ?? this.timeoutMs, options?.signal ?? undefined);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  broadcast(message: unknown): number {
    return this.poster.broadcast(this.target, message);
  }

  equals(other: RpcEndpointRef): boolean {
    const handle = handleOf(other);
    if (handle === null || handle.name !== this.name) return false;
    if (handle.address !== null && this.address !== null) return RpcAddress.equals(handle.address, this.address);
    return handle.env === this.#env;
  }

  override toString(): string {
    return this.uri;
  }

  toJSON(): string {
    return this.uri;
  }

  /** What console.log shows. */
  [inspect.custom](): string {
    return `RpcEndpointRef(${this.uri})`;
  }
}

/** The handle of a reference, of this or another copy of the package; null for anything else. */
export function handleOf(value: unknown): RefHandle | null {
  if (typeof value !== "object" || value === null) return null;
  return (value as { readonly [REF_HANDLE]?: RefHandle })[REF_HANDLE] ?? null;
}

/**
 * An object with a function for each method of a service, made when it is first asked for; those that the target tells
 * are made at once. `then` and symbols are no methods, so that `await ref.call` is not taken for a promise.
 */
function callers<Result>(target: RefTarget, invoke: (method: string, inputs: unknown[]) => Result): Callers<Result> {
  const make = (method: string): Caller<Result> => {
    const caller: Caller<Result> = (...inputs) => invoke(method, inputs);
    Object.defineProperty(made, method, { value: caller, configurable: true, enumerable: true });
    return caller;
  };
  const others = new Proxy(Object.create(null) as object, {
    get: (_none, key) => (typeof key === "symbol" || key === "then" ? undefined : make(key)),
  });
  const made: Record<string, Caller<Result>> = Object.create(others);
  for (const method of target.methods) make(method);
  return made;
}
