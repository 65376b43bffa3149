/**
 * DownloadFileManager: makes the files that blocks are received into, and knows which of them are left when its owner needs
 * none any more.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { RpcError } from "../common/errors.js";
import { type DownloadFile, SimpleDownloadFile } from "./download-file.js";

export interface DownloadFileManager {
  /** A file for one block; it is made when it is opened. */
  createTempFile(): DownloadFile;
  /**
   * A file that was handed to a listener: the manager deletes it in the end if nobody did before.
   * False: it does not; whoever asks deletes it.
   */
  registerTempFileToClean(file: DownloadFile): boolean;
}

/** Files of one directory, which is the caller's: it must be there, and stays when all files are gone. */
export class DirectoryDownloadFileManager implements DownloadFileManager, AsyncDisposable {
  readonly #directory: string;
  readonly #files = new Set<DownloadFile>();
  #isClosed = false;

  /** @param directory Where they are made. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Throws ERR_RPC_STREAM after `close`. */
  createTempFile(): DownloadFile {
    if (this.#isClosed) {
      const text = `no more files are received into ${this.#directory}: its manager is closed`;
      throw new RpcError("ERR_RPC_STREAM", text, { retryable: false });
    }
    const path = join(this.#directory, `ringpost-download-${randomUUID()}`);
    const file = new SimpleDownloadFile(path, () => this.#files.delete(file));
    this.#files.add(file);
    return file;
  }

  registerTempFileToClean(file: DownloadFile): boolean {
    if (!this.#isClosed) this.#files.add(file);
    return !this.#isClosed;
  }

  /**
   * Deletes the files that are left, also those that somebody still owns and those that are being received, whose downloads
   * fail; no more are made.
   * Rejects with ERR_RPC_STREAM of the first that could not be deleted, after all were tried.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    const results = await Promise.allSettled([...this.#files].map((file) => file.delete()));
    this.#files.clear();
    for (const result of results) {
      if (result.status === "rejected") throw result.reason;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
