/** The environment as its users see it: types only, the implementation is in src/env. */
import type { RpcError, RpcErrorCode } from "../common/errors.js";
import type { RpcAddress } from "./rpc-address.js";
import type { SetupOptions } from "./rpc-endpoint-options.js";
import type { RpcEndpointRef } from "./rpc-endpoint-ref.js";
import type { RpcDefinition, RpcTarget, RpcUntyped } from "./rpc-protocol.js";

/** Takes a record of fields and a text, as pino and its like do. */
export interface RpcLogger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** Settings by key, Spark's names without `spark.` and `netty`. An option of the same meaning wins. */
export interface RpcConfValues {
  /** Message loops: 1 to 255. */
  "rpc.dispatcher.numThreads"?: number | undefined;
  /** Messages that a loop takes in one turn before timers and sockets of its thread run: 32 to 65,536. */
  "rpc.dispatcher.throughput"?: number | undefined;
  /** Bytes of an Inbox: a power of two from 4,096 to 16,777,216. */
  "rpc.inbox.bytes"?: number | undefined;
  /** Seconds, positive. */
  "rpc.askTimeout"?: number | undefined;
  /** Bytes of each loop's mailbox and outbound ring: a power of two from 4,096 to 16,777,216; 1,048,576 by default. */
  "rpc.loop.bytes"?: number | undefined;
}

export interface RpcEnvOptions {
  /** For logs and errors. */
  name?: string | undefined;
  /** Message loops, that is worker threads: 1 to 255. By default the cores this process may use, at least 2. */
  numThreads?: number | undefined;
  /** Milliseconds, positive or Infinity; 120,000 by default. */
  askTimeoutMs?: number | undefined;
  logger?: RpcLogger | undefined;
  conf?: RpcConfValues | undefined;
}

export interface RpcShutdownOptions {
  /** Milliseconds for the backlog, positive; 10,000 by default. What is open at its end fails. */
  timeoutMs?: number | undefined;
}

export interface RpcEnv extends AsyncDisposable {
  readonly name: string;
  /** Where it listens; null when it does not. */
  readonly address: RpcAddress | null;

  /**
   * Sets up an endpoint on the message loops.
   *
   * @param name 1 to 255 bytes of UTF-8, unique in this environment.
   * @param module File URL or absolute path of a module whose default export is an endpoint class or a service.
   * @param options `args` goes to the constructor, or to the function of a stateful service; it is encoded like a message.
   * @returns Its reference, once every replica's onStart has finished. Messages wait meanwhile.
   * Throws ERR_RPC_ENDPOINT_EXISTS, ERR_RPC_ENDPOINT_START with the reason as `cause` (also after 30 s),
   * ERR_RPC_SERIALIZATION for args that cannot travel, ERR_RPC_INVALID_ARGUMENT, ERR_RPC_ENV_STOPPED.
   * Thread: a concurrent endpoint has a replica on each loop, a serial one an instance on one of them.
   */
  setupEndpoint<T extends RpcDefinition = RpcUntyped>(
    name: string,
    module: URL | string,
    ...options: SetupOptions<T>
  ): Promise<RpcEndpointRef<RpcTarget<T>>>;

  /** The reference of an endpoint of this environment; null when no endpoint of that name is running. */
  endpointRef<T extends RpcDefinition = RpcUntyped>(name: string): RpcEndpointRef<RpcTarget<T>> | null;

  /**
   * Stops an endpoint: it takes nothing new, handles its backlog until the timeout, then onStop. Idempotent.
   * @returns Resolves when the name is free.
   */
  stop(ref: RpcEndpointRef, options?: RpcShutdownOptions): Promise<void>;

  /** Stops every endpoint as `stop` does, then ends the threads. Idempotent; resolves when all has ended. */
  shutdown(options?: RpcShutdownOptions): Promise<void>;

  /** Resolves when the environment has been shut down, by whomever. */
  awaitTermination(): Promise<void>;

  stats(): RpcEnvStats;

  on<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this;
  off<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this;
}

/** What was accepted or offered and not handled. `count` of them, when several were lost for one reason. */
export interface RpcDeadLetter {
  readonly endpoint: string;
  readonly reason: RpcErrorCode;
  readonly count: number;
  readonly error: RpcError;
}

export interface RpcLoopCrash {
  readonly loop: number;
  /** The endpoint whose handler was on the stack; null when there was none. */
  readonly blamed: string | null;
  readonly error: unknown;
}

export interface RpcEnvEvents {
  deadLetter: [letter: RpcDeadLetter];
  loopCrashed: [crash: RpcLoopCrash];
  endpointFailed: [failure: { readonly endpoint: string; readonly error: RpcError }];
}

export interface RpcEndpointStats {
  readonly name: string;
  readonly state: "starting" | "running" | "stopping" | "failed";
  /** Messages accepted and not yet taken by a loop. */
  readonly depth: number;
  /** Messages handled, messages whose handler failed, messages refused because of a full Inbox. */
  readonly processed: number;
  readonly failed: number;
  readonly rejected: number;
}

export interface RpcLoopStats {
  readonly index: number;
  readonly state: "busy" | "spinning" | "parked" | "stopped";
  /** The endpoint whose handler runs now. */
  readonly endpoint: string | null;
  /** Milliseconds it spent in turns that did work. */
  readonly busyMs: number;
}

export interface RpcEnvStats {
  readonly endpoints: readonly RpcEndpointStats[];
  readonly loops: readonly RpcLoopStats[];
}
