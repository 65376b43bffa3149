/**
 * What a connection still has to write, in order. A frame is contiguous: no other frame's bytes come between its header
 * and its body.
 *
 *     reserve ──► batch ──seal──┐
 *     reserve (long) ───────────┤► items, first in first out ──window──► socket ──written──► listeners
 *     enqueueMessage ───────────┘
 *
 * A small frame is written by its sender right into the batch, memory that all of a tick's small frames share; that is
 * handed to the socket once a tick, by a microtask, and whenever it is full. A long frame has memory of its own. A message
 * with a ManagedBuffer is encoded and read when its turn has come; everything behind it waits. At most a window's worth is
 * in the hands of the socket (write-window.ts).
 *
 * Positions count what was queued since the connection began:
 *
 *     writtenTo ≤ handedTo ≤ queuedTo     taken by the operating system; in the hands of the socket; queued
 *
 * What lies before `handedTo` may have reached the peer, and may have been run, whatever the socket says of it later; what
 * lies behind it has not. Who wants to know whether his frame got out compares.
 *
 * Limits count what waits behind what is being written: one answer may be longer than all of them. Answers in memory count
 * with their bytes, those that are read from a file when their turn has come count a little. The body of an upload is its
 * sender's, who holds it anyway. An answer that finds no room is replaced by a failure that says so.
 *
 * A body is got ready by its owner's code, which may send: that runs by itself, never while somebody fills his room.
 */
import type { Socket } from "node:net";
import type { Clock } from "../common/clock.js";
import {
  WRITE_BATCHED_FRAME_BYTES_MAX,
  WRITE_MESSAGE_BYTES,
  WRITE_PIECE_BYTES,
  WRITE_QUEUE_BYTES_MAX,
  WRITE_QUEUE_PAUSE_BYTES,
} from "../common/limits.js";
import { encodeMessage, failureOf } from "./encode.js";
import { asError, noRoomForAnswer } from "./failure-text.js";
import { writeBatches } from "./kept-buffers.js";
import type { MessageWithHeader } from "./message-with-header.js";
import type { Message } from "./messages.js";
import type { BytesItem, Ending, Item, MessageItem } from "./write-items.js";
import { WriteWindow } from "./write-window.js";
import { type Written, WrittenListeners } from "./written-listeners.js";

/** What the connection does about its queue. */
export interface WriteQueueOwner {
  /** Answers that the peer does not take have passed the limit, or are below half of it again. */
  repliesOverflow(overflowing: boolean): void;
  /** A body ended early after its header was out: the stream cannot go on. */
  writeFailed(error: Error): void;
}

/** What a message with a body counts for in positions, besides its body: any number would do that is not 0. */
const HEADER_POSITIONS = 32;
const NO_ROOM = Buffer.alloc(0);

export class WriteQueue {
  /**
   * Where the frame belongs that room was reserved for last: from the offset that `reserve` returned. Valid until the
   * next call of anything here, and not after the current synchronous run.
   */
  room: Buffer = NO_ROOM;
  readonly #window: WriteWindow;
  readonly #owner: WriteQueueOwner;
  #batch: Buffer = NO_ROOM;
  #batchLength = 0;
  #batchReplyBytes = 0;
  #flushScheduled = false;
  #items: Item[] = [];
  #endings: Ending[] = [];
  readonly #listeners = new WrittenListeners();
  /** A message with a body is being written: what is behind it waits. */
  #writingMessage = false;
  #queuedTo = 0;
  #handedTo = 0;
  #writtenTo = 0;
  /** Bytes that stand in memory here: bodies that are not read yet do not. */
  #memoryBytes = 0;
  /** Of answers whose turn has not come. */
  #replyBytes = 0;
  #dropped = 0;
  #overflowing = false;
  #ended: Error | null = null;
  #onEmpty: (() => void) | null = null;
  readonly #flushLater = (): void => {
    this.#flushScheduled = false;
    this.flush();
  };

  constructor(socket: Socket, clock: Clock, owner: WriteQueueOwner) {
    this.#window = new WriteWindow(socket, clock, () => this.#advance());
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

  /** Where what is in the hands of the socket ends. */
  get handedTo(): number {
    return this.#handedTo;
  }

  /** Grows with what the operating system takes; see WriteWindow. */
  get takenBytes(): number {
    return this.#window.takenBytes;
  }

  /** The socket has bytes that the operating system has not taken: the peer is waited for, not this side. */
  get waitsForPeer(): boolean {
    return this.#window.inFlightBytes > 0;
  }

  /** Bytes in memory that wait to be written. */
  get queuedBytes(): number {
    return this.#memoryBytes;
  }

  /** Bytes of answers whose turn has not come. */
  get queuedReplyBytes(): number {
    return this.#replyBytes;
  }

  /** Frames that came after the connection's end: mostly answers that nobody can get any more. */
  get droppedCount(): number {
    return this.#dropped;
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

  /**
   * Queues a message: one without a body is captured before it returns, one with a body is read when its turn has come. A
   * response whose body cannot be had then becomes its failure; a request is left out, and `done` is told.
   *
   * Throws ERR_RPC_MESSAGE_TOO_LARGE for one without a body.
   */
  enqueueMessage(message: Message, isReply: boolean, done: Written = ignore): void {
    const body = "body" in message ? message.body : null;
    if (this.#ended !== null) {
      this.#dropped++;
      body?.release();
      done(this.#ended);
      return;
    }
    if (body === null) {
      const { header } = encodeMessage(message) as MessageWithHeader;
      const at = this.reserve(header.length, isReply);
      this.room.set(header, at);
      if (done !== ignore) this.whenWritten(done);
      return;
    }
    const residentBytes = isReply ? (body.residentBytes ?? 0) : 0;
    if (residentBytes > 0 && this.refusesAnswers()) {
      const error = noRoomForAnswer(this.#replyBytes);
      body.release();
      this.enqueueMessage(failureOf(message, error) as Message, true);
      done(error);
      return;
    }
    if (!this.#flushScheduled) this.#scheduleFlush();
    this.#seal();
    const bodyAt = this.#queuedTo + HEADER_POSITIONS;
    this.#queuedTo = bodyAt + body.size;
    const waitingBytes = WRITE_MESSAGE_BYTES + residentBytes;
    this.#memoryBytes += waitingBytes;
    if (isReply) this.#replyBytes += waitingBytes;
    this.#items.push({ bytes: null, message, done, bodyAt, endsAt: this.#queuedTo, waitingBytes, isReply });
    // Now, not at the end of the tick: whoever asks for many in one go is held up before the next one is got ready.
    if (isReply && this.#replyBytes > WRITE_QUEUE_PAUSE_BYTES) this.flush();
  }

  /** So many answers wait that there is no room for another. What can be begun is begun before: it does not wait. */
  refusesAnswers(): boolean {
    if (this.#replyBytes <= WRITE_QUEUE_PAUSE_BYTES) return false;
    this.flush();
    return this.#replyBytes > WRITE_QUEUE_BYTES_MAX;
  }

  /** Calls back when all that is queued now has been written, with null, or will not be, with the reason. */
  whenWritten(call: Written): void {
    if (this.isEmpty) call(null);
    else if (this.#ended !== null) call(this.#ended);
    else this.#listeners.add(this.#queuedTo, call);
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

  /** The connection has ended: nothing more is written, everybody who waits is told why. What still comes is dropped. */
  abandon(error: Error): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#onEmpty = null;
    const items = this.#items;
    const endings = this.#endings;
    this.#items = [];
    this.#endings = [];
    this.#batch = NO_ROOM;
    this.#batchLength = 0;
    this.#memoryBytes = 0;
    this.#replyBytes = 0;
    this.#window.end();
    for (const { encoded, done } of endings) {
      encoded?.release();
      done(error);
    }
    for (const item of items) {
      if (item.bytes !== null) continue;
      if ("body" in item.message) item.message.body?.release();
      item.done(error);
    }
    this.#listeners.abandon(error);
  }

  #scheduleFlush(): void {
    this.#flushScheduled = true;
    queueMicrotask(this.#flushLater);
  }

  /** False: the frame has memory of its own, from offset 0 of `room`. */
  #makeRoom(frameBytes: number, isReply: boolean): boolean {
    this.#seal();
    if (this.#ended !== null) {
      this.#dropped++;
      this.room = Buffer.allocUnsafe(frameBytes);
      return false;
    }
    if (frameBytes <= WRITE_BATCHED_FRAME_BYTES_MAX) {
      this.#pump();
      this.#batch = writeBatches.take();
      return true;
    }
    const bytes = Buffer.allocUnsafeSlow(frameBytes);
    const replyBytes = isReply ? frameBytes : 0;
    this.#queuedTo += frameBytes;
    this.#memoryBytes += frameBytes;
    this.#replyBytes += replyBytes;
    this.#items.push({ bytes, handed: 0, length: frameBytes, replyBytes, isBatch: false });
    this.room = bytes;
    return false;
  }

  /** Nothing is added to the batch any more. */
  #seal(): void {
    const length = this.#batchLength;
    if (length === 0) return;
    this.#items.push({ bytes: this.#batch, handed: 0, length, replyBytes: this.#batchReplyBytes, isBatch: true });
    this.#batch = NO_ROOM;
    this.#batchLength = 0;
    this.#batchReplyBytes = 0;
  }

  #pump(): void {
    const window = this.#window;
    if (this.#items.length === 0 || this.#writingMessage || window.isFull) return;
    const isSeveral = this.#items.length > 1;
    if (isSeveral) window.cork();
    while (!this.#writingMessage && !window.isFull) {
      const item = this.#items[0];
      if (item === undefined) break;
      if (item.bytes !== null) {
        if (this.#writePiece(item)) this.#items.shift();
      } else {
        // First taken, then begun: the end of a short one comes back here.
        this.#items.shift();
        void this.#writeMessage(item);
      }
    }
    if (isSeveral) window.uncork();
  }

  /** True when the item is in the hands of the socket altogether. */
  #writePiece(item: BytesItem): boolean {
    const { bytes, length } = item;
    const start = item.handed;
    const end = Math.min(length, start + WRITE_PIECE_BYTES);
    item.handed = end;
    if (start === 0) this.#replyBytes -= item.replyBytes;
    this.#handedTo += end - start;
    const isLast = end === length;
    this.#window.write(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), () => {
      this.#writtenTo += end - start;
      this.#memoryBytes -= end - start;
      if (isLast && item.isBatch) writeBatches.giveBack(bytes as Buffer);
    });
    return isLast;
  }

  #advance(): void {
    const { writtenBytes } = this.#window;
    for (let ending = this.#endings[0]; ending !== undefined; ending = this.#endings[0]) {
      if (ending.handedBytes > writtenBytes) break;
      this.#endings.shift();
      this.#writtenTo = ending.endsAt;
      ending.encoded?.release();
      ending.done(null);
    }
    this.#listeners.reached(this.#writtenTo);
    this.#pump();
    if (this.#overflowing && this.#replyBytes < WRITE_QUEUE_PAUSE_BYTES / 2) this.#setOverflowing(false);
    if (this.#onEmpty !== null && this.isEmpty) {
      const call = this.#onEmpty;
      this.#onEmpty = null;
      call();
    }
  }

  #setOverflowing(overflowing: boolean): void {
    this.#overflowing = overflowing;
    this.#owner.repliesOverflow(overflowing);
  }

  async #writeMessage(item: MessageItem): Promise<void> {
    this.#writingMessage = true;
    this.#memoryBytes -= item.waitingBytes;
    if (item.isReply) this.#replyBytes -= item.waitingBytes;
    let encoded: MessageWithHeader | null = null;
    try {
      await null;
      if (this.#ended !== null) {
        if ("body" in item.message) item.message.body?.release();
        throw this.#ended;
      }
      const coming = encodeMessage(item.message);
      encoded = coming instanceof Promise ? await coming : coming;
      await this.#window.writeMessage(encoded, () => {
        this.#handedTo = item.bodyAt;
      });
      if (this.#ended !== null) throw this.#ended;
      this.#handedToEnd(item, encoded, item.done);
    } catch (error) {
      this.#messageFailed(item, encoded, asError(error));
    }
    this.#writingMessage = false;
    if (this.#ended === null) this.#advance();
  }

  #handedToEnd({ endsAt }: MessageItem, encoded: MessageWithHeader | null, done: Written): void {
    this.#handedTo = endsAt;
    this.#endings.push({ handedBytes: this.#window.handedBytes, endsAt, encoded, done });
  }

  #messageFailed(item: MessageItem, encoded: MessageWithHeader | null, error: Error): void {
    const isBegun = encoded !== null && encoded.transferredBytes > 0;
    encoded?.release();
    item.done(this.#ended ?? error);
    if (this.#ended !== null) return;
    if (isBegun) this.#owner.writeFailed(error);
    // What is behind it goes on, and positions stay as they were counted.
    else this.#handedToEnd(item, null, ignore);
  }
}

function ignore(): void {}
