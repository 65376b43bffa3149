import { defineService, withContext } from "ringpost";

export default defineService({
  /** How many primes there are from `from` to `to`. It stops when its caller, in whatever process, has given up. */
  count: withContext((context, from: number, to: number): number => {
    let count = 0;
    for (let n = Math.max(2, from); n <= to && !context.cancelled; n++) if (isPrime(n)) count++;
    return count;
  }),
});

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return true;
}
