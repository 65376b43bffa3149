/** What a fuzzed environment serves: nothing that costs more than what it was sent. */
import { defineService, withContext } from "ringpost";
import { callMethods as m } from "../fixtures/call-methods.js";

export default defineService({
  echo: (value: unknown): unknown => value,
  nothing: (): void => {},
  fail: withContext(m.fail),
  /** Waits until its ask has ended. */
  wait: withContext(async (context): Promise<void> => {
    const { signal } = context;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }),
  residentBytes: (): number => {
    globalThis.gc?.();
    return process.memoryUsage.rss();
  },
});
