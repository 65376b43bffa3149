/**
 * Work in a directory that someone else may change meanwhile. Between looking at a path and using it, a part of it can become a
 * link to elsewhere, and what is removed then is removed there. On Linux a directory is therefore opened, without following a
 * link, and what was opened is asked for its path; names are then looked up in what is open. Elsewhere the path is looked at
 * right before.
 */
import { constants } from "node:fs";
import { open, readlink, realpath } from "node:fs/promises";
import { RpcError } from "../common/errors.js";

/**
 * Calls `work` with a path that stands for the directory until `work` has ended.
 * @param directory a real path.
 *
 * Rejects with ERR_RPC_FORBIDDEN where something else is there, with the system's error where nothing is, and as `work`.
 */
export async function inRealDirectory<T>(directory: string, work: (path: string) => Promise<T>): Promise<T> {
  if (process.platform !== "linux") {
    if ((await realpath(directory)) !== directory) throw elsewhere(directory);
    return work(directory);
  }
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const handle = await open(directory, flags).catch((error: NodeJS.ErrnoException) => {
    // What Linux says of a link where a directory is wanted.
    throw error.code === "ENOTDIR" || error.code === "ELOOP" ? elsewhere(directory) : error;
  });
  try {
    const path = `/proc/self/fd/${handle.fd}`;
    if ((await readlink(path)) !== directory) throw elsewhere(directory);
    return await work(path);
  } finally {
    await handle.close();
  }
}

function elsewhere(directory: string): RpcError {
  return new RpcError("ERR_RPC_FORBIDDEN", `${directory} is not what it was: a link leads out`);
}
