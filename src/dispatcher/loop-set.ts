/**
 * A set of loop ids, in the order in which they came. Instead of a Set because each endpoint has two of them with one id or
 * none: a Set takes 150 bytes, and with 10,000 endpoints that is seen. Main thread only.
 */
const NONE: readonly number[] = [];

export class LoopSet {
  /** Never changed in place, so that who is just reading it sees what it was. */
  #loops = NONE;

  get size(): number {
    return this.#loops.length;
  }

  has(loop: number): boolean {
    return this.#loops.includes(loop);
  }

  add(loop: number): void {
    // Not by a spread, which makes room for more.
    if (!this.has(loop)) this.#loops = this.#loops.concat(loop);
  }

  delete(loop: number): void {
    if (!this.has(loop)) return;
    this.#loops = this.size === 1 ? NONE : this.#loops.filter((other) => other !== loop);
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#loops[Symbol.iterator]();
  }
}
