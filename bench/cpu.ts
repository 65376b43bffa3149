/**
 * CPU work of several shapes, sized by iterations: a task stays the same size while the machine has a slow phase.
 * The shapes differ in what they leave to V8: a bare number and a loop that can be inlined anywhere, native code and a
 * string, objects and garbage.
 */
import { createHash } from "node:crypto";

export interface CpuTask {
  readonly shape: CpuShape;
  readonly iterations: number;
  readonly seed: number;
}

export type CpuReply = number | string | CpuRecord;

interface CpuRecord {
  readonly id: number;
  readonly name: string;
  readonly amounts: readonly number[];
}

export const CPU_SHAPES = ["number", "hash", "json"] as const;
export type CpuShape = (typeof CPU_SHAPES)[number];

export function runCpu({ shape, iterations, seed }: CpuTask): CpuReply {
  if (shape === "number") return numberLoop(iterations, seed);
  return shape === "hash" ? hashChain(iterations, seed) : jsonRoundTrips(iterations, seed);
}

/** Cheap, so that checking costs the asking thread nothing beside the ask itself. */
export function isSameReply(expected: CpuReply, reply: unknown): boolean {
  if (typeof expected !== "object") return reply === expected;
  const { id, name, amounts } = reply as CpuRecord;
  return id === expected.id && name === expected.name && amounts.at(-1) === expected.amounts.at(-1);
}

function numberLoop(iterations: number, seed: number): number {
  let value = seed;
  for (let left = iterations; left > 0; left--) value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0;
  return value;
}

function hashChain(iterations: number, seed: number): string {
  let digest = String(seed);
  for (let left = iterations; left > 0; left--) digest = createHash("sha256").update(digest).digest("hex");
  return digest;
}

function jsonRoundTrips(iterations: number, seed: number): CpuRecord {
  let record: CpuRecord = { id: seed, name: `record ${seed}`, amounts: [seed, 1, 2.5] };
  for (let left = iterations; left > 0; left--) {
    const { id, name, amounts } = JSON.parse(JSON.stringify(record)) as CpuRecord;
    record = { id: id + 1, name, amounts: [amounts[1] as number, amounts[2] as number, id] };
  }
  return record;
}

const TRIALS = 15;
const TRIAL_ITERATIONS: Readonly<Record<CpuShape, number>> = { number: 200_000, hash: 500, json: 500 };

/** The best of several trials: what disturbs one only makes it slower. */
export function iterationsPerMicrosecond(shape: CpuShape): number {
  const iterations = TRIAL_ITERATIONS[shape];
  let bestMs = Number.POSITIVE_INFINITY;
  for (let trial = 0; trial < TRIALS; trial++) {
    const begun = performance.now();
    runCpu({ shape, iterations, seed: trial });
    bestMs = Math.min(bestMs, performance.now() - begun);
  }
  return iterations / (bestMs * 1_000);
}

/** Tasks of one size with their answers; seeds vary, so that a reply of another task is noticed. */
export class CpuTasks {
  readonly #tasks: readonly CpuTask[];
  readonly #replies: readonly CpuReply[];

  constructor(shape: CpuShape, iterations: number, seeds = 16) {
    this.#tasks = Array.from({ length: seeds }, (_, seed) => ({ shape, iterations, seed: seed + 1 }));
    this.#replies = this.#tasks.map(runCpu);
  }

  task(index: number): CpuTask {
    return this.#tasks[index % this.#tasks.length] as CpuTask;
  }

  isRight(index: number, reply: unknown): boolean {
    return isSameReply(this.#replies[index % this.#replies.length] as CpuReply, reply);
  }
}
