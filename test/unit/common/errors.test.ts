/** Goal: an RpcError says what happened by its code, and is recognised wherever it was made. */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { isRpcError, isRpcErrorCode, RPC_ERROR_CODES, RpcError } from "../../../dist/src/common/errors.js";

describe("RpcError", () => {
  test("is an Error whose text and stack name it", () => {
    const error = new RpcError("ERR_RPC_TIMEOUT", "no answer");
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toBe("RpcError: no answer");
    expect(error.stack).toMatch(/^RpcError: no answer\n {4}at /);
  });

  test("carries only what it was given", () => {
    const bare = new RpcError("ERR_RPC_TIMEOUT", "no answer");
    expect(Object.keys(bare)).toEqual(["code", "retryable", "maybeExecuted"]);
    expect("cause" in bare).toBe(false);
    const address = { host: "a", port: 1 };
    const remote = { name: "E", message: "m", fields: {} };
    const full = new RpcError("ERR_RPC_HANDLER", "failed", { cause: 0, endpoint: "e", address, remote });
    expect(full).toMatchObject({ cause: 0, endpoint: "e", address, remote });
  });

  test("keeps a cause that is undefined", () => {
    expect(Object.hasOwn(new RpcError("ERR_RPC_HANDLER", "x", { cause: undefined }), "cause")).toBe(true);
  });

  test("has the retry advice of its code, unless it is told better", () => {
    expect(new RpcError("ERR_RPC_INBOX_FULL", "")).toMatchObject({ retryable: true, maybeExecuted: false });
    expect(new RpcError("ERR_RPC_WORKER_CRASHED", "")).toMatchObject({ retryable: true, maybeExecuted: true });
    expect(new RpcError("ERR_RPC_HANDLER", "")).toMatchObject({ retryable: false, maybeExecuted: true });
    const never = new RpcError("ERR_RPC_TIMEOUT", "", { maybeExecuted: false, retryable: false });
    expect(never).toMatchObject({ retryable: false, maybeExecuted: false });
  });

  test("is printed with its code", () => {
    expect(inspect(new RpcError("ERR_RPC_TIMEOUT", "no answer"))).toContain("code: 'ERR_RPC_TIMEOUT'");
  });

  test.each(RPC_ERROR_CODES)("%s makes an error", (code) => {
    expect(new RpcError(code, "").code).toBe(code);
  });
});

describe("isRpcError", () => {
  const error: unknown = new RpcError("ERR_RPC_TIMEOUT", "");

  test("asks for any code, or for one of some", () => {
    expect(isRpcError(error)).toBe(true);
    expect(isRpcError(error, "ERR_RPC_TIMEOUT")).toBe(true);
    expect(isRpcError(error, "ERR_RPC_HANDLER", "ERR_RPC_TIMEOUT")).toBe(true);
    expect(isRpcError(error, "ERR_RPC_HANDLER")).toBe(false);
  });

  test("recognises an error of another copy of the package", async () => {
    const url = new URL("../../../dist/src/common/errors.js?another-copy", import.meta.url).href;
    const other = (await import(url)) as typeof import("../../../dist/src/common/errors.js");
    const foreign = new other.RpcError("ERR_RPC_TIMEOUT", "");
    expect(foreign).not.toBeInstanceOf(RpcError);
    expect(isRpcError(foreign, "ERR_RPC_TIMEOUT")).toBe(true);
  });

  test.each([null, undefined, "ERR_RPC_TIMEOUT", new Error("x"), { code: "ERR_RPC_TIMEOUT" }, () => {}])(
    "is false for %s",
    (value) => expect(isRpcError(value)).toBe(false),
  );
});

test("a code is known by its name, and nothing inherited is one", () => {
  expect(isRpcErrorCode("ERR_RPC_BIND")).toBe(true);
  for (const other of ["ERR_RPC_NOTHING", "toString", "", 5, null]) expect(isRpcErrorCode(other)).toBe(false);
});
