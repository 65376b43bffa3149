/**
 * Makes the instances of one endpoint on one message loop: the first, and one in place of each that was given up. Keeps of
 * its request what that takes and no more, since thousands of endpoints keep one. Not in the data flow; one thread only.
 */
import type { Clock } from "../common/clock.js";
import type { RpcError } from "../common/errors.js";
import type { MessageCodec } from "../rpc/codec.js";
import { describeDefinition } from "../rpc/rpc-definition.js";
import { bindEndpoint, type EndpointBinding, isSerial, type RpcEndpoint, type RpcStart } from "../rpc/rpc-endpoint.js";
import { isRpcService, serviceInternals } from "../rpc/rpc-service.js";
import {
  ClassBehaviour,
  type EndpointBehaviour,
  type InstanceReplacer,
  ServiceBehaviour,
  startInstance,
} from "./attached-endpoint.js";
import type { Blame } from "./blame.js";
import type { EncodedValue } from "./loop-protocol.js";

type EndpointClass = new (args: unknown) => RpcEndpoint;

/** What the sources of one loop have in common. */
export interface InstanceHost {
  /** For control calls alone: a handler's message may be in the other codec's scratch. */
  readonly codec: MessageCodec;
  readonly blame: Blame;
  readonly clock: Clock;
  /** Milliseconds that a new instance may take in place of one that was given up; loop 0 times all other starts. */
  readonly startTimeoutMs: number;
}

export interface InstanceSourceOptions {
  readonly endpoint: number;
  readonly name: string;
  /** Default export of its module. */
  readonly definition: unknown;
  readonly args: EncodedValue | null;
  readonly binding: EndpointBinding;
  /** How often its instance on this loop was started again. */
  readonly restarts: number;
}

export class InstanceSource implements InstanceReplacer {
  readonly serial: boolean;
  readonly #host: InstanceHost;
  readonly #endpoint: number;
  readonly #name: string;
  readonly #definition: unknown;
  readonly #args: EncodedValue | null;
  readonly #binding: EndpointBinding;
  #restarts: number;

  /** Throws ERR_RPC_ENDPOINT_START for a definition that is none. */
  constructor(host: InstanceHost, options: InstanceSourceOptions) {
    this.serial = isSerial(describeDefinition(options.definition).kind);
    this.#host = host;
    this.#endpoint = options.endpoint;
    this.#name = options.name;
    this.#definition = options.definition;
    this.#args = options.args;
    this.#binding = options.binding;
    this.#restarts = options.restarts;
  }

  /** Makes an instance and runs its onStart. `reason`: why it starts again, or null. */
  async make(reason: RpcError | null): Promise<EndpointBehaviour> {
    const { codec, blame } = this.#host;
    const { self, rpcEnv } = this.#binding;
    const definition = this.#definition;
    const encoded = this.#args;
    const args =
      encoded === null
        ? undefined
        : codec.decode(encoded.codec, encoded.bytes, encoded.bytes.length, encoded.attachments);
    if (isRpcService(definition)) {
      const { create } = serviceInternals(definition);
      const methods = await blame.run(this.#endpoint, () => create({ args, self, rpcEnv }));
      return new ServiceBehaviour(this.#name, methods);
    }
    const start: RpcStart = { restarts: this.#restarts, reason };
    const instance = blame.run(this.#endpoint, () => new (definition as EndpointClass)(args));
    bindEndpoint(instance, this.#binding);
    await blame.run(this.#endpoint, () => startInstance(instance, start));
    return new ClassBehaviour(this.#name, instance);
  }

  replace(reason: RpcError): Promise<EndpointBehaviour> {
    this.#restarts++;
    return this.#inTime(this.make(reason));
  }

  #inTime<T>(start: Promise<T>): Promise<T> {
    const { clock, startTimeoutMs } = this.#host;
    return new Promise((resolve, reject) => {
      const text = `its onStart did not finish within ${startTimeoutMs} ms; rpc.startTimeout says how long it may take`;
      const timer = clock.setTimeout(() => reject(new Error(text)), startTimeoutMs);
      start.then(resolve, reject).finally(() => clock.clearTimeout(timer));
    });
  }
}
