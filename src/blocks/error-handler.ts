/**
 * Which failures of a transfer are worth another attempt, and which are worth a line in the log. What Java calls an
 * IOException is: the peer cannot be reached, the connection ended, the operating system failed. What a peer answers is its
 * last word.
 */
import { isRpcError } from "../common/errors.js";
import { isSystemError } from "./system-error.js";

export interface ErrorHandler {
  /** Asked of I/O errors only: others are never retried. */
  shouldRetryError(error: Error): boolean;
  shouldLogError(error: Error): boolean;
}

/** Retries and logs whatever it is. */
export const NOOP_ERROR_HANDLER: ErrorHandler = {
  shouldRetryError: () => true,
  shouldLogError: () => true,
};

/** Spark's words, by which its peers know the failure. */
export const STALE_SHUFFLE_BLOCK_FETCH =
  "stale shuffle block fetch request as shuffle blocks of a higher shuffleMergeId for the shuffle is available";

/** For chunks of merged shuffle blocks: those of a merge that a later one has replaced will not come back. */
export const BLOCK_FETCH_ERROR_HANDLER: ErrorHandler = {
  shouldRetryError: (error) => !isStale(error),
  shouldLogError: (error) => !isStale(error),
};

/** How many causes of causes are looked at: they might go round in a circle. */
const CAUSES_MAX = 8;

/** Spark looks into the stack trace's text, where causes are printed, too. */
function isStale(error: Error): boolean {
  let at: unknown = error;
  for (let depth = 0; depth < CAUSES_MAX && at instanceof Error; depth++) {
    if (at.message.includes(STALE_SHUFFLE_BLOCK_FETCH)) return true;
    at = at.cause;
  }
  return false;
}

/**
 * ERR_RPC_CONNECT, ERR_RPC_CONNECTION_LOST, and errors of the operating system, as the error or as its cause; not those that
 * say `retryable: false`, as all that a peer answers does.
 */
export function isIoError(error: unknown): boolean {
  if (isRpcError(error) && !error.retryable) return false;
  return isIo(error) || (error instanceof Error && isIo(error.cause));
}

function isIo(error: unknown): boolean {
  return isRpcError(error, "ERR_RPC_CONNECT", "ERR_RPC_CONNECTION_LOST") || isSystemError(error);
}
