/**
 * The context of one message: whether anybody still waits, until when, and the answer. Step 6 of the data flow.
 *
 * States: OPEN → DEFERRED (the handler returned `defer()`) → ANSWERED → ENDED; OPEN → ANSWERED → ENDED. A message is
 * ANSWERED while its handler still runs after `reply`, and ENDED when its in-flight entry was given back.
 */
import { RpcError } from "../common/errors.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcCallContext } from "../rpc/rpc-context.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import type { RpcDeferred } from "../rpc/rpc-protocol.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
import { asideEntry } from "./message-counts.js";
import { remainingMs } from "./running-handler.js";

/** What a context needs of its loop. */
export interface ContextHost {
  readonly rpcEnv: RpcEnvView;
  isWaiting(slot: number, generation: number): boolean;
  nowMs(): number;
  answer(context: CallContext, value: unknown): void;
  answerFailure(context: CallContext, error: unknown): void;
}

/** What a context knows of its message: a taken record, or what was kept of it while its body was on its way. */
export interface ContextMessage {
  readonly entry: number;
  readonly position: number;
  readonly kind: number;
  readonly askSlot: number;
  readonly askGeneration: number;
  readonly deadline: number;
}

export const ContextState = { OPEN: 0, DEFERRED: 1, ANSWERED: 2, ENDED: 3 } as const;

/** Returned by `defer`; a handler that returns it answers later. */
export const DEFERRED = Object.freeze({}) as RpcDeferred;

export class CallContext implements RpcCallContext<unknown> {
  readonly endpoint: AttachedEndpoint;
  readonly entry: number;
  /** Where its record lay; with the entry, the name of this very message. */
  readonly position: number;
  readonly kind: number;
  readonly askSlot: number;
  readonly askGeneration: number;
  /** It came by mailbox and does not count against its endpoint's concurrency. */
  readonly aside: boolean;
  readonly #host: ContextHost;
  /** Env clock, ms, int32; 0: none. */
  readonly deadline: number;
  #abort: AbortController | null = null;
  #cancelled = false;
  /** Owned by the loop, which drives the transitions. */
  state: number = ContextState.OPEN;
  /** The handler has neither returned nor thrown, nor has its promise settled. */
  running = true;
  /** The handler returned a promise or deferred: its entry outlives the turn. */
  detached = false;
  /** It is one of the messages that its endpoint has in flight. */
  counted = false;
  /** `host:port` of the sender; null for one of this env. */
  readonly sender: string | null;

  constructor(
    host: ContextHost,
    endpoint: AttachedEndpoint,
    message: ContextMessage,
    aside: boolean,
    sender: string | null,
  ) {
    this.#host = host;
    this.endpoint = endpoint;
    this.entry = message.entry;
    this.position = message.position;
    this.kind = message.kind;
    this.askSlot = message.askSlot;
    this.askGeneration = message.askGeneration;
    this.deadline = message.deadline;
    this.aside = aside;
    this.sender = sender;
  }

  // One class serves both directions; RpcSendContext differs from RpcCallContext in its type only.
  get oneWay(): false {
    return (this.askSlot === -1) as false;
  }

  /** As SEND_FAILED names it. */
  get namedEntry(): number {
    return this.aside ? asideEntry(this.entry) : this.entry;
  }

  get rpcEnv(): RpcEnvView {
    return this.#host.rpcEnv;
  }

  /** The message came from another node. */
  get remote(): boolean {
    return this.sender !== null;
  }

  get senderAddress(): RpcAddress | null {
    return this.sender === null ? this.#host.rpcEnv.address : RpcAddress.parse(`ringpost://${this.sender}`);
  }

  get cancelled(): boolean {
    if (this.#cancelled) return true;
    if (this.askSlot === -1) return false;
    return !this.#host.isWaiting(this.askSlot, this.askGeneration);
  }

  get remainingMs(): number {
    return this.deadline === 0 ? Number.POSITIVE_INFINITY : remainingMs(this.deadline, this.#host.nowMs());
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.cancelled) this.#abort.abort(cancelReason(this.endpoint.name));
    }
    return this.#abort.signal;
  }

  reply(value: unknown): void {
    if (this.#mayAnswer()) this.#host.answer(this, value);
  }

  sendFailure(error: unknown): void {
    if (this.#mayAnswer()) this.#host.answerFailure(this, error);
  }

  defer(): RpcDeferred {
    if (this.askSlot === -1) {
      throw new RpcError(
        "ERR_RPC_INVALID_ARGUMENT",
        `a one-way message to "${this.endpoint.name}" has no reply to defer`,
      );
    }
    return DEFERRED;
  }

  /** The ask has ended: its signal fires. Called by the loop. */
  cancel(): void {
    this.#cancelled = true;
    this.#abort?.abort(cancelReason(this.endpoint.name));
  }

  /** False: nobody waits any more, and the late answer is ignored. */
  #mayAnswer(): boolean {
    const endpoint = this.endpoint.name;
    if (this.askSlot === -1) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `a one-way message to "${endpoint}" cannot be answered`, {
        endpoint,
      });
    }
    if (this.state === ContextState.ENDED && this.#cancelled) return false;
    if (this.state >= ContextState.ANSWERED) {
      throw new RpcError("ERR_RPC_ALREADY_REPLIED", `the ask of "${endpoint}" was answered before`, { endpoint });
    }
    return true;
  }
}

function cancelReason(endpoint: string): DOMException {
  return new DOMException(`the ask of "${endpoint}" was aborted, timed out, or lost its asker`, "AbortError");
}

/** What a handler returned is settled later. A look at `then` may run user code. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
