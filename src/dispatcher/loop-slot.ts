/**
 * Loop ids and groups of loops, as `MessageLoops` keeps them. An id's memory is allocated once; its incarnations come and
 * go. Main thread only.
 */
import type { Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { BackOff } from "./back-off.js";
import type { CrashSettings } from "./engine-settings.js";
import { describeThrown } from "./failure.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import type { LoopHost } from "./loop-host.js";
import type { LoopRegions } from "./loop-protocol.js";

/** What becomes of a loop, told in this order; `stuck` only if its thread does not exit in time. */
export interface LoopWatcher {
  /** An incarnation serves its control port: endpoints can be attached to it. */
  up(loop: HostedMessageLoop): void;
  /** Loop 0 has decided to end it. Its thread may run on for long. */
  ending(loop: HostedMessageLoop, error: unknown): void;
  /** It has not exited within LOOP_END_GRACE_MS. */
  stuck(loop: HostedMessageLoop, error: unknown): void;
  /** Its thread has exited, and nobody had told it to stop. It is started again unless its group is closed. */
  died(loop: HostedMessageLoop, error: unknown): void;
  /** Its thread has exited as it was told to. */
  ended(loop: HostedMessageLoop): void;
}

/** Loops that share a pool of threads. */
export interface LoopGroup {
  /** Ids of its loops. */
  readonly indices: readonly number[];
}

export class Group implements LoopGroup {
  readonly host: LoopHost;
  readonly slots: Slot[] = [];
  closed: Promise<void> | null = null;

  constructor(host: LoopHost) {
    this.host = host;
  }

  get indices(): number[] {
    return this.slots.map(({ index }) => index);
  }
}

/** A loop id. */
export class Slot {
  readonly index: number;
  readonly regions: LoopRegions;
  group: Group | null = null;
  loop: HostedMessageLoop | null = null;
  epoch = 0;
  backOff: BackOff;
  failedStarts = 0;
  pinnedCount = 0;
  /** Until it must be up, until it is started again, or until it counts as stuck. */
  timer: Timer | null = null;
  /** Who waits for the loop to be up, and since which epoch. */
  readonly #waiters = new Map<(outcome: HostedMessageLoop | RpcError) => void, number>();

  constructor(index: number, regions: LoopRegions, crashes: CrashSettings) {
    this.index = index;
    this.regions = regions;
    this.backOff = new BackOff(crashes);
  }

  /** `settle` is called once, when the loop is up or never will be. */
  wait(settle: (outcome: HostedMessageLoop | RpcError) => void): void {
    this.#waiters.set(settle, this.epoch);
  }

  /**
   * Tells those who wait for the loop to be up: it is, or `outcome` says why they wait in vain.
   * @param sinceBefore only those who wait since before this epoch: the failure of an attempt is no news to who came later.
   */
  settleWaiters(outcome: HostedMessageLoop | RpcError, sinceBefore: number = Number.POSITIVE_INFINITY): void {
    for (const [settle, since] of [...this.#waiters]) {
      if (since >= sinceBefore) continue;
      this.#waiters.delete(settle);
      settle(outcome);
    }
  }
}

/** Nobody will start this loop. */
export function closedError(index: number): RpcError {
  return new RpcError("ERR_RPC_ENDPOINT_START", `message loop ${index} was ended before it could serve an endpoint`);
}

/** Its thread was started and has not said a word, so nobody can ask it whether it turns. */
export function silentError(index: number, timeoutMs: number): RpcError {
  return new RpcError("ERR_RPC_ENDPOINT_START", `message loop ${index} did not come up within ${timeoutMs} ms`);
}

/** The loop died again and again before it had answered once. */
export function startError(slot: Slot, cause: unknown): RpcError {
  const text =
    `message loop ${slot.index} cannot be started: attempts=${slot.failedStarts}, ` +
    `last failure: ${describeThrown(cause)}; it is tried again in the background`;
  return new RpcError("ERR_RPC_ENDPOINT_START", text, { cause });
}
