/** Ringpost, `send`: serial, so that the ask behind the sends is answered after them. */
import { type RpcAsk, ThreadSafeRpcEndpoint } from "ringpost";
import type { Message } from "../messages.js";
import { type Seen, Tally } from "./tally.js";

export default class Sink extends ThreadSafeRpcEndpoint {
  readonly #tally = new Tally();

  override receive(message: Message): void {
    this.#tally.add(message);
  }

  override receiveAndReply(_message: RpcAsk<"seen", Seen>): Seen {
    return this.#tally.take();
  }
}
