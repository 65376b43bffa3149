/**
 * One incarnation of a message loop as loop 0 knows it: its thread, its ports, its memory. Main thread only.
 *
 * STARTING ──first answer──▶ UP ──task ends, or loop 0 ends it──▶ ENDING ──thread exits──▶ DEAD
 *     └──────────────────────────────────────────────────────────▲   └──5 s──▶ STUCK ──thread exits──▶ DEAD
 *
 * A loop id has one incarnation at a time, told apart by its epoch: the memory of the id is used again only when the
 * thread of the one before has exited.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { InboxProducer } from "../inbox/inbox.js";
import { LoopControlClient } from "./control-plane.js";
import type { HostedLoop, LoopHost } from "./loop-host.js";
import type { LoopRegions, LoopStart } from "./loop-protocol.js";

export const LoopState = { STARTING: 0, UP: 1, ENDING: 2, STUCK: 3, DEAD: 4 } as const;
export type LoopState = (typeof LoopState)[keyof typeof LoopState];

export interface HostedMessageLoopOptions {
  readonly host: LoopHost;
  readonly regions: LoopRegions;
  readonly mailbox: InboxProducer;
  /** The start message, but for the ports. */
  readonly start: Omit<LoopStart, "controlPort" | "envPort" | "bodyPort">;
  /** Serves what the handlers of a loop want of the env on this end of its port. */
  readonly serveEnv: (port: MessagePort) => void;
}

export class HostedMessageLoop {
  readonly index: number;
  readonly epoch: number;
  readonly regions: LoopRegions;
  readonly control: LoopControlClient;
  readonly bodyPort: MessagePort;
  readonly mailbox: InboxProducer;
  readonly hosted: HostedLoop;
  readonly #envPort: MessagePort;
  state: LoopState = LoopState.STARTING;
  /** Why it ends; null while nobody has ended it. Boxed: a thread may have died of `throw undefined`. */
  reason: { readonly error: unknown } | null = null;
  /** Loop 0 has told it to stop: that it ends is no crash. */
  told = false;
  /** What it had taken was settled before its thread exited, because loop 0 decided to end it. */
  takenSettled = false;

  constructor(options: HostedMessageLoopOptions) {
    const { host, regions, mailbox, start, serveEnv } = options;
    const control = new MessageChannel();
    const env = new MessageChannel();
    const body = new MessageChannel();
    this.index = start.loop;
    this.epoch = start.epoch;
    this.regions = regions;
    this.mailbox = mailbox;
    this.control = new LoopControlClient(start.loop, control.port1);
    this.bodyPort = body.port1;
    // The port is read when a record says so. It must neither be drained by the event loop nor keep it alive.
    body.port1.unref();
    this.#envPort = env.port1;
    serveEnv(env.port1);
    this.hosted = host.start({ ...start, controlPort: control.port2, envPort: env.port2, bodyPort: body.port2 });
  }

  /** Its thread may still take what is posted for it. */
  get alive(): boolean {
    return this.state <= LoopState.ENDING;
  }

  get up(): boolean {
    return this.state === LoopState.UP;
  }

  closeControl(): void {
    this.control.close();
    this.#envPort.close();
  }

  /** Only when its thread has exited: until then it may post bodies, and publish the records that need them. */
  closePorts(): void {
    this.closeControl();
    this.bodyPort.close();
  }
}
