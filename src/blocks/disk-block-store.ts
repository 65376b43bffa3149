/**
 * DiskBlockStore: blocks as files, in Spark's layout: the hash of a block's id picks one of the directories and a subdirectory
 * of it, so that whoever knows the directories finds the file.
 *
 *     upload ──► <dir>/<sub>/.upload-<n> ──link──► <dir>/<sub>/<block id> ──► FileSegmentManagedBuffer
 *
 * A block is there as a whole or not at all, also after the process was killed: it is written under another name first, and
 * gets its own by `link`, which fails when somebody else was first. What an earlier life of the process left half written is
 * removed by `create`; so the directories belong to one store at a time.
 *
 * Nothing outside of the directories is read or written. Ids cannot name another directory (block-name.ts); a subdirectory or
 * a file that leads elsewhere by a symbolic link is not followed.
 */
import { link, lstat, mkdir, open, readdir, realpath, rm, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { checkOptions, type OptionKeys, shown } from "../common/check-options.js";
import { isRpcError, RpcError } from "../common/errors.js";
import type { StreamCallbackWithID } from "../network/callbacks.js";
import { asError, messageOf } from "../network/failure-text.js";
import { FileSegmentManagedBuffer } from "../network/file-segment-managed-buffer.js";
import { checkManagedBuffer, type ManagedBuffer } from "../network/managed-buffer.js";
import type { BlockDataManager } from "./block-data-manager.js";
import { checkBlockId } from "./block-name.js";
import { blockNotFound } from "./block-store-errors.js";
import { FileWriter } from "./file-writer.js";
import { hashedPlace } from "./shuffle-files.js";
import { isSystemError } from "./system-error.js";

export interface DiskBlockStoreOptions {
  /** One directory or several, on several disks. Made where they are not there. The order is part of the layout. */
  readonly dirs: string | readonly string[];
  /** 64 by default, as in Spark. It is part of the layout. */
  readonly subDirsPerLocalDir?: number;
  /** A block has reached the disk when it counts as stored, not only the system; false by default. */
  readonly sync?: boolean;
}

const OPTION_KEYS: OptionKeys<DiskBlockStoreOptions> = { dirs: true, subDirsPerLocalDir: true, sync: true };
const SUB_DIRS_DEFAULT = 64;
const SUB_DIRS_MAX = 65_536;
const UPLOAD_PREFIX = ".upload-";
const SUB_DIR = /^[\da-f]{2,4}$/;

export class DiskBlockStore implements BlockDataManager {
  readonly subDirsPerLocalDir: number;
  readonly #dirs: readonly string[];
  readonly #sync: boolean;
  #uploads = 0;

  private constructor(dirs: readonly string[], subDirsPerLocalDir: number, sync: boolean) {
    this.#dirs = dirs;
    this.subDirsPerLocalDir = subDirsPerLocalDir;
    this.#sync = sync;
  }

  /**
   * A store of these directories, with the blocks that are there.
   * Rejects with ERR_RPC_INVALID_ARGUMENT without a directory, for one named twice, for a number of subdirectories that is not
   * 1 to 65,536, and for a directory that cannot be made or read.
   */
  static async create(options: DiskBlockStoreOptions): Promise<DiskBlockStore> {
    checkOptions("DiskBlockStore.create", options, OPTION_KEYS);
    const { subDirsPerLocalDir = SUB_DIRS_DEFAULT, sync = false } = options;
    const given: readonly string[] = typeof options.dirs === "string" ? [options.dirs] : options.dirs;
    if (!Array.isArray(given)) throw invalid(`dirs must be a path or an array of paths: dirs=${shown(given)}`);
    if (typeof sync !== "boolean") throw invalid(`sync must be true or false: sync=${shown(sync)}`);
    if (!Number.isInteger(subDirsPerLocalDir) || subDirsPerLocalDir < 1 || subDirsPerLocalDir > SUB_DIRS_MAX) {
      throw invalid(`subDirsPerLocalDir must be 1 to ${SUB_DIRS_MAX}: subDirsPerLocalDir=${shown(subDirsPerLocalDir)}`);
    }
    if (given.length === 0) throw invalid("dirs must be one directory at least");
    const dirs: string[] = [];
    for (const dir of given) dirs.push(await openDirectory(dir));
    if (new Set(dirs).size < dirs.length) throw invalid(`dirs names a directory twice: dirs=${dirs.join(", ")}`);
    return new DiskBlockStore(dirs, subDirsPerLocalDir, sync);
  }

  async getLocalBlockData(blockId: string): Promise<ManagedBuffer> {
    const block = await this.#find(blockId);
    if (block === null) throw blockNotFound(blockId);
    return block;
  }

  async putBlockData(blockId: string, data: ManagedBuffer): Promise<boolean> {
    checkManagedBuffer("data", data);
    const found = await this.#find(blockId);
    if (found !== null) {
      // Whoever is storing it may not be that far.
      if (this.#sync) await syncDirectories(found.path);
      return true;
    }
    const upload = this.#upload(blockId);
    try {
      for await (const piece of data.createInputStream()) await upload.write(piece as Uint8Array);
      await upload.keep();
    } catch (error) {
      await upload.giveUp();
      throw isRpcError(error) ? error : failed("writing", blockId, error);
    }
    return true;
  }

  putBlockDataAsStream(blockId: string): StreamCallbackWithID {
    const upload = this.#upload(blockId);
    let failure: Error | null = null;
    return {
      getID: () => blockId,
      onData: async (_streamId, bytes) => {
        // What cannot be written is thrown away: the connection carries other things, too, and has done no wrong.
        if (failure !== null) return;
        try {
          await upload.write(bytes);
        } catch (error) {
          failure = asError(error);
          await upload.giveUp();
        }
      },
      onComplete: async () => {
        try {
          if (failure !== null) throw failure;
          await upload.keep();
        } catch (error) {
          await upload.giveUp();
          throw failed("writing", blockId, error);
        }
      },
      onFailure: () => upload.giveUp(),
    };
  }

  /** As they are in reality: links in them are resolved. */
  getLocalDiskDirs(): readonly string[] {
    return this.#dirs;
  }

  /** Whoever is reading one of them reads it to its end, except on Windows, where it stays until then. */
  async removeBlocks(blockIds: readonly string[]): Promise<number> {
    let count = 0;
    for (const blockId of blockIds) {
      const block = await this.#find(blockId);
      if (block === null) continue;
      if (await unlinked(block.path)) count++;
    }
    return count;
  }

  async #find(blockId: string): Promise<FileSegmentManagedBuffer | null> {
    const path = this.#pathOf(blockId);
    try {
      // The store's own directories are real ones, so that a path that is another one in reality leads elsewhere.
      const [status, real] = await Promise.all([lstat(path), realpath(path)]);
      if (!status.isFile() || real !== path) return null;
      return new FileSegmentManagedBuffer(path, 0, status.size, { followsLinks: false });
    } catch (error) {
      if (isSystemError(error, "ENOENT")) return null;
      throw failed("reading", blockId, error);
    }
  }

  #pathOf(blockId: string): string {
    const { localDir, subDir } = hashedPlace(this.#dirs, this.subDirsPerLocalDir, checkBlockId(blockId));
    return join(localDir, subDir, blockId);
  }

  #upload(blockId: string): Upload {
    const path = this.#pathOf(blockId);
    const { localDir, subDir } = hashedPlace(this.#dirs, this.subDirsPerLocalDir, blockId);
    const directory = join(localDir, subDir);
    const temporary = join(directory, `${UPLOAD_PREFIX}${process.pid}-${this.#uploads++}`);
    return new Upload(() => makeSubDirectory(directory), temporary, path, this.#sync);
  }
}

/** A block that is being written. keep → it is there; giveUp, at any time → nothing of it is left. */
class Upload {
  readonly #prepare: () => Promise<void>;
  readonly #temporary: string;
  readonly #path: string;
  readonly #sync: boolean;
  #writer: FileWriter | null = null;
  #opening: Promise<FileWriter> | null = null;

  constructor(prepare: () => Promise<void>, temporary: string, path: string, sync: boolean) {
    this.#prepare = prepare;
    this.#temporary = temporary;
    this.#path = path;
    this.#sync = sync;
  }

  write(bytes: Uint8Array): void | Promise<void> {
    return this.#writer !== null ? this.#writer.write(bytes) : this.#open().then((writer) => writer.write(bytes));
  }

  async keep(): Promise<void> {
    const writer = await this.#open();
    await writer.close(this.#sync);
    await link(this.#temporary, this.#path).catch((error: unknown) => {
      // Somebody else was first, and a block does not change.
      if (!isSystemError(error, "EEXIST")) throw error;
    });
    if (this.#sync) await syncDirectories(this.#path);
    await rm(this.#temporary, { force: true });
  }

  async giveUp(): Promise<void> {
    const writer = await this.#opening?.catch(() => null);
    await writer?.discard();
  }

  #open(): Promise<FileWriter> {
    this.#opening ??= this.#prepare().then(() => {
      this.#writer = new FileWriter(this.#temporary);
      return this.#writer;
    });
    return this.#opening;
  }
}

async function openDirectory(dir: string): Promise<string> {
  if (typeof dir !== "string" || dir === "") throw invalid(`a directory must be a path: got ${JSON.stringify(dir)}`);
  try {
    await mkdir(resolve(dir), { recursive: true, mode: 0o700 });
    const real = await realpath(dir);
    for (const entry of await readdir(real, { withFileTypes: true })) {
      if (entry.isDirectory() && SUB_DIR.test(entry.name)) await removeLeftovers(join(real, entry.name));
    }
    return real;
  } catch (error) {
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `cannot keep blocks in ${dir}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function makeSubDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (!isSystemError(error, "EEXIST")) throw error;
  });
  if ((await realpath(directory)) !== directory) throw new Error(`${directory} leads out of the store`);
}

async function removeLeftovers(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isFile() && entry.name.startsWith(UPLOAD_PREFIX)) await rm(join(directory, entry.name), { force: true });
  }
}

function failed(doing: string, blockId: string, error: unknown): RpcError {
  return new RpcError("ERR_RPC_STREAM", `Error in ${doing} block ${blockId}: ${messageOf(error)}`, { cause: error });
}

/** A file's name reaches the disk with its directory, and a new directory's with the one above. Windows syncs no directories. */
async function syncDirectories(path: string): Promise<void> {
  if (process.platform === "win32") return;
  for (const directory of [dirname(path), dirname(dirname(path))]) {
    const handle = await open(directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** False: somebody else was quicker. */
async function unlinked(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return false;
    throw error;
  }
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
