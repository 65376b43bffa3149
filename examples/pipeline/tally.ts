import { ThreadSafeRpcEndpoint } from "ringpost";
import type { Count, Top } from "./messages.js";

/** Stage 2, once: one message at a time, so that its counts need no lock. */
export default class Tally extends ThreadSafeRpcEndpoint {
  readonly #times = new Map<string, number>();

  override receive({ words }: Count): void {
    for (const word of words) this.#times.set(word, (this.#times.get(word) ?? 0) + 1);
  }

  override receiveAndReply({ count }: Top): [word: string, times: number][] {
    const byTimes = [...this.#times].sort(([a, timesA], [b, timesB]) => timesB - timesA || (a < b ? -1 : 1));
    return byTimes.slice(0, count);
  }
}
