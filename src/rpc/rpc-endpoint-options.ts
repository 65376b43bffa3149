/** What `setupEndpoint` may be told about an endpoint. */
import type { RpcAddress } from "./rpc-address.js";
import type { ArgsOf } from "./rpc-protocol.js";

/** How an endpoint is run; the class it extends, or the options of a service, say it. */
export type RpcEndpointKind = "concurrent" | "serial" | "isolated" | "isolated-serial";

/** Who is at the other end of a connection. */
export interface RpcPeer {
  /** Where its environment listens, if it says so, else where its socket is; null when even that is not known. */
  readonly address: RpcAddress | null;
  /** It is connected over a loopback address: a process of this machine. */
  readonly local: boolean;
  /** Proved by the connection: `appId:keyId` of its secret, or a name of its certificate; null without either. */
  readonly identity: string | null;
}

export interface RpcEndpointOptions {
  /** Bytes of its Inbox: a power of two from 4,096 to 16,777,216; 262,144 by default. Any more waits in the spill. */
  inboxBytes?: number | undefined;
  /** Async handlers in flight per replica of a concurrent endpoint: 1 to 16,384, 64 by default. Serial ones: always 1. */
  concurrency?: number | undefined;
  /**
   * Milliseconds that a handler may take, positive, or Infinity; by default `rpc.handler.timeout`, which is off. An answer
   * that was deferred counts as part of it. Past it the asker gets ERR_RPC_HANDLER_TIMEOUT; a handler that keeps its
   * thread from turning ends with that thread.
   */
  handlerTimeoutMs?: number | undefined;
  /**
   * Messages of a serial endpoint that its loop takes in a row before it looks after others: 1 to 65,536; by default as
   * many as a turn has (`rpc.dispatcher.throughput`). Of a concurrent one a loop always takes one at a time.
   */
  throughput?: number | undefined;
  /** What its module will turn out to be, so that an isolated one need not be imported elsewhere first to find out. */
  kind?: RpcEndpointKind | undefined;
  /** The loop of a serial endpoint, 1 to numThreads; by default the one with the fewest serial endpoints. */
  loop?: number | undefined;
  /**
   * Whether a peer's messages are taken: asked once for each connection, on the main thread, and only for other
   * environments. Anything but true is no: its asks fail with ERR_RPC_FORBIDDEN, its one-way messages are dead letters.
   */
  allow?: ((peer: RpcPeer) => boolean) | undefined;
}

/** `args` is required when the constructor wants it, and absent when it wants nothing. */
export type SetupOptions<T, A = ArgsOf<T>> = [A] extends [void]
  ? [options?: RpcEndpointOptions]
  : undefined extends A
    ? [options?: RpcEndpointOptions & { args?: A }]
    : [options: RpcEndpointOptions & { args: A }];
