/**
 * An endpoint as loop 0 knows it: its Inbox, the loops that serve it, and its life.
 *
 * STARTING ──every onStart done──▶ RUNNING ──stop──▶ STOPPING ──onStop done──▶ STOPPED
 *     └──────a start failed──────────────────────────────────────────────────────▲
 * RUNNING ──its loops are gone──▶ FAILED ──stop──▶ STOPPED
 */
import type { RpcError } from "../common/errors.js";
import type { InboxProducer } from "../inbox/inbox.js";
import type { Region } from "../inbox/segment.js";
import type { SpillBudget } from "../inbox/spill-queue.js";
import type { EndpointDescription } from "../rpc/rpc-definition.js";
import type { RingRegion } from "./loop-protocol.js";
import { newAskCounts, newOneWayCounts } from "./message-counts.js";

export const EndpointState = {
  STARTING: "starting",
  RUNNING: "running",
  STOPPING: "stopping",
  STOPPED: "stopped",
  FAILED: "failed",
} as const;
export type EndpointState = (typeof EndpointState)[keyof typeof EndpointState];

export interface HostedEndpointOptions {
  readonly id: number;
  readonly generation: number;
  readonly name: string;
  readonly description: EndpointDescription;
  /** The loops that serve it, one or several. */
  readonly loops: readonly number[];
  readonly ring: RingRegion;
  /** A counter region for each loop, in the order of `loops`. */
  readonly counters: readonly Region[];
  readonly producer: InboxProducer;
  readonly budget: SpillBudget;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
}

export class HostedEndpoint {
  readonly id: number;
  readonly generation: number;
  readonly name: string;
  readonly description: EndpointDescription;
  readonly loops: readonly number[];
  readonly ring: RingRegion;
  readonly counters: readonly Region[];
  readonly producer: InboxProducer;
  readonly budget: SpillBudget;
  readonly handlerTimeoutMs: number;
  readonly asks = newAskCounts();
  readonly oneWays = newOneWayCounts();
  /** Most messages seen waiting; looked at by each sweep and by `stats`. */
  depthMax = 0;
  state: EndpointState = EndpointState.STARTING;
  /** Why it is FAILED. */
  failure: RpcError | null = null;
  /** Messages accepted into ring or spill, and messages refused because both were full. */
  accepted = 0;
  rejected = 0;
  /** Resolvers of `ref.ready()`, called when there is room again or never will be. */
  readonly roomWaiters = new Set<(error: RpcError | null) => void>();

  constructor(options: HostedEndpointOptions) {
    this.id = options.id;
    this.generation = options.generation;
    this.name = options.name;
    this.description = options.description;
    this.loops = options.loops;
    this.ring = options.ring;
    this.counters = options.counters;
    this.producer = options.producer;
    this.budget = options.budget;
    this.handlerTimeoutMs = options.handlerTimeoutMs;
  }

  get shared(): boolean {
    return this.loops.length > 1;
  }

  /** Tells everybody in `ready()`: there is room, or `error` says why there never will be. */
  settleRoomWaiters(error: RpcError | null): void {
    const waiters = [...this.roomWaiters];
    this.roomWaiters.clear();
    for (const waiter of waiters) waiter(error);
  }
}
