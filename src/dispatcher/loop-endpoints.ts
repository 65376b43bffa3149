/**
 * The control plane's end on a message loop: imports modules, makes instances, runs onStart. Not in the data flow.
 * One thread only; called by loop 0 through comlink, one call per endpoint and step.
 */
import { pathToFileURL } from "node:url";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { type InboxConsumer, lockOwner, PinnedInboxConsumer, SharedInboxConsumer } from "../inbox/inbox.js";
import { counterView } from "../inbox/segment.js";
import type { MessageCodec } from "../rpc/codec.js";
import { describeDefinition, type EndpointDescription } from "../rpc/rpc-definition.js";
import { bindEndpoint, type EndpointBinding, isSerial, type RpcEndpoint, type RpcStart } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import { isRpcService, serviceInternals } from "../rpc/rpc-service.js";
import {
  AttachedEndpoint,
  ClassBehaviour,
  type EndpointBehaviour,
  type ReplaceInstance,
  ServiceBehaviour,
  startInstance,
} from "./attached-endpoint.js";
import type { Blame } from "./blame.js";
import type { EndpointRefs } from "./endpoint-refs.js";
import { encodeFailure, type Failure, failureToError } from "./failure.js";
import type { LoopMemory } from "./loop-memory.js";
import type { AttachRequest, ControlResult, EncodedValue, LoopControl } from "./loop-protocol.js";
import type { MessageLoop } from "./message-loop.js";

type Definition = unknown;
type EndpointClass = new (args: unknown) => RpcEndpoint;

export interface LoopEndpointsOptions {
  readonly loop: MessageLoop;
  readonly memory: LoopMemory;
  /** For control calls alone: a handler's message may be in the other codec's scratch. */
  readonly codec: MessageCodec;
  readonly refs: EndpointRefs;
  readonly rpcEnv: RpcEnvView;
  readonly blame: Blame;
  readonly clock: Clock;
  /** Milliseconds that a new instance may take in place of one that was given up; loop 0 times all other starts. */
  readonly startTimeoutMs: number;
}

export class LoopEndpoints implements LoopControl {
  readonly #loop: MessageLoop;
  readonly #memory: LoopMemory;
  readonly #codec: MessageCodec;
  readonly #refs: EndpointRefs;
  readonly #rpcEnv: RpcEnvView;
  readonly #blame: Blame;
  readonly #clock: Clock;
  readonly #startTimeoutMs: number;
  /** Starts that have not ended, by endpoint: one that was taken back, or begun anew, is none any more. */
  readonly #starting = new Map<number, object>();

  constructor(options: LoopEndpointsOptions) {
    this.#loop = options.loop;
    this.#memory = options.memory;
    this.#codec = options.codec;
    this.#refs = options.refs;
    this.#rpcEnv = options.rpcEnv;
    this.#blame = options.blame;
    this.#clock = options.clock;
    this.#startTimeoutMs = options.startTimeoutMs;
  }

  hello(): void {}

  async describe(endpoint: number, module: string): Promise<ControlResult<EndpointDescription>> {
    try {
      return { ok: true, value: describeDefinition(await this.#blame.load(endpoint, () => importDefault(module))) };
    } catch (error) {
      return this.#refuse(["ERR_RPC_ENDPOINT_START", `cannot load ${module}: ${messageOf(error)}`, error]);
    }
  }

  async attach(request: AttachRequest): Promise<ControlResult<null>> {
    const id = request.endpoint;
    const start = {};
    this.#starting.set(id, start);
    try {
      const definition = await this.#blame.load(id, () => importDefault(request.module));
      const binding = this.#binding(request);
      const make = (started: RpcStart): Promise<{ behaviour: EndpointBehaviour; serial: boolean }> => {
        const args = request.args === null ? undefined : this.#decode(request.args);
        return makeBehaviour(definition, request, args, { binding, start: started, blame: this.#blame });
      };
      let { restarts } = request;
      const { behaviour, serial } = await make({ restarts, reason: this.#reason(request) });
      const replace: ReplaceInstance = async (reason) =>
        (await this.#inTime(make({ restarts: ++restarts, reason }))).behaviour;
      if (this.#starting.get(id) !== start) throw new Error("it was taken back while it started");
      this.#join(request, { behaviour, serial, replace });
      return { ok: true, value: null };
    } catch (error) {
      const replica = request.replica.count > 1 ? ` (replica ${request.replica.index})` : "";
      const text = `endpoint "${request.name}"${replica} did not start: ${messageOf(error)}`;
      return this.#refuse(["ERR_RPC_ENDPOINT_START", text, error]);
    } finally {
      if (this.#starting.get(id) === start) this.#starting.delete(id);
    }
  }

  async detach(endpoint: number): Promise<void> {
    this.#starting.delete(endpoint);
    this.#loop.remove(endpoint);
  }

  takeBack(endpoint: number): boolean {
    this.#starting.delete(endpoint);
    return this.#loop.find(endpoint) === undefined;
  }

  #binding({ endpoint: id, name, generation, replica }: AttachRequest): EndpointBinding {
    const self = this.#refs.hinted(name, { id, generation, replicas: replica.count }) as unknown as RpcEndpointRef;
    return { self, rpcEnv: this.#rpcEnv, replica };
  }

  #join(
    request: AttachRequest,
    made: { readonly behaviour: EndpointBehaviour; readonly serial: boolean; readonly replace: ReplaceInstance },
  ): void {
    const consumer = this.#consumer(request);
    const segment = this.#memory.map(request.countersSegment);
    const endpoint = new AttachedEndpoint({
      id: request.endpoint,
      name: request.name,
      shared: request.shared,
      serial: made.serial,
      concurrency: request.concurrency,
      throughput: request.throughput ?? Number.POSITIVE_INFINITY,
      behaviour: made.behaviour,
      consumer,
      counters: counterView(segment, request.counters),
      handlerTimeoutMs: request.handlerTimeoutMs,
      replace: made.replace,
    });
    const place = this.#memory.place(request.inbox);
    this.#loop.add(endpoint, (queues) => {
      if (request.shared) queues.joinShared(request.endpoint, place.segment.words, place.base, request.loopMax);
      else {
        queues.own.include(request.endpoint);
        // What came before this instance did, after a crash: its bit is set no more.
        queues.own.keep(request.endpoint);
      }
    });
  }

  #inTime<T>(start: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const text = `its onStart did not finish within ${this.#startTimeoutMs} ms; rpc.startTimeout says how long it may take`;
      const timer = this.#clock.setTimeout(() => reject(new Error(text)), this.#startTimeoutMs);
      start.then(resolve, reject).finally(() => this.#clock.clearTimeout(timer));
    });
  }

  #reason({ name, reason }: AttachRequest): RpcError | null {
    return reason && failureToError(name, this.#decode(reason));
  }

  #consumer(request: AttachRequest): InboxConsumer {
    this.#memory.map(request.segment);
    const place = this.#memory.place(request.inbox);
    const room = this.#memory.roomDoorbell(request.endpoint);
    if (!request.shared) return new PinnedInboxConsumer(request.endpoint, place, room);
    const owner = lockOwner(this.#memory.loop, this.#memory.epoch);
    return new SharedInboxConsumer(request.endpoint, place, owner, room, this.#memory.sharedReady);
  }

  #decode(value: EncodedValue): unknown {
    return this.#codec.decode(value.codec, value.bytes, value.bytes.length, value.attachments);
  }

  #refuse(failure: Failure): { ok: false; failure: EncodedValue } {
    encodeFailure(this.#codec, failure);
    return { ok: false, failure: { codec: this.#codec.payloadCodec, ...this.#codec.takeBody() } };
  }
}

async function importDefault(module: string): Promise<Definition> {
  const url = module.startsWith("file:") ? module : pathToFileURL(module).href;
  const imported = (await import(url)) as { readonly default?: unknown };
  if (imported.default === undefined) {
    throw new RpcError("ERR_RPC_ENDPOINT_START", "it has no default export; export an endpoint class or a service");
  }
  return imported.default;
}

interface InstanceStart {
  readonly binding: EndpointBinding;
  readonly start: RpcStart;
  readonly blame: Blame;
}

async function makeBehaviour(
  definition: Definition,
  { endpoint, name }: AttachRequest,
  args: unknown,
  { binding, start, blame }: InstanceStart,
): Promise<{ behaviour: EndpointBehaviour; serial: boolean }> {
  if (isRpcService(definition)) {
    const { create, serial } = serviceInternals(definition);
    const { self, rpcEnv } = binding;
    const methods = await blame.run(endpoint, () => create({ args, self, rpcEnv }));
    return { behaviour: new ServiceBehaviour(name, methods), serial };
  }
  const { kind } = describeDefinition(definition);
  const instance = blame.run(endpoint, () => new (definition as EndpointClass)(args));
  bindEndpoint(instance, binding);
  await blame.run(endpoint, () => startInstance(instance, start));
  return { behaviour: new ClassBehaviour(name, instance), serial: isSerial(kind) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
