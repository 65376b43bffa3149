/**
 * Failures on their way to the asker: [code, text, cause, maybeExecuted, retryable], encoded like any message. Steps 7 and 8 of the data flow.
 */
import { isRpcError, isRpcErrorCode, RpcError, type RpcErrorCode, type RpcRemoteError } from "../common/errors.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { RpcAddress } from "../rpc/rpc-address.js";

/** Codes that a handler throws on purpose to tell its caller; any other error is the handler's own. */
const PASSED_THROUGH: readonly RpcErrorCode[] = [
  "ERR_RPC_UNSUPPORTED_MESSAGE",
  "ERR_RPC_NO_SUCH_METHOD",
  "ERR_RPC_NO_REPLY",
  "ERR_RPC_ENDPOINT_START",
];

/** `maybeExecuted` and `retryable` where they are not what the code says by default. */
export type Failure = readonly [
  code: RpcErrorCode,
  text: string,
  cause: unknown,
  maybeExecuted?: boolean,
  retryable?: boolean,
];

/** An ask fails: its handler threw, or what it answered cannot travel. */
export function answerFailure(endpoint: string, error: unknown): Failure {
  // One that names an endpoint is the failure of an ask that the handler made, and so is a message of its own that is too large.
  const isEngineError =
    error instanceof RpcError &&
    error.endpoint === undefined &&
    (error.code === "ERR_RPC_SERIALIZATION" || (error.code === "ERR_RPC_MESSAGE_TOO_LARGE" && error.maybeExecuted));
  if (!isEngineError) return handlerFailure(endpoint, error);
  return [error.code, `"${endpoint}": ${error.message}`, null, error.maybeExecuted];
}

/** Encodes an answer into the codec's scratch. What the codec throws then says that a handler may have run: it made the answer. */
export function encodeAnswer(codec: MessageCodec, answer: unknown): void {
  try {
    codec.encode(answer, undefined, "answer");
  } catch (error) {
    if (!isRpcError(error, "ERR_RPC_SERIALIZATION", "ERR_RPC_MESSAGE_TOO_LARGE")) throw error;
    throw new RpcError(error.code, error.message, { cause: error.cause, maybeExecuted: true });
  }
}

/** What the asker is told of `error`, which a handler of `endpoint` threw. */
export function handlerFailure(endpoint: string, error: unknown): Failure {
  // One that names an endpoint came from what the handler asked in turn: to its caller that is the handler's failure.
  if (isRpcError(error, ...PASSED_THROUGH) && error.endpoint === undefined)
    return [error.code, error.message, error.cause];
  return ["ERR_RPC_HANDLER", `handler of "${endpoint}" failed: ${describeThrown(error)}`, error];
}

/** Encodes a failure into the codec's scratch; a cause that cannot travel is replaced by what can be said of it. */
export function encodeFailure(codec: MessageCodec, failure: Failure): void {
  try {
    codec.encode(failure);
  } catch {
    const [code, text, cause, ...rest] = failure;
    codec.encode([code, text, cause instanceof Error ? plainError(cause) : describeThrown(cause), ...rest]);
  }
}

/** One line for whatever a handler threw: it may have no prototype, or getters that throw. */
export function describeThrown(thrown: unknown): string {
  try {
    return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  } catch {
    return "a value that cannot be described";
  }
}

function plainError(error: Error): Error {
  try {
    const plain = new Error(String(error.message));
    plain.name = String(error.name);
    if (typeof error.stack === "string") plain.stack = error.stack;
    return plain;
  } catch {
    return new Error(describeThrown(error));
  }
}

/**
 * The error that the asker sees. What was decoded may come from another node, where anybody may have written it.
 * @param address Where the endpoint is, if it is on another node.
 */
export function failureToError(endpoint: string, decoded: unknown, address?: RpcAddress): RpcError {
  const [code, text, cause, ...flags]: readonly unknown[] = Array.isArray(decoded) ? decoded : [];
  if (!isRpcErrorCode(code) || typeof text !== "string") {
    const unreadable = `the failure of an ask of "${endpoint}" cannot be read`;
    return new RpcError("ERR_RPC_SERIALIZATION", unreadable, { endpoint, address, maybeExecuted: true });
  }
  // What is no flag came from somewhere else.
  const [maybeExecuted, retryable] = flags.map((flag) => (typeof flag === "boolean" ? flag : undefined));
  const options = {
    endpoint,
    address,
    maybeExecuted,
    retryable,
    ...(cause === undefined || cause === null ? {} : { cause }),
  };
  if (code !== "ERR_RPC_HANDLER") return new RpcError(code, text, options);
  return new RpcError(code, text, { ...options, cause, remote: remoteSummary(cause) });
}

/** The answer has come, and cannot be read: what it answers may have run. */
export function unreadableAnswer(error: unknown, endpoint: string, address?: RpcAddress): RpcError {
  const { code, message, cause } = isRpcError(error) ? error : notDecoded(error);
  const options = { endpoint, address, maybeExecuted: true, cause };
  return new RpcError(code, `the answer of "${endpoint}": ${message}`, options);
}

/** There may have been no memory for it. */
function notDecoded(cause: unknown): RpcError {
  return new RpcError("ERR_RPC_SERIALIZATION", `a message cannot be read: ${describeThrown(cause)}`, { cause });
}

function remoteSummary(cause: unknown): RpcRemoteError {
  if (!(cause instanceof Error)) return { name: typeof cause, message: describeThrown(cause), fields: {} };
  const fields = Object.fromEntries(Object.entries(cause).filter(([key]) => key !== "code"));
  const code = (cause as { code?: unknown }).code;
  return {
    name: cause.name,
    message: cause.message,
    ...(cause.stack === undefined ? {} : { stack: cause.stack }),
    ...(typeof code === "string" ? { code } : {}),
    fields,
  };
}
