/**
 * Reads the raw bytes behind a StreamResponse or UploadStream frame: while it does, its connection does no framing.
 */
import { assert } from "../common/assert.js";
import type { StreamCallback } from "./callbacks.js";

/** What else hangs on a stream's end: a response handler counts it, a request handler answers it. */
export interface StreamEnd {
  /** All bytes came. Called before the callback's onComplete, so that it may start the next stream. */
  completed?(): void;
  /** They did not, or the callback threw. Called before the callback's onFailure. */
  failed?(error: Error): void;
}

export class StreamInterceptor {
  readonly #streamId: string;
  readonly #byteCount: number;
  readonly #callback: StreamCallback;
  readonly #end: StreamEnd;
  #received = 0;
  #ended = false;

  /** @param byteCount more than 0: an empty stream has no raw bytes and needs no interceptor. */
  constructor(streamId: string, byteCount: number, callback: StreamCallback, end: StreamEnd = {}) {
    assert(byteCount > 0, "a stream without bytes is not intercepted");
    this.#streamId = streamId;
    this.#byteCount = byteCount;
    this.#callback = callback;
    this.#end = end;
  }

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Throws what the callback throws: the connection cannot go on then, because the rest of the bytes has no reader. */
  onBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#received += end - start;
    assert(this.#received <= this.#byteCount, "the decoder delivers as many bytes as it was told");
    this.#callback.onData(this.#streamId, bytes.subarray(start, end));
  }

  onEnd(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#end.completed?.();
    this.#callback.onComplete(this.#streamId);
  }

  /** The connection ended, or a callback threw, before all bytes had come. */
  onFailure(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#end.failed?.(error);
    this.#callback.onFailure(this.#streamId, error);
  }
}
