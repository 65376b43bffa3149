/** The ids that stores keep blocks under: each is also the name of a file, in a directory that it must not leave. */

import { BLOCK_ID_BYTES_MAX } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";

/**
 * Printable ASCII without blanks and without what a file system gives a meaning. A point at the beginning is for files that
 * are no blocks; names that differ in nothing but how Unicode writes them cannot come up.
 */
const NAME = /^(?!\.)[^\s/\\:*?"<>|]+$/;
const ASCII = /^[!-~]+$/;

/** Gives the id back. Throws ERR_RPC_INVALID_ARGUMENT for one that is empty, too long, or could not be a file's name. */
export function checkBlockId(blockId: string): string {
  if (typeof blockId !== "string" || blockId.length > BLOCK_ID_BYTES_MAX) {
    const length = typeof blockId === "string" ? `length=${blockId.length}` : `it is a ${typeof blockId}`;
    throw invalid(`a block's id must be text of at most ${BLOCK_ID_BYTES_MAX} characters: ${length}`);
  }
  if (NAME.test(blockId) && ASCII.test(blockId)) return blockId;
  throw invalid(
    "a block's id must be of printable ASCII, without blanks and any of / \\ : * ? \" < > |, and not begin with a point: " +
      `blockId=${JSON.stringify(blockId)}`,
  );
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
