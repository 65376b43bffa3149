/** What the surface already names and this version cannot do: said by an error instead of by silence. */
import { RpcError } from "../common/errors.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";

/** ERR_RPC_INVALID_ARGUMENT saying that `what` is not supported yet. */
export function notSupportedYet(what: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", `${what} is not supported yet`);
}

/** In place of what a message loop cannot give its endpoints yet. */
export const NO_ENV_ON_LOOPS = {
  get self(): RpcEndpointRef {
    throw notSupportedYet("self on a message loop");
  },
  get rpcEnv(): RpcEnvView {
    throw notSupportedYet("rpcEnv on a message loop");
  },
};
