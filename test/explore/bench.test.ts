import { test } from "vitest";
import type * as Inbox from "../../dist/src/inbox/ring.js";
import { type ExploredClass, explore, type Memory, type Scenario, type Thread, sleep, spin, store, load, notify, waitAsync } from "./explorer.js";
import { loadVariant } from "./transform.js";
interface M {
  RingProducer: ExploredClass<typeof Inbox.RingProducer, "claim" | "publish" | "wantRoom" | "rewindIfEmpty">;
  RingConsumer: ExploredClass<typeof Inbox.RingConsumer, "peek" | "release" | "takeWant" | "isEmpty" | "refresh">;
}
test("bench", () => {
  const m = loadVariant<M>("shipped");
  const make = (producers: number): Scenario<unknown> => ({
    name: "spsc",
    setup: (mem: Memory) => Array.from({ length: producers }, (_, i) => {
      const words = mem.words(`ring${i}`, 400);
      return { words, p: new m.RingProducer(words, 0, 64, 16), c: new m.RingConsumer(words, 0, 64) };
    }),
    threads: (state: { words: Int32Array; p: InstanceType<M["RingProducer"]>; c: InstanceType<M["RingConsumer"]> }[]) =>
      state.flatMap(({ p, c, words }) => [
        (function* (): Thread {
          for (let i = 0; i < 4; i++) {
            for (;;) {
              const at = yield* p.claim(4);
              if (at >= 0) { words[at] = 0; words[at+1] = 1; break; }
              yield* spin();
            }
            p.commit();
            yield* p.publish();
          }
        })(),
        (function* (): Thread {
          for (let i = 0; i < 4; i++) {
            let at = yield* c.peek();
            while (at < 0) { yield* spin(); at = yield* c.peek(); }
            yield* c.release(at);
            yield* c.takeWant();
          }
        })(),
      ]),
  } as unknown as Scenario<unknown>);
  for (const [n, prune, P] of [[1, true, 3], [1, true, 5], [1, false, 3], [2, true, 3], [2, true, 4]] as const) {
    const t = performance.now();
    const r = explore(make(n), { prune, preemptions: P, schedulesMax: 3e6 });
    const s = (performance.now() - t) / 1000;
    console.log(n, prune, P, JSON.stringify(r).slice(0, 600), s.toFixed(2), "s", (r.steps / s / 1e6).toFixed(2), "M steps/s");
  }
}, 300000);
