/**
 * ChannelClocks: what times out in a connection. It has no timer of its own: the context looks at all its channels once a
 * second, and the channel asks here whether its time is up. What becomes of it then is the channel's affair.
 *
 * Clock | runs while                       | goes back to 0 with                 | is up after
 * ------|----------------------------------|-------------------------------------|------------------------------------------
 * frame | a frame has begun and not ended  | its end; enough bytes of it         | `frameTimeoutMs`
 * write | the socket has bytes to give     | all that waited then; enough bytes  | `writeTimeoutMs`
 * quiet | always                           | a byte, either way; a request       | `connectionTimeoutMs`, as in Spark
 *
 * Enough is PEER_BYTES_PER_SECOND_MIN for the clock's whole time: who is slow but steady goes on for as long as it takes, who
 * gives or takes a byte now and then does not. The frame's clock and that of quiet stand still while this side does not listen.
 */
import { RpcError } from "../common/errors.js";
import { PEER_BYTES_PER_SECOND_MIN } from "../common/limits.js";
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
  readonly #frameBytesWanted: number;
  readonly #writeBytesWanted: number;
  #requestAdded = false;
  #lastReadMs: number;
  #lastWriteMs: number;
  #lastRequestMs: number;
  /** Since when the peer is not listened to; null: it is. */
  #deafSinceMs: number | null = null;
  /** When it was last not listened to. */
  #lastDeafMs = Number.NEGATIVE_INFINITY;
  /** The frame that was last seen unfinished; then how much of it had come when its clock began, and when that was. */
  #frameBegunMs: number | null = null;
  #frameMarkBytes = 0;
  #frameMarkMs = 0;
  /** What the system had taken at the last look. */
  #takenBytes: number;
  /** ... and when the write clock began; then what was queued, and when that was. */
  #writeMarkBytes: number;
  #writeMarkTo = 0;
  #writeMarkMs: number;

  constructor(parts: ClockedParts, settings: ClockSettings, nowMs: number) {
    this.#parts = parts;
    this.#settings = settings;
    this.#lastReadMs = nowMs;
    this.#lastWriteMs = nowMs;
    this.#lastRequestMs = nowMs;
    this.#writeMarkMs = nowMs;
    this.#takenBytes = parts.queue.takenBytes;
    this.#writeMarkBytes = this.#takenBytes;
    this.#frameBytesWanted = wantedIn(settings.frameTimeoutMs);
    this.#writeBytesWanted = wantedIn(settings.writeTimeoutMs);
  }

  get lastReadMs(): number {
    return this.#lastReadMs;
  }

  get isListening(): boolean {
    return this.#deafSinceMs === null;
  }

  /** Something was read. */
  read(nowMs: number): void {
    this.#lastReadMs = nowMs;
  }

  /** The peer is listened to from now on, or not any more: answers overflow, a consumer is busy, a turn is over. */
  listen(isListening: boolean, nowMs: number): void {
    if (isListening === this.isListening) return;
    if (this.#deafSinceMs === null) {
      this.#deafSinceMs = nowMs;
      return;
    }
    this.#frameMarkMs += nowMs - this.#deafSinceMs;
    this.#deafSinceMs = null;
    this.#lastDeafMs = nowMs;
  }

  /** A request was added: it counts from the next look, so that none needs the time. */
  requestAdded(): void {
    this.#requestAdded = true;
  }

  /** Null: all is well. */
  look(nowMs: number): TimeUp | null {
    if (this.#requestAdded) {
      this.#requestAdded = false;
      this.#lastRequestMs = nowMs;
    }
    return this.#slowFrame(nowMs) ?? this.#slowReader(nowMs) ?? this.#quiet(nowMs);
  }

  #slowFrame(nowMs: number): TimeUp | null {
    const { unfinishedSinceMs: begunMs, unfinishedBytes } = this.#parts.decoder;
    if (begunMs === null) {
      this.#frameBegunMs = null;
      return null;
    }
    if (begunMs !== this.#frameBegunMs || unfinishedBytes < this.#frameMarkBytes) {
      this.#frameBegunMs = begunMs;
      this.#frameMarkBytes = 0;
      this.#frameMarkMs = Math.max(begunMs, this.#lastDeafMs);
    }
    const came = unfinishedBytes - this.#frameMarkBytes;
    if (came >= this.#frameBytesWanted) {
      this.#frameMarkBytes = unfinishedBytes;
      this.#frameMarkMs = nowMs;
      return null;
    }
    const { frameTimeoutMs } = this.#settings;
    if (!this.isListening || nowMs - this.#frameMarkMs < frameTimeoutMs) return null;
    const text =
      `a frame did not end within ${frameTimeoutMs} ms, and of the ${this.#frameBytesWanted} bytes that are the least ` +
      `in that time ${came} came: unfinishedBytes=${unfinishedBytes}`;
    return { isQuiet: false, error: protocolError(text) };
  }

  #slowReader(nowMs: number): TimeUp | null {
    const { queue, remoteAddress } = this.#parts;
    const { takenBytes } = queue;
    if (takenBytes > this.#takenBytes) this.#lastWriteMs = nowMs;
    this.#takenBytes = takenBytes;
    const taken = takenBytes - this.#writeMarkBytes;
    // What is queued and not in the hands of the socket waits for this side: a body that is being read.
    const isCaughtUp = !queue.waitsForPeer || queue.writtenTo >= this.#writeMarkTo;
    if (isCaughtUp || taken >= this.#writeBytesWanted) {
      this.#writeMarkBytes = takenBytes;
      this.#writeMarkTo = queue.queuedTo;
      this.#writeMarkMs = nowMs;
      return null;
    }
    const { writeTimeoutMs } = this.#settings;
    if (nowMs - this.#writeMarkMs < writeTimeoutMs) return null;
    const text =
      `the peer took ${Math.max(0, taken)} bytes in ${writeTimeoutMs} ms, where ${this.#writeBytesWanted} are the least: ` +
      `waitingBytes=${queue.queuedTo - queue.writtenTo}`;
    return { isQuiet: false, error: new RpcError("ERR_RPC_CONNECTION_LOST", text, { address: remoteAddress }) };
  }

  /** As Spark: quiet and without a new request for the whole timeout. Unlike there, a body that is being received counts, too. */
  #quiet(nowMs: number): TimeUp | null {
    const { connectionTimeoutMs, closeIdleConnections } = this.#settings;
    const quietSinceMs = Math.max(this.#lastReadMs, this.#lastWriteMs, this.#lastRequestMs, this.#lastDeafMs);
    if (!this.isListening || nowMs - quietSinceMs < connectionTimeoutMs) return null;
    const { decoder, responses, remoteAddress } = this.#parts;
    const outstanding = responses.outstandingCount;
    // Whoever receives a body holds memory or a file for it, and hears of a host that vanished in no other way.
    if (outstanding === 0 && !decoder.expectsBody) {
      return closeIdleConnections ? { isQuiet: true, error: null } : null;
    }
    const what = outstanding > 0 ? `while there are outstanding requests: ${outstanding}` : "in the middle of a body";
    const text = `Connection to ${hostPort(remoteAddress)} has been quiet for ${connectionTimeoutMs} ms ${what}`;
    return { isQuiet: true, error: new RpcError("ERR_RPC_CONNECTION_LOST", text, { address: remoteAddress }) };
  }
}

function wantedIn(ms: number): number {
  return Math.ceil((ms / 1_000) * PEER_BYTES_PER_SECOND_MIN);
}
