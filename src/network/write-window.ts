/**
 * WriteWindow: what of a connection's bytes is in the hands of its socket. The write queue hands over so much at a time that
 * the operating system always has something to send, and no more: what waits beyond can still be counted, and told apart.
 *
 *     handed ── written ── taken        handed over; written: its callback has come; taken: the system's own count
 *
 * One `write` after the other; after `end` no callback is heard any more. A failed write is told by the socket to its owner.
 *
 * A peer that takes everything at once would keep this thread's loop from turning: writes that the system takes whole call
 * back before the loop goes on. After a turn's worth the window is full until the loop has looked at everybody else.
 */
import type { Socket } from "node:net";
import type { Clock } from "../common/clock.js";
import { WRITE_PIECE_BYTES, WRITE_TURN_BYTES, WRITE_WINDOW_BYTES } from "../common/limits.js";
import { asError } from "./failure-text.js";
import type { MessageWithHeader } from "./message-with-header.js";
import { TurnYield } from "./turn-yield.js";

/** What Node.js itself looks at to tell a slow write from a stuck one; no part of its documented surface. */
interface CountingHandle {
  readonly bytesWritten?: unknown;
  readonly writeQueueSize?: unknown;
}

export class WriteWindow {
  readonly #socket: Socket;
  readonly #advanced: () => void;
  #handedBytes = 0;
  /** Handed over since the loop last went on because of us. */
  #turnBytes = 0;
  #writtenBytes = 0;
  #roomAwaited: (() => void) | null = null;
  #isEnded = false;
  readonly #turnYield: TurnYield;
  readonly #nextTurn = (): void => {
    this.#turnBytes = 0;
    if (this.#isEnded) return;
    this.#roomAwaited?.();
    this.#advanced();
  };

  /** @param advanced called when there may be room again: after each write whose bytes have been taken, and what it called. */
  constructor(socket: Socket, clock: Clock, advanced: () => void) {
    this.#socket = socket;
    this.#turnYield = new TurnYield(clock, this.#nextTurn);
    this.#advanced = advanced;
  }

  /** Bytes handed to the socket since the connection began. */
  get handedBytes(): number {
    return this.#handedBytes;
  }

  /** Of them, those of writes that have ended. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /**
   * A count that grows with the bytes that the operating system takes, also in the middle of a write: only its differences
   * mean anything. Under TLS it moves in steps of some records. Where Node.js does not tell, it moves with whole writes.
   */
  get takenBytes(): number {
    const handle = (this.#socket as unknown as { readonly _handle?: CountingHandle | null })._handle;
    const dispatched = handle?.bytesWritten;
    const waiting = handle?.writeQueueSize;
    if (typeof dispatched !== "number" || typeof waiting !== "number") return this.#writtenBytes;
    return dispatched - waiting;
  }

  get inFlightBytes(): number {
    return this.#handedBytes - this.#writtenBytes;
  }

  get isFull(): boolean {
    return this.#turnBytes >= WRITE_TURN_BYTES || this.#handedBytes - this.#writtenBytes >= WRITE_WINDOW_BYTES;
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  write(bytes: Uint8Array, written: () => void): void {
    const { length } = bytes;
    this.#handedBytes += length;
    if (this.#turnBytes < WRITE_TURN_BYTES && this.#turnBytes + length >= WRITE_TURN_BYTES) {
      this.#turnYield.next();
    }
    this.#turnBytes += length;
    this.#socket.write(bytes, (error) => {
      // The connection hears of the error from the socket, and abandons the queue.
      if (error != null || this.#isEnded) return;
      this.#writtenBytes += length;
      written();
      this.#roomAwaited?.();
      this.#advanced();
    });
  }

  /**
   * Writes a message piece by piece, never more than the window ahead. Resolves when all of it is in the hands of the
   * socket, or the window has ended; rejects with what reading the body fails with.
   *
   * @param begun called when the first piece is in the hands of the socket: from then on it cannot be left out.
   */
  async writeMessage(encoded: MessageWithHeader, begun: () => void): Promise<void> {
    // Header and a short body in one go.
    this.#socket.cork();
    let isCorked = true;
    const uncork = (): void => {
      if (isCorked) this.#socket.uncork();
      isCorked = false;
    };
    try {
      for (;;) {
        const next = encoded.next(WRITE_PIECE_BYTES);
        const isRead = next instanceof Promise;
        if (isRead) uncork();
        const piece = isRead ? await next : next;
        if (this.#isEnded || piece === null) return;
        const isFirst = encoded.transferredBytes === piece.length;
        this.write(piece, isRead ? () => this.#recycle(encoded, piece) : ignore);
        if (isFirst) begun();
        while (this.isFull && !this.#isEnded) {
          uncork();
          await this.#room();
        }
      }
    } finally {
      uncork();
    }
  }

  /** Whoever waits for room goes on; callbacks of writes that are under way are not heard. */
  end(): void {
    this.#isEnded = true;
    this.#roomAwaited?.();
  }

  /** Its owner's code: what it throws comes as any error of the socket does. */
  #recycle(encoded: MessageWithHeader, piece: Uint8Array): void {
    try {
      encoded.recycle(piece);
    } catch (error) {
      this.#socket.destroy(asError(error));
    }
  }

  /** Resolves when some of what is in flight has been written, the loop has turned, or the window has ended. */
  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#roomAwaited = () => {
        this.#roomAwaited = null;
        resolve();
      };
    });
  }
}

function ignore(): void {}
