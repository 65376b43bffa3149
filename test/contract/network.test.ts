/**
 * The contract suite over a connection: what ask and send mean does not depend on where the endpoint is, nor on how the two
 * environments prove who they are, nor on the thread that the caller is on.
 */
import { randomBytes } from "node:crypto";
import { type RpcAskOptions, type RpcEndpointRef, RpcEnv, type RpcEnvOptions, type RpcUntyped } from "ringpost";
import { authority, leaf } from "../fixtures/certificates.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { askSendContract, type CallHarness } from "./ask-send.contract.js";
import { handlerHarness } from "./handler-harness.js";

const HOST = "127.0.0.1";
/** The suite looks at a handler's stack; that one does not travel otherwise is a test of its own. */
const conf = { "rpc.exposeStacks": true };

/** Two environments, the endpoint in the one that listens. */
async function harnessOf(module: string, byMethod: boolean, security: RpcEnvOptions): Promise<CallHarness> {
  const env = await RpcEnv.create({ ...security, numThreads: 1, host: HOST, conf });
  const caller = await RpcEnv.create(security);
  await env.setupEndpoint("calls", fixtureUrl(module), { concurrency: 1 });
  const ref: RpcEndpointRef<RpcUntyped> = await caller.setupEndpointRef(env.address, "calls");
  return {
    env,
    remote: true,
    ask: async (method, inputs = [], options: RpcAskOptions | undefined = undefined) => {
      const calls = options === undefined ? ref : ref.with(options);
      return byMethod ? calls.call[method]!(...inputs) : calls.ask({ method, inputs });
    },
    send: (method, inputs = []) => (byMethod ? ref.cast[method]!(...inputs) : ref.send({ method, inputs })),
    async close() {
      await caller.shutdown();
      await env.shutdown();
    },
  };
}

/** The caller is a handler on a message loop of the other environment. */
async function handlersHarness(security: RpcEnvOptions): Promise<CallHarness> {
  const env = await RpcEnv.create({ ...security, numThreads: 1, host: HOST, conf });
  const caller = await RpcEnv.create({ ...security, numThreads: 1, conf });
  await env.setupEndpoint("calls", fixtureUrl("call-service-serial"), { concurrency: 1 });
  const target = await caller.setupEndpointRef(env.address, "calls");
  const asking = await caller.setupEndpoint("caller", fixtureUrl("caller-endpoint"));
  return {
    ...handlerHarness(env, asking, target, "method"),
    remote: true,
    async close() {
      await caller.shutdown();
      await env.shutdown();
    },
  };
}

const secret = randomBytes(32);
const signer = authority("of the contract suite");
const tls = { ...leaf(signer, "any", { names: ["DNS:localhost", `IP:${HOST}`] }), ca: signer.cert };

askSendContract("over the network, a serial class", () => harnessOf("call-endpoint-serial", false, {}));
askSendContract("over the network, a concurrent service", () => harnessOf("call-service", true, {}));
askSendContract("by secret, a concurrent class", () => harnessOf("call-endpoint", false, { secret }));
askSendContract("by certificate, a serial service", () => harnessOf("call-service-serial", true, { tls }));
askSendContract("over the network, a handler asks a serial service", () => handlersHarness({}));
