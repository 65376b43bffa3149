/** References: a name at an address, typed by its endpoint's definition. Made by an environment, never by hand. */
import { REF_BRAND } from "./ref-brand.js";
import type { RpcAddress } from "./rpc-address.js";
import type {
  AskOf,
  NoExcess,
  NotUnderstoodByThisEndpoint,
  ReplyTo,
  RpcCalls,
  RpcCasts,
  RpcUntyped,
  SendOf,
} from "./rpc-protocol.js";

export { REF_BRAND };

declare const ref: unique symbol;

export interface RpcAskOptions {
  /** Milliseconds, positive, or Infinity; 120,000 unless the environment says otherwise. */
  timeoutMs?: number | undefined;
  /** Aborts the ask: it rejects with the signal's reason, a queued message never runs, a running handler is told. */
  signal?: AbortSignal | undefined;
}

/** Defaults for what is called through `with`. */
export interface RpcWithOptions extends RpcAskOptions {
  /**
   * Buffers that the message moves instead of copying: they are detached here as soon as it is accepted, or the ask has
   * begun to wait, and are not given back when the ask fails. They must be part of the message, and be listed once.
   */
  transfer?: readonly ArrayBuffer[] | undefined;
}

/** An ask that can be given up without an AbortController. */
export interface RpcAbortable<Reply> {
  readonly promise: Promise<Reply>;
  /** Rejects the promise with `reason` (an AbortError without one). Nothing happens once it is settled. */
  abort(reason?: unknown): void;
}

/** How to talk to an endpoint. `out T` is its definition. */
export interface RpcEndpointCalls<out T = unknown> {
  /**
   * Asks and waits for the reply.
   *
   * @param message Encoded before this returns: what happens to it later has no effect.
   * @param options `timeoutMs` in milliseconds, positive or Infinity; `signal` to give up. A handler's ask before its first
   * `await` has at most the time that its own asker has left; after that pass `context.remainingMs` as `timeoutMs`.
   * @returns The reply. While the Inbox is full the ask waits, within its timeout.
   * Throws ERR_RPC_INVALID_ARGUMENT, ERR_RPC_SERIALIZATION and ERR_RPC_MESSAGE_TOO_LARGE as rejections, like all others:
   * ERR_RPC_HANDLER with the handler's error as `cause`, ERR_RPC_TIMEOUT, ERR_RPC_UNSUPPORTED_MESSAGE, ERR_RPC_NO_REPLY,
   * ERR_RPC_WORKER_CRASHED, ERR_RPC_INBOX_FULL, ERR_RPC_ENDPOINT_NOT_FOUND, ERR_RPC_ENDPOINT_FAILED, ERR_RPC_ENV_STOPPED.
   * An aborted ask rejects with its signal's reason.
   * Ordering: first in, first out from this thread to one serial endpoint, asks and sends alike.
   * Delivery: at most once; settles exactly once.
   */
  ask<M extends AskOf<T>>(message: NoExcess<AskOf<T>, M>, options?: RpcAskOptions): Promise<ReplyTo<T, M>>;

  /** As `ask`, with a function that gives it up. */
  askAbortable<M extends AskOf<T>>(
    message: NoExcess<AskOf<T>, M>,
    options?: RpcAskOptions,
  ): RpcAbortable<ReplyTo<T, M>>;

  /**
   * Sends one-way.
   *
   * @param message Encoded before this returns.
   * @returns true: accepted by the Inbox, not yet delivered. false: full now, or the endpoint is stopped, failed or
   * unknown (then a dead letter, and `ready()` rejects with the reason): `while (!ref.send(m)) await ref.ready()` ends.
   * On a message loop true means accepted by that loop's way to the main thread; only there it is known whether the
   * endpoint is, and what finds it gone, or Inbox and spill full, is a dead letter.
   * Throws ERR_RPC_SERIALIZATION naming the path of the value that cannot travel, ERR_RPC_MESSAGE_TOO_LARGE.
   * Ordering: as `ask`.
   * Delivery: at most once; what is accepted and not handled is counted and a dead letter.
   */
  send(message: [SendOf<T>] extends [never] ? NotUnderstoodByThisEndpoint : SendOf<T>): boolean;

  /** A service's methods as asks: `await ref.call.method(…)`. An unknown one rejects with ERR_RPC_NO_SUCH_METHOD. */
  readonly call: RpcCalls<T>;

  /** A service's methods one-way: `cast` is to `call` what `send` is to `ask`. */
  readonly cast: RpcCasts<T>;

  /** Defaults for what follows, as in `ref.with({ timeoutMs: 500 }).call.method(…)`. Not a reference. */
  with(options: RpcWithOptions): RpcEndpointCalls<T>;
}

/**
 * Without a type argument it is any reference: keep it, compare it, pass it on inside a message. To talk it needs its
 * endpoint's type, or RpcUntyped.
 */
export interface RpcEndpointRef<out T = unknown> extends RpcEndpointCalls<T> {
  readonly name: string;
  /** Where its environment listens; null when it does not. */
  readonly address: RpcAddress | null;
  /** `ringpost://name@host:port`, or `ringpost://name` without an address. */
  readonly uri: string;

  /**
   * Resolves when a `send` would be accepted.
   * Throws, as a rejection, what keeps the endpoint from ever accepting again: ERR_RPC_ENDPOINT_NOT_FOUND,
   * ERR_RPC_ENDPOINT_FAILED, ERR_RPC_ENV_STOPPED; ERR_RPC_TIMEOUT after `timeoutMs`, the signal's reason after an abort.
   */
  ready(options?: RpcAskOptions): Promise<void>;

  /**
   * Sends one-way to every replica of the endpoint; to one of a single instance it is a `send`.
   *
   * @param message Encoded once, before this returns.
   * @returns How many replicas accepted it: 0 where `send` says false, with a dead letter for the same reasons.
   * Throws as `send`.
   * Ordering: a single instance takes it in order with its other messages. Replicas take broadcasts of this thread in
   * order among themselves; none against other messages, as they start at once, outside `concurrency`.
   * Delivery: at most once to each replica.
   */
  broadcast(message: [SendOf<T>] extends [never] ? NotUnderstoodByThisEndpoint : SendOf<T>): number;

  /** The same name at the same address. */
  equals(other: RpcEndpointRef): boolean;

  /** The uri. */
  toString(): string;

  readonly [REF_BRAND]: true;
  /** The definition, for the compiler only: nothing is there. */
  readonly [ref]?: T;
}

/** True for a reference, of this or another copy of the package. */
export function isRpcEndpointRef(value: unknown): value is RpcEndpointRef<RpcUntyped> {
  if (typeof value !== "object" || value === null) return false;
  return (value as { readonly [REF_BRAND]?: unknown })[REF_BRAND] === true;
}
