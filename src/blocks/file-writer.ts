/**
 * FileWriter: a new file that is written from beginning to end, with two pieces of memory: one is filled while the other one
 * is written. Whoever is faster than the disk waits.
 *
 * The file is made exclusively, for this user only, and it is gone again after `discard`.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { FILE_WRITE_BYTES } from "../common/block-limits.js";

const NOTHING = Buffer.alloc(0);

export class FileWriter {
  readonly path: string;
  readonly #file: Promise<FileHandle>;
  #filling: Buffer = NOTHING;
  #filled = 0;
  /** The other piece of memory. */
  #spare: Buffer = NOTHING;
  /** The one write that is under way, or the last one; it keeps its failure. */
  #writing: Promise<void>;
  #position = 0;

  /** Begins to open it; a failure to is told by the first call that waits. */
  constructor(path: string) {
    this.path = path;
    this.#file = open(path, "wx", 0o600);
    this.#writing = this.#file.then(() => {});
    this.#writing.catch(() => {});
  }

  /**
   * Takes the bytes: all of them, when it returns nothing or the promise has settled; until then they must not change.
   * Rejects with the system's error.
   */
  write(bytes: Uint8Array): void | Promise<void> {
    if (this.#filling.length - this.#filled < bytes.length) return this.#writeAll(bytes);
    this.#filling.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  /** Writes what is left and closes it. @param sync it has reached the disk, not only the system, when this resolves. */
  async close(sync = false): Promise<void> {
    if (this.#filled > 0) await this.#turn();
    await this.#writing;
    const file = await this.#file;
    if (sync) await file.sync();
    await file.close();
  }

  /** Closes and removes it. Never rejects: there is nothing more that could be done about it. */
  async discard(): Promise<void> {
    await this.#writing.catch(() => {});
    const file = await this.#file.catch(() => null);
    // A file that could not be opened exclusively is somebody else's.
    if (file === null) return;
    await file.close().catch(() => {});
    await rm(this.path, { force: true }).catch(() => {});
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#filled === this.#filling.length) await this.#turn();
      const end = Math.min(bytes.length, at + this.#filling.length - this.#filled);
      this.#filling.set(bytes.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
    }
  }

  /** Has written what is filled, once the write before it is done, and goes on with the other piece. */
  async #turn(): Promise<void> {
    await this.#writing;
    const full = this.#filling.subarray(0, this.#filled);
    const next = this.#spare.length > 0 ? this.#spare : Buffer.allocUnsafeSlow(FILE_WRITE_BYTES);
    this.#spare = this.#filling;
    this.#filling = next;
    this.#filled = 0;
    const position = this.#position;
    this.#position += full.length;
    this.#writing = this.#put(full, position);
    this.#writing.catch(() => {});
  }

  async #put(bytes: Uint8Array, position: number): Promise<void> {
    const file = await this.#file;
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
      written += bytesWritten;
    }
  }
}
