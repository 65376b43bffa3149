/** Ringpost, `ask`: a concurrent endpoint that gives its message back. */
import { type RpcAsk, RpcEndpoint } from "ringpost";
import type { Message } from "../messages.js";

export default class Echo extends RpcEndpoint {
  override receiveAndReply(message: RpcAsk<Message, Message>): Message {
    return message;
  }
}
