/**
 * Endpoints that every env has, on the main thread: no user's endpoint may have their names. Spark's endpoint-verifier
 * says whether an endpoint is there; ours takes what envs tell each other.
 */
import { LOOPS_MAX } from "../common/limits.js";
import type { RefHandle } from "../rpc/ref-handle.js";

/** Spark's name. Ask: a name. Answer: false, or a VerifiedEndpoint. */
export const VERIFIER_ENDPOINT = "endpoint-verifier";
/** One-way: the 8 bytes of a request's id that its sender has given up. */
export const CONTROL_ENDPOINT = "ringpost-control";

export const BUILT_IN_ENDPOINTS: readonly string[] = [VERIFIER_ENDPOINT, CONTROL_ENDPOINT];

/** What the verifier knows of an endpoint that is there. */
export interface VerifiedEndpoint extends Pick<RefHandle, "env" | "replicas"> {
  /** Of a service; null for a class. */
  readonly methods: readonly string[] | null;
}

/**
 * What a verifier has answered; null: the endpoint is not there. Spark's says no more than `true`, and anybody may have written
 * it: a hint that is none is as one that was not given.
 */
export function readVerified(answer: unknown): VerifiedEndpoint | null {
  if (answer !== true && (typeof answer !== "object" || answer === null)) return null;
  const { env, replicas, methods }: { env?: unknown; replicas?: unknown; methods?: unknown } = Object(answer);
  return {
    env: typeof env === "string" ? env : "",
    replicas: isReplicaCount(replicas) ? replicas : 1,
    methods: isStrings(methods) ? methods : null,
  };
}

function isReplicaCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= LOOPS_MAX;
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((element) => typeof element === "string");
}
