/** Cuts a byte stream into frames. No I/O. */
import {
  FRAME_BYTES_MAX,
  FRAME_OVERHEAD_BYTES_MAX,
  FRAMES_PER_TURN,
  FRAMES_TURN_MS,
  NETWORK_MESSAGE_BYTES_MAX_DEFAULT,
} from "../common/limits.js";

/**
 * Told what the decoder finds, in the order of the stream, while `push` or `resume` runs. `bytes` are valid during the
 * call only, unless who pushed them knows better; what throws ends the decoder and comes out of `push` or `resume`.
 */
export interface FrameSink {
  /** A frame without its 8 length bytes: the type byte is `bytes[start]`, its body ends before `end`. */
  frame(bytes: Uint8Array, start: number, end: number): void;
  /** Some of the bytes that `expectBody` announced. */
  bodyBytes(bytes: Uint8Array, start: number, end: number): void;
  /** All of them have come; the next byte begins a frame. */
  bodyEnd(): void;
}

export interface TransportFrameDecoderOptions {
  /** Longest frame, its length bytes included. */
  readonly frameBytesMax?: number;
  /** Frames before `push` and `resume` stop for this turn of the loop. */
  readonly framesPerTurn?: number;
  /** ... or milliseconds. */
  readonly turnMs?: number;
  /** Milliseconds of the owner's clock. */
  readonly now?: () => number;
}

export class TransportFrameDecoder {
  /** Bytes held for an unfinished frame, its length included. */
  bufferedBytes = 0;
  /** When the first byte of the unfinished frame came; null: none is unfinished. */
  unfinishedSinceMs: number | null = null;
  protected readonly sink: FrameSink;
  protected readonly options: Required<Omit<TransportFrameDecoderOptions, "now">>;

  constructor(sink: FrameSink, options: TransportFrameDecoderOptions = {}) {
    this.sink = sink;
    this.options = {
      frameBytesMax: Math.min(
        options.frameBytesMax ?? NETWORK_MESSAGE_BYTES_MAX_DEFAULT + FRAME_OVERHEAD_BYTES_MAX,
        FRAME_BYTES_MAX,
      ),
      framesPerTurn: options.framesPerTurn ?? FRAMES_PER_TURN,
      turnMs: options.turnMs ?? FRAMES_TURN_MS,
    };
  }

  /** What was pushed holds frames that wait for `resume`. */
  get hasPending(): boolean {
    throw new Error("interface only");
  }

  /** Bytes of a body are still to come. */
  get expectsBody(): boolean {
    throw new Error("interface only");
  }

  /**
   * Takes the next bytes of the stream. They belong to the decoder until `hasPending` is false.
   *
   * Throws ERR_RPC_PROTOCOL for a length that no frame may have, and what the sink throws; the decoder is closed then.
   */
  push(_chunk: Uint8Array): void {
    throw new Error("interface only");
  }

  /** Goes on with what the last turn left. Throws as `push`. */
  resume(): void {
    throw new Error("interface only");
  }

  /** Framing is suspended: the next `byteCount` bytes are a body. To be called between frames, or from `frame` and `bodyEnd`. */
  expectBody(_byteCount: number): void {
    throw new Error("interface only");
  }

  /** Forgets everything; nothing is told any more, what is pushed is ignored. */
  close(): void {
    throw new Error("interface only");
  }
}
