/**
 * What the Dispatcher wants of the network: to carry handlers' own messages to endpoints on other nodes. Types only; the
 * env implements it, because only there Dispatcher and network meet.
 */
import type { Payload } from "./message-posting.js";
import type { RefTarget } from "./ref-poster.js";

/** A handler on a message loop that waits for an answer from elsewhere. */
export interface LoopAsker {
  readonly loop: number;
  readonly slot: number;
  readonly generation: number;
  /** The answer, written for the network. A failure: as in failure.ts. Nothing keeps `payload` beyond the call. */
  answer(failed: boolean, payload: Payload): void;
  /** The ask has ended here. */
  fail(error: unknown): void;
}

/** A message on its way out, undecoded. */
export interface DepartingMessage {
  readonly kind: number;
  readonly payload: Payload;
  /** Env clock, ms, int32; 0: none. */
  readonly deadline: number;
}

export interface RemoteGateway {
  /** Sends a message that wants an answer. `payload` is captured before this returns. */
  ask(target: RefTarget, message: DepartingMessage, asker: LoopAsker): void;
  /** Sends a one-way message, which its sender was told is accepted: what becomes of it else is a dead letter. */
  send(target: RefTarget, message: DepartingMessage): void;
  /** Answers when a `send` would find room. */
  ready(target: RefTarget, asker: LoopAsker): void;
  /** A handler has given an ask up. False: it is none that went to another node. */
  giveUp(loop: number, slot: number, generation: number, timedOut: boolean): boolean;
  /** Nobody waits for the answers to what handlers on this loop had asked. */
  onLoopDied(loop: number): void;
}
