/**
 * Memory that is written or read into again and again, instead of being made and thrown away for each use. Kept for the whole
 * process: connections that are busy in turn share it.
 */
import {
  FILE_READS_KEPT,
  SOCKET_READ_BYTES,
  SOCKET_READS_KEPT,
  WRITE_BATCH_BYTES,
  WRITE_BATCHES_KEPT,
  WRITE_PIECE_BYTES,
} from "../common/limits.js";

export class KeptBuffers {
  readonly #bytes: number;
  readonly #countMax: number;
  readonly #kept: Buffer[] = [];

  /** @param countMax as many are kept while nobody uses them. */
  constructor(bytes: number, countMax: number) {
    this.#bytes = bytes;
    this.#countMax = countMax;
  }

  take(): Buffer {
    return this.#kept.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  /** Nobody looks at it any more. Who cannot say that lets it go instead. */
  giveBack(buffer: Buffer): void {
    if (this.#kept.length < this.#countMax) this.#kept.push(buffer);
  }
}

/**
 * The same for memory that may be much: the garbage collector may have it whenever it runs. What comes back without having been
 * taken here, or a second time, is somebody else's.
 */
export class WeaklyKeptBuffers {
  readonly #bytes: number;
  readonly #countMax: number;
  readonly #taken = new WeakSet<ArrayBufferLike>();
  #kept = new WeakRef<Buffer[]>([]);

  /** @param countMax as many are kept at the most while nobody uses them. */
  constructor(bytes: number, countMax: number) {
    this.#bytes = bytes;
    this.#countMax = countMax;
  }

  take(): Buffer {
    const buffer = this.#kept.deref()?.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
    this.#taken.add(buffer.buffer);
    return buffer;
  }

  /** Nobody looks at it any more. */
  giveBack(memory: ArrayBufferLike): void {
    if (!this.#taken.delete(memory)) return;
    let kept = this.#kept.deref();
    if (kept === undefined) {
      kept = [];
      this.#kept = new WeakRef(kept);
    }
    if (kept.length < this.#countMax) kept.push(Buffer.from(memory));
  }
}

/** For the small frames of a tick. */
export const writeBatches = new KeptBuffers(WRITE_BATCH_BYTES, WRITE_BATCHES_KEPT);

/** For what is read from files to be sent. */
export const fileReads = new KeptBuffers(WRITE_PIECE_BYTES, FILE_READS_KEPT);

/** For what dialled sockets read: chunks give theirs back. */
export const socketReads = new WeaklyKeptBuffers(SOCKET_READ_BYTES, SOCKET_READS_KEPT);
