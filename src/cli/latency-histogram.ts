/**
 * Latencies in buckets of at most 3 % width: an array and one logarithm's worth of bit tricks, so that recording costs
 * little beside an ask of a few microseconds.
 */

/** Buckets per doubling. */
const STEPS = 32;
const STEP_BITS = 5;
const BUCKETS = STEPS * 32;

export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  record(ms: number): void {
    this.#count++;
    if (ms > this.#maxMs) this.#maxMs = ms;
    // In units of 1/32 µs; longer than about two minutes lands in the last bucket.
    const units = Math.min(ms * 32_000, 0x7fff_ffff) | 0;
    const shift = Math.max(0, 31 - Math.clz32(units) - STEP_BITS);
    const bucket = shift * STEPS + (units >>> shift);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  add(other: LatencyHistogram): void {
    for (const [bucket, count] of other.#counts.entries()) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#count += other.#count;
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }

  /** Upper end of the bucket in which `fraction` of all latencies is reached. */
  percentileMs(fraction: number): number {
    let left = this.#count * fraction;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (count > 0 && left <= 0) return Math.min(upperEndMs(bucket), this.#maxMs);
    }
    return this.#maxMs;
  }
}

function upperEndMs(bucket: number): number {
  const shift = Math.max(0, (bucket >> STEP_BITS) - 1);
  const step = bucket - shift * STEPS;
  return ((step + 1) * 2 ** shift) / 32_000;
}
