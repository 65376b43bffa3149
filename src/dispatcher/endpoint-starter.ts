/**
 * Sets endpoints up: describes the module in the least loaded loop, places it, allocates its Inbox, and starts an
 * instance on each of its loops. Not in the data flow. Main thread only.
 */
import type { Clock } from "../common/clock.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { ENDPOINT_NAME_BYTES_MAX } from "../common/limits.js";
import type { InboxProducer } from "../inbox/inbox.js";
import type { PayloadWriter } from "../inbox/record.js";
import { SpillBudget, type SpillTotal } from "../inbox/spill-queue.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { EndpointDescription } from "../rpc/rpc-definition.js";
import { isIsolated } from "../rpc/rpc-endpoint.js";
import { envStopped, noLoops } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import type { EngineSettings } from "./engine-settings.js";
import { failureToError } from "./failure.js";
import { EndpointState, HostedEndpoint } from "./hosted-endpoint.js";
import { inboxRoomMember } from "./loop-members.js";
import type { AttachRequest, ControlResult, EncodedValue } from "./loop-protocol.js";
import type { LoopZero } from "./loop-zero.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { HostedMessageLoop, MessageLoops } from "./message-loops.js";
import { notSupportedYet } from "./not-supported-yet.js";

export interface EndpointSetup {
  readonly inboxBytes: number;
  readonly concurrency: number;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  /** Loop of a serial endpoint, by hand. */
  readonly loop: number | undefined;
  readonly args: unknown;
}

export interface EndpointStarterOptions {
  readonly clock: Clock;
  readonly codec: MessageCodec;
  readonly writer: PayloadWriter;
  readonly memory: MainLoopMemory;
  readonly loops: MessageLoops;
  readonly loopZero: LoopZero;
  readonly directory: EndpointDirectory;
  readonly spillTotal: SpillTotal;
  readonly settings: EngineSettings;
  readonly isAccepting: () => boolean;
  /** A sleeping loop was rung for the shared Inbox of this endpoint. */
  readonly onRing: (endpoint: number) => void;
}

export class EndpointStarter {
  readonly #clock: Clock;
  readonly #codec: MessageCodec;
  readonly #writer: PayloadWriter;
  readonly #memory: MainLoopMemory;
  readonly #loops: MessageLoops;
  readonly #loopZero: LoopZero;
  readonly #directory: EndpointDirectory;
  readonly #spillTotal: SpillTotal;
  readonly #settings: EngineSettings;
  readonly #isAccepting: () => boolean;
  readonly #onRing: (endpoint: number) => void;
  /** Endpoints of which a loop has not said whether it started them. */
  readonly #unanswered = new WeakSet<HostedEndpoint>();

  constructor(options: EndpointStarterOptions) {
    this.#clock = options.clock;
    this.#codec = options.codec;
    this.#writer = options.writer;
    this.#memory = options.memory;
    this.#loops = options.loops;
    this.#loopZero = options.loopZero;
    this.#directory = options.directory;
    this.#spillTotal = options.spillTotal;
    this.#settings = options.settings;
    this.#isAccepting = options.isAccepting;
    this.#onRing = options.onRing;
  }

  /** Makes an endpoint from a module; resolves when every replica's onStart has finished. */
  async start(name: string, module: string, setup: EndpointSetup): Promise<HostedEndpoint> {
    this.checkName(name);
    const args = this.#encodeArgs(setup.args);
    const id = this.#directory.reserve(name);
    try {
      await this.#loops.start().catch((error: unknown) => {
        throw this.#isAccepting() ? error : envStopped(name);
      });
      if (!this.#isAccepting()) throw envStopped(name);
      const alive = this.#loops.alive;
      if (alive.length === 0) throw noLoops(name, this.#loops.count);
      const scout = leastLoaded(alive);
      const described = await this.#timed(
        name,
        scout.control.call((remote) => remote.describe(module)),
      );
      const description = this.#unwrap(name, described);
      if (isIsolated(description.kind)) throw notSupportedYet(`endpoint "${name}": kind ${description.kind}`);
      const loops = this.#place(name, description, setup.loop);
      const endpoint = this.#create(name, description, loops, setup, id);
      await this.#attach(endpoint, module, args, setup);
      if (!this.#isAccepting()) throw envStopped(name);
      endpoint.state = EndpointState.RUNNING;
      return endpoint;
    } catch (error) {
      await this.#abandon(name, id);
      const lostByShutdown = !this.#isAccepting() && isRpcError(error, "ERR_RPC_WORKER_CRASHED");
      throw lostByShutdown ? envStopped(name) : error;
    }
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT for what is no name, ERR_RPC_ENV_STOPPED when nothing is started any more. */
  checkName(name: string): void {
    const bytes = typeof name === "string" ? Buffer.byteLength(name) : 0;
    if (bytes < 1 || bytes > ENDPOINT_NAME_BYTES_MAX) {
      const text = `the name of an endpoint is a string of 1 to ${ENDPOINT_NAME_BYTES_MAX} bytes: bytes=${bytes}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    if (!this.#isAccepting()) throw envStopped(name);
  }

  /** Frees what a failed start has used: its name at once, its id and memory unless a loop may still come to them. */
  async #abandon(name: string, id: number): Promise<void> {
    const endpoint = this.#directory.get(id);
    if (endpoint === undefined) {
      this.#directory.dropName(name);
      this.#directory.dropId(id);
      return;
    }
    const served = endpoint.loops.map((index) => this.#loops.get(index)).filter((loop) => loop.alive);
    const detached = await Promise.allSettled(served.map((loop) => loop.control.call((remote) => remote.detach(id))));
    if (!endpoint.shared) for (const loop of endpoint.loops) this.#loops.get(loop).pinnedCount--;
    const unanswered = this.#unanswered.has(endpoint) || detached.some((result) => result.status === "rejected");
    if (unanswered) {
      // A start that hangs may still attach one day: what it would look at is not given to another.
      this.#directory.forget(endpoint);
      this.#directory.dropName(name);
      return;
    }
    this.#directory.remove(endpoint);
    this.#memory.release(endpoint.ring.region);
    for (const region of endpoint.counters) this.#memory.release(region);
  }

  #encodeArgs(args: unknown): EncodedValue | null {
    if (args === undefined) return null;
    this.#codec.encode(args);
    return { codec: this.#codec.payloadCodec, ...this.#codec.takeBody() };
  }

  #place(name: string, description: EndpointDescription, loop: number | undefined): number[] {
    const alive = this.#loops.alive;
    if (description.kind === "serial") {
      if (loop === undefined) return [leastLoaded(alive).index];
      const chosen = alive.find((candidate) => candidate.index === loop);
      if (chosen !== undefined) return [loop];
      const range = `1..${this.#loops.count}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `endpoint "${name}": there is no loop ${loop}; loops=${range}`);
    }
    if (loop !== undefined) {
      const text = `endpoint "${name}" is concurrent and runs on every shared loop; only a serial one takes option loop`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    const count = Math.min(description.replicas ?? alive.length, alive.length);
    return alive.slice(0, count).map((candidate) => candidate.index);
  }

  #create(
    name: string,
    description: EndpointDescription,
    loops: number[],
    setup: EndpointSetup,
    id: number,
  ): HostedEndpoint {
    const ring = this.#memory.allocateRing(setup.inboxBytes);
    const budget = new SpillBudget(this.#settings.spill, this.#spillTotal);
    const producer = this.#producer(id, ring, loops, budget);
    this.#loopZero.include(inboxRoomMember(id));
    const counters = loops.map(() => this.#memory.allocateCounters());
    const generation = this.#directory.nextGeneration();
    const options = { id, generation, name, description, loops, ring, counters, producer, budget };
    const endpoint = new HostedEndpoint({ ...options, handlerTimeoutMs: setup.handlerTimeoutMs });
    this.#directory.add(endpoint);
    if (!endpoint.shared) this.#loops.get(loops[0] as number).pinnedCount++;
    return endpoint;
  }

  #producer(id: number, ring: HostedEndpoint["ring"], loops: number[], budget: SpillBudget): InboxProducer {
    const [first, second] = loops as [number, number | undefined];
    if (second !== undefined)
      return this.#memory.sharedProducer(id, ring, this.#writer, budget, () => this.#onRing(id));
    return this.#memory.pinnedProducer(id, ring, first, this.#loops.get(first).regions, this.#writer, budget);
  }

  async #attach(
    endpoint: HostedEndpoint,
    module: string,
    args: EncodedValue | null,
    setup: EndpointSetup,
  ): Promise<void> {
    const { loops } = endpoint;
    const starts = loops.map((index, i) => {
      const counters = endpoint.counters[i] as HostedEndpoint["counters"][number];
      const request: AttachRequest = {
        endpoint: endpoint.id,
        generation: endpoint.generation,
        name: endpoint.name,
        module,
        args,
        inbox: endpoint.ring,
        segment: this.#memory.handle(endpoint.ring.region),
        shared: endpoint.shared,
        concurrency: setup.concurrency,
        handlerTimeoutMs: setup.handlerTimeoutMs,
        replica: { index: i, count: loops.length },
        counters,
        countersSegment: this.#memory.handle(counters),
      };
      return this.#timed(
        endpoint.name,
        this.#loops.get(index).control.call((remote) => remote.attach(request)),
      );
    });
    // All of them, also after a failure: what has started must be known before it can be forgotten.
    const settled = await Promise.allSettled(starts);
    if (settled.some((started) => started.status === "rejected")) this.#unanswered.add(endpoint);
    for (const started of settled) {
      if (started.status === "rejected") throw started.reason;
      this.#unwrap(endpoint.name, started.value);
    }
  }

  #unwrap<T>(name: string, result: ControlResult<T>): T {
    if (result.ok) return result.value;
    const { codec, bytes, attachments } = result.failure;
    throw failureToError(name, this.#codec.decode(codec, bytes, bytes.length, attachments));
  }

  /** Bounds a step of an endpoint's start. */
  #timed<T>(name: string, step: Promise<T>): Promise<T> {
    const { startTimeoutMs } = this.#settings;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        const text = `endpoint "${name}" did not start within ${startTimeoutMs} ms; rpc.startTimeout says how long it may take`;
        reject(new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint: name }));
      }, startTimeoutMs);
      step.then(resolve, reject).finally(() => this.#clock.clearTimeout(timer));
    });
  }
}

function leastLoaded(loops: readonly HostedMessageLoop[]): HostedMessageLoop {
  return loops.reduce((least, loop) => (loop.pinnedCount < least.pinnedCount ? loop : least));
}
