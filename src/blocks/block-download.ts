/**
 * BlockDownload: receives one block into a file. The file is opened when the first bytes come: thousands of blocks may be
 * waited for, and each would hold a descriptor.
 *
 * What the disk refuses fails this block at once; the rest of its bytes is read and thrown away, because the connection
 * belongs to others, too.
 */
import type { StreamCallback } from "../network/callbacks.js";
import { asError } from "../network/failure-text.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import type { DownloadFile, DownloadFileWritableChannel } from "./download-file.js";
import type { DownloadFileManager } from "./download-file-manager.js";

/** Exactly one of them is called, once. */
export interface BlockDownloadEnd {
  /** The buffer belongs to the download: whoever needs it after the call retains it. Then its last release deletes the file. */
  succeeded(buffer: ManagedBuffer): void;
  /** The file is gone when it is called. */
  failed(error: Error): void;
}

export class BlockDownload implements StreamCallback {
  readonly #files: DownloadFileManager;
  readonly #end: BlockDownloadEnd;
  #file: DownloadFile | null = null;
  #channel: DownloadFileWritableChannel | null = null;
  #isOver = false;
  /** Steps are done one after the other, whoever waits for them. */
  #lastStep: Promise<void> = Promise.resolve();

  constructor(files: DownloadFileManager, end: BlockDownloadEnd) {
    this.#files = files;
    this.#end = end;
  }

  /** Resolves when the bytes are with the operating system: only then may the next ones come. */
  onData(_streamId: string, bytes: Uint8Array): Promise<void> {
    return this.#then(async () => (await this.#opened()).write(bytes));
  }

  onComplete(): Promise<void> {
    return this.#then(async () => {
      const buffer = await (await this.#opened()).closeAndRead();
      const file = this.#file as DownloadFile;
      const isKept = this.#files.registerTempFileToClean(file);
      this.#isOver = true;
      try {
        this.#end.succeeded(buffer);
      } finally {
        buffer.release();
        // Nobody would ever delete it.
        if (!isKept) await file.delete();
      }
    });
  }

  onFailure(_streamId: string, error: Error): Promise<void> {
    return this.#then(() => Promise.reject(error));
  }

  async #opened(): Promise<DownloadFileWritableChannel> {
    if (this.#channel === null) {
      this.#file = this.#files.createTempFile();
      this.#channel = await this.#file.openForWriting();
    }
    return this.#channel;
  }

  #then(step: () => Promise<void>): Promise<void> {
    this.#lastStep = this.#lastStep.then(async () => {
      if (this.#isOver) return;
      try {
        await step();
      } catch (error) {
        await this.#fail(error);
      }
    });
    return this.#lastStep;
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    // That it cannot be deleted says less than why it is.
    await this.#file?.delete().catch(() => {});
    this.#end.failed(asError(error));
  }
}
