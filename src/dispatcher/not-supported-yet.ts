/** What the surface already names and this version cannot do: said by an error instead of by silence. */
import { RpcError } from "../common/errors.js";

/** ERR_RPC_INVALID_ARGUMENT saying that `what` is not supported yet. */
export function notSupportedYet(what: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", `${what} is not supported yet`);
}
