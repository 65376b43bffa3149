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

/** The end of a chunk's fetch. The buffer is valid during the call, and afterwards if it was retained. */
export interface ChunkReceivedCallback {
  onSuccess(chunkIndex: number, buffer: ManagedBuffer): void;
  onFailure(chunkIndex: number, error: Error): void;
}

/** A stream's bytes in order, then its end. `bytes` is a view that is valid during the call only. */
export interface StreamCallback {
  onData(streamId: string, bytes: Uint8Array): void;
  onComplete(streamId: string): void;
  /** Nothing more will be called. */
  onFailure(streamId: string, error: Error): void;
}

/** Where an uploaded stream goes. */
export interface StreamCallbackWithID extends StreamCallback {
  getID(): string;
  /** What is answered after `onComplete`; nothing: an empty answer. */
  getCompletionResponse?(): Uint8Array;
}

export interface MergedBlockMetaResponseCallback {
  /** @param bitmaps the chunks' bitmaps as they came; valid during the call, and afterwards if it was retained. */
  onSuccess(numChunks: number, bitmaps: ManagedBuffer): void;
  onFailure(error: Error): void;
}
