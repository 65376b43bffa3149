/**
 * ChannelClocks: what times out in a connection. It has no timer of its own: the context looks at all its channels once a
 * second, and the channel asks here whether its time is up. What becomes of it then is the channel's affair.
 *
 * Clock      | runs while                          | is up
 * -----------|-------------------------------------|--------------------------------------------------------------------
 * frame      | a frame has begun and not ended     | `frameTimeoutMs` after its first byte
 * write      | something waits to be written       | nothing was taken in `writeTimeoutMs`, or too little to read again
 * quiet      | unless a stream's consumer is busy  | `connectionTimeoutMs` without a byte or a request, as in Spark
 */
import { RpcError } from "../common/errors.js";
import { WRITE_QUEUE_PAUSE_BYTES } from "../common/limits.js";
import { hostPort } from "./dial.js";
import { protocolError } from "./frame-errors.js";
import type { TransportFrameDecoder } from "./transport-frame-decoder.js";
import type { PeerAddress } from "./transport-security.js";
import type { WriteQueue } from "./write-queue.js";

/** What the clocks look at. */
export interface ClockedParts {
  readonly queue: WriteQueue;
  readonly decoder: TransportFrameDecoder;
  /** Whose requests are outstanding. */
  readonly responses: { readonly outstandingCount: number };
  readonly remoteAddress: PeerAddress;
}

export interface ClockSettings {
  readonly connectionTimeoutMs: number;
  readonly frameTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly closeIdleConnections: boolean;
}

/** A connection's time is up. */
export interface TimeUp {
  /** Nothing was wrong but that it was quiet. */
  readonly isQuiet: boolean;
  /** Null: nobody waits for anything, it ends in order. */
  readonly error: RpcError | null;
}

export class ChannelClocks {
  readonly #parts: ClockedParts;
  readonly #settings: ClockSettings;
  #requestAdded = false;
  #overflowing = false;
  #lastReadMs: number;
  #lastWriteMs: number;
  #lastRequestMs: number;
  /** When the consumer of a stream was last busy, and the peer not listened to. */
  #lastHeldMs = Number.NEGATIVE_INFINITY;
  /** What was written when the write queue was last looked at, and when that was. */
  #writtenBytes = 0;
  #stallSinceMs: number;

  constructor(parts: ClockedParts, settings: ClockSettings, nowMs: number) {
    this.#parts = parts;
    this.#settings = settings;
    this.#lastReadMs = nowMs;
    this.#lastWriteMs = nowMs;
    this.#lastRequestMs = nowMs;
    this.#stallSinceMs = nowMs;
  }

  get lastReadMs(): number {
    return this.#lastReadMs;
  }

  /** Something was read. */
  read(nowMs: number): void {
    this.#lastReadMs = nowMs;
  }

  /** The peer is listened to again: until now the consumer of a stream was busy. */
  listening(nowMs: number): void {
    this.#lastHeldMs = nowMs;
  }

  /** A request was added: it counts from the next look, so that none needs the time. */
  requestAdded(): void {
    this.#requestAdded = true;
  }

  repliesOverflow(overflowing: boolean, nowMs: number): void {
    this.#overflowing = overflowing;
    this.#stallSinceMs = nowMs;
    this.#writtenBytes = this.#parts.queue.takenBytes;
  }

  /** Null: all is well. */
  look(nowMs: number): TimeUp | null {
    const { frameTimeoutMs } = this.#settings;
    const { decoder } = this.#parts;
    const { unfinishedSinceMs } = decoder;
    if (unfinishedSinceMs !== null && nowMs - unfinishedSinceMs >= frameTimeoutMs) {
      const held = `${decoder.bufferedBytes} bytes of it are held`;
      const text = `a frame did not end within ${frameTimeoutMs} ms of its first byte: ${held}`;
      return { isQuiet: false, error: protocolError(text) };
    }
    if (decoder.isHeld) this.#lastHeldMs = nowMs;
    if (this.#requestAdded) {
      this.#requestAdded = false;
      this.#lastRequestMs = nowMs;
    }
    return this.#stalled(nowMs) ?? this.#quiet(nowMs);
  }

  /** A peer that takes nothing; or, where so many answers wait that nothing is read from it any more, too little. */
  #stalled(nowMs: number): TimeUp | null {
    const { queue, remoteAddress } = this.#parts;
    const { writeTimeoutMs } = this.#settings;
    const written = queue.takenBytes - this.#writtenBytes;
    if (written > 0) this.#lastWriteMs = nowMs;
    const enough = this.#overflowing ? WRITE_QUEUE_PAUSE_BYTES / 2 : 1;
    if (queue.isEmpty || (written >= enough && !this.#overflowing)) {
      this.#writtenBytes = queue.takenBytes;
      this.#stallSinceMs = nowMs;
      return null;
    }
    if (nowMs - this.#stallSinceMs < writeTimeoutMs) return null;
    this.#stallSinceMs = nowMs;
    this.#writtenBytes = queue.takenBytes;
    if (written >= enough) return null;
    const text = `the peer took ${written} bytes in ${writeTimeoutMs} ms: queuedBytes=${queue.queuedBytes}`;
    return { isQuiet: false, error: new RpcError("ERR_RPC_CONNECTION_LOST", text, { address: remoteAddress }) };
  }

  /** As Spark: quiet and without a new request for the whole timeout. */
  #quiet(nowMs: number): TimeUp | null {
    const { connectionTimeoutMs, closeIdleConnections } = this.#settings;
    const quietSinceMs = Math.max(this.#lastReadMs, this.#lastWriteMs, this.#lastRequestMs, this.#lastHeldMs);
    if (nowMs - quietSinceMs < connectionTimeoutMs) return null;
    const { responses, remoteAddress } = this.#parts;
    const outstanding = responses.outstandingCount;
    if (outstanding === 0) return closeIdleConnections ? { isQuiet: true, error: null } : null;
    const peer = hostPort(remoteAddress);
    const text = `Connection to ${peer} has been quiet for ${connectionTimeoutMs} ms while there are outstanding requests: ${outstanding}`;
    return { isQuiet: true, error: new RpcError("ERR_RPC_CONNECTION_LOST", text, { address: remoteAddress }) };
  }
}
