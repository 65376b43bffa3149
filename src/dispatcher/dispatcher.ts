/**
 * The Dispatcher: names, endpoints and their ends, and the routing of what loop 0 finds. Steps 2, 3 and 8 of the data
 * flow, with poster.ts and replies.ts. Main thread only.
 *
 * Spark's Dispatcher routes a message to the Inbox of a name; this one does the same with Inboxes in shared memory. It
 * is the only producer of every Inbox and mailbox and the only consumer of every outbound ring.
 */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { PING_TIMEOUT_MS, SWEEP_PERIOD_MS } from "../common/limits.js";
import { type InFlightEntry, readInFlightEntries } from "../inbox/in-flight-table.js";
import { PayloadWriter, RecordKind, type TakenRecord } from "../inbox/record.js";
import { SpillTotal } from "../inbox/spill-queue.js";
import type { NetworkEvent } from "./attached-endpoint.js";
import { delay } from "./back-off.js";
import { exposeEnv } from "./control-plane.js";
import { CrashRecovery } from "./crash-recovery.js";
import { envStopped, NEVER_RAN } from "./dispatch-errors.js";
import type { DispatcherOptions } from "./dispatcher-options.js";
import type { DispatcherEvents, DispatcherParts } from "./dispatcher-parts.js";
import { EndpointDirectory } from "./endpoint-directory.js";
import { EndpointInstances } from "./endpoint-instances.js";
import { EndpointMover } from "./endpoint-mover.js";
import { EndpointRefs } from "./endpoint-refs.js";
import { EndpointRemover } from "./endpoint-remover.js";
import { type EndpointSetup, EndpointStarter } from "./endpoint-starter.js";
import { type EndpointCounts, endpointStats } from "./endpoint-stats.js";
import { EndpointStopper } from "./endpoint-stopper.js";
import { EnvRequests } from "./env-requests.js";
import { failureToError } from "./failure.js";
import { Forwarder } from "./forwarder.js";
import { HandlerTimeouts } from "./handler-timeouts.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import { LoopSupervisor } from "./loop-supervisor.js";
import { LoopZero, type LoopZeroHandler } from "./loop-zero.js";
import { LoopZeroEndpoints, type LoopZeroSetup } from "./loop-zero-endpoints.js";
import { LoopZeroStarter } from "./loop-zero-starter.js";
import { MainLoopMemory } from "./main-loop-memory.js";
import { NO_MESSAGE, ReportedFailures } from "./message-counts.js";
import { MessageLoops } from "./message-loops.js";
import { MessagePosting } from "./message-posting.js";
import { OutstandingAsks } from "./outstanding-asks.js";
import { Poster } from "./poster.js";
import type { RefTarget } from "./ref-poster.js";
import { RemoteDelivery } from "./remote-delivery.js";
import { Replies } from "./replies.js";
import { RunningHandler } from "./running-handler.js";
import { type LoopCodecs, loopZeroCodecs } from "./shared-shapes.js";
import { Tickets } from "./tickets.js";

export class Dispatcher implements DispatcherParts, LoopZeroHandler {
  readonly memory = new MainLoopMemory();
  readonly directory = new EndpointDirectory();
  readonly asks = new OutstandingAsks(this.memory.asks);
  readonly tickets = new Tickets(this.memory.freeBlocks);
  readonly running = new RunningHandler();
  readonly refs: EndpointRefs;
  readonly loops: MessageLoops;
  readonly poster: Poster;
  readonly reportedFailures = new ReportedFailures();
  readonly forwarder: Forwarder;
  readonly remover: EndpointRemover;
  readonly remote: RemoteDelivery;
  readonly codecs: LoopCodecs;
  readonly events: DispatcherEvents;
  readonly #clock: Clock;
  readonly #loopZero: LoopZero;
  readonly #zeroEndpoints: LoopZeroEndpoints;
  readonly #zeroStarter: LoopZeroStarter;
  readonly #starter: EndpointStarter;
  readonly #stopper: EndpointStopper;
  readonly #replies: Replies;
  readonly #instances: EndpointInstances;
  readonly #supervisor: LoopSupervisor;
  readonly #timeouts: HandlerTimeouts;
  #accepting = true;

  constructor(options: DispatcherOptions) {
    const { clock, events, settings, envId, requests, view, bind } = options;
    const { memory, directory, asks, tickets } = this;
    const refs = new EndpointRefs({ env: envId, address: view.address, askTimeoutMs: settings.askTimeout.ms });
    const { adopt, ...codecs } = loopZeroCodecs({ refs, ...settings }, memory.structures);
    const { codec, controlCodec, networkCodec } = codecs;
    this.codecs = codecs;
    const writer = new PayloadWriter(codec.scratch);
    this.refs = refs;
    const spillTotal = new SpillTotal(settings.spill.totalBytesMax);
    this.#clock = clock;
    this.events = events;
    this.#loopZero = new LoopZero(clock, memory.ready, this);
    const loopZero = this.#loopZero;
    const envRequests = new EnvRequests(controlCodec, requests);
    this.loops = new MessageLoops({
      envName: options.envName,
      envId,
      address: view.address,
      serveEnv: (port) => exposeEnv(envRequests, port),
      count: options.loopCount,
      throughput: options.throughput,
      ringBytes: options.loopRingBytes,
      settings,
      originMs: options.originMs,
      memory,
      writer,
      spillTotal,
      loopZero,
      clock,
      hostFactory: options.hostFactory,
      watcher: {
        up: (loop) => this.#supervisor.up(loop),
        ending: (loop, error) => this.#supervisor.ending(loop, error),
        stuck: (loop, error) => this.#supervisor.stuck(loop, error),
        died: (loop, error) => this.#supervisor.died(loop, error),
        ended: (loop) => this.#supervisor.ended(loop),
      },
      postControl: (loop, kind, subject) => this.poster.postControl(loop, kind, subject),
    });
    const { loops } = this;
    this.#zeroEndpoints = new LoopZeroEndpoints({
      clock,
      codecs,
      memory,
      throughput: options.throughput,
      running: this.running,
      rpcEnv: view,
      onRecord: (record) => this.onRecord(0, record),
      onRoom: (endpoint) => this.onInboxRoom(endpoint),
      wake: () => loopZero.wake(),
    });
    const zeroEndpoints = this.#zeroEndpoints;
    const refusal = (target: RefTarget): RpcError => this.refusalOf(target);
    const onDeadLetter = (endpoint: string, error: RpcError, message: () => unknown): void =>
      events.deadLetter(endpoint, error, 1, message);
    const posting = new MessagePosting(memory, loops, loopZero, asks, tickets);
    this.poster = new Poster({
      clock,
      codec,
      memory,
      loops,
      loopZero,
      asks,
      tickets,
      directory,
      running: this.running,
      refusal,
      onDeadLetter,
      zeroEndpoints,
      posting,
      askTimeout: settings.askTimeout,
    });
    const { startTimeoutMs } = settings;
    const onStartFailed = (endpoint: HostedEndpoint, failure: unknown): void =>
      this.remover.startFailed(endpoint, failure);
    const instances = new EndpointInstances({ clock, codec, memory, loops, startTimeoutMs });
    this.#instances = instances;
    this.#starter = new EndpointStarter({
      codec,
      writer,
      memory,
      loops,
      loopZero,
      directory,
      instances,
      spillTotal,
      settings,
      isAccepting: () => this.#accepting,
      onStartFailed,
      onRing: (endpoint) => this.poster.rang(endpoint),
    });
    const isAccepting = (): boolean => this.#accepting;
    const zeroParts = { clock, memory, directory, writer, spillTotal, settings, onStartFailed, isAccepting };
    this.#zeroStarter = new LoopZeroStarter({ ...zeroParts, endpoints: zeroEndpoints, bind });
    const { poster } = this;
    this.remote = new RemoteDelivery({ networkCodec, asks, directory, poster, posting, refusal, onDeadLetter });
    const network = options.network(this);
    refs.start(poster, network.poster);
    this.forwarder = new Forwarder({
      codecs,
      gateway: network.gateway,
      loops,
      loopZero,
      asks,
      directory,
      poster,
      posting,
      zeroEndpoints,
      requests,
      refusal,
      onDeadLetter,
    });
    const { forwarder } = this;
    this.#replies = new Replies({ codec, adopt, loops, asks, tickets, directory, poster, forwarder, zeroEndpoints });
    const refuse = (endpoint: HostedEndpoint): RpcError => this.refusal(endpoint);
    const deadLetter = this.deadLetter.bind(this);
    const remaining = { poster, refusal: refuse, deadLetter };
    this.remover = new EndpointRemover({ memory, directory, asks, tickets, loops, ...remaining });
    this.#stopper = new EndpointStopper(this, clock);
    const stopper = this.#stopper;
    const recovery = new CrashRecovery(this, loopZero, stopper);
    const mover = new EndpointMover({ memory, directory, loops, writer });
    this.#supervisor = new LoopSupervisor({ dispatcher: this, clock, recovery, stopper, instances, mover });
    this.#timeouts = new HandlerTimeouts(this, clock);
    loopZero.start(memory.parker(() => loopZero.wake()));
  }

  async setup(name: string, module: string, setup: EndpointSetup): Promise<HostedEndpoint> {
    const endpoint = await this.#starter.start(name, module, setup);
    this.#timeouts.watch(endpoint);
    return endpoint;
  }

  /** Sets up an instance or a service on loop 0. */
  async setupOnLoopZero(name: string, given: object, setup: LoopZeroSetup): Promise<HostedEndpoint> {
    this.#starter.checkName(name);
    const endpoint = await this.#zeroStarter.start(name, given, setup);
    this.#timeouts.watch(endpoint);
    return endpoint;
  }

  /** The endpoint of an instance on loop 0. */
  findInstance(instance: object): HostedEndpoint | undefined {
    return this.#zeroStarter.find(instance);
  }

  isAlive(loop: number): boolean {
    return loop === 0 || this.loops.get(loop).alive;
  }

  takeBack(endpoint: HostedEndpoint, loop: number): Promise<void> {
    return this.#instances.takeBack(endpoint, this.loops.get(loop));
  }

  tell(loop: number, kind: number, subject: number, generation = 0, detail = 0): void {
    if (loop === 0) this.#zeroEndpoints.tell(kind, subject, generation, detail);
    else this.poster.postControl(this.loops.get(loop), kind, subject, generation, detail);
  }

  stop(endpoint: HostedEndpoint, timeoutMs: number): Promise<void> {
    return this.#stopper.stop(endpoint, timeoutMs);
  }

  /** The steps are numbered in docs/architecture.md. Resolves when every thread is gone. */
  async shutdown(timeoutMs: number): Promise<void> {
    this.#accepting = false; // 1
    const endsMs = this.#clock.now() + timeoutMs;
    const stops = this.directory.all.map((endpoint) => this.#stopper.stop(endpoint, timeoutMs)); // 2
    const patience = delay(this.#clock, timeoutMs);
    await Promise.race([Promise.allSettled(stops), patience.promise.then(() => this.#held())]);
    patience.cancel();
    const envStopped = new RpcError("ERR_RPC_ENV_STOPPED", "the env was shut down", { maybeExecuted: true });
    this.poster.cancelAsks(this.asks.slots(null), () => envStopped, "failed"); // 3
    const graceMs = Math.max(endsMs - this.#clock.now(), SWEEP_PERIOD_MS);
    const grace = delay(this.#clock, graceMs);
    await this.loops.end(grace.promise).finally(grace.cancel); // 4
    this.#loopZero.close(); // 5
    this.poster.close();
  }

  /** The time is up: resolves if a loop does not turn, for its stops would only wait for it. */
  async #held(): Promise<void> {
    const up = this.loops.all.filter((loop) => loop.up);
    const turning = await Promise.all(up.map((loop) => this.loops.ping(loop, PING_TIMEOUT_MS)));
    if (turning.every(Boolean)) await new Promise(() => {});
  }

  /** Why nothing more can be sent to this endpoint. */
  refusal(endpoint: HostedEndpoint): RpcError {
    const { name } = endpoint;
    if (endpoint.failure !== null) return endpoint.failure;
    if (!this.#accepting) return envStopped(name);
    const what = endpoint.state === EndpointState.STARTING ? "has not started yet" : "was stopped";
    return new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", `endpoint "${name}" ${what}`, { endpoint: name });
  }

  /** The same for whatever has the name now. */
  refusalOf({ name, generation }: RefTarget): RpcError {
    const made = this.directory.findMade(name);
    if (made !== undefined) return this.refusal(made);
    if (!this.#accepting) return envStopped(name);
    const text =
      this.directory.find(name) !== undefined
        ? `endpoint "${name}" has not started yet`
        : generation === 0
          ? `there is no endpoint called "${name}"`
          : `endpoint "${name}" was stopped`;
    return new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", text, { endpoint: name });
  }

  inFlight(loop: number): InFlightEntry[] {
    if (loop === 0) return this.#zeroEndpoints.inFlight();
    const { entries } = this.loops.get(loop).regions;
    return readInFlightEntries(this.memory.words(entries), entries.word);
  }

  deadLetter(endpoint: HostedEndpoint, error: RpcError, count: number): void {
    endpoint.oneWays.deadLettered += count;
    this.events.deadLetter(endpoint.name, error, count);
  }

  /** Tells every endpoint that overrides the method of a network event. */
  postEvent(event: NetworkEvent): void {
    for (const endpoint of this.directory.all) {
      if (endpoint.state === EndpointState.RUNNING && endpoint.description.events.includes(event[0])) {
        this.poster.event(endpoint, event);
      }
    }
  }

  endpointStats(endpoint: HostedEndpoint): EndpointCounts {
    return endpointStats(endpoint, this.memory, this.#clock.now());
  }

  // ── What loop 0 finds ──────────────────────────────────────────────────────────────────────────────────────────────

  onRecord(loop: number, record: TakenRecord): void {
    switch (record.kind) {
      case RecordKind.REPLY:
      case RecordKind.FAILURE:
      case RecordKind.EXPIRED:
      case RecordKind.SUGGEST_STRUCTURE:
        this.#replies.settle(loop, record);
        break;
      case RecordKind.SEND_FAILED:
        this.#oneWayFailed(loop, record);
        break;
      case RecordKind.STUCK:
        this.#stuck(loop, record);
        break;
      case RecordKind.PULL:
        this.#replies.sendBody(loop, record.askSlot, record.sender);
        break;
      case RecordKind.PONG:
        this.loops.onPong(record.askSlot);
        break;
      case RecordKind.SEND:
      case RecordKind.ASK:
      case RecordKind.CAST:
      case RecordKind.CALL:
      case RecordKind.BROADCAST:
      case RecordKind.READY:
      case RecordKind.ASK_ENDED:
      case RecordKind.STOP_REQUEST:
      case RecordKind.SHUTDOWN_REQUEST:
        this.forwarder.onRecord(loop, record);
        break;
      case RecordKind.TICKET_ENDED:
        this.tickets.end(record.askSlot);
        break;
      default:
        this.#stopper.onRecord(loop, record.kind, this.directory.get(record.askSlot));
    }
  }

  #oneWayFailed(loop: number, record: TakenRecord): void {
    const { askSlot: id, askGeneration: position, endpointGeneration: entry } = record;
    const name = this.directory.nameOf(id);
    const error = failureToError(name, this.#replies.decode(loop, record));
    const endpoint = this.directory.get(id);
    if (endpoint !== undefined && entry !== NO_MESSAGE) {
      this.reportedFailures.note(loop, entry, endpoint, position);
      if (NEVER_RAN.includes(error.code)) endpoint.oneWays.deadLettered++;
      else endpoint.oneWays.failed++;
    }
    this.events.deadLetter(name, error, 1);
  }

  /** A serial endpoint does not go on: for now, or, if no new instance could be started, for good. */
  #stuck(loop: number, { askSlot: id, askGeneration: forGood, sender: ageMs }: TakenRecord): void {
    const endpoint = this.directory.get(id);
    if (endpoint === undefined) return;
    if (forGood === 1) this.#supervisor.irreplaceable(endpoint);
    else this.events.endpointStuck(endpoint.name, loop, ageMs);
  }

  onInboxRoom(id: number): void {
    const endpoint = this.directory.get(id);
    if (endpoint?.producer.refill()) endpoint.settleRoomWaiters(null);
  }

  serve(): boolean {
    return this.#zeroEndpoints.serve();
  }

  onMailboxRoom(loop: number): void {
    this.loops.get(loop).mailbox.refill();
  }
}
