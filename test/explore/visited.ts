/**
 * The set of states seen, each with the most preemptions that were left when it was entered. Open addressing over
 * typed arrays: millions of entries at 9 bytes each, and no object per state. 64 bits of hash stand for a state; with
 * 10⁷ states the chance that any two collide is about 3 in a million.
 */
export class Visited {
  #capacity = 1 << 14;
  #lanes = new Int32Array(this.#capacity * 2);
  /** Preemptions left plus one; zero is an empty slot. */
  #budgets = new Uint8Array(this.#capacity);
  #size = 0;
  /** Distinct states. */
  get size(): number {
    return this.#size;
  }

  clear(): void {
    this.#budgets.fill(0);
    this.#size = 0;
  }

  /** True if the state was entered before with at least this budget; else notes it. */
  seen(h1: number, h2: number, budget: number): boolean {
    const mask = this.#capacity - 1;
    let slot = (h1 ^ (h2 >>> 7)) & mask;
    for (;;) {
      const known = this.#budgets[slot] as number;
      if (known === 0) break;
      if (this.#lanes[slot * 2] === h1 && this.#lanes[slot * 2 + 1] === h2) {
        if (known > budget) return true;
        this.#budgets[slot] = budget + 1;
        return false;
      }
      slot = (slot + 1) & mask;
    }
    this.#put(slot, h1, h2, budget + 1);
    this.#size++;
    if (this.#size * 2 > this.#capacity) this.#grow();
    return false;
  }

  #put(slot: number, h1: number, h2: number, entry: number): void {
    this.#lanes[slot * 2] = h1;
    this.#lanes[slot * 2 + 1] = h2;
    this.#budgets[slot] = entry;
  }

  #grow(): void {
    const lanes = this.#lanes;
    const budgets = this.#budgets;
    this.#capacity *= 2;
    this.#lanes = new Int32Array(this.#capacity * 2);
    this.#budgets = new Uint8Array(this.#capacity);
    const mask = this.#capacity - 1;
    for (let old = 0; old < budgets.length; old++) {
      const entry = budgets[old] as number;
      if (entry === 0) continue;
      const h1 = lanes[old * 2] as number;
      const h2 = lanes[old * 2 + 1] as number;
      let slot = (h1 ^ (h2 >>> 7)) & mask;
      while (this.#budgets[slot] !== 0) slot = (slot + 1) & mask;
      this.#put(slot, h1, h2, entry);
    }
  }
}
