/**
 * The environment as an endpoint on a message loop sees it: `this.rpcEnv` and `context.rpcEnv` there. Not in the data
 * flow, but for `stop` and `shutdown`, which go in order with the messages of this loop. One thread only.
 */
import type { MessagePort } from "node:worker_threads";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { TIMEOUT_MS_MAX } from "../common/limits.js";
import type { RpcTimeout } from "../common/rpc-conf.js";
import type { MessageCodec } from "../rpc/codec.js";
import { parseEndpointUri } from "../rpc/endpoint-uri.js";
import type { RefHandle } from "../rpc/ref-handle.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { SetupOptions } from "../rpc/rpc-endpoint-options.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type { RpcEnvView, RpcLookupOptions, RpcShutdownOptions } from "../rpc/rpc-env-view.js";
import type { RpcDefinition, RpcTarget, RpcUntyped } from "../rpc/rpc-protocol.js";
import { checkLookupOptions, checkShutdownOptions } from "./call-options.js";
import { EnvControlClient } from "./control-plane.js";
import { notFoundInTime } from "./dispatch-errors.js";
import { checkEndpointName, type EndpointRefs } from "./endpoint-refs.js";
import type { SetupRequest } from "./env-requests.js";
import type { LoopPoster } from "./loop-poster.js";
import type { ControlResult } from "./loop-protocol.js";
import { RefTarget } from "./ref-poster.js";

export interface LoopEnvViewOptions {
  readonly name: string;
  readonly address: RpcAddress | null;
  readonly clock: Clock;
  readonly poster: LoopPoster;
  readonly refs: EndpointRefs;
  /** Of its own use: a handler's message may be in the other codec's scratch. */
  readonly codec: MessageCodec;
  /** Of look-ups that name none. */
  readonly lookupTimeout: RpcTimeout;
  readonly port: MessagePort;
}

export class LoopEnvView implements RpcEnvView {
  readonly #options: LoopEnvViewOptions;
  readonly #env: EnvControlClient;

  constructor(options: LoopEnvViewOptions) {
    this.#options = options;
    this.#env = new EnvControlClient(options.port);
  }

  get name(): string {
    return this.#options.name;
  }

  get address(): RpcAddress | null {
    return this.#options.address;
  }

  async setupEndpoint<T extends RpcDefinition = RpcUntyped>(
    name: string,
    module: URL | string,
    ...[options]: SetupOptions<T>
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    const { codec } = this.#options;
    const request: SetupRequest = [name, module instanceof URL ? module.href : module, options];
    codec.encode(request);
    const encoded = { codec: codec.payloadCodec, ...codec.takeBody() };
    return this.#ref(await this.#env.call((remote) => remote.setupEndpoint(encoded)));
  }

  async setupEndpointRef<T extends RpcDefinition = RpcUntyped>(
    address: RpcAddress | null,
    name: string,
    options: RpcLookupOptions = {},
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    checkEndpointName(name);
    checkLookupOptions(options);
    const { timeoutMs } = options;
    const timeout = timeoutMs === undefined ? this.#options.lookupTimeout : { ms: timeoutMs, setBy: "timeoutMs" };
    options.signal?.throwIfAborted();
    if (options.verify === false) {
      return this.#options.refs.named(name, address) as unknown as RpcEndpointRef<RpcTarget<T>>;
    }
    const found = this.#env.call((remote) => remote.find(address, name, timeout.ms));
    return this.#ref(await this.#withinTime(found, name, timeout, options.signal));
  }

  setupEndpointRefByURI<T extends RpcDefinition = RpcUntyped>(
    uri: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    try {
      const { address, name } = parseEndpointUri(uri);
      return this.setupEndpointRef<T>(address, name, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  stop(ref: RpcEndpointRef): void {
    const handle = this.#options.refs.own(ref);
    if (handle === null) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `stop takes a ref of this env: ${String(ref)}`);
    }
    this.#options.poster.stop(new RefTarget(handle));
  }

  shutdown(options?: RpcShutdownOptions): void {
    if (options !== undefined) checkShutdownOptions(options);
    const given = options?.timeoutMs;
    this.#options.poster.shutdown(given === undefined ? 0 : Math.ceil(Math.min(given, TIMEOUT_MS_MAX)));
  }

  #ref<T>(result: ControlResult<RefHandle>): RpcEndpointRef<RpcTarget<T>> {
    const { codec, refs } = this.#options;
    if (!result.ok) {
      const { bytes } = result.failure;
      throw codec.decode(result.failure.codec, bytes, bytes.length, result.failure.attachments);
    }
    return refs.unpack(result.value) as unknown as RpcEndpointRef<RpcTarget<T>>;
  }

  #withinTime<R>(answer: Promise<R>, name: string, timeout: RpcTimeout, signal: AbortSignal | undefined): Promise<R> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal?.reason);
      const expired = (): void => reject(notFoundInTime(name, timeout));
      const timer = timeout.ms === Number.POSITIVE_INFINITY ? null : clock.setTimeout(expired, timeout.ms);
      signal?.addEventListener("abort", onAbort, { once: true });
      answer.then(resolve, reject).finally(() => {
        if (timer !== null) clock.clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      });
    });
  }
}
