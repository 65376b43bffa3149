/** The environment as an endpoint on the main thread sees it: `stop` and `shutdown` only begin there. */
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { SetupOptions } from "../rpc/rpc-endpoint-options.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type { RpcEnv } from "../rpc/rpc-env.js";
import type { RpcEnvView, RpcLookupOptions, RpcShutdownOptions } from "../rpc/rpc-env-view.js";
import type { RpcDefinition, RpcTarget, RpcUntyped } from "../rpc/rpc-protocol.js";

export class EnvView implements RpcEnvView {
  readonly #env: RpcEnv;

  constructor(env: RpcEnv) {
    this.#env = env;
  }

  get name(): string {
    return this.#env.name;
  }

  get address(): RpcAddress | null {
    return this.#env.address;
  }

  setupEndpoint<T extends RpcDefinition = RpcUntyped>(
    name: string,
    module: URL | string,
    ...options: SetupOptions<T>
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    return this.#env.setupEndpoint<T>(name, module, ...options);
  }

  setupEndpointRef<T extends RpcDefinition = RpcUntyped>(
    address: RpcAddress | null,
    name: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    return this.#env.setupEndpointRef<T>(address, name, options);
  }

  setupEndpointRefByURI<T extends RpcDefinition = RpcUntyped>(
    uri: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    return this.#env.setupEndpointRefByURI<T>(uri, options);
  }

  /** A stop that runs out of time says so by its endpoint's state and events; nobody awaits it here. */
  stop(ref: RpcEndpointRef): void {
    this.#env.stop(ref).catch(() => {});
  }

  shutdown(options?: RpcShutdownOptions): void {
    this.#env.shutdown(options).catch(() => {});
  }
}
