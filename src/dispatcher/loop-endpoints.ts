/**
 * The control plane's end on a message loop: imports modules, makes instances, runs onStart. Not in the data flow.
 * One thread only; called by loop 0 through comlink, one call per endpoint and step.
 */
import { pathToFileURL } from "node:url";
import { threadId } from "node:worker_threads";
import { RpcError } from "../common/errors.js";
import { type InboxConsumer, lockOwner, PinnedInboxConsumer, SharedInboxConsumer } from "../inbox/inbox.js";
import { counterView } from "../inbox/segment.js";
import type { MessageCodec } from "../rpc/codec.js";
import { describeDefinition, type EndpointDescription } from "../rpc/rpc-definition.js";
import { bindEndpoint, type EndpointBinding, type RpcEndpoint, type RpcStart } from "../rpc/rpc-endpoint.js";
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
import type { EndpointRefs } from "./endpoint-refs.js";
import { encodeFailure, type Failure } from "./failure.js";
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
}

export class LoopEndpoints implements LoopControl {
  readonly #loop: MessageLoop;
  readonly #memory: LoopMemory;
  readonly #codec: MessageCodec;
  readonly #refs: EndpointRefs;
  readonly #rpcEnv: RpcEnvView;

  constructor(options: LoopEndpointsOptions) {
    this.#loop = options.loop;
    this.#memory = options.memory;
    this.#codec = options.codec;
    this.#refs = options.refs;
    this.#rpcEnv = options.rpcEnv;
  }

  threadId(): number {
    return threadId;
  }

  async describe(module: string): Promise<ControlResult<EndpointDescription>> {
    try {
      return { ok: true, value: describeDefinition(await importDefault(module)) };
    } catch (error) {
      return this.#refuse(["ERR_RPC_ENDPOINT_START", `cannot load ${module}: ${messageOf(error)}`, error]);
    }
  }

  async attach(request: AttachRequest): Promise<ControlResult<null>> {
    try {
      const definition = await importDefault(request.module);
      const args = request.args === null ? undefined : this.#decode(request.args);
      const hints = { id: request.endpoint, generation: request.generation, replicas: request.replica.count };
      const self = this.#refs.named(request.name, hints) as unknown as RpcEndpointRef;
      const binding: EndpointBinding = { self, rpcEnv: this.#rpcEnv, replica: request.replica };
      const first = { restarts: 0, reason: null };
      const { behaviour, serial } = await makeBehaviour(definition, request.name, args, binding, first);
      let restarts = 0;
      const replace: ReplaceInstance = async (reason) => {
        const start = { restarts: ++restarts, reason };
        const again = request.args === null ? undefined : this.#decode(request.args);
        return (await makeBehaviour(definition, request.name, again, binding, start)).behaviour;
      };
      const consumer = this.#consumer(request);
      const segment = this.#memory.map(request.countersSegment);
      const endpoint = new AttachedEndpoint({
        id: request.endpoint,
        name: request.name,
        shared: request.shared,
        serial,
        concurrency: request.concurrency,
        behaviour,
        consumer,
        counters: counterView(segment, request.counters),
        handlerTimeoutMs: request.handlerTimeoutMs,
        replace,
      });
      const place = this.#memory.place(request.inbox);
      this.#loop.add(endpoint, (queues) => {
        if (request.shared) queues.joinShared(request.endpoint, place.segment.words, place.base);
        else queues.own.include(request.endpoint);
      });
      return { ok: true, value: null };
    } catch (error) {
      const replica = request.replica.count > 1 ? ` (replica ${request.replica.index})` : "";
      return this.#refuse([
        "ERR_RPC_ENDPOINT_START",
        `endpoint "${request.name}"${replica} did not start: ${messageOf(error)}`,
        error,
      ]);
    }
  }

  async detach(endpoint: number): Promise<void> {
    this.#loop.remove(endpoint);
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

async function makeBehaviour(
  definition: Definition,
  name: string,
  args: unknown,
  binding: EndpointBinding,
  start: RpcStart,
): Promise<{ behaviour: EndpointBehaviour; serial: boolean }> {
  if (isRpcService(definition)) {
    const { create, serial } = serviceInternals(definition);
    const { self, rpcEnv } = binding;
    return { behaviour: new ServiceBehaviour(name, await create({ args, self, rpcEnv })), serial };
  }
  const { kind } = describeDefinition(definition);
  const instance = new (definition as EndpointClass)(args);
  bindEndpoint(instance, binding);
  await startInstance(instance, start);
  return { behaviour: new ClassBehaviour(name, instance), serial: kind === "serial" };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
