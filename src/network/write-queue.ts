/**
 * What a connection still has to write, in order. A frame is contiguous: no other frame's bytes come between its header
 * and its body.
 *
 *     reserve ──► batch ──seal──┐
 *     reserve (long) ───────────┤► items, first in first out ──window──► socket ──written──► listeners
 *     enqueueBody ──────────────┘
 *
 * A small frame is written by its sender right into the batch, memory that all of a tick's small frames share; that is
 * handed to the socket once a tick, by a microtask, and whenever it is full. A long frame has memory of its own, a body
 * that is a ManagedBuffer is read when its turn has come. At most a window's worth is in the hands of the socket.
 *
 * Positions count the bytes of the stream since the connection began: what was queued ends at `queuedTo`, what the
 * operating system has taken ends at `writtenTo`. Who wants to know whether his frame got out compares.
 */
import type { Socket } from "node:net";
import { assert } from "../common/assert.js";
import {
  WRITE_BATCH_BYTES,
  WRITE_BATCHED_FRAME_BYTES_MAX,
  WRITE_BATCHES_KEPT,
  WRITE_PIECE_BYTES,
  WRITE_QUEUE_PAUSE_BYTES,
  WRITE_WINDOW_BYTES,
} from "../common/limits.js";
import type { BodyReader, ManagedBuffer, MessageBody } from "./managed-buffer.js";

/** What the connection does about its queue. */
export interface WriteQueueOwner {
  /** Answers that the peer does not take have passed the limit, or are below half of it again. */
  repliesOverflow(overflowing: boolean): void;
  /** A body ended early after its header was out, or cannot be read at all: the stream cannot go on. */
  writeFailed(error: Error): void;
}

/** A frame whose body is read when its turn has come. */
export interface BodyFrame {
  /** The frame up to its body. */
  readonly header: Uint8Array;
  readonly body: ManagedBuffer;
  /** What is sent instead when the body cannot be had; null: the connection ends. */
  failureFrame(error: Error): Uint8Array | null;
  /** The frame was written, or will not be. Called once. */
  done(error: Error | null): void;
}

interface Item {
  /** Null: a body that is read when its turn has come. */
  bytes: Uint8Array | null;
  /** Bytes of it handed to the socket. */
  sent: number;
  readonly length: number;
  /** The position behind it. */
  readonly endsAt: number;
  /** How much of it answers requests. */
  readonly replyBytes: number;
  /** The memory goes back to the kept batches. */
  readonly isBatch: boolean;
  readonly frame: BodyFrame | null;
}

interface Listener {
  readonly position: number;
  readonly call: (error: Error | null) => void;
}

const NO_ROOM = Buffer.alloc(0);
/** Of the whole process: connections that are busy in turn share them. */
const keptBatches: Buffer[] = [];

export class WriteQueue {
  /**
   * Where the frame belongs that room was reserved for last: from the offset that `reserve` returned. Valid until the
   * next call of anything here, and not after the current synchronous run.
   */
  room: Buffer = NO_ROOM;
  readonly #socket: Socket;
  readonly #owner: WriteQueueOwner;
  #batch: Buffer = NO_ROOM;
  #batchLength = 0;
  #batchReplyBytes = 0;
  #flushScheduled = false;
  #items: Item[] = [];
  #listeners: Listener[] = [];
  /** A body is being read: what is behind it waits. */
  #reading = false;
  #roomAwaited: (() => void) | null = null;
  #inFlightBytes = 0;
  #queuedTo = 0;
  #writtenTo = 0;
  /** Of `queuedTo - writtenTo`, what stands in memory here: bodies that are not read yet do not. */
  #memoryBytes = 0;
  #replyBytes = 0;
  #overflowing = false;
  #ended: Error | null = null;
  #onEmpty: (() => void) | null = null;
  readonly #flushLater = (): void => {
    this.#flushScheduled = false;
    this.flush();
  };

  constructor(socket: Socket, owner: WriteQueueOwner) {
    this.#socket = socket;
    this.#owner = owner;
  }

  /** Where the stream will end when all that is queued has been written. */
  get queuedTo(): number {
    return this.#queuedTo;
  }

  /** Where what the operating system has taken ends. */
  get writtenTo(): number {
    return this.#writtenTo;
  }

  /** Bytes in memory that wait to be written. */
  get queuedBytes(): number {
    return this.#memoryBytes;
  }

  /** Of them, those that answer requests. */
  get queuedReplyBytes(): number {
    return this.#replyBytes;
  }

  get isEmpty(): boolean {
    return this.#queuedTo === this.#writtenTo;
  }

  /**
   * Makes room for a frame, which its sender writes into `room` before he returns to the loop.
   *
   * @param isReply it answers a request.
   * @returns The offset in `room` where the frame begins.
   */
  reserve(frameBytes: number, isReply: boolean): number {
    if (!this.#flushScheduled) this.#scheduleFlush();
    if (frameBytes > this.#batch.length - this.#batchLength && !this.#makeRoom(frameBytes, isReply)) return 0;
    const at = this.#batchLength;
    this.#batchLength = at + frameBytes;
    this.#queuedTo += frameBytes;
    this.#memoryBytes += frameBytes;
    if (isReply) {
      this.#batchReplyBytes += frameBytes;
      this.#replyBytes += frameBytes;
    }
    this.room = this.#batch;
    return at;
  }

  /** Queues bytes that are a whole frame already. They are captured before it returns. */
  enqueue(bytes: Uint8Array, isReply: boolean): void {
    const at = this.reserve(bytes.length, isReply);
    this.room.set(bytes, at);
  }

  /** Queues a frame with a body that is read when its turn has come. */
  enqueueBody(frame: BodyFrame, isReply: boolean): void {
    if (this.#ended !== null) {
      frame.done(this.#ended);
      return;
    }
    if (!this.#flushScheduled) this.#scheduleFlush();
    this.#seal();
    const length = frame.header.length + frame.body.size;
    const replyBytes = isReply ? frame.header.length : 0;
    this.#queuedTo += length;
    this.#items.push({ bytes: null, sent: 0, length, endsAt: this.#queuedTo, replyBytes, isBatch: false, frame });
    this.#memoryBytes += frame.header.length;
    this.#replyBytes += replyBytes;
  }

  /** Calls back when all that is queued now has been written, with null, or will not be, with the reason. */
  whenWritten(call: (error: Error | null) => void): void {
    if (this.#ended !== null) call(this.#ended);
    else this.#listen(this.#queuedTo, call);
  }

  /** Hands to the socket what is queued, as far as the window lets it. */
  flush(): void {
    this.#seal();
    this.#pump();
    if (!this.#overflowing && this.#replyBytes > WRITE_QUEUE_PAUSE_BYTES) this.#setOverflowing(true);
  }

  /** Calls back once nothing is queued any more; at once where nothing is. Not after `abandon`. */
  whenEmpty(call: () => void): void {
    this.flush();
    if (this.isEmpty) call();
    else this.#onEmpty = call;
  }

  /** The connection has ended: nothing more is written, everybody who waits is told why. */
  abandon(error: Error): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#onEmpty = null;
    const items = this.#items;
    const listeners = this.#listeners;
    this.#items = [];
    this.#listeners = [];
    this.#batch = NO_ROOM;
    this.#batchLength = 0;
    this.#memoryBytes = 0;
    this.#replyBytes = 0;
    this.#roomAwaited?.();
    for (const { frame } of items) frame?.done(error);
    for (const { call } of listeners) call(error);
  }

  #scheduleFlush(): void {
    this.#flushScheduled = true;
    queueMicrotask(this.#flushLater);
  }

  /** False: the frame has memory of its own, from offset 0 of `room`. */
  #makeRoom(frameBytes: number, isReply: boolean): boolean {
    if (this.#ended !== null) {
      this.room = Buffer.allocUnsafe(frameBytes);
      return false;
    }
    this.#seal();
    if (frameBytes <= WRITE_BATCHED_FRAME_BYTES_MAX) {
      this.#pump();
      this.#batch = keptBatches.pop() ?? Buffer.allocUnsafeSlow(WRITE_BATCH_BYTES);
      return true;
    }
    const bytes = Buffer.allocUnsafeSlow(frameBytes);
    const replyBytes = isReply ? frameBytes : 0;
    this.#queuedTo += frameBytes;
    const endsAt = this.#queuedTo;
    this.#items.push({ bytes, sent: 0, length: frameBytes, endsAt, replyBytes, isBatch: false, frame: null });
    this.#memoryBytes += frameBytes;
    this.#replyBytes += replyBytes;
    this.room = bytes;
    return false;
  }

  /** Nothing is added to the batch any more. */
  #seal(): void {
    const length = this.#batchLength;
    if (length === 0) return;
    const replyBytes = this.#batchReplyBytes;
    const endsAt = this.#queuedTo;
    this.#items.push({ bytes: this.#batch, sent: 0, length, endsAt, replyBytes, isBatch: true, frame: null });
    this.#batch = NO_ROOM;
    this.#batchLength = 0;
    this.#batchReplyBytes = 0;
  }

  #pump(): void {
    if (this.#items.length === 0 || this.#reading || this.#inFlightBytes >= WRITE_WINDOW_BYTES) return;
    const isSeveral = this.#items.length > 1;
    if (isSeveral) this.#socket.cork();
    while (!this.#reading && this.#inFlightBytes < WRITE_WINDOW_BYTES) {
      const item = this.#items[0];
      if (item === undefined) break;
      // First taken, then begun: the end of a short body comes back here.
      if (item.bytes === null) this.#startBody(this.#items.shift() as Item);
      else if (this.#writePiece(item)) this.#items.shift();
    }
    if (isSeveral) this.#socket.uncork();
  }

  /** True when the item is in the hands of the socket altogether. */
  #writePiece(item: Item): boolean {
    const bytes = item.bytes as Uint8Array;
    const start = item.sent;
    const end = Math.min(item.length, start + WRITE_PIECE_BYTES);
    item.sent = end;
    const isLast = end === item.length;
    this.#write(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), end - start, () => {
      this.#memoryBytes -= end - start;
      if (!isLast) return;
      this.#replyBytes -= item.replyBytes;
      if (item.isBatch && keptBatches.length < WRITE_BATCHES_KEPT) keptBatches.push(bytes as Buffer);
    });
    return isLast;
  }

  #write(bytes: Uint8Array, length: number, written: () => void): void {
    this.#inFlightBytes += length;
    this.#socket.write(bytes, (error) => {
      // The connection hears of the error from the socket, and abandons the queue.
      if (error != null || this.#ended !== null) return;
      this.#inFlightBytes -= length;
      this.#writtenTo += length;
      written();
      this.#advance();
    });
  }

  #advance(): void {
    while (this.#listeners.length > 0 && (this.#listeners[0] as Listener).position <= this.#writtenTo) {
      this.#listeners.shift()?.call(null);
    }
    this.#roomAwaited?.();
    this.#pump();
    if (this.#overflowing && this.#replyBytes < WRITE_QUEUE_PAUSE_BYTES / 2) this.#setOverflowing(false);
    if (this.#onEmpty !== null && this.isEmpty) {
      const call = this.#onEmpty;
      this.#onEmpty = null;
      call();
    }
  }

  /** Listeners stand in the order of their positions. */
  #listen(position: number, call: (error: Error | null) => void): void {
    if (position <= this.#writtenTo) {
      call(null);
      return;
    }
    let at = this.#listeners.length;
    while (at > 0 && (this.#listeners[at - 1] as Listener).position > position) at--;
    this.#listeners.splice(at, 0, { position, call });
  }

  #setOverflowing(overflowing: boolean): void {
    this.#overflowing = overflowing;
    this.#owner.repliesOverflow(overflowing);
  }

  #startBody(item: Item): void {
    const frame = item.frame as BodyFrame;
    let body: MessageBody | Promise<MessageBody>;
    try {
      body = frame.body.toBody();
    } catch (error) {
      this.#bodyRefused(item, asError(error));
      return;
    }
    if (!(body instanceof Promise)) {
      this.#sendBody(item, body);
      return;
    }
    this.#reading = true;
    body.then(
      (opened) => {
        this.#reading = false;
        if (this.#ended === null) this.#sendBody(item, opened);
        else {
          if (isReader(opened)) opened.close();
          frame.done(this.#ended);
        }
        this.#pump();
      },
      (error: unknown) => {
        this.#reading = false;
        if (this.#ended === null) this.#bodyRefused(item, asError(error));
        else frame.done(this.#ended);
        this.#pump();
      },
    );
  }

  /** Nothing of the frame is out yet: another one may take its place. */
  #bodyRefused(item: Item, error: Error): void {
    const frame = item.frame as BodyFrame;
    const instead = frame.failureFrame(error);
    frame.done(error);
    if (instead === null) {
      this.#owner.writeFailed(error);
      return;
    }
    this.#write(instead, instead.length, () => {
      // Positions stay as they were counted: what was not sent counts as written.
      this.#writtenTo = item.endsAt;
      this.#memoryBytes -= (item.frame as BodyFrame).header.length;
      this.#replyBytes -= item.replyBytes;
    });
  }

  #sendBody(item: Item, body: MessageBody): void {
    const { header } = item.frame as BodyFrame;
    this.#write(header, header.length, () => {
      this.#memoryBytes -= header.length;
      this.#replyBytes -= item.replyBytes;
    });
    if (isReader(body)) void this.#sendFrom(item, body);
    else void this.#sendPieces(item, body instanceof Uint8Array ? [body] : body);
  }

  async #sendFrom(item: Item, reader: BodyReader): Promise<void> {
    try {
      await this.#sendAll(item, () => reader.read(WRITE_PIECE_BYTES));
    } finally {
      reader.close();
    }
  }

  async #sendPieces(item: Item, pieces: readonly Uint8Array[]): Promise<void> {
    let index = 0;
    let offset = 0;
    await this.#sendAll(item, () => {
      for (; index < pieces.length; index++, offset = 0) {
        const piece = pieces[index] as Uint8Array;
        if (offset === piece.length) continue;
        const start = offset;
        offset = Math.min(piece.length, start + WRITE_PIECE_BYTES);
        return piece.subarray(start, offset);
      }
      return null;
    });
  }

  /** Writes a body piece by piece, never more than the window ahead. Everything behind it waits. */
  async #sendAll(item: Item, next: () => Uint8Array | null | Promise<Uint8Array | null>): Promise<void> {
    const { body, done } = item.frame as BodyFrame;
    assert(!this.#reading, "one body at a time");
    this.#reading = true;
    let sent = 0;
    try {
      for (;;) {
        const coming = next();
        const piece = coming instanceof Promise ? await coming : coming;
        if (this.#ended !== null) throw this.#ended;
        if (piece === null) break;
        sent += piece.length;
        if (sent > body.size) throw new Error(`a body is longer than it said: ${sent} bytes instead of ${body.size}`);
        this.#write(piece, piece.length, () => {});
        while (this.#inFlightBytes >= WRITE_WINDOW_BYTES && this.#ended === null) await this.#window();
      }
      if (sent < body.size) throw new Error(`a body is shorter than it said: ${sent} bytes instead of ${body.size}`);
    } catch (error) {
      this.#reading = false;
      done(asError(error));
      if (this.#ended === null) this.#owner.writeFailed(asError(error));
      return;
    }
    this.#reading = false;
    if (this.#ended !== null) done(this.#ended);
    else this.#listen(item.endsAt, done);
    this.#pump();
  }

  /** Resolves when some of what is in flight has been written, or the connection has ended. */
  #window(): Promise<void> {
    return new Promise((resolve) => {
      this.#roomAwaited = () => {
        this.#roomAwaited = null;
        resolve();
      };
    });
  }
}

function isReader(body: MessageBody): body is BodyReader {
  return "read" in body && typeof body.read === "function";
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
