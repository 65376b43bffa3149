/** A service under load: the same work, by calls and casts. */
import { defineService, withContext } from "ringpost";
import { type SoakAsk, type SoakSend, soakAnswer, soakReceive } from "./soak-endpoint.js";

export default defineService({
  answer: withContext((context, message: SoakAsk): unknown => {
    // A method cannot defer its answer.
    return message.op === "defer" ? message.value : soakAnswer(message, context as never);
  }),
  take: withContext((_context, message: SoakSend): void | Promise<void> => soakReceive(message)),
});
