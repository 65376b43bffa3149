/**
 * The message loops of an env: starts them with the first endpoint that needs them, tells them apart from the dead,
 * and ends them. Main thread only.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { RpcError } from "../common/errors.js";
import { MAILBOX_SPILL_BYTES_MAX, MAILBOX_SPILL_MESSAGES_MAX } from "../common/limits.js";
import { load, store } from "../inbox/atomics.js";
import type { InboxProducer } from "../inbox/inbox.js";
import { LOOP_BUSY_MS, LOOP_ENDPOINT, LOOP_STATUS, LOOP_STOP, LoopStatus } from "../inbox/layout.js";
import type { PayloadWriter } from "../inbox/record.js";
import { SpillBudget, type SpillTotal } from "../inbox/spill-queue.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import { LoopControlClient } from "./control-plane.js";
import type { EngineSettings } from "./engine-settings.js";
import { describeThrown } from "./failure.js";
import type { LoopHost, LoopHostFactory } from "./loop-host.js";
import { mailboxRoomMember, outboundMember } from "./loop-members.js";
import type { LoopRegions } from "./loop-protocol.js";
import type { LoopZero } from "./loop-zero.js";
import type { MainLoopMemory } from "./main-loop-memory.js";

/** A message loop as loop 0 knows it. */
export interface HostedMessageLoop {
  readonly index: number;
  readonly epoch: number;
  readonly regions: LoopRegions;
  readonly control: LoopControlClient;
  readonly bodyPort: MessagePort;
  readonly mailbox: InboxProducer;
  /** Endpoints that only this loop serves. */
  pinnedCount: number;
  alive: boolean;
  ended: Promise<unknown>;
}

export interface MessageLoopsOptions {
  readonly envName: string;
  readonly envId: string;
  readonly address: RpcAddress | null;
  /** Serves what the handlers of a loop want of the env on this end of its port. */
  readonly serveEnv: (port: MessagePort) => void;
  readonly count: number;
  readonly throughput: number;
  readonly ringBytes: number;
  readonly settings: EngineSettings;
  readonly originMs: number;
  readonly memory: MainLoopMemory;
  readonly writer: PayloadWriter;
  readonly spillTotal: SpillTotal;
  readonly loopZero: LoopZero;
  readonly hostFactory: LoopHostFactory;
  /** A loop ended that nobody had told to; its thread has exited. */
  readonly onDeath: (loop: HostedMessageLoop, error: unknown) => void;
}

/** Control records always find room, for their number is bounded by what they control; answers find what is left. */
const MAILBOX_LIMITS = { messagesMax: MAILBOX_SPILL_MESSAGES_MAX, bytesMax: MAILBOX_SPILL_BYTES_MAX };

export class MessageLoops {
  readonly #options: MessageLoopsOptions;
  readonly #loops: HostedMessageLoop[] = [];
  #host: LoopHost | null = null;
  #started: Promise<void> | null = null;
  #ending = false;

  constructor(options: MessageLoopsOptions) {
    this.#options = options;
  }

  /** All loops that were started, by index - 1. */
  get all(): readonly HostedMessageLoop[] {
    return this.#loops;
  }

  get alive(): HostedMessageLoop[] {
    return this.#loops.filter((loop) => loop.alive);
  }

  get(index: number): HostedMessageLoop {
    const loop = this.#loops[index - 1];
    if (loop === undefined) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `there is no loop ${index}: loops=1..${this.#loops.length}`);
    }
    return loop;
  }

  /** Starts the threads once; resolves when every loop answers. */
  start(): Promise<void> {
    this.#started ??= this.#startAll();
    return this.#started;
  }

  /** Loops that `start` starts. */
  get count(): number {
    return this.#options.count;
  }

  /** Ends every loop: by flag and bell, then by force for who has not ended when `timeout` resolves. */
  async end(timeout: Promise<void>): Promise<void> {
    this.#ending = true;
    const host = this.#host;
    if (host === null) return;
    const { memory } = this.#options;
    for (const loop of this.#loops) {
      const { control } = loop.regions;
      store(memory.words(control), control.word + LOOP_STOP, 1);
      memory.parking.notifyUnconditionally(loop.index);
    }
    await Promise.race([Promise.allSettled(this.#loops.map((loop) => loop.ended)), timeout]);
    for (const loop of this.#loops) {
      loop.control.close();
      loop.bodyPort.close();
    }
    await host.destroy();
  }

  status(loop: HostedMessageLoop): { status: number; endpoint: number; busyMs: number } {
    const { control } = loop.regions;
    const words = this.#options.memory.words(control);
    return {
      status: loop.alive ? load(words, control.word + LOOP_STATUS) : LoopStatus.STOPPED,
      endpoint: load(words, control.word + LOOP_ENDPOINT),
      busyMs: load(words, control.word + LOOP_BUSY_MS),
    };
  }

  async #startAll(): Promise<void> {
    const { count, loopZero, memory } = this.#options;
    this.#host = this.#options.hostFactory(count);
    for (let index = 1; index <= count; index++) {
      loopZero.include(outboundMember(index));
      loopZero.include(mailboxRoomMember(index));
      this.#loops.push(this.#startOne(this.#host, index));
    }
    loopZero.start(memory.parker(() => loopZero.wake()));
    const threadIds = await Promise.all(this.#loops.map((loop) => this.#threadId(loop)));
    const host = this.#host;
    this.#loops.forEach((loop, i) => {
      this.#watch(host, loop, threadIds[i] as number);
    });
  }

  /** A task can end before it serves its control port: then nobody would ever answer, or close it. */
  #threadId(loop: HostedMessageLoop): Promise<number> {
    const failed = (cause: unknown): never => {
      const text = `message loop ${loop.index} did not start: ${describeThrown(cause)}`;
      throw new RpcError("ERR_RPC_ENDPOINT_START", text, { cause });
    };
    const endedEarly = loop.ended.then(() => failed(new Error("its task ended by itself")), failed);
    return Promise.race([loop.control.call((remote) => remote.threadId()), endedEarly]);
  }

  #startOne(host: LoopHost, index: number): HostedMessageLoop {
    const { memory, writer, spillTotal, loopZero, throughput, originMs, envName, ringBytes, settings } = this.#options;
    const { envId, address } = this.#options;
    const epoch = 1;
    const regions = memory.allocateLoop(ringBytes);
    const control = new MessageChannel();
    const body = new MessageChannel();
    const env = new MessageChannel();
    this.#options.serveEnv(env.port1);
    const mailbox = memory.mailboxProducer(index, regions, writer, new SpillBudget(MAILBOX_LIMITS, spillTotal));
    loopZero.setReader(index, memory.outboundReader(index, regions));
    const { ended } = host.start({
      envName,
      envId,
      address,
      loop: index,
      epoch,
      originMs,
      throughput,
      settings,
      segments: memory.loopSegments(regions),
      envRegions: memory.regions,
      loopRegions: regions,
      controlPort: control.port2,
      envPort: env.port2,
      bodyPort: body.port2,
    });
    // Whoever awaits it sees the rejection; until somebody does, it must not count as unhandled.
    ended.catch(() => {});
    // The port is read when a record says so. It must neither be drained by the event loop nor keep it alive.
    body.port1.unref();
    return {
      index,
      epoch,
      regions,
      control: new LoopControlClient(index, control.port1),
      bodyPort: body.port1,
      mailbox,
      pinnedCount: 0,
      alive: true,
      ended,
    };
  }

  #watch(host: LoopHost, loop: HostedMessageLoop, threadId: number): void {
    const died = async (error: unknown): Promise<void> => {
      if (this.#ending) return;
      // The task ends before its thread does; until then the thread may still write.
      await host.exited(threadId);
      loop.alive = false;
      this.#options.onDeath(loop, error);
    };
    loop.ended = loop.ended.then(
      () => died(new Error(`message loop ${loop.index} ended by itself`)),
      (error) => died(error),
    );
  }
}
