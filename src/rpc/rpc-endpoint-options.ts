/** What `setupEndpoint` may be told about an endpoint. */
import type { ArgsOf } from "./rpc-protocol.js";

export interface RpcEndpointOptions {
  /** Bytes of its Inbox: a power of two from 4,096 to 16,777,216; 262,144 by default. Any more waits in the spill. */
  inboxBytes?: number | undefined;
  /** Async handlers in flight per replica of a concurrent endpoint: 1 to 16,384, 64 by default. Serial ones: always 1. */
  concurrency?: number | undefined;
  /** The loop of a serial endpoint, 1 to numThreads; by default the one with the fewest serial endpoints. */
  loop?: number | undefined;
}

/** `args` is required when the constructor wants it, and absent when it wants nothing. */
export type SetupOptions<T, A = ArgsOf<T>> = [A] extends [void]
  ? [options?: RpcEndpointOptions]
  : undefined extends A
    ? [options?: RpcEndpointOptions & { args?: A }]
    : [options: RpcEndpointOptions & { args: A }];
