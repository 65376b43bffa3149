/** A handler that asks whoever it is told to. */
import { defineService, type RpcEndpointRef, type RpcUntyped } from "ringpost";

export default defineService({
  ask: (ref: RpcEndpointRef<RpcUntyped>): Promise<unknown> => ref.with({ timeoutMs: 5_000 }).ask("?"),
});
