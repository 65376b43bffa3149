/** What `env.stats()` says of one endpoint: counters of its loops, read from shared memory, and loop 0's own. Main thread only. */
import { COUNTER_FAILED, COUNTER_HANDLED, COUNTER_PROCESSED, COUNTER_TAKEN } from "../inbox/layout.js";
import { oldestEnqueuedAt } from "../inbox/ring.js";
import { countersAt } from "../inbox/segment.js";
import type { RpcEndpointStats } from "../rpc/rpc-env.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { MainLoopMemory } from "./main-loop-memory.js";

export type EndpointCounts = Omit<RpcEndpointStats, "name" | "state" | "loops">;

/** `nowMs`: env clock. */
export function endpointStats(endpoint: HostedEndpoint, memory: MainLoopMemory, nowMs: number): EndpointCounts {
  let taken = 0;
  let processed = 0;
  let failed = 0;
  let handled = 0;
  for (const region of endpoint.counters) {
    const counters = memory.segment(region).doubles;
    const at = countersAt(region);
    taken += counters[at + COUNTER_TAKEN] as number;
    processed += counters[at + COUNTER_PROCESSED] as number;
    failed += counters[at + COUNTER_FAILED] as number;
    handled += counters[at + COUNTER_HANDLED] as number;
  }
  const depth = Math.max(0, endpoint.accepted - taken);
  endpoint.depthMax = Math.max(endpoint.depthMax, depth);
  const { depthMax, rejected, asks, oneWays } = endpoint;
  const oldestAgeMs = depth === 0 || endpoint.retired !== null ? 0 : oldestAge(endpoint, memory, nowMs);
  const counts = { asks: { ...asks }, oneWays: { ...oneWays, handled } };
  return { depth, depthMax, oldestAgeMs, processed, failed, rejected, ...counts };
}

function oldestAge({ ring, producer }: HostedEndpoint, memory: MainLoopMemory, nowMs: number): number {
  const oldest = oldestEnqueuedAt(memory.words(ring), ring.word, ring.capacityBytes);
  const enqueuedAt = oldest ?? producer.spill.peek()?.enqueuedAt;
  // Both are microseconds wrapped to 32 bits.
  return enqueuedAt === undefined ? 0 : ((((nowMs * 1_000) | 0) - enqueuedAt) >>> 0) / 1_000;
}
