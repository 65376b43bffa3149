/**
 * Endpoints that every env has, on the main thread: no user's endpoint may have their names. Spark's endpoint-verifier
 * says whether an endpoint is there; ours takes what envs tell each other.
 */
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

/** True for an answer of the verifier that says that the endpoint is there. Spark's says no more than `true`. */
export function isVerified(answer: unknown): boolean {
  return answer === true || (typeof answer === "object" && answer !== null);
}

/** The methods that a verifier has told; null where it has told none, or something else. */
export function methodsOf(there: VerifiedEndpoint | null): readonly string[] | null {
  const methods: unknown = there?.methods;
  if (!Array.isArray(methods) || !methods.every((method) => typeof method === "string")) return null;
  return methods as string[];
}
