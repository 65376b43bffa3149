/** What a receiver of one-way messages saw: how many, and a sum that a lost, doubled or damaged one would change. */
import { type Message, weight } from "../messages.js";

export interface Seen {
  readonly count: number;
  readonly sum: number;
}

export class Tally {
  #count = 0;
  #sum = 0;

  get count(): number {
    return this.#count;
  }

  add(message: Message): void {
    this.#count++;
    this.#sum += weight(message);
  }

  /** What it saw since it was last asked. */
  take(): Seen {
    const seen = { count: this.#count, sum: this.#sum };
    this.#count = 0;
    this.#sum = 0;
    return seen;
  }
}
