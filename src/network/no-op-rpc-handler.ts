/** NoOpRpcHandler: for a side of a connection that only asks. Whatever it is asked fails. */
import { RpcError } from "../common/errors.js";
import type { ManagedBuffer } from "./managed-buffer.js";
import { RpcHandler } from "./rpc-handler.js";
import { StreamManager } from "./stream-manager.js";

const TEXT = "this side of the connection answers nothing: it is a client";

class NoStreams extends StreamManager {
  getChunk(): ManagedBuffer {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", TEXT);
  }
}

export class NoOpRpcHandler extends RpcHandler {
  readonly #streams = new NoStreams();

  receive(): void {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", TEXT);
  }

  getStreamManager(): StreamManager {
    return this.#streams;
  }
}
