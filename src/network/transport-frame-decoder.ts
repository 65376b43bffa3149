/**
 * Cuts a byte stream into frames, and into the bodies that stand between frames. It does no I/O and knows no message: whoever
 * owns the socket pushes what arrives, the sink is told what it is.
 *
 *            push ──► length (8 bytes) ──► frame ──► sink.frame ──┬──► length …
 *                                                                 └──► expectBody: body bytes ──► sink.bodyEnd ──► length …
 *
 * One frame is handled before the next byte is looked at, since it may turn what follows it into a body. A frame that lies
 * whole in a chunk is given where it lies. One that does not is put together as its parts come, or given in pieces if it is
 * long: see FrameAssembly.
 * A wrong length is refused as soon as it is known. What throws closes the decoder: behind an error nothing can be framed.
 *
 * A sink that cannot take more for now, of a body or of frames, holds the decoder: what is left of the chunk, and what is pushed, waits
 * for `release` and `resume`, the body's end too.
 *
 * A turn ends after `framesPerTurn` frames or `turnMs`: the rest waits for `resume`, and the owner lets the loop run first.
 */
import { assert } from "../common/assert.js";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import {
  FRAME_BYTES_MAX,
  FRAME_OVERHEAD_BYTES_MAX,
  FRAMES_PER_TURN,
  FRAMES_TURN_MS,
  NETWORK_MESSAGE_BYTES_MAX_DEFAULT,
} from "../common/limits.js";
import { i32At } from "./big-endian.js";
import { FrameAssembly } from "./frame-assembly.js";
import { FRAME_BYTES_MIN, FRAME_LENGTH_BYTES, foreignProtocol, foreignStart, wrongLength } from "./frame-errors.js";

/**
 * Told what the decoder finds, in the order of the stream, while `push` or `resume` runs. The bytes are those that were
 * pushed, or memory made for one frame; whoever pushes says how long his bytes stay as they are. What a method throws
 * closes the decoder and comes out of `push` or `resume`.
 */
export interface FrameSink {
  /** A frame without its 8 length bytes: the type byte is `bytes[start]`, its body ends before `end`. */
  frame(bytes: Uint8Array, start: number, end: number): void;
  /** The same for a long frame that came in several chunks; without this method it is copied together. */
  frameInPieces?(pieces: readonly Uint8Array[]): void;
  /** Some of the bytes that `expectBody` announced; never none. */
  bodyBytes(bytes: Uint8Array, start: number, end: number): void;
  /** All of them have come; the next byte begins a frame. */
  bodyEnd(): void;
}

export interface TransportFrameDecoderOptions {
  /** Longest frame, its length bytes included. Default: 16 MiB and what a frame needs besides. */
  readonly frameBytesMax?: number;
  /** Frames before `push` and `resume` end the turn. Default: 1,024. */
  readonly framesPerTurn?: number;
  /** ... or milliseconds. Default: 5. */
  readonly turnMs?: number;
  /** Milliseconds of the owner's clock; without it neither `turnMs` nor `unfinishedSinceMs` mean anything. */
  readonly now?: () => number;
}

/** The clock is read once in so many steps. */
const STEPS_PER_CLOCK_READING = 16;

const OPTION_KEYS: OptionKeys<TransportFrameDecoderOptions> = {
  frameBytesMax: true,
  framesPerTurn: true,
  turnMs: true,
  now: true,
};
const NOTHING = new Uint8Array(0);

export class TransportFrameDecoder {
  readonly #sink: FrameSink;
  readonly #frameBytesMax: number;
  readonly #framesPerTurn: number;
  readonly #turnMs: number;
  readonly #now: () => number;

  #isClosed = false;
  /** The sink is being told something. */
  #isRunning = false;
  /** No frame has been found yet: what is wrong now may be another protocol. */
  #isFirst = true;

  /** A length that a chunk did not hold whole. */
  readonly #length = Buffer.alloc(FRAME_LENGTH_BYTES);
  #lengthFilled = 0;
  /** A frame that a chunk did not hold whole. */
  #frame: FrameAssembly | null = null;
  #unfinishedSinceMs: number | null = null;
  /** Of the body that comes instead of a frame; 0: a frame comes. */
  #bodyRemaining = 0;
  /** All of it was given, and its end was not told yet. */
  #isBodyOver = false;
  /** The sink takes no more for now. */
  #isHeld = false;

  /** What earlier turns left: a chunk from its offset on, and the chunks behind it. */
  #chunk: Uint8Array = NOTHING;
  #offset = 0;
  #later: Uint8Array[] = [];
  /** A part of the chunk is part of a frame, where it lies. */
  #keepsChunk = false;

  constructor(sink: FrameSink, options: TransportFrameDecoderOptions = {}) {
    checkOptions("TransportFrameDecoder", options, OPTION_KEYS);
    const frameBytesMax = options.frameBytesMax ?? NETWORK_MESSAGE_BYTES_MAX_DEFAULT + FRAME_OVERHEAD_BYTES_MAX;
    this.#sink = sink;
    this.#frameBytesMax = Math.min(frameBytesMax, FRAME_BYTES_MAX);
    this.#framesPerTurn = options.framesPerTurn ?? FRAMES_PER_TURN;
    this.#turnMs = options.turnMs ?? FRAMES_TURN_MS;
    this.#now = options.now ?? (() => 0);
  }

  /** Something waits for `resume`: bytes that were pushed, or the end of a body whose last bytes were held. */
  get hasPending(): boolean {
    return this.#hasBytes || this.#isBodyOver;
  }

  /** Nothing is told until `release`. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Bytes of a body are still to come. */
  get expectsBody(): boolean {
    return this.#bodyRemaining > 0;
  }

  /** Memory held for a frame that has not come whole. */
  get bufferedBytes(): number {
    return this.#lengthFilled + (this.#frame === null ? 0 : this.#frame.heldBytes);
  }

  /** Bytes of the frame that has not come whole that have come, its length included. */
  get unfinishedBytes(): number {
    return this.#frame === null ? this.#lengthFilled : FRAME_LENGTH_BYTES + this.#frame.filledBytes;
  }

  /** When the first byte of the frame that has not come whole was pushed; null: there is none. */
  get unfinishedSinceMs(): number | null {
    return this.#unfinishedSinceMs;
  }

  /**
   * Takes the next bytes of the stream; they must stay as they are while `hasPending`, and while a frame is unfinished.
   * Behind bytes that wait they wait, too, and so they do while the decoder is held.
   *
   * @returns False: the decoder does not refer to the chunk any more. What the sink keeps of it is the sink's affair.
   * Throws ERR_RPC_PROTOCOL for a length that no frame may have, and what the sink throws. The decoder is closed then.
   */
  push(chunk: Uint8Array): boolean {
    assert(!this.#isRunning, "a sink does not push");
    if (this.#isClosed || chunk.length === 0) return false;
    if (this.#hasBytes) {
      this.#later.push(chunk);
      return true;
    }
    this.#chunk = chunk;
    this.#offset = 0;
    this.#keepsChunk = false;
    if (!this.#isHeld) this.#runTurn();
    return this.#keepsChunk || this.#hasBytes;
  }

  /** Goes on with what the last turn left. Throws as `push` does. */
  resume(): void {
    assert(!this.#isRunning, "a sink does not resume");
    if (this.hasPending && !this.#isHeld) this.#runTurn();
  }

  /** For a sink, whatever it is told, and for its owner: it is told nothing more until `release`. */
  hold(): void {
    if (!this.#isClosed) this.#isHeld = true;
  }

  /** The sink can take more; `resume` goes on. */
  release(): void {
    this.#isHeld = false;
  }

  /**
   * Suspends framing: the next `byteCount` bytes, one at least, are a body. Called between frames, by the sink or by anybody.
   */
  expectBody(byteCount: number): void {
    assert(Number.isSafeInteger(byteCount) && byteCount > 0, "a body to expect has bytes");
    assert(this.#bodyRemaining === 0, "one body at a time");
    assert(this.#frame === null && this.#lengthFilled === 0, "a body does not begin inside of a frame");
    this.#bodyRemaining = byteCount;
  }

  /** Forgets everything. Nothing more is told, also when the sink calls this; what is pushed is ignored. */
  close(): void {
    this.#isClosed = true;
    this.#lengthFilled = 0;
    this.#frame = null;
    this.#unfinishedSinceMs = null;
    this.#bodyRemaining = 0;
    this.#isBodyOver = false;
    this.#isHeld = false;
    this.#chunk = NOTHING;
    this.#offset = 0;
    this.#later = [];
  }

  get #hasBytes(): boolean {
    return this.#offset < this.#chunk.length;
  }

  #runTurn(): void {
    this.#isRunning = true;
    let isDone = false;
    try {
      this.#cut();
      isDone = true;
    } finally {
      this.#isRunning = false;
      if (!isDone) this.close();
    }
  }

  /** Until everything is used up, or the turn is over. */
  #cut(): void {
    const turn: Turn = { steps: 0, startMs: 0 };
    let isOver = false;
    if (this.#isBodyOver) this.#endBody();
    while (!isOver && this.#hasBytes && !this.#isHeld) {
      isOver = this.#cutChunk(turn);
      if (this.#hasBytes) continue;
      this.#chunk = this.#later.shift() ?? NOTHING;
      this.#offset = 0;
    }
  }

  /** True if the turn is over. */
  #cutChunk(turn: Turn): boolean {
    const bytes = this.#chunk;
    const end = bytes.length;
    let at = this.#offset;
    let isOver = false;
    // A sink that closes the decoder takes the chunk away.
    while (!isOver && at < end && this.#chunk === bytes && !this.#isHeld) {
      if (this.#bodyRemaining > 0) {
        at = this.#cutBody(bytes, at, end);
      } else if (this.#frame !== null) {
        at = this.#fillFrame(this.#frame, bytes, at, end);
      } else if (this.#lengthFilled > 0 || end - at < FRAME_LENGTH_BYTES) {
        at = this.#fillLength(bytes, at, end);
      } else {
        const frameBytes = this.#frameBytesAt(bytes, at);
        at = this.#cutFrame(frameBytes - FRAME_LENGTH_BYTES, bytes, at + FRAME_LENGTH_BYTES, end);
      }
      turn.steps++;
      isOver = turn.steps >= this.#framesPerTurn || (turn.steps % STEPS_PER_CLOCK_READING === 0 && this.#isLate(turn));
    }
    if (this.#chunk === bytes) this.#offset = at;
    return isOver;
  }

  /** The first steps are not timed, which saves the reading for what most chunks hold. */
  #isLate(turn: Turn): boolean {
    const nowMs = this.#now();
    if (turn.steps === STEPS_PER_CLOCK_READING) turn.startMs = nowMs;
    return nowMs - turn.startMs >= this.#turnMs;
  }

  // Each step takes what it can use of bytes[at .. end), at least one byte, and returns where the rest begins.

  #cutBody(bytes: Uint8Array, at: number, end: number): number {
    const taken = Math.min(this.#bodyRemaining, end - at);
    this.#bodyRemaining -= taken;
    const isLast = this.#bodyRemaining === 0;
    this.#sink.bodyBytes(bytes, at, at + taken);
    this.#isBodyOver = isLast && !this.#isClosed;
    if (this.#isBodyOver && !this.#isHeld) this.#endBody();
    return at + taken;
  }

  #endBody(): void {
    this.#isBodyOver = false;
    this.#sink.bodyEnd();
  }

  #fillLength(bytes: Uint8Array, at: number, end: number): number {
    const length = this.#length;
    let from = at;
    if (this.#lengthFilled === 0) this.#unfinishedSinceMs = this.#now();
    while (this.#lengthFilled < FRAME_LENGTH_BYTES && from < end)
      length[this.#lengthFilled++] = bytes[from++] as number;
    if (this.#lengthFilled < FRAME_LENGTH_BYTES) {
      const isForeign = this.#isFirst && foreignProtocol(length, 0, this.#lengthFilled) !== null;
      if (isForeign) throw foreignStart(length, 0, this.#lengthFilled);
      return from;
    }
    const frameBytes = this.#frameBytesAt(length, 0);
    this.#lengthFilled = 0;
    return this.#cutFrame(frameBytes - FRAME_LENGTH_BYTES, bytes, from, end);
  }

  /** @param payloadBytes What follows the length. */
  #cutFrame(payloadBytes: number, bytes: Uint8Array, at: number, end: number): number {
    if (payloadBytes <= end - at) {
      this.#unfinishedSinceMs = null;
      this.#sink.frame(bytes, at, at + payloadBytes);
      return at + payloadBytes;
    }
    this.#unfinishedSinceMs ??= this.#now();
    this.#frame = new FrameAssembly(payloadBytes);
    return this.#fillFrame(this.#frame, bytes, at, end);
  }

  #fillFrame(frame: FrameAssembly, bytes: Uint8Array, at: number, end: number): number {
    const next = frame.add(bytes, at, end);
    if (frame.keepsLast) this.#keepsChunk = true;
    if (frame.isWhole) {
      this.#frame = null;
      this.#unfinishedSinceMs = null;
      this.#give(frame.pieces());
    }
    return next;
  }

  #give(pieces: readonly Uint8Array[]): void {
    const [first] = pieces;
    if (first !== undefined && pieces.length === 1) this.#sink.frame(first, 0, first.length);
    else if (this.#sink.frameInPieces !== undefined) this.#sink.frameInPieces(pieces);
    else {
      const frame = Buffer.concat(pieces);
      this.#sink.frame(frame, 0, frame.length);
    }
  }

  /** The length that begins at `at`, if a frame may have it. */
  #frameBytesAt(bytes: Uint8Array, at: number): number {
    const high = i32At(bytes, at);
    const low = i32At(bytes, at + 4) >>> 0;
    if (high !== 0 || low < FRAME_BYTES_MIN || low > this.#frameBytesMax) {
      throw wrongLength(bytes, at, this.#isFirst, this.#frameBytesMax);
    }
    this.#isFirst = false;
    return low;
  }
}

interface Turn {
  /** Frames, and parts of frames and bodies: whatever a chunk is cut into. */
  steps: number;
  startMs: number;
}
