/** A protocol without a class. Types only. */
import type { RpcCallContext, RpcSendContext } from "./rpc-context.js";
import type { RpcDeferred } from "./rpc-protocol.js";

/**
 * The messages of an endpoint whose class is not at hand: for messages that carry references, for helpers, for endpoints
 * whose source is elsewhere. `RpcEndpointRef<RpcMessages<Ask, Reply, Send>>` is their reference.
 */
export interface RpcMessages<Ask = never, Reply = unknown, Send = never> {
  // Properties, not methods: so they are compared strictly.
  readonly receive: (message: Send, context: RpcSendContext) => void | Promise<void>;
  readonly receiveAndReply: (message: Ask, context: RpcCallContext<Reply>) => Reply | Promise<Reply> | RpcDeferred;
}
