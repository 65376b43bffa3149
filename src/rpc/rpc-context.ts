/**
 * What a handler is given beside its message. The loop that runs the handler makes the context; it ends with the answer
 * and must not be kept longer, except through `defer`.
 */
import type { RpcAddress } from "./rpc-address.js";
import type { RpcEnvView } from "./rpc-env-view.js";
import type { RpcDeferred } from "./rpc-protocol.js";

/** The part that one-way messages and asks share. Thread: the loop of the handler only. */
export interface RpcContext {
  /** The environment, as an endpoint sees it on any thread. */
  readonly rpcEnv: RpcEnvView;
  /**
   * Where the sender's environment listens, also when it is this one. Of a peer that does not listen, where its socket is;
   * null for a sender of this environment when that does not listen.
   */
  readonly senderAddress: RpcAddress | null;
  /** True when nobody waits for an answer. */
  readonly oneWay: boolean;
  /** Fires when the asker gave up: abort, timeout, stop. Never fires for a one-way message. */
  readonly signal: AbortSignal;
  /** The same as one load of a shared word, for CPU-heavy loops in which no event can fire. */
  readonly cancelled: boolean;
  /**
   * Milliseconds until the asker's timeout, Infinity without one. What a handler asks before its first `await` ends with
   * its asker by itself; after an `await` pass this on as `timeoutMs`. Never below 0.001, the least that `timeoutMs`
   * accepts here: when the time has passed it stays there, and an ask with it times out at once.
   */
  readonly remainingMs: number;
}

/** The context of a one-way message. */
export interface RpcSendContext extends RpcContext {
  readonly oneWay: true;
}

/** The context of an ask. The handler's settled return value is the answer, unless one of these was called before. */
export interface RpcCallContext<Reply = unknown> extends RpcContext {
  readonly oneWay: false;
  /**
   * Answers now.
   * Throws ERR_RPC_ALREADY_REPLIED after an answer, ERR_RPC_SERIALIZATION or ERR_RPC_MESSAGE_TOO_LARGE for a value that
   * cannot travel; after those two the ask is still open.
   */
  reply(value: Reply): void;
  /** Answers with an error: the asker gets ERR_RPC_HANDLER with it as `cause`. Throws ERR_RPC_ALREADY_REPLIED. */
  sendFailure(error: unknown): void;
  /**
   * `return context.defer()`: the answer comes later, by `reply` or `sendFailure` of this context.
   * Delivery: an answer that never comes is ERR_RPC_NO_REPLY for the asker when the endpoint stops.
   */
  defer(): RpcDeferred;
}
