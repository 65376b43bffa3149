/**
 * LocalDirs: the local directories that an executor registered, and nothing outside of them.
 *
 * The path of a block comes from a name that was parsed, so it cannot lead out of its directory by itself; a link could. So
 * every path is resolved before it is used: the subdirectory has to be where it seems to be, below the real directory, and the
 * file is opened or removed without following a link in its last part. The real directory itself is looked up once, when the
 * executor registers or the service starts, and is then what counts: a link that takes its place later leads nowhere. What is not
 * there at a start is looked up again when it is wanted.
 */
import { readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve, sep } from "node:path";
import { SHUFFLE_LOCAL_DIR_BYTES_MAX, SHUFFLE_LOCAL_DIRS_MAX, SHUFFLE_SUB_DIRS_MAX } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";
import { messageOf } from "../network/failure-text.js";
import { hashedPlace } from "./shuffle-files.js";

/** Claims a directory, now that it is known where it really is. @returns That again. Throws if it may not be used. */
export type AdmitDirectory = (localDir: string, realDir: string) => string;

export class LocalDirs {
  readonly localDirs: readonly string[];
  readonly subDirsPerLocalDir: number;
  readonly #admit: AdmitDirectory;
  readonly #realDirs = new Map<string, string>();

  /** Throws ERR_RPC_INVALID_ARGUMENT for directories that no executor has. */
  constructor(localDirs: readonly string[], subDirsPerLocalDir: number, admit: AdmitDirectory) {
    checkLayout(localDirs, subDirsPerLocalDir);
    this.localDirs = localDirs;
    this.subDirsPerLocalDir = subDirsPerLocalDir;
    this.#admit = admit;
  }

  /** Looks all of them up. Rejects with ERR_RPC_INVALID_ARGUMENT for one that is not there or no directory, and as `admit`. */
  async resolve(): Promise<void> {
    for (const localDir of this.localDirs) {
      try {
        const status = await stat(await this.realDirOf(localDir));
        if (!status.isDirectory()) throw invalid(`a local directory is a directory: ${localDir} is something else`);
      } catch (error) {
        if (error instanceof RpcError && error.code !== "ERR_RPC_STREAM") throw error;
        throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `a local directory cannot be used: ${messageOf(error)}`);
      }
    }
  }

  /**
   * Claims all of them, at a start, so that nobody else does: each by itself, and one that is not there by where it would be. What
   * is refused now is refused again when it is wanted.
   */
  async claim(): Promise<void> {
    for (const localDir of this.localDirs) {
      try {
        await this.realDirOf(localDir);
      } catch {
        await placeOf(localDir)
          .then((place) => this.#admit(localDir, place))
          .catch(() => {});
      }
    }
  }

  /** Where a local directory really is. Rejects with ERR_RPC_STREAM where there is none, and as `admit`. */
  async realDirOf(localDir: string): Promise<string> {
    const known = this.#realDirs.get(localDir);
    if (known !== undefined) return known;
    const realDir = this.#admit(localDir, await real(localDir));
    this.#realDirs.set(localDir, realDir);
    return realDir;
  }

  /**
   * The path of a file of that name, real up to its last part, whether or not there is such a file. Open it as a real path
   * (open-real-file.ts): what was looked at may have changed by then.
   *
   * Rejects with ERR_RPC_STREAM, "Failed to open file: …", where its directory is not there, and with ERR_RPC_FORBIDDEN where that
   * is somewhere else.
   */
  async pathOf(filename: string): Promise<string> {
    const { localDir, subDir } = hashedPlace(this.localDirs, this.subDirsPerLocalDir, filename);
    const directory = join(await this.realDirOf(localDir), subDir);
    const realDirectory = await real(directory, filename);
    if (realDirectory === directory) return join(directory, filename);
    throw new RpcError(
      "ERR_RPC_FORBIDDEN",
      `${join(directory, filename)} is not in its local directory: a link leads out`,
    );
  }
}

/** True for a path that lies below a directory, and is not the directory. Both are real paths. */
export function isBelow(directory: string, path: string): boolean {
  const prefix = directory.endsWith(sep) ? directory : directory + sep;
  return path.length > prefix.length && path.startsWith(prefix);
}

/** Links that are followed in one path: as many as Linux follows. */
const LINKS_MAX = 40;

/** Where a path leads, also if nothing is there: links are followed, and what is missing is taken as it stands. */
async function placeOf(path: string, linksMax = LINKS_MAX): Promise<string> {
  const known = await realpath(path).catch(() => null);
  if (known !== null) return known;
  const parent = dirname(path);
  if (parent === path) return path;
  const realParent = await placeOf(parent, linksMax);
  const place = join(realParent, basename(path));
  const target = linksMax === 0 ? null : await readlink(place).catch(() => null);
  return target === null ? place : placeOf(resolve(realParent, target), linksMax - 1);
}

async function real(path: string, filename?: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const wanted = filename === undefined ? path : join(path, filename);
    throw new RpcError("ERR_RPC_STREAM", `Failed to open file: ${wanted}: ${messageOf(error)}`, { cause: error });
  }
}

function checkLayout(localDirs: readonly string[], subDirsPerLocalDir: number): void {
  if (localDirs.length > SHUFFLE_LOCAL_DIRS_MAX) {
    throw invalid(`too many local directories: count=${localDirs.length}, max=${SHUFFLE_LOCAL_DIRS_MAX}`);
  }
  for (const dir of localDirs) {
    const bytes = Buffer.byteLength(dir);
    if (bytes > SHUFFLE_LOCAL_DIR_BYTES_MAX) {
      throw invalid(`a local directory's path is too long: bytes=${bytes}, max=${SHUFFLE_LOCAL_DIR_BYTES_MAX}`);
    }
    if (!isAbsolute(dir) || dir.includes("\0")) {
      throw invalid(`a local directory is an absolute path: localDir=${JSON.stringify(dir)}`);
    }
  }
  // Without directories there is nothing to divide, and Spark's own tests register an executor that has none.
  const min = localDirs.length === 0 ? 0 : 1;
  if (subDirsPerLocalDir < min || subDirsPerLocalDir > SHUFFLE_SUB_DIRS_MAX) {
    throw invalid(`subDirsPerLocalDir must be ${min} to ${SHUFFLE_SUB_DIRS_MAX}: got ${subDirsPerLocalDir}`);
  }
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
