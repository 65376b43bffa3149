/** Whether memory grows: resident sizes, one for each round, and the verdict over all of them. */

const MIB = 1_048_576;

export class MemoryWatch {
  readonly #rounds: number[] = [];

  /** At quiescence. In words: all of it, and what of it the main thread's heap and buffers are. */
  sample(): string {
    globalThis.gc?.();
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
    this.#rounds.push(rss / MIB);
    const [all, heap, buffers] = [rss, heapUsed, arrayBuffers].map((bytes) => (bytes / MIB).toFixed(0));
    return `RSS ${all} MiB (heap ${heap}, buffers ${buffers})`;
  }

  /**
   * Compares the median of the last third with that of the first third after the warm-up. Threads that crash and start
   * again leave fragments behind, so that some growth at first is no leak: allowed are a quarter and 64 MiB.
   * @returns what is wrong, or null.
   */
  verdict(): string | null {
    const warm = this.#rounds.slice(Math.min(2, this.#rounds.length - 1));
    const third = Math.max(1, Math.floor(warm.length / 3));
    const first = median(warm.slice(0, third));
    const last = median(warm.slice(-third));
    if (last <= first * 1.25 + 64) return null;
    return `RSS grew from ${first.toFixed(0)} MiB to ${last.toFixed(0)} MiB`;
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] as number;
}
