/** The contract suite's harness for a caller that is a handler: a serial endpoint does what the test wants. */
import type { RpcAskOptions, RpcEndpointRef, RpcEnv, RpcUntyped } from "ringpost";
import type { CallerOutcome } from "../fixtures/caller-endpoint.js";
import type { CallHarness } from "./ask-send.contract.js";

/** @param env the environment of `target`. */
export function handlerHarness(
  env: RpcEnv,
  caller: RpcEndpointRef<RpcUntyped>,
  target: RpcEndpointRef<RpcUntyped>,
  form: "message" | "method",
): Omit<CallHarness, "close"> {
  let asks = 0;

  async function ask(method: string, inputs: readonly unknown[] = [], given?: RpcAskOptions): Promise<unknown> {
    const { timeoutMs, signal } = given ?? {};
    const id = signal === undefined ? undefined : ++asks;
    if (signal?.aborted) await caller.ask({ op: "abort", id });
    signal?.addEventListener("abort", () => void caller.ask({ op: "abort", id }));
    // The caller's own time is not limited: what ends is what it asks.
    const message = { op: "ask", target, form, method, inputs, timeoutMs: timeoutMs ?? 120_000, id };
    const outcome = (await caller.ask(message, { timeoutMs: Number.POSITIVE_INFINITY })) as CallerOutcome;
    if (outcome.kind === "value") return outcome.value;
    throw outcome.kind === "aborted" ? signal?.reason : outcome.error;
  }

  const send = async (method: string, inputs: readonly unknown[] = []): Promise<boolean> =>
    (await caller.ask({ op: "send", target, form, method, inputs })) as boolean;
  return { env, ask, send };
}
