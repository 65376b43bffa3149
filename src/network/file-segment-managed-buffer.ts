/**
 * FileSegmentManagedBuffer: a part of a file, opened when it is read or sent and not before, so that thousands of them may
 * wait. While it is sent, the next piece is read while the last one is written. A file that has become shorter is an error,
 * never padding.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import { BODY_PIECE_BYTES_MAX, WRITE_PIECE_BYTES } from "../common/limits.js";
import { messageOf } from "./failure-text.js";
import { fileReads } from "./kept-buffers.js";
import type { BodyReader, ManagedBuffer } from "./managed-buffer.js";

export interface FileSegmentOptions {
  /** False: a path whose last part is a symbolic link cannot be read. True by default. */
  readonly followsLinks?: boolean;
  /** Called with the file each time it was opened, before a byte of it is read. What it throws fails the reading. */
  readonly checkOpened?: (file: FileHandle) => Promise<void>;
}

const OPTION_KEYS: OptionKeys<FileSegmentOptions> = { followsLinks: true, checkOpened: true };

export class FileSegmentManagedBuffer implements ManagedBuffer {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
  readonly #flags: number;
  readonly #checkOpened: ((file: FileHandle) => Promise<void>) | undefined;

  /** @param size bytes of the file from `offset` on. */
  constructor(path: string, offset: number, size: number, options: FileSegmentOptions = {}) {
    checkOptions("FileSegmentManagedBuffer", options, OPTION_KEYS);
    const { followsLinks = true, checkOpened } = options;
    for (const [name, value] of Object.entries({ offset, size })) {
      if (Number.isSafeInteger(value) && value >= 0) continue;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `${name} of a file segment must be a whole number: got ${value}`);
    }
    this.path = path;
    this.offset = offset;
    this.size = size;
    // Windows knows no such flags, and lets only administrators make such links. Who does not trust a path does not wait for
    // the other end of a pipe either, which would hold one of the few threads that read files.
    const strict = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
    this.#flags = constants.O_RDONLY | (followsLinks ? 0 : strict);
    this.#checkOpened = checkOpened;
  }

  /** Rejects with ERR_RPC_STREAM for a file that is not there, cannot be read, or is too short. */
  async bytes(): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(this.size);
    let filled = 0;
    for await (const piece of this.#pieces(true)) {
      bytes.set(piece, filled);
      filled += piece.length;
    }
    return bytes;
  }

  /** Ends with the segment, or with the errors of `bytes`. */
  createInputStream(): Readable {
    return Readable.from(this.#pieces(false), { objectMode: false });
  }

  /** Rejects as `bytes` for what can be known before the first byte is read: that is soon enough to answer a failure. */
  async toBody(): Promise<BodyReader> {
    let file: FileHandle | null = null;
    try {
      file = await open(this.path, this.#flags);
      await this.#checkOpened?.(file);
      const stats = await file.stat();
      if (!stats.isFile()) throw new Error("it is no regular file");
      const { size } = stats;
      if (size < this.offset + this.size)
        throw new Error(`it ends before the segment does (actual file length ${size})`);
      return new FileSegmentReader(this, file);
    } catch (error) {
      void file?.close().catch(() => {});
      throw this.failure(error);
    }
  }

  retain(): this {
    return this;
  }

  release(): this {
    return this;
  }

  failure(error: unknown): RpcError {
    return new RpcError("ERR_RPC_STREAM", `Error in reading ${this}: ${messageOf(error)}`, { cause: error });
  }

  toString(): string {
    return `FileSegmentManagedBuffer[file=${this.path},offset=${this.offset},length=${this.size}]`;
  }

  /** @param recycles nobody looks at a piece any more when he asks for the next. */
  async *#pieces(recycles: boolean): AsyncGenerator<Uint8Array> {
    const reader = await this.toBody();
    // What nobody gives back is garbage, the more of it the longer its pieces.
    const bytesMax = recycles ? WRITE_PIECE_BYTES : BODY_PIECE_BYTES_MAX;
    try {
      let remaining = this.size;
      while (remaining > 0) {
        const piece = await reader.read(Math.min(bytesMax, remaining));
        if (piece === null) throw this.failure(new Error(`it ends ${remaining} bytes before the segment does`));
        remaining -= piece.length;
        yield piece;
        if (recycles) reader.recycle?.(piece);
      }
    } finally {
      reader.close();
    }
  }
}

class FileSegmentReader implements BodyReader {
  readonly #segment: FileSegmentManagedBuffer;
  readonly #file: FileHandle;
  #position: number;
  #ahead: Promise<Uint8Array | null> | null = null;
  #isClosed = false;
  /**
   * Kept memory by the view of it that was given out. A view of its own each time, so that a piece that is given back twice
   * means nothing the second time; weakly, because nobody has to give one back. What is cut in two never is.
   */
  readonly #lent = new WeakMap<Uint8Array, Buffer>();

  constructor(segment: FileSegmentManagedBuffer, file: FileHandle) {
    this.#segment = segment;
    this.#file = file;
    this.#position = segment.offset;
  }

  async read(bytesMax: number): Promise<Uint8Array | null> {
    let piece = await (this.#ahead ?? this.#next(bytesMax));
    // What was read ahead is given back by `close`.
    if (this.#isClosed) return null;
    // What was read ahead may be more than is wanted now.
    let rest: Uint8Array | null = null;
    if (piece !== null && piece.length > bytesMax) {
      rest = piece.subarray(bytesMax);
      piece = piece.subarray(0, bytesMax);
    }
    this.#ahead = rest !== null ? Promise.resolve(rest) : this.#next(bytesMax);
    // It is asked for later, or never.
    this.#ahead.catch(() => {});
    return piece;
  }

  recycle(piece: Uint8Array): void {
    const memory = this.#lent.get(piece);
    if (memory === undefined) return;
    this.#lent.delete(piece);
    fileReads.giveBack(memory);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const closeFile = (): void => void this.#file.close().catch(() => {});
    // A read that is under way keeps the descriptor until it is done.
    (this.#ahead ?? Promise.resolve(null)).then((piece) => {
      if (piece !== null) this.recycle(piece);
      closeFile();
    }, closeFile);
  }

  async #next(bytesMax: number): Promise<Uint8Array | null> {
    const end = this.#segment.offset + this.#segment.size;
    const wanted = Math.min(bytesMax, WRITE_PIECE_BYTES, end - this.#position);
    if (wanted <= 0 || this.#isClosed) return null;
    const position = this.#position;
    this.#position += wanted;
    const bytes = this.#memoryFor(wanted);
    let filled = 0;
    try {
      while (filled < wanted) {
        const { bytesRead } = await this.#file.read(bytes, filled, wanted - filled, position + filled);
        if (bytesRead === 0) throw new Error(`it ends ${wanted - filled} bytes before the segment's piece does`);
        filled += bytesRead;
      }
    } catch (error) {
      this.recycle(bytes);
      throw this.#segment.failure(error);
    }
    return bytes;
  }

  #memoryFor(byteCount: number): Buffer {
    if (byteCount < WRITE_PIECE_BYTES) return Buffer.allocUnsafeSlow(byteCount);
    const memory = fileReads.take();
    const view = memory.subarray();
    this.#lent.set(view, memory);
    return view;
  }
}
