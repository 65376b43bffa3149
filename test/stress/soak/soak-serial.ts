/** An endpoint under load, serial. */
import { type RpcCallContext, ThreadSafeRpcEndpoint } from "ringpost";
import { type SoakAsk, type SoakSend, soakAnswer, soakReceive } from "./soak-endpoint.js";

export default class SoakSerial extends ThreadSafeRpcEndpoint {
  override receive(message: SoakSend): void | Promise<void> {
    return soakReceive(message);
  }

  override receiveAndReply(message: SoakAsk, context: RpcCallContext<unknown>): unknown {
    return soakAnswer(message, context);
  }
}
