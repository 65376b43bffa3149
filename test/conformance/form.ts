/** The forms that an endpoint can have: every conformance suite is run for each. */
import type { RpcEndpointOptions, RpcEnv } from "ringpost";
import { expect } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import type { Gate } from "../fixtures/gate.js";
import type { SparkArgs, SparkRef } from "../fixtures/spark-behaviour.js";

export { failureOf };
export type SparkKind = "serial" | "concurrent";

export interface Form {
  readonly name: string;
  /** Instances of a concurrent endpoint in an environment of two loops. */
  readonly replicas: number;
  /** Sets up the suites' endpoint. */
  setUp(env: RpcEnv, name: string, args: SparkArgs, kind?: SparkKind, options?: RpcEndpointOptions): Promise<SparkRef>;
}

type SparkModule = typeof import("../fixtures/spark-serial.js");

/** The endpoint's module runs on message loops. */
export const onMessageLoops: Form = {
  name: "on message loops",
  replicas: 2,
  setUp: (env, name, args, kind = "serial", options = {}) =>
    env.setupEndpoint(name, fixtureUrl(`spark-${kind}`), { ...options, args }),
};

/** An instance of the same class runs on the main thread. */
export const onLoopZero: Form = {
  name: "on loop 0",
  replicas: 1,
  async setUp(env, name, args, kind = "serial", options = {}) {
    const { default: Endpoint } = (await import(fixtureUrl(`spark-${kind}`).href)) as SparkModule;
    return (await env.setupEndpoint(name, new Endpoint(args), options)) as unknown as SparkRef;
  },
};

export const FORMS = [onMessageLoops, onLoopZero];

/** Notes up to and including the first that `until` accepts. */
export async function notesUntil(gate: Gate, until: (note: never) => boolean): Promise<unknown[]> {
  const notes: unknown[] = [];
  for (;;) {
    const note = await gate.note();
    notes.push(note);
    if (until(note as never)) return notes;
  }
}

/** The notes of a life that has ended. */
export function notesUntilStopped(gate: Gate): Promise<unknown[]> {
  return notesUntil(gate, (note: object) => typeof note === "object" && note !== null && "stopped" in note);
}

/** Milliseconds a promise takes to settle. */
export async function settlesWithin(ms: number, promise: Promise<unknown>): Promise<void> {
  const startedMs = performance.now();
  await promise.catch(() => {});
  expect(performance.now() - startedMs).toBeLessThan(ms);
}
