/**
 * One endpoint on one message loop: its instance or service methods, and what of it is in flight here. Step 6.
 */
import { RpcError } from "../common/errors.js";
import type { InboxConsumer } from "../inbox/inbox.js";
import { COUNTER_FAILED, COUNTER_HANDLED, COUNTER_PROCESSED, COUNTER_TAKEN } from "../inbox/layout.js";
import { RecordKind } from "../inbox/record.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcContext } from "../rpc/rpc-context.js";
import type { RpcEndpoint, RpcStart } from "../rpc/rpc-endpoint.js";
import { takesContext } from "../rpc/rpc-service.js";

/** What a message of each kind means to an endpoint: an endpoint class, or the methods of a service. */
export interface EndpointBehaviour {
  /** Runs the handler; the result is the reply, or a promise of it. */
  invoke(kind: number, message: unknown, context: RpcContext): unknown;
  /** Told what a handler threw, after the asker was told. */
  onError(error: unknown): unknown;
  onStop(): unknown;
}

type Method = (...inputs: unknown[]) => unknown;

interface ServiceMethodEntry {
  readonly run: Method;
  readonly wantsContext: boolean;
}

/** Payload of an event: the method it calls, and its inputs. */
export type NetworkEvent = readonly [
  method: "onConnected" | "onDisconnected" | "onNetworkError",
  address: RpcAddress,
  error: RpcError | null,
];

function callEventMethod(instance: RpcEndpoint, [method, address, error]: NetworkEvent): unknown {
  if (method === "onNetworkError") return instance.onNetworkError(error as RpcError, address);
  return instance[method](address);
}

/** Runs onStart. What it throws is told to the instance first, as Spark does, and then fails the start. */
export async function startInstance(instance: RpcEndpoint, start: RpcStart): Promise<void> {
  try {
    await instance.onStart(start);
  } catch (error) {
    try {
      await instance.onError(error);
    } catch {
      // The start fails with what it failed of first.
    }
    throw error;
  }
}

export class ClassBehaviour implements EndpointBehaviour {
  readonly #instance: RpcEndpoint;
  readonly #name: string;

  constructor(name: string, instance: RpcEndpoint) {
    this.#name = name;
    this.#instance = instance;
  }

  invoke(kind: number, message: unknown, context: RpcContext): unknown {
    if (kind === RecordKind.ASK) return this.#instance.receiveAndReply(message as never, context as never);
    if (kind === RecordKind.SEND) return this.#instance.receive(message as never, context as never);
    if (kind === RecordKind.EVENT) return callEventMethod(this.#instance, message as NetworkEvent);
    const method = (message as unknown[])[0];
    throw new RpcError(
      "ERR_RPC_NO_SUCH_METHOD",
      `"${this.#name}" is an endpoint class and has no method ${String(method)}: use ask or send`,
    );
  }

  onError(error: unknown): unknown {
    return this.#instance.onError(error);
  }

  onStop(): unknown {
    return this.#instance.onStop();
  }
}

export class ServiceBehaviour implements EndpointBehaviour {
  readonly #name: string;
  /** Own methods only, so that nothing inherited can be called from outside. */
  readonly #methods: ReadonlyMap<string, ServiceMethodEntry>;

  constructor(name: string, methods: object) {
    this.#name = name;
    const entries = Object.entries(methods) as [string, Method][];
    this.#methods = new Map(entries.map(([key, run]) => [key, { run, wantsContext: takesContext(run) }]));
  }

  invoke(kind: number, message: unknown, context: RpcContext): unknown {
    if (kind !== RecordKind.CALL && kind !== RecordKind.CAST) {
      throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", `"${this.#name}" is a service: use call or cast`);
    }
    const inputs = message as unknown[];
    const method = this.#methods.get(inputs[0] as string);
    if (method === undefined) throw this.#noSuchMethod(inputs[0]);
    const { run } = method;
    if (method.wantsContext) {
      inputs[0] = context;
      return run(...inputs);
    }
    // The common arities without a spread.
    if (inputs.length === 2) return run(inputs[1]);
    if (inputs.length === 1) return run();
    return run(...inputs.slice(1));
  }

  onError(): undefined {
    return undefined;
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
  /** Its counters begin at `countersAt` of these. */
  readonly counters: Float64Array;
  readonly countersAt: number;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  /** Messages that its loop takes of it in a row; Infinity: no fewer than a turn has to give. */
  readonly throughput: number;
  readonly replacer: InstanceReplacer;
}

/** Makes a new instance in place of one whose handler was given up. */
export interface InstanceReplacer {
  /** Rejects with what its start failed of. */
  replace(reason: RpcError): Promise<EndpointBehaviour>;
}

export class AttachedEndpoint {
  readonly id: number;
  readonly name: string;
  readonly shared: boolean;
  readonly serial: boolean;
  readonly concurrency: number;
  readonly consumer: InboxConsumer;
  readonly handlerTimeoutMs: number;
  readonly throughput: number;
  readonly replacer: InstanceReplacer;
  readonly #counters: Float64Array;
  readonly #countersAt: number;
  behaviour: EndpointBehaviour;
  /** Messages taken that outlive the turn: their handler has not settled, or their body is on its way. */
  inFlight = 0;
  /** The same of broadcasts and events, which do not count against its concurrency. */
  inFlightAside = 0;
  /** Its instance is being replaced: no message is taken meanwhile. */
  replacing = false;
  /** No message of it is taken now: a serial one runs, or a replica has `concurrency` in flight. */
  blocked = false;
  /** Loop 0 wants to know when nothing of it is in flight. */
  quiescing = false;
  /** Its stop has run out of time: what is left in its Inbox is dropped. */
  abandoned = false;

  constructor(options: AttachedEndpointOptions) {
    this.id = options.id;
    this.name = options.name;
    this.shared = options.shared;
    this.serial = options.serial;
    this.concurrency = options.serial ? 1 : options.concurrency;
    this.handlerTimeoutMs = options.handlerTimeoutMs;
    this.throughput = options.throughput;
    this.replacer = options.replacer;
    this.behaviour = options.behaviour;
    this.consumer = options.consumer;
    this.#counters = options.counters;
    this.#countersAt = options.countersAt;
  }

  get quiet(): boolean {
    return this.inFlight === 0 && this.inFlightAside === 0;
  }

  enterFlight(aside: boolean): void {
    if (aside) this.inFlightAside++;
    else this.inFlight++;
  }

  leaveFlight(aside: boolean): void {
    if (aside) this.inFlightAside--;
    else this.inFlight--;
  }

  countTaken(): void {
    this.#count(COUNTER_TAKEN);
  }

  countProcessed(): void {
    this.#count(COUNTER_PROCESSED);
  }

  /** What the count of one-way messages handled will be with the next one. */
  get nextHandled(): number {
    return (this.#counters[this.#countersAt + COUNTER_HANDLED] as number) + 1;
  }

  countHandled(): void {
    this.#count(COUNTER_HANDLED);
  }

  countFailed(): void {
    this.#count(COUNTER_FAILED);
  }

  #count(counter: number): void {
    const index = this.#countersAt + counter;
    this.#counters[index] = (this.#counters[index] as number) + 1;
  }
}
