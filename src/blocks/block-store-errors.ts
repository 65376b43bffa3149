/** What all stores say in the same words. */
import { RpcError } from "../common/errors.js";

/** Not there today is no reason to ask again: somebody would have to put it there first. */
export function blockNotFound(blockId: string): RpcError {
  return new RpcError("ERR_RPC_STREAM", `Block ${blockId} was not found`, { retryable: false });
}
