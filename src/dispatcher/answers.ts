/** Where the outcome of a message goes: from a message loop to loop 0 by ring (outbound.ts), on loop 0 to itself. */
import type { Failure } from "./failure.js";
import type { BodyOnPort } from "./loop-protocol.js";

export interface Answers {
  /**
   * Throws an RpcError when `value` cannot be encoded; nothing was sent then.
   * @param remote The asker is on another node.
   */
  reply(askSlot: number, askGeneration: number, value: unknown, remote: boolean): void;
  /** The ask has failed. */
  fail(askSlot: number, askGeneration: number, failure: Failure, remote: boolean): void;
  /** A message that nobody waits for has failed; `entry` and `position` name it. */
  sendFailed(endpoint: number, position: number, failure: Failure, entry: number): void;
  /** A record without payload. */
  report(kind: number, subject: number, generation?: number, entry?: number): void;
  /** Gives an in-flight entry back, once the answer that was given before cannot be lost any more. */
  release(entry: number): void;
}

/** Where the large bodies of taken messages come from: the body that was sent for `ticket`. */
export type TakeBody = (ticket: number) => BodyOnPort | undefined;
