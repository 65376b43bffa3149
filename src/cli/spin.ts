/** CPU work in iterations, so that a task stays the same size while the machine has a slow phase. */

const ITERATIONS_PER_TRIAL = 200_000;
const TRIALS = 15;

export function spin(iterations: number): number {
  let value = 1;
  for (let left = iterations; left > 0; left--) value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0;
  return value;
}

/** The best of several trials: what disturbs one only makes it slower. */
export function iterationsPerMicrosecond(): number {
  let bestMs = Number.POSITIVE_INFINITY;
  for (let trial = 0; trial < TRIALS; trial++) {
    const begun = performance.now();
    spin(ITERATIONS_PER_TRIAL);
    bestMs = Math.min(bestMs, performance.now() - begun);
  }
  return ITERATIONS_PER_TRIAL / (bestMs * 1_000);
}
