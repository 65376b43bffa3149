/** Errors that the Dispatcher makes itself. Their texts name the value, the limit and what to do. */
import { RpcError, type RpcErrorCode } from "../common/errors.js";
import type { RpcTimeout } from "../common/rpc-conf.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";

/** Failures of one-way messages whose handler never ran. */
export const NEVER_RAN: readonly RpcErrorCode[] = ["ERR_RPC_NO_REPLY", "ERR_RPC_ENDPOINT_FAILED", "ERR_RPC_INBOX_FULL"];

/** @param hint what the caller should know besides; may be empty. */
export function timedOut(endpoint: string, timeout: RpcTimeout, maybeExecuted: boolean, hint = ""): RpcError {
  const text = `no reply of "${endpoint}" within ${timeout.ms} ms${hint}. ${controlledBy(timeout)}`;
  return new RpcError("ERR_RPC_TIMEOUT", text, { endpoint, maybeExecuted });
}

export function noRoomInTime(endpoint: string, timeout: RpcTimeout): RpcError {
  const text = `the Inbox of "${endpoint}" had no room within ${timeout.ms} ms. ${controlledBy(timeout)}`;
  return new RpcError("ERR_RPC_TIMEOUT", text, { endpoint, maybeExecuted: false });
}

export function notFoundInTime(endpoint: string, timeout: RpcTimeout): RpcError {
  const text = `"${endpoint}" was not found within ${timeout.ms} ms. ${controlledBy(timeout)}`;
  return new RpcError("ERR_RPC_TIMEOUT", text, { endpoint, maybeExecuted: false });
}

/**
 * What set a timeout that has passed. Nothing but its length is kept with an ask, negative where it was what another ask
 * had left: one as long as the default is taken for the default.
 */
export function timeoutOf(timeoutMs: number, askTimeout: RpcTimeout): RpcTimeout {
  if (timeoutMs < 0) return { ms: -timeoutMs, setBy: "the deadline of the ask that it was made for" };
  return timeoutMs === askTimeout.ms ? askTimeout : { ms: timeoutMs, setBy: "timeoutMs" };
}

/** The one silence that a handler can bring about by itself. `endpoint`: what runs under that id on the asker's loop. */
export function explainSilence(name: string, endpoint: AttachedEndpoint | undefined): string {
  if (endpoint === undefined || endpoint.name !== name || !endpoint.serial || !endpoint.blocked) return "";
  return (
    `; "${name}" is serial and was still busy with another message: ` +
    "a handler that waits for its own endpoint, in person or through others, waits for itself"
  );
}

/** Spark's words, which its users search their logs for. */
function controlledBy({ setBy }: RpcTimeout): string {
  return `This timeout is controlled by ${setBy}`;
}

export function deferredTooLong(endpoint: string): RpcError {
  return new RpcError("ERR_RPC_NO_REPLY", `"${endpoint}" was stopped before it answered an ask that it had deferred`);
}

export function envStopped(endpoint: string): RpcError {
  return new RpcError("ERR_RPC_ENV_STOPPED", `"${endpoint}" is not available: the env is shut down`, { endpoint });
}

export function inboxFull({ name, budget }: HostedEndpoint): RpcError {
  const text =
    `the Inbox of "${name}" and the queue behind it are full: waitingMessages=${budget.messages}, ` +
    `waitingBytes=${budget.bytes}, messagesMax=${budget.limits.messagesMax}, bytesMax=${budget.limits.bytesMax}`;
  return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint: name });
}

export function tooManyAsks(endpoint: string, count: number): RpcError {
  const text = `the env has too many asks outstanding: count=${count}; await some of them first`;
  return new RpcError("ERR_RPC_INBOX_FULL", text, { endpoint });
}
