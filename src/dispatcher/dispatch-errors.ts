/** Errors that the Dispatcher makes itself. Their texts name the value, the limit and what to do. */
import { RpcError } from "../common/errors.js";
import { SPILL_BYTES_PER_ENDPOINT_MAX, SPILL_MESSAGES_PER_ENDPOINT_MAX } from "../common/limits.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";

/** @param hint what the caller should know besides; may be empty. */
export function timedOut(endpoint: string, timeoutMs: number, maybeExecuted: boolean, hint = ""): RpcError {
  return new RpcError("ERR_RPC_TIMEOUT", `no reply of "${endpoint}" within ${timeoutMs} ms${hint}`, {
    endpoint,
    maybeExecuted,
  });
}

export function envStopped(endpoint: string): RpcError {
  return new RpcError("ERR_RPC_ENV_STOPPED", `"${endpoint}" is not available: the env is shut down`, { endpoint });
}

export function inboxFull({ name, budget }: HostedEndpoint): RpcError {
  const text =
    `the Inbox of "${name}" and the queue behind it are full: waitingMessages=${budget.messages}, ` +
    `waitingBytes=${budget.bytes}, messagesMax=${SPILL_MESSAGES_PER_ENDPOINT_MAX}, bytesMax=${SPILL_BYTES_PER_ENDPOINT_MAX}`;
  return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint: name });
}

export function tooManyAsks(endpoint: string, count: number): RpcError {
  const text = `the env has too many asks outstanding: count=${count}; await some of them first`;
  return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint });
}
