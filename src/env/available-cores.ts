/**
 * Cores this process may really use. Node 20's availableParallelism knows affinity but not the CPU quota of a
 * container (node issues 58428, 59200), so the cgroup's quota is read beside it.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** At least 2: with one loop a single long handler would stop all others, and Spark's dispatcher does the same. */
const LOOPS_MIN = 2;

/** Cores by affinity and quota, rounded up; at least 2. */
export function availableCores(): number {
  const quota = cgroupQuota();
  const cores = quota === null ? availableParallelism() : Math.min(availableParallelism(), Math.ceil(quota));
  return Math.max(LOOPS_MIN, cores);
}

/** The quota in cores of cgroup v2 or v1; null without one. */
function cgroupQuota(): number | null {
  const [max, period] = read("/sys/fs/cgroup/cpu.max")?.split(" ") ?? [];
  if (max !== undefined) return max === "max" ? null : Number(max) / Number(period);
  const quota = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") ?? -1);
  const periodV1 = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") ?? 0);
  return quota > 0 && periodV1 > 0 ? quota / periodV1 : null;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    // No such file: no such cgroup version, or not Linux.
    return null;
  }
}
