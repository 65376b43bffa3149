/**
 * Makes the references of one thread: of its env's endpoints by name, of endpoints elsewhere, and of what arrives inside
 * messages. Steps 1 and 6.
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

/** Hints of a ref that was made by name alone: the first message finds the endpoint. */
const NO_HINTS = { id: 0, generation: 0, replicas: 1 };
/** Of a ref that was made by address: which env listens there shows when it is asked. */
const UNKNOWN_ENV = "";

export class EndpointRefs implements RefPacking {
  readonly #options: EndpointRefsOptions;
  #poster: RefPoster | null = null;
  #remotePoster: RefPoster | null = null;

  constructor(options: EndpointRefsOptions) {
    this.#options = options;
  }

  /**
   * The posters need a codec, and the codec needs these: they are told last, before the first message.
   * @param remote for endpoints on other nodes.
   */
  start(poster: RefPoster, remote: RefPoster): void {
    this.#poster = poster;
    this.#remotePoster = remote;
  }

  /** A ref by name alone: nobody looks whether the endpoint is there. `address` null: in this env. */
  named(name: string, address: RpcAddress | null = null): EndpointRef {
    return this.unpack({ env: address === null ? this.#options.env : UNKNOWN_ENV, name, address, ...NO_HINTS });
  }

  /** A ref of an endpoint of this env, as it was when somebody looked. */
  hinted(name: string, hints: Pick<RefHandle, "id" | "generation" | "replicas">): EndpointRef {
    return this.#own(new RefTarget({ name, ...hints }));
  }

  /** The ref of an endpoint that this thread hosts the directory of. */
  of({ name, id, generation, loops, description }: HostedEndpoint): EndpointRef {
    const target = new RefTarget({ name, id, generation, replicas: loops.length });
    if (description.methods !== null) target.methods = description.methods;
    return this.#own(target);
  }

  /** The handle of a ref of this env; null for any other value. */
  own(value: unknown): RefHandle | null {
    const handle = handleOf(value);
    return handle !== null && this.#isOwn(handle) ? handle : null;
  }

  pack(ref: object): RefHandle {
    const handle = handleOf(ref);
    if (handle === null) throw new RpcError("ERR_RPC_SERIALIZATION", "an object claims to be a reference and is none");
    return handle;
  }

  /** Whether its env can be reached shows when it is used: that may change, and it may only be passed on. */
  unpack(handle: RefHandle): EndpointRef {
    if (this.#isOwn(handle)) return this.#own(new RefTarget(handle));
    return this.#elsewhere(handle, null);
  }

  /** A ref of an endpoint on another node, as its env says that it is. `methods` null: not known. */
  found(handle: RefHandle, methods: readonly string[] | null): EndpointRef {
    return this.#isOwn(handle) ? this.unpack(handle) : this.#elsewhere(handle, methods);
  }

  #elsewhere(handle: RefHandle, methods: readonly string[] | null): EndpointRef {
    const { env, address } = handle;
    const target = new RefTarget(handle, address === null ? env : RpcAddress.hostPort(address));
    if (methods !== null) target.methods = methods;
    const poster = this.#remotePoster as RefPoster;
    return new EndpointRef({ env, address, poster, target, askTimeoutMs: this.#options.askTimeoutMs });
  }

  #isOwn({ env, address }: RefHandle): boolean {
    const own = this.#options;
    return env === own.env || (address !== null && RpcAddress.equals(address, own.address));
  }

  #own(target: RefTarget): EndpointRef {
    const { env, address, askTimeoutMs } = this.#options;
    // Refs are made when messages arrive, or somebody asks for one: after `start`.
    const poster = this.#poster as RefPoster;
    return new EndpointRef({ env, address, poster, target, askTimeoutMs });
  }
}
