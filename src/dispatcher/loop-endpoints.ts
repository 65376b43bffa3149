/**
 * The control plane's end on a message loop: imports modules, makes instances, runs onStart. Not in the data flow.
 * One thread only; called by loop 0 through comlink, one call per endpoint and step.
 */
import { pathToFileURL } from "node:url";
import { RpcError } from "../common/errors.js";
import { type InboxConsumer, lockOwner, PinnedInboxConsumer, SharedInboxConsumer } from "../inbox/inbox.js";
import { countersAt } from "../inbox/segment.js";
import { describeDefinition, type EndpointDescription } from "../rpc/rpc-definition.js";
import type { EndpointBinding, RpcReplica } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import { AttachedEndpoint, type EndpointBehaviour } from "./attached-endpoint.js";
import type { EndpointRefs } from "./endpoint-refs.js";
import { encodeFailure, type Failure, failureToError } from "./failure.js";
import { type InstanceHost, InstanceSource } from "./instance-source.js";
import type { LoopMemory } from "./loop-memory.js";
import type { AttachRequest, ControlResult, EncodedValue, LoopControl } from "./loop-protocol.js";
import type { MessageLoop } from "./message-loop.js";

/** Of endpoints of one instance: thousands of them need not keep one each. */
const ONLY_REPLICA: RpcReplica = Object.freeze({ index: 0, count: 1 });

export interface LoopEndpointsOptions {
  readonly loop: MessageLoop;
  readonly memory: LoopMemory;
  readonly refs: EndpointRefs;
  readonly rpcEnv: RpcEnvView;
  readonly host: InstanceHost;
}

export class LoopEndpoints implements LoopControl {
  readonly #loop: MessageLoop;
  readonly #memory: LoopMemory;
  readonly #refs: EndpointRefs;
  readonly #rpcEnv: RpcEnvView;
  readonly #host: InstanceHost;
  /** Starts that have not ended, by endpoint: one that was taken back, or begun anew, is none any more. */
  readonly #starting = new Map<number, object>();

  constructor(options: LoopEndpointsOptions) {
    this.#loop = options.loop;
    this.#memory = options.memory;
    this.#refs = options.refs;
    this.#rpcEnv = options.rpcEnv;
    this.#host = options.host;
  }

  hello(): void {}

  async describe(endpoint: number, module: string): Promise<ControlResult<EndpointDescription>> {
    try {
      return {
        ok: true,
        value: describeDefinition(await this.#host.blame.load(endpoint, () => importDefault(module))),
      };
    } catch (error) {
      return this.#refuse(["ERR_RPC_ENDPOINT_START", `cannot load ${module}: ${messageOf(error)}`, error]);
    }
  }

  async attach(request: AttachRequest): Promise<ControlResult<null>> {
    const id = request.endpoint;
    const start = {};
    this.#starting.set(id, start);
    try {
      const definition = await this.#host.blame.load(id, () => importDefault(request.module));
      const { name, args, restarts } = request;
      const binding = this.#binding(request);
      const source = new InstanceSource(this.#host, { endpoint: id, name, definition, args, binding, restarts });
      const behaviour = await source.make(this.#reason(request));
      if (this.#starting.get(id) !== start) throw new Error("it was taken back while it started");
      this.#join(request, source, behaviour);
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
    return { self, rpcEnv: this.#rpcEnv, replica: replica.count === 1 ? ONLY_REPLICA : replica };
  }

  #join(request: AttachRequest, source: InstanceSource, behaviour: EndpointBehaviour): void {
    const consumer = this.#consumer(request);
    const { doubles } = this.#memory.map(request.countersSegment);
    const endpoint = new AttachedEndpoint({
      id: request.endpoint,
      name: request.name,
      shared: request.shared,
      serial: source.serial,
      concurrency: request.concurrency,
      throughput: request.throughput ?? Number.POSITIVE_INFINITY,
      behaviour,
      consumer,
      counters: doubles,
      countersAt: countersAt(request.counters),
      handlerTimeoutMs: request.handlerTimeoutMs,
      replacer: source,
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
    return this.#host.codec.decode(value.codec, value.bytes, value.bytes.length, value.attachments);
  }

  #refuse(failure: Failure): { ok: false; failure: EncodedValue } {
    const { codec } = this.#host;
    encodeFailure(codec, failure);
    return { ok: false, failure: { codec: codec.payloadCodec, ...codec.takeBody() } };
  }
}

async function importDefault(module: string): Promise<unknown> {
  const url = module.startsWith("file:") ? module : pathToFileURL(module).href;
  const imported = (await import(url)) as { readonly default?: unknown };
  if (imported.default === undefined) {
    throw new RpcError("ERR_RPC_ENDPOINT_START", "it has no default export; export an endpoint class or a service");
  }
  return imported.default;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
