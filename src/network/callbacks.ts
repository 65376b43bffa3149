/**
 * What callers of the transport are told. Callbacks, not promises: a promise for each of 200,000 small requests a second
 * would cost as much as the request.
 */
import type { ManagedBuffer } from "./managed-buffer.js";

/** The end of an RPC. Exactly one of the methods is called, once. */
export interface RpcResponseCallback {
  /** @param response a view that is valid during the call only: copy what is to stay. */
  onSuccess(response: Uint8Array): void;
  onFailure(error: Error): void;
  /**
   * Called instead of `onSuccess` where it is defined, with the same bytes: it saves the view, which costs more than the
   * rest of a small reply.
   */
  onSuccessBytes?(bytes: Uint8Array, start: number, end: number): void;
}

/**
 * The end of a chunk's fetch. The buffer is valid during the call, and afterwards if it was retained in it; released, its methods
 * throw ERR_RPC_INVALID_ARGUMENT. What it gave before stays as it is.
 */
export interface ChunkReceivedCallback {
  onSuccess(chunkIndex: number, buffer: ManagedBuffer): void;
  onFailure(chunkIndex: number, error: Error): void;
}

/**
 * A stream's bytes in order, then its end: `onData` as often as it takes, then either `onComplete` or `onFailure`, once.
 *
 * Whoever cannot keep up says so with a promise: as long as one of `onData` is pending nothing more is given and nothing
 * more is read from the connection, so that the peer is held up, too. What else comes by that connection waits behind it.
 * A promise that waits for something of the same connection waits for ever.
 */
export interface StreamCallback {
  /** The stream begins: `byteCount` bytes will come. Not called for a stream without bytes. What it throws is logged. */
  onStart?(streamId: string, byteCount: number): void;
  /**
   * Throwing, or rejecting, ends the connection: the rest of the bytes has no reader.
   *
   * @param bytes a view that is valid during the call, and until the promise that it returned is settled.
   */
  onData(streamId: string, bytes: Uint8Array): void | Promise<void>;
  /**
   * All bytes were given. The connection does not wait for a promise of it: the next stream may begin before it is settled.
   * What it throws or rejects with is logged; an upload is answered with it.
   */
  onComplete(streamId: string): void | Promise<void>;
  /** Not all bytes came, or `onData` failed. It comes after a pending promise of `onData` is settled. */
  onFailure(streamId: string, error: Error): void;
}

/** Where an uploaded stream goes. */
export interface StreamCallbackWithID extends StreamCallback {
  getID(): string;
  /** What is answered after `onComplete`, when its promise has resolved if it gave one; nothing: an empty answer. */
  getCompletionResponse?(): Uint8Array;
}

export interface MergedBlockMetaResponseCallback {
  /** @param bitmaps the chunks' bitmaps as they came; valid during the call, and afterwards if it was retained. */
  onSuccess(numChunks: number, bitmaps: ManagedBuffer): void;
  onFailure(error: Error): void;
}
