/**
 * Opens a file by its real path, and nothing else: a link in its last part is not followed, and one that has taken the place
 * of a directory before it since the path was found out is noticed, on Linux, by asking for the path of what was opened. A pipe
 * does not hold the caller up until somebody writes into it.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readlink } from "node:fs/promises";
import { RpcError } from "../common/errors.js";

const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Rejects with the system's error, and with ERR_RPC_FORBIDDEN for a file that is elsewhere. Whoever gets it closes it. */
export async function openRealFile(path: string): Promise<FileHandle> {
  const file = await open(path, FLAGS);
  try {
    await checkRealPath(file, path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Rejects with ERR_RPC_FORBIDDEN for an open file that is not where its path says. */
export async function checkRealPath(file: FileHandle, path: string): Promise<void> {
  if (process.platform !== "linux") return;
  const opened = await readlink(`/proc/self/fd/${file.fd}`);
  if (opened === path) return;
  throw new RpcError("ERR_RPC_FORBIDDEN", `a link leads to another file, or it was just removed: ${path}`);
}
