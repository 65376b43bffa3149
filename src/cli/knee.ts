/** Where more threads stop paying, and why. */

export interface CurvePoint {
  readonly threads: number;
  readonly asksPerSecond: number;
}

export interface Choice {
  readonly threads: number;
  readonly reason: string;
}

/** The fewest threads that reach this part of the best rate. */
const GOOD_ENOUGH = 0.95;
/** A handler cheaper than this costs less than handing it over. */
const WORTH_HANDING_OVER_MS = 0.02;

export function choose(curve: readonly CurvePoint[], facts: { handlerMs: number; cores: number }): Choice {
  const best = curve.reduce((a, b) => (b.asksPerSecond > a.asksPerSecond ? b : a));
  const knee = curve.find(({ asksPerSecond }) => asksPerSecond >= GOOD_ENOUGH * best.asksPerSecond) ?? best;
  const first = curve[0] ?? best;
  return { threads: knee.threads, reason: reasonFor(knee, best, first, curve, facts) };
}

function reasonFor(
  knee: CurvePoint,
  best: CurvePoint,
  first: CurvePoint,
  curve: readonly CurvePoint[],
  { handlerMs, cores }: { handlerMs: number; cores: number },
): string {
  const percent = ((knee.asksPerSecond / best.asksPerSecond) * 100).toFixed(0);
  if (curve.length > 1 && knee === first) {
    const oneAsk = `An ask alone takes ${(handlerMs * 1_000).toFixed(0)} µs`;
    const why =
      1 / first.asksPerSecond < WORTH_HANDING_OVER_MS / 1_000
        ? "such a cheap handler is limited by the main thread that feeds it: give each message more work"
        : "either the endpoint is serial, one message at a time, or its work waits for something that threads do not add";
    return `More threads do not help. ${oneAsk}; ${why}.`;
  }
  if (knee === curve.at(-1)) {
    return knee.threads > cores
      ? `The curve still rises beyond the ${cores} cores: the handler waits more than it computes. Try --threads-max.`
      : "The curve still rises at its end: try a larger --threads-max.";
  }
  const beyond = best.threads > knee.threads ? `; ${best.threads} threads add the rest` : "; more add nothing";
  return `It reaches ${percent} % of the best rate${beyond}, on ${cores} ${cores === 1 ? "core" : "cores"}.`;
}
