/**
 * A failure as the text that the protocol carries. Spark sends a Java stack trace; its peers look into the first line, so
 * ours is one line of the same form: the Java class that means the same, and the message. No stack: it is nobody else's.
 */
import { isRpcError, RpcError, type RpcErrorCode } from "../common/errors.js";
import { REQUESTS_PER_CONNECTION_MAX, WRITE_QUEUE_BYTES_MAX } from "../common/limits.js";

const CLASSES: Partial<Record<RpcErrorCode, string>> = {
  ERR_RPC_FORBIDDEN: "java.lang.SecurityException",
  ERR_RPC_AUTH: "java.lang.SecurityException",
  ERR_RPC_STREAM: "java.lang.IllegalStateException",
  ERR_RPC_INVALID_ARGUMENT: "java.lang.IllegalArgumentException",
  ERR_RPC_PROTOCOL: "java.lang.IllegalArgumentException",
  ERR_RPC_UNSUPPORTED_MESSAGE: "java.lang.UnsupportedOperationException",
  ERR_RPC_CONNECT: "java.io.IOException",
  ERR_RPC_CONNECTION_LOST: "java.io.IOException",
};

/** @param error what was thrown, or the whole text. */
export function failureText(error: unknown): string {
  if (typeof error === "string") return error;
  const name = isRpcError(error) ? CLASSES[error.code] : undefined;
  return `${name ?? "java.lang.RuntimeException"}: ${messageOf(error)}`;
}

/** What a peer is told, and knows again, whose request was one too many: nothing else says that it may try later. */
const TOO_MANY_UNANSWERED = "too many requests of one connection are unanswered";

export function tooManyUnanswered(): RpcError {
  return new RpcError("ERR_RPC_INBOX_FULL", `${TOO_MANY_UNANSWERED}: max=${REQUESTS_PER_CONNECTION_MAX}`);
}

/** True for the failure of a request that its peer refused so. */
export function isTooManyUnanswered(error: Error): boolean {
  return isRpcError(error, "ERR_RPC_HANDLER") && error.message.includes(`: ${TOO_MANY_UNANSWERED}: `);
}

const NO_ROOM_FOR_ANSWER = "an answer finds no room";

/** An answer that is not sent: its request was handled, its peer has not read so many others. */
export function noRoomForAnswer(waitingBytes: number): RpcError {
  const text = `${NO_ROOM_FOR_ANSWER}: waitingBytes=${waitingBytes}, maxBytes=${WRITE_QUEUE_BYTES_MAX} of a connection`;
  return new RpcError("ERR_RPC_OUTBOX_FULL", text, { maybeExecuted: true });
}

/** True for the failure of a request whose peer had no room for the answer. */
export function isNoRoomForAnswer(error: Error): boolean {
  return isRpcError(error, "ERR_RPC_HANDLER") && error.message.includes(`: ${NO_ROOM_FOR_ANSWER}: `);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
