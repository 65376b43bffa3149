/**
 * Options of what refs and environments are asked, checked on whatever thread they are given: before anything is encoded,
 * posted or waited for. All refusals are ERR_RPC_INVALID_ARGUMENT.
 */
import { checkOptions, checkSignal, type OptionKeys, shown } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import { TIMEOUT_MS_MAX } from "../common/limits.js";
import type { RpcAskOptions, RpcWithOptions } from "../rpc/rpc-endpoint-ref.js";
import type { RpcLookupOptions, RpcShutdownOptions } from "../rpc/rpc-env-view.js";

const ASK_KEYS: OptionKeys<RpcAskOptions> = { timeoutMs: true, signal: true };
const WITH_KEYS: OptionKeys<RpcWithOptions> = { ...ASK_KEYS, transfer: true };
const LOOKUP_KEYS: OptionKeys<RpcLookupOptions> = { ...ASK_KEYS, verify: true };
const SHUTDOWN_KEYS: OptionKeys<RpcShutdownOptions> = { timeoutMs: true };

/** Checks a timeout: a positive number of milliseconds, or Infinity. */
export function checkTimeoutMs(timeoutMs: unknown, what = "timeoutMs"): number {
  if (timeoutMs === Number.POSITIVE_INFINITY) return timeoutMs;
  if (typeof timeoutMs === "number" && timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX) return timeoutMs;
  const text = `${what} must be a positive number up to ${TIMEOUT_MS_MAX}, or Infinity: ${what}=${shown(timeoutMs)}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

/** Of `ask` and `ready`. */
export function checkAskOptions(what: string, options: RpcAskOptions): void {
  checkCall(what, options, ASK_KEYS);
}

export function checkWithOptions(options: RpcWithOptions): void {
  checkCall("with", options, WITH_KEYS);
}

export function checkLookupOptions(options: RpcLookupOptions): void {
  checkCall("a look-up", options, LOOKUP_KEYS);
}

/** Of `stop` and `shutdown`. */
export function checkShutdownOptions(options: RpcShutdownOptions): void {
  checkOptions("stop and shutdown", options, SHUTDOWN_KEYS);
  if (options.timeoutMs !== undefined) checkTimeoutMs(options.timeoutMs);
}

function checkCall(what: string, options: RpcAskOptions, keys: object): void {
  checkOptions(what, options, keys);
  if (options.timeoutMs !== undefined) checkTimeoutMs(options.timeoutMs);
  checkSignal(options.signal);
}
