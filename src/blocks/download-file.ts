/**
 * A block that is received into a file: written piece by piece, then read like any other buffer.
 *
 *     new ──openForWriting──▶ written ──closeAndRead──▶ read ──last release──▶ deleted
 *      └──────────────────────────┴──────────── delete ───────────────────────────▲
 *
 * The file is made when it is opened, exclusively and for its owner only: what lies there already is somebody else's.
 */
import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { RpcError } from "../common/errors.js";
import { messageOf } from "../network/failure-text.js";
import { FileSegmentManagedBuffer } from "../network/file-segment-managed-buffer.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import { isSystemError } from "./system-error.js";

/** Where a block is received to. */
export interface DownloadFile {
  readonly path: string;
  /** Once. Rejects with ERR_RPC_STREAM and the system's error as its cause. */
  openForWriting(): Promise<DownloadFileWritableChannel>;
  /** Closes and deletes it, whatever state it is in. False: there was none. Rejects with ERR_RPC_STREAM. */
  delete(): Promise<boolean>;
}

export interface DownloadFileWritableChannel {
  readonly isOpen: boolean;
  /**
   * One at a time; `bytes` must not change before it resolves.
   * Rejects with ERR_RPC_STREAM and the system's error as its cause, for instance of a disk that is full.
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Closes it. The buffer has one owner, the caller; the last one's release deletes the file.
   * Rejects with ERR_RPC_STREAM, also when the file was deleted before.
   */
  closeAndRead(): Promise<ManagedBuffer>;
  /** Without an effect when it is closed already. */
  close(): Promise<void>;
}

const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
const MODE = 0o600;

export class SimpleDownloadFile implements DownloadFile {
  readonly path: string;
  readonly #onDeleted: () => void;
  #channel: Promise<FileChannel> | null = null;
  #deleting: Promise<boolean> | null = null;

  /**
   * @param path Of a file that is not there yet; its directory is.
   * @param onDeleted Called when it is gone and its descriptor closed.
   */
  constructor(path: string, onDeleted: () => void = () => {}) {
    this.path = path;
    this.#onDeleted = onDeleted;
  }

  async openForWriting(): Promise<DownloadFileWritableChannel> {
    if (this.#channel !== null || this.#deleting !== null) {
      throw new RpcError("ERR_RPC_STREAM", `a download file is opened once: ${this.path}`, { retryable: false });
    }
    this.#channel = open(this.path, FLAGS, MODE).then((file) => new FileChannel(this, file));
    return named(this, "opening", this.#channel);
  }

  /** It is deleted, or being so. */
  get isDeleted(): boolean {
    return this.#deleting !== null;
  }

  delete(): Promise<boolean> {
    this.#deleting ??= this.#delete().catch((error: unknown) => {
      // Whoever asks again tries again.
      this.#deleting = null;
      throw error;
    });
    return this.#deleting;
  }

  async #delete(): Promise<boolean> {
    // One that could not be opened is not ours: what lies there may be somebody else's.
    const channel = await this.#channel?.catch(() => null);
    if (channel != null) {
      // Whether all of it was written matters no more, and its descriptor is gone either way.
      await channel.close().catch(() => {});
      try {
        await unlink(this.path);
      } catch (error) {
        // Its directory's owner was quicker.
        if (!isSystemError(error, "ENOENT")) throw failure(this, "deleting", error);
      }
    }
    this.#onDeleted();
    return channel != null;
  }
}

class FileChannel implements DownloadFileWritableChannel {
  readonly #owner: SimpleDownloadFile;
  #file: FileHandle | null;
  #writtenBytes = 0;

  constructor(owner: SimpleDownloadFile, file: FileHandle) {
    this.#owner = owner;
    this.#file = file;
  }

  get isOpen(): boolean {
    return this.#file !== null;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file === null) throw new RpcError("ERR_RPC_STREAM", `a download file is closed: ${this.#owner.path}`);
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await named(this.#owner, "writing", file.write(bytes, at));
      at += bytesWritten;
    }
    this.#writtenBytes += bytes.length;
  }

  async closeAndRead(): Promise<ManagedBuffer> {
    await this.close();
    // Its directory's owner needs none any more, and has deleted it, or is about to.
    if (this.#owner.isDeleted) throw failure(this.#owner, "reading", new Error("it was deleted meanwhile"));
    return new DownloadedBuffer(this.#owner, this.#writtenBytes);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    if (file !== null) await named(this.#owner, "closing", file.close());
  }
}

/** A downloaded file, deleted with its last owner. */
class DownloadedBuffer extends FileSegmentManagedBuffer {
  readonly #file: SimpleDownloadFile;
  #owners = 1;

  constructor(file: SimpleDownloadFile, size: number) {
    super(file.path, 0, size, { followsLinks: false });
    this.#file = file;
  }

  override retain(): this {
    if (this.#owners === 0) throw this.failure(new Error("it was deleted with its last owner"));
    this.#owners++;
    return this;
  }

  override release(): this {
    if (this.#owners === 0) return this;
    this.#owners--;
    // A file that is gone already needs no deleting.
    if (this.#owners === 0) this.#file.delete().catch(() => {});
    return this;
  }
}

async function named<T>(file: DownloadFile, what: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    throw failure(file, what, error);
  }
}

function failure({ path }: DownloadFile, what: string, cause: unknown): RpcError {
  const text = `${what} a download file failed: ${path}: ${messageOf(cause)}`;
  return new RpcError("ERR_RPC_STREAM", text, { cause });
}
