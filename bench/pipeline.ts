/**
 * A value passes three stages, A, B and C, on threads of their own. In Ringpost each stage hands it to the next; a pool
 * has no way from worker to worker, so its caller carries the value from stage to stage, and Ringpost can do that too.
 */
import { type RpcEndpointRef, RpcEnv, type RpcService } from "ringpost";
import { startContestants } from "./contestants.js";
import type { BenchOptions } from "./report.js";
import { atDepth, type Batch, rates } from "./rounds.js";
import { STAGES, type StageArgs, type StageMethods, stageOf } from "./workers/stages.js";

type StageRef = RpcEndpointRef<RpcService<StageMethods, StageArgs>>;

const DEPTHS = [1, 64];
const FULL = { rounds: 5, timeMs: 200 };
const QUICK = { rounds: 1, timeMs: 1 };

export async function pipeline({ quick, report }: BenchOptions): Promise<void> {
  await using env = await RpcEnv.create({ name: "pipeline", numThreads: STAGES.length });
  const anyLoop = await setUp(env, "stage.service", () => ({}));
  const ownThreads = await setUp(env, "own-thread-stage.service", () => ({}));
  const serial = await setUp(env, "serial-stage.service", (stage) => ({ loop: stage + 1 }));
  await using contestants = await startContestants({ threads: STAGES.length, task: "stage" });
  for (const depth of DEPTHS) {
    const batch = (through: (value: number) => Promise<unknown>): Batch["batch"] => {
      return (count) => atDepth(depth, count, async (value) => (await through(value)) === throughAll(value));
    };
    const batches: Batch[] = [
      { name: "ringpost, any loop, ask", group: "ringpost", batch: batch((value) => anyLoop.call.run(value)) },
      { name: "ringpost, own thread, ask", group: "ringpost", batch: batch((value) => ownThreads.call.run(value)) },
      ...contestants.all.map(({ name, group, run }): Batch => {
        const carried = async (first: number): Promise<unknown> => {
          let value: unknown = first;
          for (const stage of STAGES.keys()) value = await run({ stage, value });
          return value;
        };
        const isOurs = group === "ringpost";
        return { name: `${name}, carried`, group: isOurs ? "ringpost chained" : group, batch: batch(carried) };
      }),
    ];
    if (depth > 1) batches.push({ name: "ringpost, serial, one-way", group: "ringpost", batch: passAll(serial) });
    const operationsMin = depth * (quick ? 1 : 8);
    const series = await rates(batches, { ...(quick ? QUICK : FULL), operationsMin });
    report.cell({ title: `A to B to C, ${STAGES.length} threads, depth ${depth}`, unit: "per s", series });
  }
}

/** From the last to the first, for each looks up the next. */
async function setUp(
  env: RpcEnv,
  file: string,
  options: (stage: number) => { readonly loop?: number },
): Promise<StageRef> {
  const module = new URL(`./workers/${file}.js`, import.meta.url);
  const name = (stage: number): string => `${file} ${STAGES[stage]}`;
  let first: StageRef | null = null;
  for (const stage of [...STAGES.keys()].toReversed()) {
    const args: StageArgs = { stage, next: stage + 1 < STAGES.length ? name(stage + 1) : null };
    first = await env.setupEndpoint<RpcService<StageMethods, StageArgs>>(name(stage), module, {
      ...options(stage),
      args,
    });
  }
  return first as StageRef;
}

/** One-way through all stages, as fast as the first one takes them; counted and summed where they come out. */
function passAll(ref: StageRef): Batch["batch"] {
  return async (operations) => {
    let expected = 0;
    for (let value = 0; value < operations; value++) {
      while (!ref.cast.pass(value)) await ref.ready();
      expected = (expected + throughAll(value)) | 0;
    }
    const { count, sum } = await ref.call.passed();
    return sum === expected ? count : 0;
  };
}

function throughAll(first: number): number {
  return [...STAGES.keys()].reduce((value, stage) => stageOf(stage, value), first);
}
