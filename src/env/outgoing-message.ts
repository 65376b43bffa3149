/** OutgoingMessage: what a poster hands to an Outbox, be it a loop's or the program's. */
import type { RpcError } from "../common/errors.js";
import type { OutgoingAsk } from "./outgoing-ask.js";

/** A message to be sent: its bytes are valid during the call. */
export interface OutgoingMessage {
  readonly kind: number;
  readonly payloadCodec: number;
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Env clock, ms, int32; 0: none. */
  readonly deadline: number;
  /** Milliseconds left of it when the message is handed over, so that the clock is read once for both; Infinity: none. */
  readonly remainingMs: number;
  /** null: one-way. */
  readonly ask: OutgoingAsk | null;
  /** A one-way message was accepted and is lost; `bytes` are its own, as they are in this message by then. */
  readonly lost: (error: RpcError, bytes: Uint8Array) => void;
}
