/**
 * Load from a fixed number of askers, each of which asks again when it has its answer. So latency here is queueing as
 * much as service: it grows with the depth by itself.
 */
import { LatencyHistogram } from "./latency-histogram.js";

export interface Load {
  /** Asks outstanding at any time. */
  readonly depth: number;
  readonly durationMs: number;
  /** Goes on past the duration until so many were answered, or ten times as long. */
  readonly asksMin?: number | undefined;
}

export interface Measured {
  readonly asks: number;
  readonly asksPerSecond: number;
  readonly latency: LatencyHistogram;
}

/** Rejects with the first error of an ask. */
export async function closedLoop(ask: () => Promise<unknown>, load: Load): Promise<Measured> {
  const { depth, durationMs, asksMin = 1 } = load;
  const latency = new LatencyHistogram();
  const begunAt = performance.now();
  let failed = false;
  const goesOn = (now: number): boolean => {
    const elapsed = now - begunAt;
    return !failed && (elapsed < durationMs || (latency.count < asksMin && elapsed < 10 * durationMs));
  };
  const asker = async (): Promise<void> => {
    // One clock read per ask: the end of one is the begin of the next.
    let before = begunAt;
    while (goesOn(before)) {
      await ask();
      const now = performance.now();
      latency.record(now - before);
      before = now;
    }
  };
  try {
    await Promise.all(Array.from({ length: depth }, asker));
  } finally {
    failed = true;
  }
  return { asks: latency.count, asksPerSecond: (latency.count * 1_000) / (performance.now() - begunAt), latency };
}
