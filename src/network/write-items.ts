/** What stands in a connection's write queue. */
import type { MessageWithHeader } from "./message-with-header.js";
import type { Message } from "./messages.js";
import type { Written } from "./written-listeners.js";

/** Bytes in memory: a batch, or one long frame. */
export interface BytesItem {
  readonly bytes: Uint8Array;
  /** Of them handed to the socket. */
  handed: number;
  readonly length: number;
  /** How much of it answers requests. */
  readonly replyBytes: number;
  /** The memory goes back to the kept batches. */
  readonly isBatch: boolean;
}

/** A message whose body is read when its turn has come. */
export interface MessageItem {
  readonly bytes: null;
  readonly message: Message;
  readonly done: Written;
  /** The positions behind its header, and behind all of it. */
  readonly bodyAt: number;
  readonly endsAt: number;
  /** What it counts for until its turn has come: a little, and the bytes of an answer that stand in memory meanwhile. */
  readonly waitingBytes: number;
  readonly isReply: boolean;
}

export type Item = BytesItem | MessageItem;

/** A message all of whose bytes are in the hands of the socket; or, without `encoded`, one that was left out. */
export interface Ending {
  readonly handedBytes: number;
  readonly endsAt: number;
  readonly encoded: MessageWithHeader | null;
  readonly done: Written;
}
