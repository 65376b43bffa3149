/**
 * Calls of other people's code. What it throws is its own affair, and so is what a promise of it rejects with, which would
 * otherwise end the process: callbacks are often async functions, whether their type says so or not.
 */

/** True for a promise, ours or another library's. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** @param failed is told what the call throws, or rejects with later. */
export function guarded(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = call();
    if (isPromise(result)) result.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
