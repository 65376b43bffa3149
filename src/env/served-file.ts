/**
 * ServedFile: a file that a peer has asked for by name, looked up and opened when its turn to be sent has come. Nothing
 * here blocks the main thread, and a request that waits holds no descriptor.
 *
 * What is opened lies where it was meant to lie, whatever the name says and whoever changes the tree meanwhile:
 * 1. the real path, without any symbolic link, must be inside of the real root, or the very file that was registered;
 * 2. that path is opened, not the one that was asked for, and not if its last part has become a link;
 * 3. where the opened file really lies must be that path: a folder on the way may have been exchanged.
 * A name that leads anywhere else is not found, and whoever asks cannot tell the difference.
 */
import { type FileHandle, lstat, readlink, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import type { Readable } from "node:stream";
import { RpcError } from "../common/errors.js";
import { FileSegmentManagedBuffer } from "../network/file-segment-managed-buffer.js";
import type { ManagedBuffer, MessageBody } from "../network/managed-buffer.js";

/** What the operating system says of a name that is nobody's file. */
const NOT_FOUND: ReadonlySet<unknown> = new Set([
  "EACCES",
  "EINVAL",
  "ELOOP",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTDIR",
  "EPERM",
  "ERR_INVALID_ARG_VALUE",
]);

export class ServedFile implements ManagedBuffer {
  readonly #streamId: string;
  readonly #root: string;
  readonly #name: string | null;
  #size = 0;

  /**
   * @param root A real path: of the folder below which `name` is looked up, or of the file itself, where `name` is null.
   */
  constructor(streamId: string, root: string, name: string | null) {
    this.#streamId = streamId;
    this.#root = root;
    this.#name = name;
  }

  /** Bytes; 0 before the file was opened. */
  get size(): number {
    return this.#size;
  }

  /** Rejects as `toBody`. */
  async bytes(): Promise<Uint8Array> {
    return (await this.locate()).bytes();
  }

  /** Not offered: a file that is asked for by name is sent, and not read here. */
  createInputStream(): Readable {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", "a served file is not read on the side that serves it");
  }

  /** Rejects with ERR_RPC_STREAM: there is no regular file of that name, or it cannot be opened. */
  async toBody(): Promise<MessageBody> {
    try {
      const file = await this.locate();
      const body = await file.toBody();
      this.#size = file.size;
      return body;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Looks the file up: what it resolves to opens that file and no other. Rejects with what the system says. */
  async locate(): Promise<FileSegmentManagedBuffer> {
    const name = this.#name;
    const path = await realpath(name === null ? this.#root : join(this.#root, name));
    const isInside = name === null ? path === this.#root : path.startsWith(withSeparator(this.#root));
    if (!isInside) throw nowhere();
    const stats = await lstat(path);
    if (!stats.isFile()) throw nowhere();
    return new FileSegmentManagedBuffer(path, 0, stats.size, {
      followsLinks: false,
      checkOpened: async (file) => {
        if ((await placeOf(file, path)) !== path) throw nowhere();
      },
    });
  }

  retain(): this {
    return this;
  }

  release(): this {
    return this;
  }

  #failure(error: unknown): RpcError {
    const cause = error instanceof RpcError && error.cause !== undefined ? error.cause : error;
    const code = (cause as NodeJS.ErrnoException).code;
    const isMissing = NOT_FOUND.has(code);
    // The system's text names the path, which is nobody's business elsewhere.
    const text = isMissing ? "was not found." : `could not be opened: ${code ?? "it changed while it was opened"}`;
    return new RpcError("ERR_RPC_STREAM", `Stream '${this.#streamId}' ${text}`, { cause, retryable: !isMissing });
  }
}

/** A name leads to what is not served. */
function nowhere(): Error {
  return Object.assign(new Error("it is not served"), { code: "ENOENT" });
}

function withSeparator(path: string): string {
  return path.endsWith(sep) ? path : path + sep;
}

/** Where an opened file really lies. */
async function placeOf(file: FileHandle, path: string): Promise<string> {
  try {
    return await readlink(`/proc/self/fd/${file.fd}`);
  } catch {
    // Not Linux: the next best is to look once more where the path leads now.
    return realpath(path);
  }
}
