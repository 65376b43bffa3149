/**
 * Endpoint classes. The class an endpoint extends says how it is run:
 *
 * class                        | threads                   | instances           | messages at a time
 * -----------------------------|---------------------------|---------------------|-----------------------
 * RpcEndpoint                  | the shared loops          | one per shared loop | several per instance
 * ThreadSafeRpcEndpoint        | one of the shared loops   | one                 | one, in order
 * IsolatedRpcEndpoint          | `threadCount` of its own  | one per thread      | several per instance
 * IsolatedThreadSafeRpcEndpoint| one of its own            | one                 | one, in order
 *
 * An instance instead of a module runs on the main thread, alone, if its class is one of the first two.
 *
 * Life: constructor → bound by its loop (`self`, `rpcEnv` and `replica` are readable from here) → onStart → messages →
 * onStop. All of it, and every handler of one instance, on one thread.
 */
import { inspect } from "node:util";
import { RpcError } from "../common/errors.js";
import type { RpcAddress } from "./rpc-address.js";
import type { RpcCallContext, RpcSendContext } from "./rpc-context.js";
import type { RpcEndpointKind } from "./rpc-endpoint-options.js";
import type { RpcEndpointRef } from "./rpc-endpoint-ref.js";
import type { RpcEnvView } from "./rpc-env-view.js";
import type { OwnThreads, ownThreads } from "./rpc-protocol.js";

/** The methods that network events call. Only endpoints that override one are told. */
export const ENDPOINT_EVENTS = ["onConnected", "onDisconnected", "onNetworkError"] as const;
export type RpcEndpointEvent = (typeof ENDPOINT_EVENTS)[number];

/** Which of `count` instances this is. */
export interface RpcReplica {
  readonly index: number;
  readonly count: number;
}

/** What a loop tells an instance between constructor and onStart. */
export interface EndpointBinding {
  readonly replica: RpcReplica;
  readonly self: RpcEndpointRef;
  readonly rpcEnv: RpcEnvView;
}

/** Why an instance starts: 0 restarts and no reason, or after how many crashes and because of what. */
export interface RpcStart {
  readonly restarts: number;
  readonly reason: RpcError | null;
}

/** Two copies of this package in one process still recognise each other's classes: by these, never by instanceof. */
const KIND: unique symbol = Symbol.for("ringpost.RpcEndpoint.kind");
const BIND: unique symbol = Symbol.for("ringpost.RpcEndpoint.bind");
/** Every kind. */
export const ENDPOINT_KINDS: readonly RpcEndpointKind[] = ["concurrent", "serial", "isolated", "isolated-serial"];

/**
 * A concurrent endpoint: one replica on every shared loop, each with its own state and life cycle. What must exist once
 * belongs into a ThreadSafeRpcEndpoint. Up to `concurrency` async handlers of a replica are in flight at a time.
 */
export abstract class RpcEndpoint {
  /** Fewer replicas than one per shared loop: a positive integer. */
  declare static readonly replicas?: number;

  /**
   * The environment, as an endpoint sees it. Known from onStart on; reading it in the constructor throws
   * ERR_RPC_ENDPOINT_START.
   */
  declare protected readonly rpcEnv: RpcEnvView;

  /**
   * The reference of this endpoint, for others to talk to it. Known from onStart on, like `rpcEnv`. To talk to it here,
   * say its type: `declare readonly self: RpcEndpointRef<Counter>`.
   */
  declare readonly self: RpcEndpointRef;

  /** Which replica this instance is. Known from onStart on, like `rpcEnv`. */
  declare readonly replica: RpcReplica;

  #binding: EndpointBinding | null = null;

  static {
    // Properties to the compiler, so that a subclass may narrow them with `declare`; accessors, so that they can say why
    // they are not there yet.
    for (const key of ["rpcEnv", "self", "replica"] as const) {
      Object.defineProperty(RpcEndpoint.prototype, key, {
        configurable: true,
        get(this: RpcEndpoint): unknown {
          return this.#bound(key)[key];
        },
      });
    }
  }

  /** Begins to stop this endpoint, all replicas of it: nothing new, its backlog, then onStop. */
  stop(): void {
    const { rpcEnv, self } = this.#bound("stop()");
    rpcEnv.stop(self);
  }

  /** Called once before the first message. The endpoint is set up when every replica's onStart has finished. */
  onStart(_start: RpcStart): void | Promise<void> {}

  /** Called once after the last message, alone. Not called after a crash. */
  onStop(): void | Promise<void> {}

  /** Takes a one-way message. The default refuses it: a dead letter with ERR_RPC_UNSUPPORTED_MESSAGE. */
  receive(message: never, _context: RpcSendContext): void | Promise<void> {
    refuse(message, `${this.constructor.name} takes no one-way messages; override receive, or ask`);
  }

  /**
   * Takes an ask; its settled return value is the reply, undefined included. The default refuses it: the asker gets
   * ERR_RPC_UNSUPPORTED_MESSAGE.
   */
  receiveAndReply(message: never, _context: RpcCallContext<never>): unknown {
    return refuse(message, `${this.constructor.name} answers no asks; override receiveAndReply, or send`);
  }

  /** Called with what a handler threw, after the asker was told. Throwing here is logged and nothing else. */
  onError(_error: unknown): void | Promise<void> {}

  /** A peer has connected to this environment, or this environment to a peer. */
  onConnected(_address: RpcAddress): void | Promise<void> {}

  /** The connection to a peer is lost; asks of it fail by themselves. */
  onDisconnected(_address: RpcAddress): void | Promise<void> {}

  /** The connection to a peer had an error. */
  onNetworkError(_error: RpcError, _address: RpcAddress): void | Promise<void> {}

  /** How it is run. For the dispatcher. */
  get [KIND](): RpcEndpointKind {
    return "concurrent";
  }

  /** Called by the loop between constructor and onStart. */
  [BIND](binding: EndpointBinding): void {
    this.#binding = binding;
  }

  #bound(what: string): EndpointBinding {
    if (this.#binding !== null) return this.#binding;
    throw new RpcError(
      "ERR_RPC_ENDPOINT_START",
      `${this.constructor.name}.${what} is not known before onStart; use it there instead of in the constructor`,
    );
  }
}

/** A serial endpoint: one instance, strictly one message at a time in order of arrival; an async handler is awaited. */
export abstract class ThreadSafeRpcEndpoint extends RpcEndpoint {
  override get [KIND](): RpcEndpointKind {
    return "serial";
  }
}

/**
 * A concurrent endpoint on threads of its own, one replica on each, so that long handlers hold up nobody else.
 * Its module must be given by URL: an instance would have to leave the thread it was made on.
 */
export abstract class IsolatedRpcEndpoint extends RpcEndpoint implements OwnThreads {
  /** Its threads: 1 to 255. All loops of an environment together are 255 at most. */
  static readonly threadCount: number = 1;

  declare readonly [ownThreads]: true;

  override get [KIND](): RpcEndpointKind {
    return "isolated";
  }
}

/** A serial endpoint on a thread of its own. */
export abstract class IsolatedThreadSafeRpcEndpoint extends IsolatedRpcEndpoint {
  static override readonly threadCount = 1 as const;

  override get [KIND](): RpcEndpointKind {
    return "isolated-serial";
  }
}

/**
 * The default branch of a handler's switch: the compiler accepts it only when every message has its case, and the asker
 * gets ERR_RPC_UNSUPPORTED_MESSAGE for what came all the same.
 */
export function unsupportedMessage(message: never): never {
  return refuse(message, "the endpoint does not understand this message");
}

/** The kind of an endpoint class or instance, of this or another copy of the package; null for anything else. */
export function endpointKind(value: unknown): RpcEndpointKind | null {
  const prototype: unknown = typeof value === "function" ? value.prototype : value;
  if (typeof prototype !== "object" || prototype === null) return null;
  const kind = (prototype as { readonly [KIND]?: unknown })[KIND];
  return ENDPOINT_KINDS.includes(kind as RpcEndpointKind) ? (kind as RpcEndpointKind) : null;
}

/** True for a kind that runs on threads of its own. */
export function isIsolated(kind: RpcEndpointKind): boolean {
  return kind === "isolated" || kind === "isolated-serial";
}

/** True for a kind that has one instance and takes one message at a time. */
export function isSerial(kind: RpcEndpointKind): boolean {
  return kind === "serial" || kind === "isolated-serial";
}

/** True for an instance (not the class) of an endpoint. */
export function isEndpointInstance(value: unknown): value is RpcEndpoint {
  return typeof value === "object" && endpointKind(value) !== null;
}

/** Tells an instance which it is and where. For the loop that runs it, between constructor and onStart. */
export function bindEndpoint(endpoint: RpcEndpoint, binding: EndpointBinding): void {
  endpoint[BIND](binding);
}

/** The event methods that an endpoint class or instance has of its own; none for anything else. */
export function overriddenEvents(definition: unknown): RpcEndpointEvent[] {
  if (endpointKind(definition) === null) return [];
  const start = (typeof definition === "function" ? definition.prototype : definition) as object;
  return ENDPOINT_EVENTS.filter((event) => {
    let holder: object | null = start;
    while (holder !== null && !Object.hasOwn(holder, event)) holder = Object.getPrototypeOf(holder) as object | null;
    // RpcEndpoint.prototype, of whichever copy of the package, is where the defaults stand, and nothing else has BIND.
    return holder !== null && !Object.hasOwn(holder, BIND);
  });
}

function refuse(message: unknown, why: string): never {
  const shown = inspect(message, {
    depth: 1,
    breakLength: Number.POSITIVE_INFINITY,
    maxArrayLength: 5,
    maxStringLength: 80,
  });
  const text = shown.length > 200 ? `${shown.slice(0, 200)}…` : shown;
  throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", `${why}: message=${text}`);
}
