/**
 * What handlers on message loops want of their env and what takes longer than a message: to set up an endpoint, to look
 * one up. Loop 0's end of the second control channel. Not in the data flow. Main thread only.
 *
 * Everything travels in our codec, so that args may be any message and errors keep their fields; comlink sees bytes.
 */
import type { MessageCodec } from "../rpc/codec.js";
import type { RefHandle } from "../rpc/ref-handle.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { ControlResult, EncodedValue, EnvControl } from "./loop-protocol.js";

/** The inputs of `setupEndpoint`, as they travel. */
export type SetupRequest = readonly [name: string, module: string, options: object | undefined];

/** What the env does for its loops. */
export interface EnvRequestHost {
  setupEndpoint(name: string, module: string, options: object | undefined): Promise<RefHandle>;
  /**
   * The endpoint that runs under this name, here or at `address`. Rejects with ERR_RPC_ENDPOINT_NOT_FOUND, and with
   * whatever kept it from finding out.
   */
  find(address: RpcAddress | null, name: string, timeoutMs: number): Promise<RefHandle>;
}

export class EnvRequests implements EnvControl {
  readonly #codec: MessageCodec;
  readonly #host: EnvRequestHost;

  /** @param codec of its own use: a handler's message may be in another's scratch. */
  constructor(codec: MessageCodec, host: EnvRequestHost) {
    this.#codec = codec;
    this.#host = host;
  }

  setupEndpoint({ codec, bytes, attachments }: EncodedValue): Promise<ControlResult<RefHandle>> {
    return this.#answer(() => {
      const request = this.#codec.decode(codec, bytes, bytes.length, attachments) as SetupRequest;
      return this.#host.setupEndpoint(...request);
    });
  }

  find(address: RpcAddress | null, name: string, timeoutMs: number): Promise<ControlResult<RefHandle>> {
    return this.#answer(() => this.#host.find(address, name, timeoutMs));
  }

  async #answer(make: () => RefHandle | Promise<RefHandle>): Promise<ControlResult<RefHandle>> {
    try {
      return { ok: true, value: await make() };
    } catch (error) {
      this.#codec.encode(error);
      return { ok: false, failure: { codec: this.#codec.payloadCodec, ...this.#codec.takeBody() } };
    }
  }
}
