/** An endpoint under load, concurrent. */
import { type RpcCallContext, RpcEndpoint } from "ringpost";
import { type SoakAsk, type SoakSend, soakAnswer, soakReceive } from "./soak-endpoint.js";

export default class SoakConcurrent extends RpcEndpoint {
  override receive(message: SoakSend): void | Promise<void> {
    return soakReceive(message);
  }

  override receiveAndReply(message: SoakAsk, context: RpcCallContext<unknown>): unknown {
    return soakAnswer(message, context);
  }
}
