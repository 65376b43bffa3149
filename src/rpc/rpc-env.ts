/** The environment as its users see it: types only, the implementation is in src/env. */
import type { Readable } from "node:stream";
import type { RpcError, RpcErrorCode } from "../common/errors.js";
import type { RpcConf, RpcConfValues } from "../common/rpc-conf.js";
import type { RpcAddress } from "./rpc-address.js";
import type { RpcEndpoint } from "./rpc-endpoint.js";
import type { RpcEndpointOptions, SetupOptions } from "./rpc-endpoint-options.js";
import type { RpcEndpointRef } from "./rpc-endpoint-ref.js";
import type { RpcEnvView, RpcShutdownOptions } from "./rpc-env-view.js";
import type { NotIsolated, RpcDefinition, RpcService, RpcTarget, RpcUntyped } from "./rpc-protocol.js";

export type { RpcShutdownOptions };

/** Takes a record of fields and a text, as pino and its like do. */
export interface RpcLogger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** Several: all are accepted, the first is used to dial, so that each side can change to a new one in its own time. */
export type RpcSecret = string | Uint8Array;

/** In PEM. */
export interface RpcTlsOptions {
  readonly key: string | Uint8Array;
  /** This side's certificate, and after it those between it and the authority. */
  readonly cert: string | Uint8Array;
  /** Who has signed the certificates of peers; authorities that the system trusts do not count. */
  readonly ca: string | Uint8Array | readonly (string | Uint8Array)[];
  readonly passphrase?: string | undefined;
  /** The name that certificates of servers must have, where it is not the host that is dialled. */
  readonly serverName?: string | undefined;
}

/** It listens if `host` or `port` is given; otherwise it is in client mode: it dials, and peers answer on its connections. */
export interface RpcEnvOptions {
  /** For logs and errors. */
  name?: string | undefined;
  /** Where to listen: an address or a name of this machine; 127.0.0.1 by default. Any other needs `secret` or `tls`. */
  host?: string | undefined;
  /** 0, any free one, by default; or 1024 to 65535. One that is taken is followed by the next (`port.maxRetries`). */
  port?: number | undefined;
  /** What others are told in place of the address that it listens on. */
  advertiseHost?: string | undefined;
  /** true: it never listens. The same as to give neither host nor port. */
  clientMode?: boolean | undefined;
  /**
   * 32 random bytes or more that all environments of an application share: connections are TLS 1.3, and both ends prove
   * that they know it. A text counts by its bytes in UTF-8.
   */
  secret?: RpcSecret | readonly RpcSecret[] | undefined;
  /** Certificates instead: both ends show one that the other's `ca` has signed. */
  tls?: RpcTlsOptions | undefined;
  /** The application that the secret stands for, the first part of this environment's identity; "ringpost" by default. */
  appId?: string | undefined;
  /** Message loops, that is worker threads: 1 to 255. By default `rpc.dispatcher.numThreads`. */
  numThreads?: number | undefined;
  /** Milliseconds, positive or Infinity; by default `rpc.askTimeout`, that is 120,000. */
  askTimeoutMs?: number | undefined;
  /** Without one, events that nobody listens to become warnings of the process. */
  logger?: RpcLogger | undefined;
  /** Settings by key; docs/conf.md lists them. An option of the same meaning wins. */
  conf?: RpcConf | RpcConfValues | undefined;
}

export interface RpcEnv<Address extends RpcAddress | null = RpcAddress | null> extends RpcEnvView, AsyncDisposable {
  /** Where others reach it; null in client mode. */
  readonly address: Address;

  /**
   * Sets up an endpoint on the main thread: for light handlers, closures, and tests without threads. Its messages pass
   * the same codec and the same limits as everybody's.
   *
   * @param name as below.
   * @param endpoint An instance of a class that is not isolated, or a service without args. It is one instance.
   * Returns and throws as below.
   * Thread: the main thread, within its own turns; a long handler stops all traffic of the environment.
   */
  setupEndpoint<T extends RpcEndpoint | RpcService<unknown, void>>(
    name: string,
    endpoint: T & NotIsolated<T>,
    options?: RpcEndpointOptions,
  ): Promise<RpcEndpointRef<T>>;

  /** Sets up an endpoint on the message loops; see RpcEnvView. */
  setupEndpoint<T extends RpcDefinition = RpcUntyped>(
    name: string,
    module: URL | string,
    ...options: SetupOptions<T>
  ): Promise<RpcEndpointRef<RpcTarget<T>>>;

  /** The reference of an endpoint of this environment; null when no endpoint of that name is running. */
  endpointRef<T extends RpcDefinition = RpcUntyped>(name: string): RpcEndpointRef<RpcTarget<T>> | null;

  /** The reference of an instance on the main thread; null when it is not set up. */
  endpointRef<T extends RpcEndpoint>(endpoint: T): RpcEndpointRef<T> | null;

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

  /** What others may read of this node's files. Of an environment that does not listen it refuses everything. */
  readonly fileServer: RpcFileServer;

  /**
   * The bytes of a file that another environment serves, or this one itself.
   *
   * @param uri as its file server gave it, or `…/name` below a folder's; `spark://` is accepted.
   * @returns A stream of bytes, at once: connecting and asking come after. It takes no more from the peer than is read
   * from it. It ends when all bytes have come, and only then: whatever else happens destroys it with an RpcError.
   * ERR_RPC_CONNECT, ERR_RPC_AUTH: the peer cannot be reached; ERR_RPC_STREAM: it has no such file, or cannot open it;
   * ERR_RPC_CONNECTION_LOST: it has gone, or the file became shorter; ERR_RPC_ENV_STOPPED: this environment has.
   * `destroy()` gives connection and memory back.
   * Rejects with ERR_RPC_INVALID_ARGUMENT for what is no uri of a file, ERR_RPC_ENV_STOPPED.
   * Ordering: none between files; each has a connection to itself while it comes, 8 to one peer
   * (`files.io.numConnectionsPerPeer`); further ones wait, in the order in which they were opened.
   * Thread: the main thread; endpoints on message loops are given bytes, not streams.
   */
  openChannel(uri: string): Promise<Readable>;

  on<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this;
  off<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this;
}

/**
 * Files that others may read with `openChannel`: whoever gets a connection, so everybody who has proved the secret or a
 * certificate, where there is one. Read at request time: a folder serves what lies in it then. Regular files only, and nothing
 * outside: a symbolic link counts by where it leads, and what leads out of its folder is not found.
 */
export interface RpcFileServer {
  /**
   * Serves a file under its name. The same file again changes nothing.
   *
   * @param path of a regular file; links are followed now.
   * @returns `ringpost://host:port/files/name`, percent-encoded.
   * Throws ERR_RPC_INVALID_ARGUMENT for what is no regular file, for the name of another file that is served already, and in
   * an environment that does not listen; ERR_RPC_ENV_STOPPED.
   */
  addFile(path: string): Promise<string>;
  /**
   * Serves everything below a folder.
   *
   * @param baseUri Where, such as "/data" or "/data/2026"; of bases that fit a path the longest counts. Dots are resolved
   * and slashes at its ends ignored. Not `/files` nor `/jars` nor below them, and none that is taken.
   * @param directory links in its own path are followed now.
   * @returns `ringpost://host:port/base`; a file's uri is that, a slash, and its percent-encoded path in the folder.
   * Throws as addFile.
   */
  addDirectory(baseUri: string, directory: string): Promise<string>;
  /** Serves a file no more that addFile has added; `key` is its name. What is being sent goes on. */
  removeFile(key: string): void;
}

/** What was accepted or offered and not handled. `count` of them, when several were lost for one reason. */
export interface RpcDeadLetter {
  readonly endpoint: string;
  /** Where the endpoint's environment listens; null for this environment, and for one that does not listen. */
  readonly address: RpcAddress | null;
  readonly reason: RpcErrorCode;
  readonly count: number;
  readonly error: RpcError;
  /**
   * The message itself, decoded anew by each call: for a one-way method [name, ...inputs]. undefined when its bytes are
   * gone, as they are after the thread that had taken it died, and when `count` is more than 1. Never throws.
   */
  message(): unknown;
}

export interface RpcLoopCrash {
  readonly loop: number;
  /** The endpoint whose handler was on the stack; null when there was none. */
  readonly blamed: string | null;
  /** The endpoints that get a new instance because of it, or go on elsewhere. */
  readonly restarted: readonly string[];
  /** The thread was told to end and has not: a native call holds it. Its endpoints go on on other loops. */
  readonly stuck: boolean;
  readonly error: unknown;
}

/** A handler of a serial endpoint that keeps it from its next message: past its timeout, and its asker has gone. */
export interface RpcEndpointStuck {
  readonly endpoint: string;
  readonly loop: number;
  /** Milliseconds since the handler started. */
  readonly ageMs: number;
}

/** A peer that something was sent to. */
export interface RpcPeerStats {
  readonly address: RpcAddress;
  readonly state: "connecting" | "connected";
  /** Messages that wait for the connection, or for answers to asks before them, and bytes that wait to be sent. */
  readonly outboxMessages: number;
  readonly outboxBytes: number;
  /** Asks of it without an answer. */
  readonly asksInFlight: number;
}

/** Listeners run on the main thread. What one throws is an uncaught exception; the environment goes on. */
export interface RpcEnvEvents {
  deadLetter: [letter: RpcDeadLetter];
  loopCrashed: [crash: RpcLoopCrash];
  /** An endpoint was taken out of service, after too many crashes. Its name is free once it is stopped. */
  endpointFailed: [failure: { readonly endpoint: string; readonly error: RpcError }];
  endpointStuck: [stuck: RpcEndpointStuck];
  /** A peer is connected, whoever dialled: once, however many connections lead to it. `address`: as in RpcPeer. */
  connected: [address: RpcAddress];
  disconnected: [address: RpcAddress];
  /** Something is wrong with a connection; it ends. */
  networkError: [error: RpcError, address: RpcAddress];
}

/** Asks of one endpoint since it was set up. When none is open: sent = the sum of the others. */
export interface RpcAskCounts {
  readonly sent: number;
  readonly replied: number;
  /** Ended with an error other than those below: of the handler, or because of a crash or a stop. */
  readonly failed: number;
  readonly timedOut: number;
  readonly aborted: number;
  /** Refused because Inbox and spill were full, or because the endpoint was not there any more. */
  readonly rejected: number;
}

/** One-way messages of one endpoint since it was set up. When none is open: accepted = the sum of the others. */
export interface RpcOneWayCounts {
  readonly accepted: number;
  readonly handled: number;
  /** Their handler threw. */
  readonly failed: number;
  /** Accepted and never handled: lost by a crash or a stop. */
  readonly deadLettered: number;
}

export interface RpcEndpointStats {
  readonly name: string;
  readonly state: "starting" | "running" | "stopping" | "failed";
  /** The loops that serve it; [0] is the main thread. */
  readonly loops: readonly number[];
  /** Messages accepted and not yet taken by a loop, now and at most since it was set up. */
  readonly depth: number;
  readonly depthMax: number;
  /** Milliseconds that the oldest of them has waited; 0 when none waits. */
  readonly oldestAgeMs: number;
  /** Messages handled, messages whose handler failed, messages refused because of a full Inbox. */
  readonly processed: number;
  readonly failed: number;
  readonly rejected: number;
  readonly asks: RpcAskCounts;
  readonly oneWays: RpcOneWayCounts;
}

export interface RpcLoopStats {
  readonly index: number;
  readonly state: "busy" | "spinning" | "parked" | "stopped";
  /** The endpoint whose handler runs now. */
  readonly endpoint: string | null;
  /** Milliseconds it spent in turns that did work. */
  readonly busyMs: number;
  /** How often its thread was started: 1, and more after crashes. */
  readonly epoch: number;
  /** Messages it has taken and not finished: running, waiting for a promise or for their body, deferred. */
  readonly inFlight: number;
}

/** How late the main thread comes to its work, which is everybody's: all messages pass it. */
export interface RpcMainLoopStats {
  /** Milliseconds by which its last timer was late, and by which any was at most since the environment was created. */
  readonly delayMs: number;
  readonly delayMsMax: number;
}

export interface RpcEnvStats {
  readonly endpoints: readonly RpcEndpointStats[];
  readonly loops: readonly RpcLoopStats[];
  readonly peers: readonly RpcPeerStats[];
  readonly mainLoop: RpcMainLoopStats;
}
