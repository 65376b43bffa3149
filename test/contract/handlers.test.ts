/**
 * The contract suite with a handler as the caller: what ask and send mean does not depend on the thread they are called
 * on. Method: a serial endpoint on one message loop does what the test wants, towards an endpoint on another.
 */
import { type RpcAskOptions, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import type { CallerOutcome } from "../fixtures/caller-endpoint.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { askSendContract, type CallHarness } from "./ask-send.contract.js";

type Form = "message" | "method";

async function harnessOf(module: string, form: Form, ringBytes: number): Promise<CallHarness> {
  const env = await RpcEnv.create({ numThreads: 2, conf: { "rpc.loop.bytes": ringBytes } });
  const options = { inboxBytes: ringBytes };
  const target = await env.setupEndpoint("calls", fixtureUrl(module), { ...options, loop: 1 });
  const caller: RpcEndpointRef<RpcUntyped> = await env.setupEndpoint("caller", fixtureUrl("caller-endpoint"), {
    ...options,
    loop: 2,
  });
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

  return {
    env,
    ask,
    send: async (method, inputs = []) => (await caller.ask({ op: "send", target, form, method, inputs })) as boolean,
    close: () => env.shutdown(),
  };
}

askSendContract("a handler asks a serial class", () => harnessOf("call-endpoint-serial", "message", 262_144));
askSendContract("a handler asks a serial service", () => harnessOf("call-service-serial", "method", 262_144));
askSendContract("a handler asks, tiny rings", () => harnessOf("call-service-serial", "method", 4_096));
