/**
 * FrameAssembly: what has come of a frame that no chunk held whole.
 *
 * A short frame gets memory of its size, and its parts are copied there. Of a long one, long parts stay where they lie: a
 * chunk of a GiB is never copied. Short parts are copied one behind the other, so that a peer who sends bytes one by one
 * makes this side hold them, and not an array for each.
 */
import { FRAME_ASSEMBLY_BYTES_MIN, FRAME_PART_KEPT_BYTES_MIN } from "../common/limits.js";

const NO_ROOM = new Uint8Array(0);

export class FrameAssembly {
  /** Without the length that stands before it. */
  readonly frameBytes: number;
  /** What `add` was given last is part of it where it lies. */
  keepsLast = false;
  readonly #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #room = NO_ROOM;
  #roomFilled = 0;

  constructor(frameBytes: number) {
    this.frameBytes = frameBytes;
  }

  /** What has come. */
  get filledBytes(): number {
    return this.#piecesBytes + this.#roomFilled;
  }

  get isWhole(): boolean {
    return this.filledBytes === this.frameBytes;
  }

  /** Memory that it holds. */
  get heldBytes(): number {
    return this.#piecesBytes + this.#room.length;
  }

  /** Takes what belongs to the frame of `bytes[start .. end)`, which must stay as it is; returns where the rest begins. */
  add(bytes: Uint8Array, start: number, end: number): number {
    const taken = Math.min(this.frameBytes - this.filledBytes, end - start);
    this.keepsLast = taken >= FRAME_PART_KEPT_BYTES_MIN && this.frameBytes > FRAME_ASSEMBLY_BYTES_MIN;
    if (this.keepsLast) {
      this.#seal();
      this.#keep(bytes.subarray(start, start + taken));
    } else this.#copy(bytes, start, start + taken);
    return start + taken;
  }

  /** All of it, in order; several only of a long frame. */
  pieces(): readonly Uint8Array[] {
    this.#seal();
    return this.#pieces;
  }

  #copy(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      if (this.#roomFilled === this.#room.length) {
        this.#seal();
        this.#room = Buffer.allocUnsafe(Math.min(this.frameBytes - this.#piecesBytes, FRAME_ASSEMBLY_BYTES_MIN));
      }
      const taken = Math.min(end - at, this.#room.length - this.#roomFilled);
      this.#room.set(bytes.subarray(at, at + taken), this.#roomFilled);
      this.#roomFilled += taken;
      at += taken;
    }
  }

  /** What is in the room becomes a piece; the rest of it is for what comes. */
  #seal(): void {
    if (this.#roomFilled === 0) return;
    this.#keep(this.#room.subarray(0, this.#roomFilled));
    this.#room = this.#room.subarray(this.#roomFilled);
    this.#roomFilled = 0;
  }

  #keep(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#piecesBytes += piece.length;
  }
}
