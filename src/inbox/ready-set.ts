/**
 * Ready sets: which rings have news. One for each loop (mailbox and pinned Inboxes; for loop 0 the outbound rings and
 * the Inboxes that have room again) and one for each group of loops that share Inboxes.
 *
 * Who may touch what, when:
 *  1. A producer marks after its TAIL store: it sets the leaf bit, then the summary bit. If the leaf bit was set
 *     already, somebody owes a look at the ring, and the producer is done. Pairs with rule 2 and 3.
 *  2. A set with one consumer is collected: summary word and leaf words are exchanged for 0, and the bits are kept
 *     privately until their rings were seen empty. Bits are so cleared before TAIL is read, and a record published
 *     later sets its bit again.
 *  3. In a set with several consumers a bit stays set while its ring holds records. It is cleared only under the take
 *     lock of its ring, by the take that emptied it, which then reads TAIL again and restores the bit if it moved.
 *  4. A summary bit of a shared set is cleared only by clear, re-read of the leaf, restore.
 */
import { and, exchange, load, or } from "./atomics.js";
import { LINE_WORDS, READY_MEMBERS_PER_SUMMARY } from "./layout.js";

const LEAVES_PER_SUMMARY = 32;

/** Words of a ready set for members 0 .. capacity - 1. */
export function readySetWords(capacity: number): number {
  const summaryCount = Math.ceil(capacity / READY_MEMBERS_PER_SUMMARY);
  return leafOffset(summaryCount) + summaryCount * LEAVES_PER_SUMMARY;
}

function leafOffset(summaryCount: number): number {
  return Math.ceil(summaryCount / LINE_WORDS) * LINE_WORDS;
}

/** The producers' side, and what both sides share. */
export class ReadySet {
  protected readonly words: Int32Array;
  protected readonly summary: number;
  protected readonly leaf: number;

  constructor(words: Int32Array, base: number, capacity: number) {
    this.words = words;
    this.summary = base;
    this.leaf = base + leafOffset(Math.ceil(capacity / READY_MEMBERS_PER_SUMMARY));
  }

  /** Rule 1. True on the 0→1 edge: then it is the caller's to ring. */
  mark(member: number): boolean {
    const leaf = this.leaf + (member >> 5);
    const bit = 1 << (member & 31);
    if ((load(this.words, leaf) & bit) !== 0) return false;
    if ((or(this.words, leaf, bit) & bit) !== 0) return false;
    const summary = this.summary + (member >> 10);
    const summaryBit = 1 << ((member >> 5) & 31);
    if ((load(this.words, summary) & summaryBit) === 0) or(this.words, summary, summaryBit);
    return true;
  }

  /**
   * Sets both bits whatever they are. For recovery: a loop may have died between its leaf bit and the summary bit, or
   * between clearing a summary bit and restoring it, and `mark` would trust the leaf bit that it finds.
   */
  restore(member: number): void {
    or(this.words, this.leaf + (member >> 5), 1 << (member & 31));
    or(this.words, this.summary + (member >> 10), 1 << ((member >> 5) & 31));
  }

  isMarked(member: number): boolean {
    return (load(this.words, this.leaf + (member >> 5)) & (1 << (member & 31))) !== 0;
  }
}

/** The only consumer's side of a ready set (rule 2). */
export class CollectedReadySet extends ReadySet {
  /** Bits collected and not yet seen empty, by leaf word. Private. */
  readonly #pending: Int32Array;
  /** Bits that cannot be served now: suspended endpoints. Private. */
  readonly #masked: Int32Array;
  /** Members in use lie below this; bounds every scan. */
  #memberCount = 0;
  #cursor = 0;

  constructor(words: Int32Array, base: number, capacity: number) {
    super(words, base, capacity);
    const leafCount = Math.ceil(capacity / READY_MEMBERS_PER_SUMMARY) * LEAVES_PER_SUMMARY;
    this.#pending = new Int32Array(leafCount);
    this.#masked = new Int32Array(leafCount);
  }

  /** Announces that `member` may be marked from now on. */
  include(member: number): void {
    if (member >= this.#memberCount) this.#memberCount = member + 1;
  }

  /** Takes over all bits that producers have set. */
  collect(): void {
    const summaryEnd = this.summary + ((this.#memberCount + READY_MEMBERS_PER_SUMMARY - 1) >> 10);
    for (let summary = this.summary; summary < summaryEnd; summary++) {
      if (load(this.words, summary) === 0) continue;
      let leaves = exchange(this.words, summary, 0);
      while (leaves !== 0) {
        const lowest = 31 - Math.clz32(leaves & -leaves);
        leaves &= leaves - 1;
        const leaf = ((summary - this.summary) << 5) + lowest;
        this.#pending[leaf] = (this.#pending[leaf] as number) | exchange(this.words, this.leaf + leaf, 0);
      }
    }
  }

  /** True if a producer has marked something since the last `collect`. */
  anyMarked(): boolean {
    const summaryEnd = this.summary + ((this.#memberCount + READY_MEMBERS_PER_SUMMARY - 1) >> 10);
    for (let summary = this.summary; summary < summaryEnd; summary++) {
      if (load(this.words, summary) !== 0) return true;
    }
    return false;
  }

  /** Next pending member that can be served, each in its turn, or -1. Private memory only. */
  next(): number {
    const leafCount = (this.#memberCount + 31) >> 5;
    let leaf = this.#cursor >> 5;
    // The first word is looked at twice: from the cursor on, and at the end from its start.
    let from = -1 << (this.#cursor & 31);
    for (let i = 0; i <= leafCount; i++) {
      if (leaf >= leafCount) leaf = 0;
      const bits = (this.#pending[leaf] as number) & ~(this.#masked[leaf] as number) & from;
      if (bits !== 0) {
        const member = (leaf << 5) + 31 - Math.clz32(bits & -bits);
        this.#cursor = member + 1;
        if ((this.#cursor & 31) === 0 && this.#cursor >> 5 >= leafCount) this.#cursor = 0;
        return member;
      }
      from = -1;
      leaf++;
    }
    return -1;
  }

  /** True if a member is pending that can be served. Private memory only. */
  hasPending(): boolean {
    const leafCount = (this.#memberCount + 31) >> 5;
    for (let leaf = 0; leaf < leafCount; leaf++) {
      if (((this.#pending[leaf] as number) & ~(this.#masked[leaf] as number)) !== 0) return true;
    }
    return false;
  }

  isPending(member: number): boolean {
    return ((this.#pending[member >> 5] as number) & (1 << (member & 31))) !== 0;
  }

  /** The member's ring was seen empty after its bit had been collected. */
  settle(member: number): void {
    this.#pending[member >> 5] = (this.#pending[member >> 5] as number) & ~(1 << (member & 31));
  }

  /** The member's ring may hold more, whatever its bit says. */
  keep(member: number): void {
    this.#pending[member >> 5] = (this.#pending[member >> 5] as number) | (1 << (member & 31));
  }

  mask(member: number): void {
    this.#masked[member >> 5] = (this.#masked[member >> 5] as number) | (1 << (member & 31));
  }

  unmask(member: number): void {
    this.#masked[member >> 5] = (this.#masked[member >> 5] as number) & ~(1 << (member & 31));
  }
}

/** One of several consumers' side of a ready set (rules 3 and 4). */
export class SharedReadySet extends ReadySet {
  /** Members this loop cannot serve now: its replica is saturated, or not attached here. Private. */
  readonly #masked: Int32Array;
  #memberCount = 0;
  #cursor = 0;

  constructor(words: Int32Array, base: number, capacity: number) {
    super(words, base, capacity);
    this.#masked = new Int32Array(Math.ceil(capacity / READY_MEMBERS_PER_SUMMARY) * LEAVES_PER_SUMMARY).fill(-1);
  }

  get memberCount(): number {
    return this.#memberCount;
  }

  /** This loop serves `member` from now on. */
  include(member: number): void {
    if (member >= this.#memberCount) this.#memberCount = member + 1;
    this.unmask(member);
  }

  mask(member: number): void {
    this.#masked[member >> 5] = (this.#masked[member >> 5] as number) | (1 << (member & 31));
  }

  unmask(member: number): void {
    this.#masked[member >> 5] = (this.#masked[member >> 5] as number) & ~(1 << (member & 31));
  }

  isMasked(member: number): boolean {
    return ((this.#masked[member >> 5] as number) & (1 << (member & 31))) !== 0;
  }

  /** Next marked member that this loop can serve, each in its turn, or -1. */
  next(): number {
    const member = this.nextFrom(this.#cursor, this.#memberCount);
    if (member !== -1) {
      this.#cursor = member + 1;
      return member;
    }
    if (this.#cursor === 0) return -1;
    const again = this.nextFrom(0, Math.min(this.#cursor, this.#memberCount));
    this.#cursor = again + 1;
    return again;
  }

  /** First marked member in [from, end) that this loop can serve, or -1. */
  nextFrom(from: number, end: number): number {
    const found = this.findMarked(from, end, true);
    return found < end ? found : -1;
  }

  /** First marked member in [from, …), served by this loop or not, or -1. */
  nextMarkedFrom(from: number): number {
    return this.findMarked(from, this.#memberCount, false);
  }

  /** First marked member in [from, end), rounded up to whole leaf words; `served`: that this loop can serve. Or -1. */
  findMarked(from: number, end: number, served: boolean): number {
    let member = from;
    while (member < end) {
      const summary = load(this.words, this.summary + (member >> 10));
      const leaves = summary & (-1 << ((member >> 5) & 31));
      if (leaves === 0) {
        member = ((member >> 10) + 1) << 10;
        continue;
      }
      const leaf = ((member >> 10) << 5) + 31 - Math.clz32(leaves & -leaves);
      const start = leaf << 5 > member ? 0 : member & 31;
      const masked = served ? (this.#masked[leaf] as number) : 0;
      const bits = load(this.words, this.leaf + leaf) & ~masked & (-1 << start);
      if (bits !== 0) return (leaf << 5) + 31 - Math.clz32(bits & -bits);
      member = (leaf + 1) << 5;
    }
    return -1;
  }

  /** Rule 3: under the member's take lock, by the take that emptied its ring. */
  unmark(member: number): void {
    and(this.words, this.leaf + (member >> 5), ~(1 << (member & 31)));
  }

  /** Rule 4, on the way to sleep: clears summary bits whose leaf word is 0. */
  tidy(): void {
    const summaryCount = (this.#memberCount + READY_MEMBERS_PER_SUMMARY - 1) >> 10;
    for (let i = 0; i < summaryCount; i++) {
      let leaves = load(this.words, this.summary + i);
      while (leaves !== 0) {
        const bit = leaves & -leaves;
        leaves &= ~bit;
        const leaf = this.leaf + (i << 5) + 31 - Math.clz32(bit);
        if (load(this.words, leaf) !== 0) continue;
        and(this.words, this.summary + i, ~bit);
        if (load(this.words, leaf) !== 0) or(this.words, this.summary + i, bit);
      }
    }
  }
}
