/** An endpoint under load, isolated. */
import { IsolatedRpcEndpoint, type RpcCallContext } from "ringpost";
import { type SoakAsk, type SoakSend, soakAnswer, soakReceive } from "./soak-endpoint.js";

export default class SoakIsolated extends IsolatedRpcEndpoint {
  static override readonly threadCount: number = 2;

  override receive(message: SoakSend): void | Promise<void> {
    return soakReceive(message);
  }

  override receiveAndReply(message: SoakAsk, context: RpcCallContext<unknown>): unknown {
    return soakAnswer(message, context);
  }
}
