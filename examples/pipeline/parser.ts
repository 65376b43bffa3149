import { RpcEndpoint } from "ringpost";
import type { Parse } from "./messages.js";

/** Stage 1, on every thread: takes a text apart, and hands its words on by itself. */
export default class Parser extends RpcEndpoint {
  override async receiveAndReply({ text, tally }: Parse): Promise<number> {
    const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    for (let start = 0; start < words.length; start += 1_000) {
      const message = { words: words.slice(start, start + 1_000) };
      // false: more than the tally can take for now. Waiting here slows down whoever asks, and nothing piles up.
      while (!tally.send(message)) await tally.ready();
    }
    return words.length;
  }
}
