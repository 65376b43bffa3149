/**
 * One endpoint on one message loop: its instance or service methods, and what of it is in flight here. Step 6.
 */
import { RpcError } from "../common/errors.js";
import type { InboxConsumer } from "../inbox/inbox.js";
import { COUNTER_FAILED, COUNTER_PROCESSED } from "../inbox/layout.js";
import { RecordKind } from "../inbox/record.js";
import type { RpcEndpoint } from "../rpc/rpc-endpoint.js";
import { takesContext } from "../rpc/rpc-service.js";
import type { CallContext } from "./call-context.js";

/** What a message of each kind means to an endpoint: an endpoint class, or the methods of a service. */
export interface EndpointBehaviour {
  /** Runs the handler; the result is the reply, or a promise of it. */
  invoke(kind: number, message: unknown, context: CallContext): unknown;
  onStop(): unknown;
}

type Method = (...inputs: unknown[]) => unknown;

export class ClassBehaviour implements EndpointBehaviour {
  readonly #instance: RpcEndpoint;
  readonly #name: string;

  constructor(name: string, instance: RpcEndpoint) {
    this.#name = name;
    this.#instance = instance;
  }

  invoke(kind: number, message: unknown, context: CallContext): unknown {
    if (kind === RecordKind.ASK) return this.#instance.receiveAndReply(message as never, context as never);
    if (kind === RecordKind.SEND) return this.#instance.receive(message as never, context as never);
    const method = (message as unknown[])[0];
    throw new RpcError(
      "ERR_RPC_NO_SUCH_METHOD",
      `"${this.#name}" is an endpoint class and has no method ${String(method)}: use ask or send`,
    );
  }

  onStop(): unknown {
    return this.#instance.onStop();
  }
}

export class ServiceBehaviour implements EndpointBehaviour {
  readonly #name: string;
  /** Own methods only, so that nothing inherited can be called from outside. */
  readonly #methods: ReadonlyMap<string, Method>;

  constructor(name: string, methods: object) {
    this.#name = name;
    this.#methods = new Map(Object.entries(methods) as [string, Method][]);
  }

  invoke(kind: number, message: unknown, context: CallContext): unknown {
    if (kind !== RecordKind.CALL && kind !== RecordKind.CAST) {
      throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", `"${this.#name}" is a service: use call or cast`);
    }
    const inputs = message as unknown[];
    const method = this.#methods.get(inputs[0] as string);
    if (method === undefined) throw this.#noSuchMethod(inputs[0]);
    if (takesContext(method)) {
      inputs[0] = context;
      return method(...inputs);
    }
    // The common arities without a spread.
    if (inputs.length === 2) return method(inputs[1]);
    if (inputs.length === 1) return method();
    return method(...inputs.slice(1));
  }

  onStop(): undefined {
    return undefined;
  }

  #noSuchMethod(name: unknown): RpcError {
    const known = [...this.#methods.keys()].join(", ");
    return new RpcError("ERR_RPC_NO_SUCH_METHOD", `"${this.#name}" has no method ${String(name)}; it has: ${known}`);
  }
}

export interface AttachedEndpointOptions {
  readonly id: number;
  readonly name: string;
  readonly shared: boolean;
  readonly serial: boolean;
  readonly concurrency: number;
  readonly behaviour: EndpointBehaviour;
  readonly consumer: InboxConsumer;
  readonly counterWords: Int32Array;
  readonly counters: number;
}

export class AttachedEndpoint {
  readonly id: number;
  readonly name: string;
  readonly shared: boolean;
  readonly concurrency: number;
  readonly behaviour: EndpointBehaviour;
  readonly consumer: InboxConsumer;
  readonly #words: Int32Array;
  readonly #counters: number;
  /** Messages taken that outlive the turn: their handler has not settled, or their body is on its way. */
  inFlight = 0;
  /** No message of it is taken now: a serial one runs, or a replica has `concurrency` in flight. */
  blocked = false;
  quiescing = false;

  constructor(options: AttachedEndpointOptions) {
    this.id = options.id;
    this.name = options.name;
    this.shared = options.shared;
    this.concurrency = options.serial ? 1 : options.concurrency;
    this.behaviour = options.behaviour;
    this.consumer = options.consumer;
    this.#words = options.counterWords;
    this.#counters = options.counters;
  }

  countProcessed(): void {
    const index = this.#counters + COUNTER_PROCESSED;
    this.#words[index] = (this.#words[index] as number) + 1;
  }

  countFailed(): void {
    const index = this.#counters + COUNTER_FAILED;
    this.#words[index] = (this.#words[index] as number) + 1;
  }
}
