/** What the threads of every contestant do: the same functions, so that only the way to them differs. */

import { type Bulk, type BulkReply, type BulkRequest, readBulk, writeBulk } from "../bulk.js";
import { type CpuReply, type CpuTask, runCpu } from "../cpu.js";
import type { Message } from "../messages.js";
import { type StageInput, stageOf } from "./stages.js";

export const tasks = {
  echo: (message: Message): Message => message,
  cpu: (task: CpuTask): CpuReply => runCpu(task),
  /** Takes bytes and says what it saw of them. */
  takeBulk: (bytes: Bulk): BulkReply => readBulk(bytes),
  /** Gives as many bytes as it was asked for. */
  giveBulk: (request: BulkRequest): Bulk => writeBulk(request),
  /** Gives back the bytes it was given. */
  echoBulk: (bytes: Bulk): Bulk => bytes,
  /** One stage of a pipeline whose stages are called by whoever drives it. */
  stage: ({ stage, value }: StageInput): number => stageOf(stage, value),
};

export type TaskName = keyof typeof tasks;

/** A task as its contestants see it: what arrives was encoded and decoded on its way. */
export function taskNamed(name: TaskName): (input: unknown) => unknown {
  return tasks[name] as (input: unknown) => unknown;
}
