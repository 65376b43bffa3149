/** Goal: what is retried and logged is what Spark retries and logs. */
import { RpcError } from "ringpost";
import { BLOCK_FETCH_ERROR_HANDLER, isIoError, NOOP_ERROR_HANDLER, STALE_SHUFFLE_BLOCK_FETCH } from "ringpost/blocks";
import { describe, expect, test } from "vitest";

const STALE = new RpcError("ERR_RPC_STREAM", `Failure while fetching a chunk: ${STALE_SHUFFLE_BLOCK_FETCH}\n at Java`);
const STALE_CAUSE = new Error("fetch failed", { cause: new Error("why", { cause: STALE }) });
const OTHER = new Error("java.io.IOException: something else");

function circle(): Error {
  const error = new Error("one");
  error.cause = error;
  return error;
}

test("[net ErrorHandlerSuite.testErrorRetry] fetches of stale chunks are not retried, all else is", () => {
  expect([STALE, STALE_CAUSE, OTHER, circle()].map(BLOCK_FETCH_ERROR_HANDLER.shouldRetryError)).toEqual([
    false,
    false,
    true,
    true,
  ]);
  expect([STALE, OTHER].map(NOOP_ERROR_HANDLER.shouldRetryError)).toEqual([true, true]);
});

test("[net ErrorHandlerSuite.testErrorLogging] nor logged", () => {
  expect([STALE, STALE_CAUSE, OTHER].map(BLOCK_FETCH_ERROR_HANDLER.shouldLogError)).toEqual([false, false, true]);
  expect([STALE, OTHER].map(NOOP_ERROR_HANDLER.shouldLogError)).toEqual([true, true]);
});

describe("an I/O error", () => {
  const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", errno: -104, syscall: "read" });
  const full = Object.assign(new Error("write ENOSPC"), { code: "ENOSPC", errno: -28, syscall: "write" });

  test.each<[string, unknown]>([
    ["a peer that cannot be reached", new RpcError("ERR_RPC_CONNECT", "refused")],
    ["a connection that ended", new RpcError("ERR_RPC_CONNECTION_LOST", "closed")],
    ["the system's", reset],
    ["caused by the system's", new RpcError("ERR_RPC_STREAM", "writing a file failed", { cause: full })],
    [
      "caused by a connection that ended",
      new Error("fetch failed", { cause: new RpcError("ERR_RPC_CONNECTION_LOST", "") }),
    ],
  ])("is %s", (_what, error) => expect(isIoError(error)).toBe(true));

  test.each<[string, unknown]>([
    ["what a peer answers", new RpcError("ERR_RPC_STREAM", "java.io.IOException: no such file", { retryable: false })],
    ["a failure of a handler", new RpcError("ERR_RPC_HANDLER", "java.lang.RuntimeException")],
    ["a closed factory", new RpcError("ERR_RPC_CONNECT", "this factory is closed", { retryable: false })],
    ["a proof that failed on a reset connection", new RpcError("ERR_RPC_AUTH", "no", { cause: reset })],
    ["a broken answer", new RpcError("ERR_RPC_PROTOCOL", "Unknown message type: 42")],
    ["an error of a program", new TypeError("undefined is not a function")],
    ["an error of Node.js itself", Object.assign(new Error("bad"), { code: "ERR_INVALID_ARG_TYPE" })],
    ["a cause of a cause", new Error("a", { cause: new Error("b", { cause: reset }) })],
    ["no error", "ECONNRESET"],
    ["nothing", undefined],
  ])("is not %s", (_what, error) => expect(isIoError(error)).toBe(false));
});
