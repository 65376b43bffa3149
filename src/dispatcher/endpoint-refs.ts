/**
 * Makes the references of one thread: of its env's endpoints by name, and of what arrives inside messages. Steps 1 and 6.
 */
import { RpcError } from "../common/errors.js";
import { ENDPOINT_NAME_BYTES_MAX } from "../common/limits.js";
import type { RefHandle, RefPacking } from "../rpc/ref-handle.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import { EndpointRef, handleOf } from "./endpoint-ref.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import { type RefPoster, RefTarget } from "./ref-poster.js";

export interface EndpointRefsOptions {
  /** Tells envs apart, also two of one name: never the same again. */
  readonly env: string;
  /** Where the env listens. */
  readonly address: RpcAddress | null;
  readonly askTimeoutMs: number;
}

/** Throws ERR_RPC_INVALID_ARGUMENT for what no endpoint can be called. */
export function checkEndpointName(name: unknown): void {
  const bytes = typeof name === "string" ? Buffer.byteLength(name) : 0;
  if (bytes >= 1 && bytes <= ENDPOINT_NAME_BYTES_MAX) return;
  const text = `the name of an endpoint is a string of 1 to ${ENDPOINT_NAME_BYTES_MAX} bytes: bytes=${bytes}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

export function notReachable(env: string, endpoint: string, address: RpcAddress): RpcError {
  const text = `"${endpoint}" at ${RpcAddress.format(address)} cannot be reached: env "${env}" has no network yet`;
  return new RpcError("ERR_RPC_CONNECT", text, { endpoint, address, retryable: false });
}

/** Hints of a ref that was made by name alone: the first message finds the endpoint. */
const NO_HINTS = { id: 0, generation: 0, replicas: 1 };

export class EndpointRefs implements RefPacking {
  readonly #options: EndpointRefsOptions;
  #poster: RefPoster | null = null;

  constructor(options: EndpointRefsOptions) {
    this.#options = options;
  }

  /** The poster needs a codec, and the codec needs these: it is told last, before the first message. */
  start(poster: RefPoster): void {
    this.#poster = poster;
  }

  /** A ref by name alone: nobody looks whether the endpoint is there. */
  named(name: string, hints: Pick<RefHandle, "id" | "generation" | "replicas"> = NO_HINTS): EndpointRef {
    return this.#make(new RefTarget({ name, ...hints }));
  }

  /** The ref of an endpoint that this thread hosts the directory of. */
  of({ name, id, generation, loops, description }: HostedEndpoint): EndpointRef {
    const target = new RefTarget({ name, id, generation, replicas: loops.length });
    if (description.methods !== null) target.methods = description.methods;
    return this.#make(target);
  }

  /** The handle of a ref of this env; null for any other value. */
  own(value: unknown): RefHandle | null {
    const handle = handleOf(value);
    return handle?.env === this.#options.env ? handle : null;
  }

  pack(ref: object): RefHandle {
    const handle = handleOf(ref);
    if (handle === null) throw new RpcError("ERR_RPC_SERIALIZATION", "an object claims to be a reference and is none");
    if (handle.env !== this.#options.env && handle.address === null) {
      const text = `the reference to "${handle.name}" cannot travel: it belongs to another env, which has no address`;
      throw new RpcError("ERR_RPC_SERIALIZATION", text, { endpoint: handle.name });
    }
    return handle;
  }

  unpack(handle: RefHandle): object {
    if (handle.env === this.#options.env) return this.#make(new RefTarget(handle));
    const text = `the reference to "${handle.name}" cannot be used: it belongs to an env that cannot be reached from here`;
    throw new RpcError("ERR_RPC_SERIALIZATION", text, { endpoint: handle.name });
  }

  #make(target: RefTarget): EndpointRef {
    const { env, address, askTimeoutMs } = this.#options;
    // Refs are made when messages arrive, or somebody asks for one: after `start`.
    const poster = this.#poster as RefPoster;
    return new EndpointRef({ env, address, poster, target, askTimeoutMs });
  }
}
