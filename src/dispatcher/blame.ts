/**
 * Who is to blame when this thread dies while no handler runs: says in the loop's control line, for loop 0 to read, whose
 * module is imported and whose constructor or onStart runs. Handlers are named by EndpointServer. One thread only.
 *
 * Modules are imported one after the other, because nobody can say which of several is being evaluated. One that waits
 * in itself (top-level await) holds up the next for LOADING_MS at most, and is not blamed any more then.
 */
import type { Clock } from "../common/clock.js";
import { LOOP_ENDPOINT, LOOP_LOADING } from "../inbox/layout.js";

/** Far above an import from disk, far below the start timeout of the endpoints behind it. */
const LOADING_MS = 1_000;

export class Blame {
  readonly #clock: Clock;
  readonly #words: Int32Array;
  readonly #control: number;
  #lastImport: Promise<void> = Promise.resolve();

  constructor(clock: Clock, controlWords: Int32Array, control: number) {
    this.#clock = clock;
    this.#words = controlWords;
    this.#control = control;
  }

  /** Runs `code` of an endpoint. What it does after its first await is nobody's to blame. */
  run<T>(endpoint: number, code: () => T): T {
    const index = this.#control + LOOP_ENDPOINT;
    const before = this.#words[index] as number;
    this.#words[index] = endpoint;
    try {
      return code();
    } finally {
      this.#words[index] = before;
    }
  }

  /** Imports a module for an endpoint, when the import before has ended or had its time. */
  async load<T>(endpoint: number, load: () => Promise<T>): Promise<T> {
    const before = this.#lastImport;
    let ended: () => void = () => {};
    this.#lastImport = new Promise((resolve) => {
      ended = resolve;
    });
    await before;
    const index = this.#control + LOOP_LOADING;
    this.#words[index] = endpoint;
    const release = (): void => {
      if (this.#words[index] === endpoint) this.#words[index] = 0;
      ended();
    };
    const timer = this.#clock.setTimeout(release, LOADING_MS);
    try {
      return await load();
    } finally {
      this.#clock.clearTimeout(timer);
      release();
    }
  }
}
