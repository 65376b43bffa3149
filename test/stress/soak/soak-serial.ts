/** An endpoint under load, serial. */
import { type RpcCallContext, type RpcSendContext, ThreadSafeRpcEndpoint } from "ringpost";
import { type SoakAsk, type SoakSend, soakAnswer, soakReceive } from "./soak-endpoint.js";

export default class SoakSerial extends ThreadSafeRpcEndpoint {
  override receive(message: SoakSend, context: RpcSendContext): void | Promise<void> {
    return soakReceive(message, context);
  }

  override receiveAndReply(message: SoakAsk, context: RpcCallContext<unknown>): unknown {
    return soakAnswer(message, context);
  }
}
