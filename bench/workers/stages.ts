/** The stages of the pipeline. Each changes the value in its own way, so that one left out or run twice shows. */
import type { RpcService, RpcServiceInit } from "ringpost";

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

/** What a stage can be asked by the one before it. */
export interface StageMethods {
  /** The value after this stage and all behind it. */
  run(value: number): Promise<number>;
  /** One-way: the last stage keeps what arrives. */
  pass(value: number): Promise<void>;
  /** What the last stage kept since it was last asked; asked through all stages, so that it comes behind the values. */
  passed(): Promise<Passed>;
}

export const STAGES = ["a", "b", "c"] as const;

export function stageOf(stage: number, value: number): number {
  return (Math.imul(value, 31) + stage + 1) | 0;
}

/** A stage as an endpoint that knows the next one. */
export async function createStage({ args, rpcEnv }: RpcServiceInit<StageArgs>): Promise<StageMethods> {
  const { stage, next: nextName } = args;
  const next = nextName === null ? null : await rpcEnv.setupEndpointRef<RpcService<StageMethods>>(null, nextName);
  let count = 0;
  let sum = 0;
  return {
    async run(value) {
      const own = stageOf(stage, value);
      return next === null ? own : next.call.run(own);
    },
    async pass(value) {
      const own = stageOf(stage, value);
      if (next === null) {
        count++;
        sum = (sum + own) | 0;
        return;
      }
      while (!next.cast.pass(own)) await next.ready();
    },
    async passed() {
      if (next !== null) return next.call.passed();
      const seen = { count, sum };
      count = 0;
      sum = 0;
      return seen;
    },
  };
}
