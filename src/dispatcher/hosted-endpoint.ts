/**
 * An endpoint as loop 0 knows it: its Inbox, the loops that serve it, and its life.
 *
 * STARTING ──every onStart done──▶ RUNNING ──stop──▶ STOPPING ──onStop done──▶ STOPPED
 *     └──────a start failed──────────────────────────────────────────────────────▲
 * RUNNING ──blamed for too many crashes──▶ FAILED ──stop──▶ STOPPED
 *
 * While RUNNING, its instance on a loop that died is started again with that loop: `serving` says which instances live.
 */
import type { RpcError } from "../common/errors.js";
import type { InboxProducer } from "../inbox/inbox.js";
import type { Region, RingRegion } from "../inbox/segment.js";
import type { SpillBudget } from "../inbox/spill-queue.js";
import type { EndpointDescription } from "../rpc/rpc-definition.js";
import type { RpcPeer } from "../rpc/rpc-endpoint-options.js";
import { BackOff, CrashBudget } from "./back-off.js";
import type { CrashSettings } from "./engine-settings.js";
import type { EncodedValue } from "./loop-protocol.js";
import { LoopSet } from "./loop-set.js";
import type { LoopGroup } from "./loop-slot.js";
import { newAskCounts, newOneWayCounts } from "./message-counts.js";

export const EndpointState = {
  STARTING: "starting",
  RUNNING: "running",
  STOPPING: "stopping",
  STOPPED: "stopped",
  FAILED: "failed",
} as const;
export type EndpointState = (typeof EndpointState)[keyof typeof EndpointState];

/** What each of its instances is made of, the first time and after each crash. */
export interface EndpointLaunch {
  readonly module: string;
  /** The constructor's or the service's argument, encoded by the message codec. */
  readonly args: EncodedValue | null;
  readonly concurrency: number;
  /** Messages in a row; undefined: a turn's. */
  readonly throughput: number | undefined;
}

export interface HostedEndpointOptions {
  readonly id: number;
  readonly generation: number;
  readonly name: string;
  readonly description: EndpointDescription;
  /** Null on loop 0, where nobody can make another instance. */
  readonly launch: EndpointLaunch | null;
  /** The loops that serve it, one or several. */
  readonly loops: readonly number[];
  /** The group of those loops, if it is the endpoint's own. */
  readonly group: LoopGroup | null;
  readonly ring: RingRegion;
  /** A counter region for each loop, in the order of `loops`. */
  readonly counters: readonly Region[];
  readonly producer: InboxProducer;
  readonly budget: SpillBudget;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  /** Of which peers messages are taken; null: of all. */
  readonly allow: ((peer: RpcPeer) => boolean) | null;
  readonly crashes: CrashSettings;
}

/** Where an endpoint of one instance lives. */
export interface EndpointPlace {
  readonly loop: number;
  readonly generation: number;
  readonly ring: RingRegion;
  readonly producer: InboxProducer;
}

export class HostedEndpoint {
  readonly id: number;
  readonly name: string;
  readonly description: EndpointDescription;
  readonly launch: EndpointLaunch | null;
  readonly group: LoopGroup | null;
  readonly counters: readonly Region[];
  readonly budget: SpillBudget;
  readonly handlerTimeoutMs: number;
  readonly allow: ((peer: RpcPeer) => boolean) | null;
  readonly asks = newAskCounts();
  readonly oneWays = newOneWayCounts();
  /** Most messages seen waiting; looked at by each sweep and by `stats`. */
  depthMax = 0;
  /** These four change when it moves (`moveTo`), and only then. */
  generation: number;
  loops: readonly number[];
  ring: RingRegion;
  producer: InboxProducer;
  state: EndpointState = EndpointState.STARTING;
  /** Why it is FAILED. */
  failure: RpcError | null = null;
  /** Why a loop of it died last. */
  lastCrash: RpcError | null = null;
  /** Loops on which an instance lives, and loops that are just starting one. */
  readonly serving = new LoopSet();
  readonly starting = new LoopSet();
  // What few endpoints ever need is made when it is needed: there are thousands of them.
  readonly #crashSettings: CrashSettings;
  #crashes: CrashBudget | null = null;
  #backOff: BackOff | null = null;
  /** How often its instance on each loop was started again. */
  #restarts: Map<number, number> | null = null;
  /** Resolvers of `ref.ready()`, called when there is room again or never will be. */
  #roomWaiters: Set<(error: RpcError | null) => void> | null = null;
  /** Its memory has been given back; resolves when loops of its own have ended too. */
  retired: Promise<void> | null = null;
  /** Messages accepted into ring or spill, and messages refused because both were full. */
  accepted = 0;
  rejected = 0;

  constructor(options: HostedEndpointOptions) {
    this.id = options.id;
    this.name = options.name;
    this.description = options.description;
    this.launch = options.launch;
    this.group = options.group;
    this.counters = options.counters;
    this.budget = options.budget;
    this.handlerTimeoutMs = options.handlerTimeoutMs;
    this.allow = options.allow;
    this.#crashSettings = options.crashes;
    this.generation = options.generation;
    this.loops = options.loops;
    this.ring = options.ring;
    this.producer = options.producer;
    this.producer.held = true;
  }

  get shared(): boolean {
    return this.loops.length > 1;
  }

  /** Crashes of its loops and failed restarts that it is to blame for. */
  get crashes(): CrashBudget {
    this.#crashes ??= new CrashBudget(this.#crashSettings);
    return this.#crashes;
  }

  /** Between restarts that fail although their loop lives. */
  get backOff(): BackOff {
    this.#backOff ??= new BackOff(this.#crashSettings);
    return this.#backOff;
  }

  get roomWaiters(): Set<(error: RpcError | null) => void> {
    this.#roomWaiters ??= new Set();
    return this.#roomWaiters;
  }

  /** An endpoint of one instance goes to another loop, with another Inbox. */
  moveTo(place: EndpointPlace): void {
    const [from] = this.loops as [number];
    const restarts = this.#restarts?.get(from);
    if (restarts !== undefined) this.#restarts?.set(place.loop, restarts);
    this.generation = place.generation;
    this.loops = [place.loop];
    this.ring = place.ring;
    this.producer = place.producer;
  }

  /** Its instance on `loop` is started once more; returns how often that has happened. */
  countRestart(loop: number): number {
    this.#restarts ??= new Map();
    const restarts = (this.#restarts.get(loop) ?? 0) + 1;
    this.#restarts.set(loop, restarts);
    return restarts;
  }

  /** Every instance has started: what was posted meanwhile is theirs to take. */
  open(): void {
    this.state = EndpointState.RUNNING;
    this.producer.held = false;
    if (this.producer.refill()) this.settleRoomWaiters(null);
  }

  /** Tells everybody in `ready()`: there is room, or `error` says why there never will be. */
  settleRoomWaiters(error: RpcError | null): void {
    if (this.#roomWaiters === null) return;
    const waiters = [...this.#roomWaiters];
    this.#roomWaiters.clear();
    for (const waiter of waiters) waiter(error);
  }
}
