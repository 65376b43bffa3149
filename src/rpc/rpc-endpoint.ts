/**
 * Endpoint classes. The class an endpoint extends says how it is run: RpcEndpoint in one replica per shared loop, any
 * idle loop taking the next message; ThreadSafeRpcEndpoint in one instance, one message at a time.
 *
 * Life: constructor → bound by its loop (`replica` is readable from here) → onStart → messages → onStop. All of it, and
 * every handler of one instance, on one thread.
 */
import { inspect } from "node:util";
import { RpcError } from "../common/errors.js";
import type { RpcCallContext, RpcSendContext } from "./rpc-context.js";

/** How an endpoint is run. */
export type RpcEndpointKind = "concurrent" | "serial";

/** Which of `count` instances this is. */
export interface RpcReplica {
  readonly index: number;
  readonly count: number;
}

/** Why an instance starts: 0 restarts and no reason, or after how many crashes and because of what. */
export interface RpcStart {
  readonly restarts: number;
  readonly reason: RpcError | null;
}

/** Two copies of this package in one process still recognise each other's classes: by these, never by instanceof. */
const KIND: unique symbol = Symbol.for("ringpost.RpcEndpoint.kind");
const BIND: unique symbol = Symbol.for("ringpost.RpcEndpoint.bind");

/**
 * A concurrent endpoint: one replica on every shared loop, each with its own state and life cycle. What must exist once
 * belongs into a ThreadSafeRpcEndpoint. Up to `concurrency` async handlers of a replica are in flight at a time.
 */
export abstract class RpcEndpoint {
  /** Fewer replicas than one per shared loop: a positive integer. */
  declare static readonly replicas?: number;

  #replica: RpcReplica | null = null;

  /**
   * Which replica this instance is.
   * Throws ERR_RPC_ENDPOINT_START in the constructor, where it is not known yet: use it in onStart and after.
   */
  get replica(): RpcReplica {
    if (this.#replica === null) {
      throw new RpcError(
        "ERR_RPC_ENDPOINT_START",
        `${this.constructor.name}.replica is not known before onStart; read it there instead of in the constructor`,
      );
    }
    return this.#replica;
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

  /** How it is run. For the dispatcher. */
  get [KIND](): RpcEndpointKind {
    return "concurrent";
  }

  /** Called by the loop between constructor and onStart. */
  [BIND](replica: RpcReplica): void {
    this.#replica = replica;
  }
}

/** A serial endpoint: one instance, strictly one message at a time in order of arrival; an async handler is awaited. */
export abstract class ThreadSafeRpcEndpoint extends RpcEndpoint {
  override get [KIND](): RpcEndpointKind {
    return "serial";
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
  return kind === "concurrent" || kind === "serial" ? kind : null;
}

/** True for an instance (not the class) of an endpoint. */
export function isEndpointInstance(value: unknown): value is RpcEndpoint {
  return typeof value === "object" && endpointKind(value) !== null;
}

/** Tells an instance which replica it is. For the loop that runs it, between constructor and onStart. */
export function bindEndpoint(endpoint: RpcEndpoint, replica: RpcReplica): void {
  endpoint[BIND](replica);
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
