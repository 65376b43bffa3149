/**
 * The message loops of an env: starts their threads, tells the living from the dead, starts the dead ones again, and
 * ends them. What a dead one left behind is the supervisor's affair (loop-supervisor.ts). Main thread only.
 *
 * A group of loops is one pool of threads: the shared loops, ids 1 to N, started with the first endpoint that needs
 * them; and for each isolated endpoint the loops of its own, with the lowest ids above N that are free. The memory of
 * an id is allocated once, and initialised anew for each incarnation.
 */
import type { MessagePort } from "node:worker_threads";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import {
  LOOP_END_GRACE_MS,
  LOOP_START_ATTEMPTS_MAX,
  LOOPS_MAX,
  MAILBOX_SPILL_BYTES_MAX,
  MAILBOX_SPILL_MESSAGES_MAX,
  PING_TIMEOUT_MS,
} from "../common/limits.js";
import { load, store } from "../inbox/atomics.js";
import { LOOP_BUSY_MS, LOOP_ENDPOINT, LOOP_LOADING, LOOP_STATUS, LOOP_STOP, LoopStatus } from "../inbox/layout.js";
import type { PayloadWriter } from "../inbox/record.js";
import { SpillBudget, type SpillTotal } from "../inbox/spill-queue.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import { BackOff, delay } from "./back-off.js";
import type { EngineSettings } from "./engine-settings.js";
import { HostedMessageLoop, LoopState } from "./hosted-message-loop.js";
import type { LoopHostFactory } from "./loop-host.js";
import { mailboxRoomMember, outboundMember } from "./loop-members.js";
import { LoopPings, type PostControl } from "./loop-pings.js";
import type { LoopRegions } from "./loop-protocol.js";
import { closedError, Group, type LoopGroup, type LoopWatcher, Slot, silentError, startError } from "./loop-slot.js";
import type { LoopZero } from "./loop-zero.js";
import type { MainLoopMemory } from "./main-loop-memory.js";

export interface MessageLoopsOptions {
  readonly envName: string;
  readonly envId: string;
  readonly address: RpcAddress | null;
  /** Serves what the handlers of a loop want of the env on this end of its port. */
  readonly serveEnv: (port: MessagePort) => void;
  /** Shared loops. */
  readonly count: number;
  readonly throughput: number;
  readonly ringBytes: number;
  readonly settings: EngineSettings;
  readonly originMs: number;
  readonly clock: Clock;
  readonly memory: MainLoopMemory;
  readonly writer: PayloadWriter;
  readonly spillTotal: SpillTotal;
  readonly loopZero: LoopZero;
  readonly hostFactory: LoopHostFactory;
  readonly watcher: LoopWatcher;
  readonly postControl: PostControl;
}

/** Control records always find room, for their number is bounded by what they control; answers find what is left. */
const MAILBOX_LIMITS = { messagesMax: MAILBOX_SPILL_MESSAGES_MAX, bytesMax: MAILBOX_SPILL_BYTES_MAX };

export class MessageLoops {
  readonly #options: MessageLoopsOptions;
  readonly #clock: Clock;
  readonly #slots: Slot[] = [];
  #shared: Group | null = null;
  readonly #pings: LoopPings;

  constructor(options: MessageLoopsOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#pings = new LoopPings(options.clock, options.postControl);
  }

  /** The loops of all ids in use, dead ones that will be started again included. */
  get all(): HostedMessageLoop[] {
    return this.#slots.flatMap(({ group, loop }) => (group === null || loop === null ? [] : [loop]));
  }

  /** The last incarnation of a loop id. */
  get(index: number): HostedMessageLoop {
    const loop = this.#slots[index - 1]?.loop;
    if (loop === undefined || loop === null) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `there is no loop ${index}: loops=1..${this.#slots.length}`);
    }
    return loop;
  }

  /** Shared loops. */
  get count(): number {
    return this.#options.count;
  }

  /** The shared loops; starts their threads once. */
  shared(): LoopGroup {
    if (this.#shared === null) {
      this.#shared = this.#newGroup();
      for (let index = 1; index <= this.count; index++) this.#add(this.#shared, index);
    }
    return this.#shared;
  }

  /** Loops of an endpoint's own. Throws ERR_RPC_ENDPOINT_START when there are not so many left. */
  open(endpoint: string, count: number): LoopGroup {
    const group = this.#newGroup();
    this.grow(group, endpoint, count);
    return group;
  }

  /** So many more loops for a group. Throws as `open` does; the group is then as it was. Returns their ids. */
  grow(group: LoopGroup, endpoint: string, count: number): number[] {
    const free: number[] = [];
    for (let index = this.count + 1; index < LOOPS_MAX && free.length < count; index++) {
      if ((this.#slots[index - 1]?.group ?? null) === null) free.push(index);
    }
    if (free.length < count) {
      const text =
        `endpoint "${endpoint}" needs loops of its own: needed=${count}, free=${free.length}, ` +
        `loopsMax=${LOOPS_MAX - 1}, sharedLoops=${this.count}; stop other isolated endpoints, or lower numThreads`;
      throw new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint });
    }
    for (const index of free) this.#add(group as Group, index);
    return free;
  }

  /**
   * The incarnation of a loop id that serves its control port: this one, or the next.
   * Rejects with ERR_RPC_ENDPOINT_START when its thread could not be started again and again, or its group is closed.
   */
  whenUp(index: number): Promise<HostedMessageLoop> {
    const slot = this.#slot(index);
    if (slot.loop?.up) return Promise.resolve(slot.loop);
    if (slot.group === null || slot.group.closed !== null) return Promise.reject(closedError(index));
    return new Promise((resolve, reject) => {
      slot.wait((outcome) => (outcome instanceof HostedMessageLoop ? resolve(outcome) : reject(outcome)));
    });
  }

  /** The id of those where an endpoint is served soonest: fewest pinned endpoints, then least busy time so far. */
  leastLoaded(indices: readonly number[]): number {
    const usable = indices.filter((index) => (this.#slot(index).loop?.state ?? LoopState.DEAD) <= LoopState.UP);
    const load = (index: number): [number, number] => {
      const { pinnedCount, loop } = this.#slot(index);
      return [pinnedCount, loop === null ? 0 : this.status(loop).busyMs];
    };
    return (usable.length > 0 ? usable : indices).reduce((least, index) => {
      const [pinned, busyMs] = load(index);
      const [leastPinned, leastBusyMs] = load(least);
      return pinned < leastPinned || (pinned === leastPinned && busyMs < leastBusyMs) ? index : least;
    });
  }

  /**
   * Another loop for what a stuck loop serves alone: the least loaded of its group; for an isolated endpoint, or when
   * there is no other shared loop, one more. Null when no id is left.
   */
  elsewhere(stuck: number, endpoint: string): number | null {
    const { group } = this.#slot(stuck);
    if (group === null || group.closed !== null) return null;
    const others = group.indices.filter((index) => (this.#slot(index).loop?.state ?? LoopState.DEAD) <= LoopState.UP);
    if (others.length > 0) return this.leastLoaded(others);
    try {
      return this.grow(group, endpoint, 1)[0] ?? null;
    } catch {
      return null;
    }
  }

  /** The memory of a loop id. */
  regions(index: number): LoopRegions {
    return this.#slot(index).regions;
  }

  /** An endpoint is served by this loop alone, or no longer. */
  pin(index: number): void {
    this.#slot(index).pinnedCount++;
  }

  unpin(index: number): void {
    this.#slot(index).pinnedCount--;
  }

  status(loop: HostedMessageLoop): { status: number; endpoint: number; loading: number; busyMs: number } {
    const { control } = loop.regions;
    const words = this.#options.memory.words(control);
    return {
      status: loop.alive ? load(words, control.word + LOOP_STATUS) : LoopStatus.STOPPED,
      endpoint: load(words, control.word + LOOP_ENDPOINT),
      loading: load(words, control.word + LOOP_LOADING),
      busyMs: load(words, control.word + LOOP_BUSY_MS),
    };
  }

  /**
   * Ends a loop that loop 0 has found unfit. What it had taken is settled before this returns; its memory, its locks and
   * its id wait for the exit of its thread, which a native call can delay. Then it is started again.
   */
  endLoop(loop: HostedMessageLoop, error: unknown): void {
    if (!loop.alive || loop.told || loop.reason !== null) return;
    loop.reason = { error };
    this.#options.watcher.ending(loop, error);
    this.#terminate(this.#slot(loop.index), loop);
  }

  /** Whether a loop turns: true once it has answered, false if it has not within `timeoutMs` milliseconds. */
  ping(loop: HostedMessageLoop, timeoutMs: number): Promise<boolean> {
    return this.#pings.ping(loop, timeoutMs);
  }

  /** The answer of a ping has come. */
  onPong(ping: number): void {
    this.#pings.onPong(ping);
  }

  /** Ends the loops of an isolated endpoint and frees their ids. Resolves when their threads are gone, or stuck. */
  close(group: LoopGroup): Promise<void> {
    const grace = delay(this.#clock, LOOP_END_GRACE_MS);
    return this.#close(group as Group, grace.promise, LOOP_END_GRACE_MS).finally(grace.cancel);
  }

  /**
   * Ends every loop: by flag and bell, then by force for who has not ended when `timeout` resolves. Who has not exited
   * soon after that is named as stuck.
   */
  async end(timeout: Promise<void>): Promise<void> {
    const groups = new Set(this.#slots.map(({ group }) => group));
    const closed = [...groups].map((group) => {
      // One that is being closed already has less time now.
      if (group?.closed) void timeout.then(() => group.host.destroy());
      return group && this.#close(group, timeout, PING_TIMEOUT_MS);
    });
    await Promise.all(closed);
  }

  // ── The life of a group ────────────────────────────────────────────────────────────────────────────────────────────

  #newGroup(): Group {
    return new Group(this.#options.hostFactory());
  }

  #add(group: Group, index: number): void {
    const { memory, ringBytes, loopZero, settings } = this.#options;
    for (let id = this.#slots.length + 1; id <= index; id++) {
      this.#slots.push(new Slot(id, memory.allocateLoop(ringBytes), settings.crashes));
      loopZero.include(outboundMember(id));
      loopZero.include(mailboxRoomMember(id));
    }
    const slot = this.#slot(index);
    slot.group = group;
    slot.backOff = new BackOff(settings.crashes);
    slot.failedStarts = 0;
    group.slots.push(slot);
    this.#run(slot, group);
  }

  #close(group: Group, timeout: Promise<void>, graceMs: number): Promise<void> {
    group.closed ??= this.#endGroup(group, timeout, graceMs);
    return group.closed;
  }

  async #endGroup(group: Group, timeout: Promise<void>, graceMs: number): Promise<void> {
    const { memory } = this.#options;
    const running: HostedMessageLoop[] = [];
    for (const slot of group.slots) {
      slot.settleWaiters(closedError(slot.index));
      const { loop } = slot;
      if (loop === null || loop.state === LoopState.DEAD) {
        this.#free(slot);
        continue;
      }
      loop.told = true;
      running.push(loop);
      const { control } = loop.regions;
      store(memory.words(control), control.word + LOOP_STOP, 1);
      memory.parking.notifyUnconditionally(loop.index);
    }
    const turning = running.filter(({ state }) => state === LoopState.UP);
    await Promise.race([Promise.all(turning.map(({ hosted }) => hosted.ended)), timeout]);
    for (const loop of running) loop.closeControl();
    void group.host.destroy();
    // Who is stuck already has had its time.
    const ending = running.filter(({ state }) => state !== LoopState.STUCK);
    const { promise: grace, cancel } = delay(this.#clock, graceMs);
    await Promise.race([Promise.all(ending.map(({ hosted }) => hosted.exited)), grace]);
    cancel();
    for (const loop of ending) {
      if ((loop.state as LoopState) === LoopState.DEAD) continue;
      loop.state = LoopState.STUCK;
      const text = `message loop ${loop.index} was told to end and its thread has not exited within ${graceMs} ms`;
      this.#options.watcher.stuck(loop, new RpcError("ERR_RPC_TIMEOUT", text));
    }
  }

  #free(slot: Slot): void {
    this.#clearTimer(slot);
    slot.group = null;
  }

  // ── The life of a loop ─────────────────────────────────────────────────────────────────────────────────────────────

  #run(slot: Slot, group: Group): void {
    const { memory, writer, spillTotal, loopZero, serveEnv } = this.#options;
    const { throughput, originMs, envName, envId, address, settings } = this.#options;
    const { startTimeoutMs } = settings;
    const { index, regions } = slot;
    memory.initialiseLoop(regions);
    slot.epoch++;
    const loop = new HostedMessageLoop({
      host: group.host,
      regions,
      mailbox: memory.mailboxProducer(index, regions, writer, new SpillBudget(MAILBOX_LIMITS, spillTotal)),
      serveEnv,
      start: {
        envName,
        envId,
        address,
        loop: index,
        epoch: slot.epoch,
        originMs,
        throughput,
        settings,
        segments: memory.loopSegments(regions),
        envRegions: memory.regions,
        loopRegions: regions,
      },
    });
    slot.loop = loop;
    loopZero.setReader(index, memory.outboundReader(index, regions));
    slot.timer = this.#clock.setTimeout(() => this.endLoop(loop, silentError(index, startTimeoutMs)), startTimeoutMs);
    slot.timer.unref();
    loop.hosted.ended.then((error) => this.#ended(slot, loop, error));
    loop.hosted.exited.then(() => this.#exited(slot, loop));
    loop.control
      .call((remote) => remote.hello())
      .then(
        () => this.#up(slot, loop),
        () => {},
      );
  }

  #up(slot: Slot, loop: HostedMessageLoop): void {
    if (loop.state !== LoopState.STARTING || loop.told) return;
    loop.state = LoopState.UP;
    this.#clearTimer(slot);
    slot.failedStarts = 0;
    slot.settleWaiters(loop);
    this.#options.watcher.up(loop);
  }

  /** Its task has settled; until its thread has exited, that may still write. */
  #ended(slot: Slot, loop: HostedMessageLoop, error: unknown): void {
    if (loop.told || loop.reason !== null) return;
    loop.reason = { error: error ?? new Error(`message loop ${loop.index} ended by itself`) };
    this.#terminate(slot, loop);
  }

  #terminate(slot: Slot, loop: HostedMessageLoop): void {
    const wasUp = loop.up;
    loop.state = LoopState.ENDING;
    slot.failedStarts = wasUp ? 0 : slot.failedStarts + 1;
    loop.control.close();
    this.#clearTimer(slot);
    slot.timer = this.#clock.setTimeout(() => this.#stuck(loop), LOOP_END_GRACE_MS);
    slot.timer.unref();
    loop.hosted.terminate();
  }

  #stuck(loop: HostedMessageLoop): void {
    if (loop.state !== LoopState.ENDING || loop.told) return;
    loop.state = LoopState.STUCK;
    this.#options.watcher.stuck(loop, loop.reason?.error);
  }

  #exited(slot: Slot, loop: HostedMessageLoop): void {
    this.#clearTimer(slot);
    loop.state = LoopState.DEAD;
    const error = loop.reason?.error;
    if (loop.told) this.#options.watcher.ended(loop);
    else this.#options.watcher.died(loop, error);
    this.#options.loopZero.setReader(slot.index, undefined);
    loop.closePorts();
    const { group } = slot;
    if (group === null || group.closed !== null) {
      this.#free(slot);
      return;
    }
    if (slot.failedStarts >= LOOP_START_ATTEMPTS_MAX) slot.settleWaiters(startError(slot, error), slot.epoch);
    slot.timer = this.#clock.setTimeout(() => this.#run(slot, group), slot.backOff.failed(this.#clock.now()));
    slot.timer.unref();
  }

  #clearTimer(slot: Slot): void {
    if (slot.timer !== null) this.#clock.clearTimeout(slot.timer);
    slot.timer = null;
  }

  #slot(index: number): Slot {
    return this.#slots[index - 1] as Slot;
  }
}
