/**
 * Sets endpoints up: describes the module in the least loaded loop, places it, allocates its Inbox, and starts an
 * instance on each of its loops. Not in the data flow. Main thread only.
 *
 * An isolated endpoint gets loops of its own. If its kind is told beforehand, its module is described there at once;
 * else a shared loop has to import it first, to find out.
 */
import { isRpcError, RpcError } from "../common/errors.js";
import { ENDPOINT_NAME_BYTES_MAX } from "../common/limits.js";
import type { InboxProducer } from "../inbox/inbox.js";
import type { PayloadWriter } from "../inbox/record.js";
import { SpillBudget, type SpillTotal } from "../inbox/spill-queue.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { EndpointDescription } from "../rpc/rpc-definition.js";
import { isIsolated } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointKind, RpcPeer } from "../rpc/rpc-endpoint-options.js";
import { envStopped } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { type EndpointInstances, LoopLost } from "./endpoint-instances.js";
import type { EngineSettings } from "./engine-settings.js";
import { type EndpointLaunch, EndpointState, HostedEndpoint } from "./hosted-endpoint.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import { inboxRoomMember } from "./loop-members.js";
import type { EncodedValue } from "./loop-protocol.js";
import type { LoopGroup } from "./loop-slot.js";
import type { LoopZero } from "./loop-zero.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { MessageLoops } from "./message-loops.js";

export interface EndpointSetup {
  readonly inboxBytes: number;
  readonly concurrency: number;
  readonly throughput: number | undefined;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  readonly allow: ((peer: RpcPeer) => boolean) | null;
  /** What the module is said to define. */
  readonly kind: RpcEndpointKind | undefined;
  /** Loop of a serial endpoint, by hand. */
  readonly loop: number | undefined;
  readonly args: unknown;
}

export interface EndpointStarterOptions {
  readonly codec: MessageCodec;
  readonly writer: PayloadWriter;
  readonly memory: MainLoopMemory;
  readonly loops: MessageLoops;
  readonly loopZero: LoopZero;
  readonly directory: EndpointDirectory;
  readonly instances: EndpointInstances;
  readonly spillTotal: SpillTotal;
  readonly settings: EngineSettings;
  readonly isAccepting: () => boolean;
  /** Ends what was posted to an endpoint that did not start. */
  readonly onStartFailed: (endpoint: HostedEndpoint, failure: unknown) => void;
  /** A sleeping loop was rung for the shared Inbox of this endpoint. */
  readonly onRing: (endpoint: number) => void;
}

/** What a start has used so far. */
interface Start {
  readonly name: string;
  readonly id: number;
  readonly launch: EndpointLaunch;
  readonly setup: EndpointSetup;
  group: LoopGroup | null;
  endpoint: HostedEndpoint | null;
  /** The loop that died, or is being ended, while it described the module: its death is still to be blamed on the id. */
  lostScout: HostedMessageLoop | null;
}

export class EndpointStarter {
  readonly #options: EndpointStarterOptions;

  constructor(options: EndpointStarterOptions) {
    this.#options = options;
  }

  /** Makes an endpoint from a module; resolves when every replica's onStart has finished. */
  async start(name: string, module: string, setup: EndpointSetup): Promise<HostedEndpoint> {
    const { directory, isAccepting } = this.#options;
    this.checkName(name);
    const launch = {
      module,
      args: this.#encodeArgs(setup.args),
      concurrency: setup.concurrency,
      throughput: setup.throughput,
    };
    const start: Start = {
      name,
      id: directory.reserve(name),
      launch,
      setup,
      group: null,
      endpoint: null,
      lostScout: null,
    };
    try {
      const description = await this.#describe(start);
      if (!isAccepting()) throw envStopped(name);
      const endpoint = this.#create(start, description, this.#place(start, description));
      start.endpoint = endpoint;
      await this.#startInstances(endpoint);
      if (!isAccepting()) throw envStopped(name);
      endpoint.open();
      return endpoint;
    } catch (error) {
      const lostByShutdown = !isAccepting() && isRpcError(error, "ERR_RPC_ENDPOINT_START");
      const failure = lostByShutdown ? envStopped(name) : error;
      this.#abandon(start, failure);
      throw failure;
    }
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT for what is no name, ERR_RPC_ENV_STOPPED when nothing is started any more. */
  checkName(name: string): void {
    const bytes = typeof name === "string" ? Buffer.byteLength(name) : 0;
    if (bytes < 1 || bytes > ENDPOINT_NAME_BYTES_MAX) {
      const text = `the name of an endpoint is a string of 1 to ${ENDPOINT_NAME_BYTES_MAX} bytes: bytes=${bytes}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    if (!this.#options.isAccepting()) throw envStopped(name);
  }

  async #describe(start: Start): Promise<EndpointDescription> {
    const { loops, instances } = this.#options;
    const { name, id, launch, setup } = start;
    const own = setup.kind !== undefined && isIsolated(setup.kind);
    if (own) start.group = loops.open(name, 1);
    const scouts = (start.group ?? loops.shared()).indices;
    const scout = await instances.whenUp(name, loops.leastLoaded(scouts));
    const description = await instances
      .call<EndpointDescription>(name, scout, (remote) => remote.describe(id, launch.module))
      .catch((error: unknown) => {
        if (error instanceof LoopLost || !scout.up) start.lostScout = scout;
        throw error;
      });
    if (setup.kind === undefined || setup.kind === description.kind) return description;
    const text = `endpoint "${name}" did not start: its kind is ${description.kind}, and option kind says ${setup.kind}`;
    throw new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint: name });
  }

  /** The ids of the loops that will serve it. */
  #place(start: Start, description: EndpointDescription): readonly number[] {
    const { loops } = this.#options;
    const { name, setup } = start;
    const { kind, threadCount, replicas } = description;
    if (setup.loop !== undefined && kind !== "serial") {
      const text = `endpoint "${name}" is ${kind} and does not run on one shared loop; only a serial one takes option loop`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    if (isIsolated(kind)) {
      const count = threadCount ?? 1;
      if (start.group === null) start.group = loops.open(name, count);
      else loops.grow(start.group, name, count - start.group.indices.length);
      return start.group.indices;
    }
    const shared = loops.shared().indices;
    if (kind === "concurrent") return shared.slice(0, Math.min(replicas ?? loops.count, loops.count));
    if (setup.loop === undefined) return [loops.leastLoaded(shared)];
    if (shared.includes(setup.loop)) return [setup.loop];
    const range = `1..${loops.count}`;
    throw new RpcError(
      "ERR_RPC_INVALID_ARGUMENT",
      `endpoint "${name}": there is no loop ${setup.loop}; loops=${range}`,
    );
  }

  #create(start: Start, description: EndpointDescription, loops: readonly number[]): HostedEndpoint {
    const { memory, directory, loopZero, spillTotal, settings } = this.#options;
    const { id, name, launch, setup, group } = start;
    const ring = memory.allocateRing(setup.inboxBytes);
    const budget = new SpillBudget(settings.spill, spillTotal);
    const producer = this.#producer(id, ring, loops, budget);
    loopZero.include(inboxRoomMember(id));
    const counters = loops.map(() => memory.allocateCounters());
    const generation = directory.nextGeneration();
    const { handlerTimeoutMs, allow } = setup;
    const what = { id, generation, name, description, launch, handlerTimeoutMs, allow, crashes: settings.crashes };
    const endpoint = new HostedEndpoint({ ...what, loops, group, ring, counters, producer, budget });
    directory.add(endpoint);
    if (!endpoint.shared) this.#options.loops.pin(loops[0] as number);
    return endpoint;
  }

  #producer(id: number, ring: HostedEndpoint["ring"], loops: readonly number[], budget: SpillBudget): InboxProducer {
    const { memory, writer, onRing } = this.#options;
    const [first, second] = loops as [number, number | undefined];
    if (second !== undefined) return memory.sharedProducer(id, ring, writer, budget, () => onRing(id));
    return memory.pinnedProducer(id, ring, first, this.#options.loops.get(first).regions, writer, budget);
  }

  /** All of them, also after a failure: which have started must be known before they can be taken back. */
  async #startInstances(endpoint: HostedEndpoint): Promise<void> {
    const { instances } = this.#options;
    const starts = endpoint.loops.map(async (index) => {
      await instances.attach(endpoint, await instances.whenUp(endpoint.name, index), 0, null);
    });
    for (const started of await Promise.allSettled(starts)) {
      if (started.status === "rejected") throw started.reason;
    }
    const lost = endpoint.loops.find((index) => !endpoint.serving.has(index));
    if (lost === undefined) return;
    const text = `endpoint "${endpoint.name}" did not start: message loop ${lost} died meanwhile`;
    throw new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint: endpoint.name, cause: endpoint.lastCrash });
  }

  /** Frees what a failed start has used: its name at once, id and memory when no loop can come to them any more. */
  #abandon(start: Start, failure: unknown): void {
    const { directory, loops, instances, memory } = this.#options;
    const { id, name, endpoint, group } = start;
    directory.dropName(name);
    if (endpoint === null) {
      const { lostScout } = start;
      if (lostScout === null) directory.dropId(id);
      else void lostScout.hosted.exited.then(() => directory.dropId(id));
      if (group !== null) void loops.close(group);
      return;
    }
    this.#options.onStartFailed(endpoint, failure);
    endpoint.state = EndpointState.STOPPED;
    directory.forget(endpoint);
    if (!endpoint.shared) loops.unpin(endpoint.loops[0] as number);
    const served = endpoint.loops.map((index) => loops.get(index));
    const detached = Promise.all(served.map((loop) => instances.detach(endpoint, loop)));
    // Detached first: a loop of its own that ends at once would leave the question open.
    const closed = group === null ? detached : detached.then(() => loops.close(group));
    void closed.then(() => {
      directory.dropId(id);
      memory.releaseRing(endpoint.ring);
      for (const region of endpoint.counters) memory.release(region);
    });
  }

  #encodeArgs(args: unknown): EncodedValue | null {
    if (args === undefined) return null;
    const { codec } = this.#options;
    codec.encode(args, undefined, "args");
    return { codec: codec.payloadCodec, ...codec.takeBody() };
  }
}
