/**
 * The one error class of the public surface. Operating errors (a full queue, a crashed worker, a handler that threw) are
 * RpcErrors with a stable code; match on the code, never on the text.
 *
 * code (ERR_RPC_…)     | retryable | maybeExecuted | meaning
 * ---------------------|-----------|---------------|--------------------------------------------------------------------
 * ENDPOINT_NOT_FOUND   | no        | no            | no endpoint of that name at that address, or it was stopped
 * ENDPOINT_EXISTS      | no        | no            | the name is taken
 * ENDPOINT_START       | no        | no            | the module did not load, or its constructor or onStart threw
 * ENDPOINT_FAILED      | no        | no            | crashed too often, answers fast until it is set up again
 * ENV_STOPPED          | no        | no            | the environment is shutting down or has stopped
 * TIMEOUT              | yes       | yes           | no answer in time; maybeExecuted is false if it never started
 * HANDLER              | no        | yes           | the handler threw; `cause` is its error, `remote` the flat summary
 * HANDLER_TIMEOUT      | no        | yes           | the handler ran past handlerTimeoutMs
 * WORKER_CRASHED       | yes       | yes           | the thread died while it had the message
 * INBOX_FULL           | yes       | no            | the Inbox and the queue behind it are full
 * OUTBOX_FULL          | yes       | no            | too much waits for a connection to that peer
 * MESSAGE_TOO_LARGE    | no        | no            | the encoded message passes the limit
 * SERIALIZATION        | no        | no            | a value that cannot travel, or bytes that are not a message
 * UNSUPPORTED_MESSAGE  | no        | no            | the endpoint does not understand this message
 * NO_SUCH_METHOD       | no        | no            | the service has no method of that name
 * NO_REPLY             | no        | yes           | the handler gave its answer up
 * ALREADY_REPLIED      | no        | yes           | a second answer to one ask (thrown in the handler)
 * CONNECT              | yes       | no            | the peer cannot be reached
 * CONNECTION_LOST      | yes       | yes           | the connection ended before the answer came
 * PROTOCOL             | no        | no            | the peer broke the protocol
 * AUTH                 | no        | no            | the peer did not prove who it is
 * FORBIDDEN            | no        | no            | the peer may not talk to this endpoint
 * INSECURE_BIND        | no        | no            | a non-loopback bind without secret or certificate
 * BIND                 | no        | no            | the port cannot be bound
 * STREAM               | yes       | no            | a stream ended early or its source failed
 * INVALID_ARGUMENT     | no        | no            | the caller passed something the contract excludes
 *
 * `retryable`: the same call may succeed later with nothing changed. `maybeExecuted`: the handler may have run, so a
 * retry may run it twice. Both are defaults of the code; whoever throws and knows better says so in the options.
 */

interface CodeDefaults {
  readonly retryable: boolean;
  readonly maybeExecuted: boolean;
}

const NEVER_RAN: CodeDefaults = { retryable: false, maybeExecuted: false };
const NEVER_RAN_RETRY: CodeDefaults = { retryable: true, maybeExecuted: false };
const MAY_HAVE_RUN: CodeDefaults = { retryable: false, maybeExecuted: true };
const MAY_HAVE_RUN_RETRY: CodeDefaults = { retryable: true, maybeExecuted: true };

const DEFAULTS = {
  ERR_RPC_ENDPOINT_NOT_FOUND: NEVER_RAN,
  ERR_RPC_ENDPOINT_EXISTS: NEVER_RAN,
  ERR_RPC_ENDPOINT_START: NEVER_RAN,
  ERR_RPC_ENDPOINT_FAILED: NEVER_RAN,
  ERR_RPC_ENV_STOPPED: NEVER_RAN,
  ERR_RPC_TIMEOUT: MAY_HAVE_RUN_RETRY,
  ERR_RPC_HANDLER: MAY_HAVE_RUN,
  ERR_RPC_HANDLER_TIMEOUT: MAY_HAVE_RUN,
  ERR_RPC_WORKER_CRASHED: MAY_HAVE_RUN_RETRY,
  ERR_RPC_INBOX_FULL: NEVER_RAN_RETRY,
  ERR_RPC_OUTBOX_FULL: NEVER_RAN_RETRY,
  ERR_RPC_MESSAGE_TOO_LARGE: NEVER_RAN,
  ERR_RPC_SERIALIZATION: NEVER_RAN,
  ERR_RPC_UNSUPPORTED_MESSAGE: NEVER_RAN,
  ERR_RPC_NO_SUCH_METHOD: NEVER_RAN,
  ERR_RPC_NO_REPLY: MAY_HAVE_RUN,
  ERR_RPC_ALREADY_REPLIED: MAY_HAVE_RUN,
  ERR_RPC_CONNECT: NEVER_RAN_RETRY,
  ERR_RPC_CONNECTION_LOST: MAY_HAVE_RUN_RETRY,
  ERR_RPC_PROTOCOL: NEVER_RAN,
  ERR_RPC_AUTH: NEVER_RAN,
  ERR_RPC_FORBIDDEN: NEVER_RAN,
  ERR_RPC_INSECURE_BIND: NEVER_RAN,
  ERR_RPC_BIND: NEVER_RAN,
  ERR_RPC_STREAM: NEVER_RAN_RETRY,
  ERR_RPC_INVALID_ARGUMENT: NEVER_RAN,
} as const satisfies Record<`ERR_RPC_${string}`, CodeDefaults>;

/** The stable codes. An entry for each stands in docs/errors.md. */
export type RpcErrorCode = keyof typeof DEFAULTS;

/** Every code, in the order of the table above. */
export const RPC_ERROR_CODES = Object.keys(DEFAULTS) as readonly RpcErrorCode[];

/** A handler's error as flat data: what is left when its class and its thread are gone. */
export interface RpcRemoteError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What an RpcError says beyond code and text. `retryable` and `maybeExecuted` override the code's default. */
export interface RpcErrorOptions {
  cause?: unknown;
  endpoint?: string | undefined;
  address?: { readonly host: string; readonly port: number } | undefined;
  remote?: RpcRemoteError | undefined;
  retryable?: boolean | undefined;
  maybeExecuted?: boolean | undefined;
}

/** Two copies of this package in one process still recognise each other's errors. */
const BRAND: unique symbol = Symbol.for("ringpost.RpcError");

/** Not generic: `instanceof` a generic class types `code` as any. Narrow with `switch (error.code)` or `isRpcError`. */
export class RpcError extends Error {
  readonly code: RpcErrorCode;
  readonly retryable: boolean;
  readonly maybeExecuted: boolean;
  declare readonly endpoint?: string;
  declare readonly address?: { readonly host: string; readonly port: number };
  declare readonly remote?: RpcRemoteError;

  constructor(code: RpcErrorCode, message: string, options?: RpcErrorOptions) {
    super(message, options !== undefined && "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options?.retryable ?? DEFAULTS[code].retryable;
    this.maybeExecuted = options?.maybeExecuted ?? DEFAULTS[code].maybeExecuted;
    if (options?.endpoint !== undefined) this.endpoint = options.endpoint;
    if (options?.address !== undefined) this.address = options.address;
    if (options?.remote !== undefined) this.remote = options.remote;
  }

  override get name(): string {
    return "RpcError";
  }

  get [BRAND](): true {
    return true;
  }
}

/**
 * True for an RpcError, of this or another copy of the package, that has one of the codes (any code, if none is given).
 */
export function isRpcError<C extends RpcErrorCode>(
  error: unknown,
  ...codes: C[]
): error is RpcError & { readonly code: C } {
  if (typeof error !== "object" || error === null) return false;
  if ((error as { readonly [BRAND]?: unknown })[BRAND] !== true) return false;
  return codes.length === 0 || codes.includes((error as RpcError).code as C);
}

/** True for one of this package's codes: what arrives from elsewhere may carry any string. */
export function isRpcErrorCode(code: unknown): code is RpcErrorCode {
  return typeof code === "string" && Object.hasOwn(DEFAULTS, code);
}
