/**
 * The contract suite with a handler as the caller: what ask and send mean does not depend on the thread they are called
 * on. Method: a serial endpoint on one message loop does what the test wants, towards an endpoint on another.
 */
import { RpcEnv } from "ringpost";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { askSendContract, type CallHarness } from "./ask-send.contract.js";
import { handlerHarness } from "./handler-harness.js";

async function harnessOf(module: string, form: "message" | "method", ringBytes: number): Promise<CallHarness> {
  const env = await RpcEnv.create({ numThreads: 2, conf: { "rpc.loop.bytes": ringBytes } });
  const options = { inboxBytes: ringBytes };
  const target = await env.setupEndpoint("calls", fixtureUrl(module), { ...options, loop: 1 });
  const caller = await env.setupEndpoint("caller", fixtureUrl("caller-endpoint"), { ...options, loop: 2 });
  return { ...handlerHarness(env, caller, target, form), close: () => env.shutdown() };
}

askSendContract("a handler asks a serial class", () => harnessOf("call-endpoint-serial", "message", 262_144));
askSendContract("a handler asks a serial service", () => harnessOf("call-service-serial", "method", 262_144));
askSendContract("a handler asks, tiny rings", () => harnessOf("call-service-serial", "method", 4_096));
