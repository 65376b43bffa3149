/** The contract suites, run by every form an endpoint of this process can have. */
import { type RpcAskOptions, type RpcEndpointCalls, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { askSendContract, type CallHarness } from "./ask-send.contract.js";

type Talk = (calls: RpcEndpointCalls<RpcUntyped>, method: string, inputs: readonly unknown[]) => Promise<unknown>;
type Tell = (calls: RpcEndpointCalls<RpcUntyped>, method: string, inputs: readonly unknown[]) => boolean;

async function harnessOf(module: string, talk: Talk, tell: Tell): Promise<CallHarness> {
  const env = await RpcEnv.create({ numThreads: 1 });
  const ref: RpcEndpointRef<RpcUntyped> = await env.setupEndpoint("calls", fixtureUrl(module), { concurrency: 1 });
  return {
    env,
    // `with` refuses bad options at once, an ask by its rejection: the suite wants the latter.
    ask: async (method, inputs = [], options: RpcAskOptions | undefined = undefined) =>
      talk(options === undefined ? ref : ref.with(options), method, inputs),
    send: (method, inputs = []) => tell(ref, method, inputs),
    close: () => env.shutdown(),
  };
}

const byMessage = (module: string): Promise<CallHarness> =>
  harnessOf(
    module,
    (calls, method, inputs) => calls.ask({ method, inputs }),
    (calls, method, inputs) => calls.send({ method, inputs }),
  );

const byMethod = (module: string): Promise<CallHarness> =>
  harnessOf(
    module,
    (calls, method, inputs) => calls.call[method]!(...inputs),
    (calls, method, inputs) => calls.cast[method]!(...inputs),
  );

askSendContract("a concurrent class", () => byMessage("call-endpoint"));
askSendContract("a serial class", () => byMessage("call-endpoint-serial"));
askSendContract("a concurrent service", () => byMethod("call-service"));
askSendContract("a serial service", () => byMethod("call-service-serial"));
