/** The environment as an endpoint sees it, on any thread. Types only. */
import type { RpcAddress } from "./rpc-address.js";
import type { SetupOptions } from "./rpc-endpoint-options.js";
import type { RpcAskOptions, RpcEndpointRef } from "./rpc-endpoint-ref.js";
import type { RpcDefinition, RpcTarget, RpcUntyped } from "./rpc-protocol.js";

export interface RpcShutdownOptions {
  /** Milliseconds for the backlog, positive; 10,000 by default. What is open at its end fails. */
  timeoutMs?: number | undefined;
}

/** How a reference is looked up. `timeoutMs` is that of the question whether the endpoint is there. */
export interface RpcLookupOptions extends RpcAskOptions {
  /**
   * false: no round trip and no question whether the endpoint is there, so that environments may start in any order.
   * Messages to one that is not there then fail by themselves. true by default.
   */
  verify?: boolean | undefined;
}

/**
 * What an endpoint has of its environment: `this.rpcEnv`, `context.rpcEnv`, and `rpcEnv` of a stateful service.
 * `stop` and `shutdown` only begin there: a handler that awaited them would wait for itself.
 */
export interface RpcEnvView {
  readonly name: string;
  /** Where it listens; null when it does not. */
  readonly address: RpcAddress | null;

  /**
   * Sets up an endpoint on the message loops.
   *
   * @param name 1 to 255 bytes of UTF-8, unique in this environment.
   * @param module File URL or absolute path of a module whose default export is an endpoint class or a service.
   * @param options `args` goes to the constructor, or to the function of a stateful service; it is encoded like a message.
   * @returns Its reference, once every replica's onStart has finished. Messages wait meanwhile.
   * Throws ERR_RPC_ENDPOINT_EXISTS, ERR_RPC_ENDPOINT_START with the reason as `cause` (also after `rpc.startTimeout`),
   * ERR_RPC_SERIALIZATION for args that cannot travel, ERR_RPC_INVALID_ARGUMENT, ERR_RPC_ENV_STOPPED.
   * Thread: a concurrent endpoint has a replica on each shared loop, a serial one an instance on one of them, an isolated
   * one `threadCount` loops of its own.
   */
  setupEndpoint<T extends RpcDefinition = RpcUntyped>(
    name: string,
    module: URL | string,
    ...options: SetupOptions<T>
  ): Promise<RpcEndpointRef<RpcTarget<T>>>;

  /**
   * Finds an endpoint by address and name.
   *
   * @param address null, or the environment's own address, means this environment.
   * @returns Its reference, once the endpoint is known to be there.
   * Throws ERR_RPC_ENDPOINT_NOT_FOUND, ERR_RPC_CONNECT, ERR_RPC_TIMEOUT, ERR_RPC_INVALID_ARGUMENT, ERR_RPC_ENV_STOPPED.
   */
  setupEndpointRef<T extends RpcDefinition = RpcUntyped>(
    address: RpcAddress | null,
    name: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>>;

  /** The same by `ref.uri`: `ringpost://name@host:port`, or `ringpost://name` for an endpoint of this environment. */
  setupEndpointRefByURI<T extends RpcDefinition = RpcUntyped>(
    uri: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>>;

  /** Begins to stop an endpoint of this environment: nothing new, its backlog, then onStop. */
  stop(ref: RpcEndpointRef): void;

  /** Begins to shut the environment down. */
  shutdown(options?: RpcShutdownOptions): void;
}
