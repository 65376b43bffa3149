/** The stages of the pipeline. Each changes the value in its own way, so that one left out or run twice shows. */
import type { RpcEndpointRef, RpcUntyped } from "ringpost";

export interface StageArgs {
  readonly stage: number;
  /** The endpoint that comes next; null for the last one. */
  readonly next: string | null;
}

export interface StageInput {
  readonly stage: number;
  readonly value: number;
}

export interface Passed {
  readonly count: number;
  readonly sum: number;
}

/** What a stage needs of its environment. */
interface StageEnv {
  setupEndpointRef(address: null, name: string): Promise<RpcEndpointRef<RpcUntyped>>;
}

export const STAGES = ["a", "b", "c"] as const;

export function stageOf(stage: number, value: number): number {
  return (Math.imul(value, 31) + stage + 1) | 0;
}

/** The methods of a stage as an endpoint that knows the next one. */
export async function createStage(init: { readonly args: StageArgs }): Promise<{
  run(value: number): Promise<number>;
  pass(value: number): Promise<void>;
  passed(): Promise<Passed>;
}> {
  const { args, rpcEnv } = init as { readonly args: StageArgs; readonly rpcEnv: StageEnv };
  const next = args.next === null ? null : await rpcEnv.setupEndpointRef(null, args.next);
  let count = 0;
  let sum = 0;
  return {
    /** The value after this stage and all behind it. */
    async run(value) {
      const own = stageOf(args.stage, value);
      return next === null ? own : ((await next.call.run?.(own)) as number);
    },
    /** One-way: the last stage keeps what arrives. */
    async pass(value) {
      const own = stageOf(args.stage, value);
      if (next === null) {
        count++;
        sum = (sum + own) | 0;
        return;
      }
      while (next.cast.pass?.(own) === false) await next.ready();
    },
    /** What the last stage kept since it was last asked; asked through all stages, so that it comes behind the values. */
    async passed() {
      if (next !== null) return (await next.call.passed?.()) as Passed;
      const seen = { count, sum };
      count = 0;
      sum = 0;
      return seen;
    },
  };
}
