/**
 * What a shuffle service counts, by Spark's names. Rates are counters here: whoever asks twice has the rate of the time
 * between.
 */

/** Requests of one kind, and how long they took from their arrival to their answer, in milliseconds. */
export interface LatencyStats {
  readonly count: number;
  readonly totalMs: number;
  readonly maxMs: number;
}

export interface ExternalShuffleStats {
  /** OpenBlocks and FetchShuffleBlocks. */
  readonly openBlockRequestLatencyMillis: LatencyStats;
  readonly registerExecutorRequestLatencyMillis: LatencyStats;
  /** Blocks handed out; a batch counts as many as it has. */
  readonly blockTransferRate: number;
  /** ... and chunks. */
  readonly blockTransferMessageRate: number;
  /** ... and bytes, counted when a block is found. */
  readonly blockTransferRateBytes: number;
  readonly registeredExecutorsSize: number;
  readonly numActiveConnections: number;
  readonly numCaughtExceptions: number;
  /** Streams with chunks that were not fetched yet, and those chunks. */
  readonly openStreams: number;
  readonly openBlocks: number;
}

export class Latency {
  #count = 0;
  #totalMs = 0;
  #maxMs = 0;

  add(ms: number): void {
    this.#count++;
    this.#totalMs += ms;
    this.#maxMs = Math.max(this.#maxMs, ms);
  }

  get stats(): LatencyStats {
    return { count: this.#count, totalMs: this.#totalMs, maxMs: this.#maxMs };
  }
}
