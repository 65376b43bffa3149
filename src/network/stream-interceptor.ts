/**
 * Reads the raw bytes behind a StreamResponse or UploadStream frame: while it does, its connection does no framing.
 *
 * State   | means                                             | a failure of the connection is told
 * --------|---------------------------------------------------|----------------------------------------------
 * FREE    | the callback has taken what it was given          | at once
 * BUSY    | its promise for the last bytes is pending         | when that promise is settled, however it was
 * ENDED   | onComplete or onFailure was called, or will be    | not any more
 */
import { assert } from "../common/assert.js";
import type { StreamCallback } from "./callbacks.js";
import { isPromise } from "./guarded.js";

/** What else hangs on a stream's end: a response handler counts it, a request handler answers it. */
export interface StreamEnd {
  /** All bytes came. Called before the callback's onComplete, so that it may start the next stream. */
  completed?(): void;
  /** They did not, or the callback threw. Called at once, and before the callback's onFailure. */
  failed?(error: Error): void;
}

export class StreamInterceptor {
  readonly #streamId: string;
  readonly #byteCount: number;
  readonly #callback: StreamCallback;
  readonly #end: StreamEnd;
  #received = 0;
  #busy: Promise<void> | null = null;
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

  /** Before the first byte. Throws what the callback throws. */
  onStart(): unknown {
    return this.#callback.onStart?.(this.#streamId, this.#byteCount);
  }

  /**
   * Throws what the callback throws: the connection cannot go on then, because the rest of the bytes has no reader.
   *
   * @returns The callback's promise, if it gave one: until it resolves nothing more may be given, and its rejection is to be
   * taken like something thrown. The bytes must stay as they are as long.
   */
  onBytes(bytes: Uint8Array, start: number, end: number): Promise<void> | null {
    assert(this.#busy === null, "a callback that is busy gets nothing");
    this.#received += end - start;
    assert(this.#received <= this.#byteCount, "the decoder delivers as many bytes as it was told");
    const result: unknown = this.#callback.onData(this.#streamId, bytes.subarray(start, end));
    if (!isPromise(result)) return null;
    const free = (): void => {
      this.#busy = null;
    };
    const busy = Promise.resolve(result as PromiseLike<void>);
    // The first to hear of it: who is told after this finds the callback free.
    busy.then(free, free);
    this.#busy = busy;
    return busy;
  }

  /** @returns What the callback returns; throws what it throws. */
  onEnd(): void | Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#end.completed?.();
    return this.#callback.onComplete(this.#streamId);
  }

  /**
   * The connection ended, or the callback failed, before all bytes had been taken.
   *
   * @param tell runs the callback's onFailure, now or when the callback is free: it guards against what that throws.
   */
  onFailure(error: Error, tell: (call: () => unknown) => void): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#end.failed?.(error);
    const told = (): void => tell(() => this.#callback.onFailure(this.#streamId, error));
    if (this.#busy === null) told();
    else this.#busy.then(told, told);
  }
}
