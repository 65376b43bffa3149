/**
 * Ringpost's public surface. Endpoint modules import it on worker threads, so it loads neither the thread pool nor
 * anything of the network: the env comes with the first `RpcEnv.create`.
 */
import type { RpcAddress } from "./rpc/rpc-address.js";
import type { RpcEnv as Env, RpcEnvOptions } from "./rpc/rpc-env.js";

/** What is known of the address of the environment that is made. */
interface CreateEnv {
  (options: RpcEnvOptions & { clientMode: true }): Promise<Env<null>>;
  (options: RpcEnvOptions & ({ port: number } | { host: string })): Promise<Env<RpcAddress>>;
  (options?: RpcEnvOptions): Promise<Env>;
}

// Environment
export type RpcEnv<Address extends RpcAddress | null = RpcAddress | null> = Env<Address>;
export const RpcEnv = {
  /**
   * Makes an environment, and listens if `host` or `port` is given. Its threads start with the first endpoint that needs
   * them.
   *
   * @param options see RpcEnvOptions.
   * @returns The environment; it keeps the process alive until `shutdown`.
   * Throws ERR_RPC_INVALID_ARGUMENT naming the option, its value and its range, ERR_RPC_BIND, and ERR_RPC_INSECURE_BIND for
   * an address beyond this machine without `secret` or `tls`.
   * Thread: call it on the thread that shall own all I/O, usually the main thread.
   */
  create: (async (options: RpcEnvOptions = {}): Promise<Env> => {
    const { createEnv } = await import("./env/rpc-env.js");
    return createEnv(options);
  }) as CreateEnv,
};
// Settings
export type { RpcConfKey } from "./common/conf-names.js";
export type { RpcErrorCode, RpcRemoteError } from "./common/errors.js";
export { isRpcError, RpcError } from "./common/errors.js";
export type { RpcConfValue, RpcConfValues, RpcTimeout } from "./common/rpc-conf.js";
export { RpcConf } from "./common/rpc-conf.js";
// Addresses and errors
export { RpcAddress } from "./rpc/rpc-address.js";
export type { RpcCallContext, RpcContext, RpcSendContext } from "./rpc/rpc-context.js";
export type { RpcReplica, RpcStart } from "./rpc/rpc-endpoint.js";
// Endpoints
export {
  IsolatedRpcEndpoint,
  IsolatedThreadSafeRpcEndpoint,
  RpcEndpoint,
  ThreadSafeRpcEndpoint,
  unsupportedMessage,
} from "./rpc/rpc-endpoint.js";
export type { RpcEndpointKind, RpcEndpointOptions, RpcPeer } from "./rpc/rpc-endpoint-options.js";
export type {
  RpcAbortable,
  RpcAskOptions,
  RpcEndpointCalls,
  RpcEndpointRef,
  RpcWithOptions,
} from "./rpc/rpc-endpoint-ref.js";
// References and what they carry
export { isRpcEndpointRef } from "./rpc/rpc-endpoint-ref.js";
export type {
  RpcAskCounts,
  RpcDeadLetter,
  RpcEndpointStats,
  RpcEndpointStuck,
  RpcEnvEvents,
  RpcEnvOptions,
  RpcEnvStats,
  RpcFileServer,
  RpcLogger,
  RpcLoopCrash,
  RpcLoopStats,
  RpcMainLoopStats,
  RpcOneWayCounts,
  RpcPeerStats,
  RpcSecret,
  RpcTlsOptions,
} from "./rpc/rpc-env.js";
export type { RpcEnvView, RpcLookupOptions, RpcShutdownOptions } from "./rpc/rpc-env-view.js";
export type { RpcMessages } from "./rpc/rpc-messages.js";
export type { RpcAsk, RpcDeferred, RpcDefinition, RpcReply, RpcService, RpcUntyped } from "./rpc/rpc-protocol.js";
export type { RpcServiceInit, RpcServiceOptions } from "./rpc/rpc-service.js";
// Services
export { defineService, defineStatefulService, withContext } from "./rpc/rpc-service.js";
