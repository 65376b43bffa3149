import { test } from "vitest";
import type * as Ring from "../../dist/src/inbox/ring.js";
import type * as Park from "../../dist/src/inbox/parking.js";
import type * as Ready from "../../dist/src/inbox/ready-set.js";
import { type ExploredClass, explore, type Memory, type Scenario, type Thread, sleep } from "./explorer.js";
import { loadVariant, type Mutant } from "./variants.js";
interface M {
  RingProducer: ExploredClass<typeof Ring.RingProducer, "claim" | "publish">;
  RingConsumer: ExploredClass<typeof Ring.RingConsumer, "peek" | "release" | "takeWant">;
  Parking: ExploredClass<typeof Park.Parking, "unpark">;
  Parker: ExploredClass<typeof Park.Parker, "announce" | "retract">;
  CollectedReadySet: ExploredClass<typeof Ready.CollectedReadySet, "collect" | "mark" | "anyMarked">;
}
const mutants: Mutant[] = [{ name: "tmp-late-bit", rule: "R", file: "ready-set.js", find: "if ((load(this.words, summary) & summaryBit) === 0)\n            or(this.words, summary, summaryBit);", replace: "" }];
test("park", () => {
  for (const list of [[], mutants]) {
  const m = loadVariant<M>(list.length ? "tmp" : "shipped", list);
  const make = (n: number) => ({
    name: "park", threadNames: ["loop0", "loop1"],
    setup: (mem: Memory) => {
      const ring = mem.words("ring", 400), env = mem.words("env", 1024), ready = mem.words("ready", 64);
      const s = { got: 0, p: new m.RingProducer(ring, 0, 64), c: new m.RingConsumer(ring, 0, 64), words: ring,
        r0: new m.CollectedReadySet(ready, 0, 32), r1: new m.CollectedReadySet(ready, 0, 32), parking: new m.Parking(env, 0, 4), parker: new m.Parker(env, 0, 1, () => {}) };
      s.r1.include(1);
      return s;
    },
    threads: (s) => [
      (function* (): Thread {
        for (let i = 0; i < n; i++) {
          const at = yield* s.p.claim(4);
          if (at < 0) throw new Error("full");
          s.words[at] = 0;
          s.p.commit();
          yield* s.p.publish();
          if (yield* s.r0.mark(1)) yield* s.parking.unpark(1);
        }
      })(),
      (function* (): Thread {
        while (s.got < n) {
          yield* s.r1.collect();
          if (s.r1.next() as unknown === undefined) throw new Error();
          for (let at = yield* s.c.peek(); at >= 0; at = yield* s.c.peek()) { s.got++; yield* s.c.release(at); }
          if (s.got === n) return;
          s.r1.settle(1);
          yield* s.parker.announce();
          if (yield* s.r1.anyMarked()) { yield* s.parker.retract(); continue; }
          yield* sleep();
          yield* s.parker.retract();
        }
      })(),
    ],
  }) satisfies Scenario<{ got: number; words: Int32Array; p: InstanceType<M["RingProducer"]>; c: InstanceType<M["RingConsumer"]>; r0: InstanceType<M["CollectedReadySet"]>; r1: InstanceType<M["CollectedReadySet"]>; parking: InstanceType<M["Parking"]>; parker: InstanceType<M["Parker"]> }>;
  for (const [n, P, prune] of [[2, 9, false]] as const) {
    const t = performance.now();
    const r = explore(make(n), { preemptions: P, prune });
    const s = (performance.now() - t) / 1000;
    console.log(n, P, prune, r.schedules, r.states, r.steps, r.failure?.message, r.failure?.schedule, s.toFixed(2), "s", (r.steps / s / 1e6).toFixed(2), "M/s");
    if (r.failure) break;
  }
  }
}, 100000);
