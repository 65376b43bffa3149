/** Who waits for a position of what is written, in the order of the positions. */

/** Told once: null when it is written, else why it is not. */
export type Written = (error: Error | null) => void;

interface Listener {
  readonly position: number;
  readonly call: Written;
}

export class WrittenListeners {
  #listeners: Listener[] = [];

  /** @param position not before that of the last one. */
  add(position: number, call: Written): void {
    this.#listeners.push({ position, call });
  }

  /** Everything up to this position is written. */
  reached(position: number): void {
    for (
      let first = this.#listeners[0];
      first !== undefined && first.position <= position;
      first = this.#listeners[0]
    ) {
      this.#listeners.shift();
      first.call(null);
    }
  }

  /** Nothing more will be. */
  abandon(error: Error): void {
    for (const { call } of this.#listeners.splice(0)) call(error);
  }
}
