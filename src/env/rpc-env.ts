/**
 * RpcEnv in one process: checks options, owns the Dispatcher, hands out refs and events. Main thread only.
 */
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { monotonicMs, systemClock, type Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import {
  ASK_TIMEOUT_MS_DEFAULT,
  CONCURRENCY_DEFAULT,
  ENDPOINT_START_TIMEOUT_MS,
  IN_FLIGHT_ENTRIES_PER_LOOP,
  INBOX_BYTES_DEFAULT,
  INBOX_BYTES_MAX,
  INBOX_BYTES_MIN,
  isPowerOfTwo,
  LOOP_RING_BYTES,
  LOOPS_MAX,
  SHUTDOWN_TIMEOUT_MS_DEFAULT,
  TIMEOUT_MS_MAX,
  TURN_MESSAGES_DEFAULT,
} from "../common/limits.js";
import type { NetworkEvent } from "../dispatcher/attached-endpoint.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import { checkTimeoutMs, handleOf } from "../dispatcher/endpoint-ref.js";
import { checkEndpointName, notReachable } from "../dispatcher/endpoint-refs.js";
import { EndpointState, type HostedEndpoint } from "../dispatcher/hosted-endpoint.js";
import { piscinaLoopHost } from "../dispatcher/loop-host.js";
import { LoopStatus } from "../inbox/layout.js";
import { parseEndpointUri } from "../rpc/endpoint-uri.js";
import type { RefHandle } from "../rpc/ref-handle.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import { isEndpointInstance, type RpcEndpoint } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointKind, RpcEndpointOptions, SetupOptions } from "../rpc/rpc-endpoint-options.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type {
  RpcEndpointStats,
  RpcEnv,
  RpcEnvEvents,
  RpcEnvOptions,
  RpcEnvStats,
  RpcLogger,
  RpcLoopStats,
} from "../rpc/rpc-env.js";
import type { RpcLookupOptions, RpcShutdownOptions } from "../rpc/rpc-env-view.js";
import type { NotIsolated, RpcDefinition, RpcService, RpcTarget, RpcUntyped } from "../rpc/rpc-protocol.js";
import { isRpcService } from "../rpc/rpc-service.js";
import { availableCores } from "./available-cores.js";
import { EnvView } from "./env-view.js";

const CONF_KEYS = [
  "rpc.dispatcher.numThreads",
  "rpc.dispatcher.throughput",
  "rpc.inbox.bytes",
  "rpc.loop.bytes",
  "rpc.askTimeout",
  "rpc.endpoint.startTimeout",
];
const OPTION_KEYS = ["name", "numThreads", "askTimeoutMs", "logger", "conf"];
const ENDPOINT_OPTION_KEYS = ["args", "inboxBytes", "concurrency", "loop", "handlerTimeoutMs", "throughput", "kind"];
/** What an endpoint on the main thread may be told. */
const LOCAL_ENDPOINT_OPTION_KEYS = ["inboxBytes", "concurrency", "handlerTimeoutMs", "throughput"];

const LOOP_STATES = {
  [LoopStatus.STARTING]: "busy",
  [LoopStatus.BUSY]: "busy",
  [LoopStatus.SPINNING]: "spinning",
  [LoopStatus.PARKED]: "parked",
  [LoopStatus.STOPPED]: "stopped",
} as const;

/** A timer this long keeps the process alive without ever doing anything. */
const KEEP_ALIVE_MS = 2 ** 31 - 1;

const SILENT: RpcLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const dispatchers = new WeakMap<RpcEnv, Dispatcher>();

/** Tells the endpoints of an environment of a network event, as its network will. For tests. */
export function postNetworkEvent(env: RpcEnv, event: NetworkEvent): void {
  dispatchers.get(env)?.postEvent(event);
}

export class LocalRpcEnv implements RpcEnv {
  readonly name: string;
  readonly address = null;
  readonly #dispatcher: Dispatcher;
  readonly #events = new EventEmitter();
  readonly #logger: RpcLogger;
  readonly #inboxBytes: number;
  readonly #askTimeoutMs: number;
  readonly #keepAlive: Timer;
  #shutdown: Promise<void> | null = null;
  #terminated: () => void = () => {};
  readonly #termination: Promise<void>;

  constructor(options: RpcEnvOptions) {
    refuseUnknownKeys("RpcEnv.create", options, OPTION_KEYS);
    const conf = options.conf ?? {};
    refuseUnknownKeys("conf", conf, CONF_KEYS);
    this.name = options.name ?? "ringpost";
    this.#logger = options.logger ?? SILENT;
    this.#inboxBytes = ringBytes("rpc.inbox.bytes", conf["rpc.inbox.bytes"] ?? INBOX_BYTES_DEFAULT);
    const confTimeout = conf["rpc.askTimeout"];
    const confTimeoutMs = confTimeout === undefined ? ASK_TIMEOUT_MS_DEFAULT : confTimeout * 1_000;
    this.#askTimeoutMs = checkTimeoutMs(options.askTimeoutMs ?? confTimeoutMs);
    const originMs = monotonicMs();
    const clock = systemClock(originMs);
    const view = new EnvView(this);
    this.#dispatcher = new Dispatcher({
      envName: this.name,
      envId: randomBytes(12).toString("base64url"),
      askTimeoutMs: this.#askTimeoutMs,
      clock,
      originMs,
      loopCount: integer(
        "numThreads",
        options.numThreads ?? conf["rpc.dispatcher.numThreads"] ?? availableCores(),
        1,
        LOOPS_MAX - 1,
      ),
      throughput: integer(
        "rpc.dispatcher.throughput",
        conf["rpc.dispatcher.throughput"] ?? TURN_MESSAGES_DEFAULT,
        32,
        65_536,
      ),
      loopRingBytes: ringBytes("rpc.loop.bytes", conf["rpc.loop.bytes"] ?? LOOP_RING_BYTES),
      hostFactory: piscinaLoopHost,
      startTimeoutMs: startTimeoutMs(conf["rpc.endpoint.startTimeout"]),
      events: {
        deadLetter: (endpoint, error, count, message) => this.#deadLetter(endpoint, error, count, message),
        loopCrashed: (crash) => {
          this.#report("loopCrashed", crash, () =>
            this.#logger.error(crash, crash.stuck ? "message loop does not end" : "message loop died"),
          );
        },
        endpointFailed: (endpoint, error) => {
          this.#report("endpointFailed", { endpoint, error }, () =>
            this.#logger.error({ endpoint, error }, "endpoint failed"),
          );
        },
        endpointStuck: (endpoint, loop, ageMs) => {
          this.#report("endpointStuck", { endpoint, loop, ageMs }, () =>
            this.#logger.warn({ endpoint, loop, ageMs }, "endpoint stuck"),
          );
        },
      },
      bind: (endpoint) => ({ self: this.#ref(endpoint), rpcEnv: view }),
      view,
      requests: {
        // Who asks for a stop in a handler does not wait for it; one that takes too long shows in the endpoint's state.
        stop: (endpoint) => void this.#dispatcher.stop(endpoint, SHUTDOWN_TIMEOUT_MS_DEFAULT).catch(() => {}),
        shutdown: (timeoutMs) => view.shutdown(timeoutMs === 0 ? undefined : { timeoutMs }),
        setupEndpoint: async (name, module, given) =>
          handleOf(await this.setupEndpoint(name, module, ...([given] as SetupOptions<RpcUntyped>))) as RefHandle,
        find: (name) => {
          const handle = handleOf(this.endpointRef(name));
          if (handle === null) throw notFound(this.name, name);
          return handle;
        },
      },
    });
    dispatchers.set(this, this.#dispatcher);
    // A living env keeps its process alive, as a listening server does.
    this.#keepAlive = clock.setTimeout(() => this.#keepAlive.refresh(), KEEP_ALIVE_MS);
    this.#termination = new Promise((resolve) => {
      this.#terminated = () => {
        clock.clearTimeout(this.#keepAlive);
        resolve();
      };
    });
  }

  setupEndpoint<T extends RpcEndpoint | RpcService<unknown, void>>(
    name: string,
    endpoint: T & NotIsolated<T>,
    options?: RpcEndpointOptions,
  ): Promise<RpcEndpointRef<T>>;
  setupEndpoint<T extends RpcDefinition = RpcUntyped>(
    name: string,
    module: URL | string,
    ...options: SetupOptions<T>
  ): Promise<RpcEndpointRef<RpcTarget<T>>>;
  async setupEndpoint(
    name: string,
    module: unknown,
    options?: RpcEndpointOptions & { args?: unknown },
  ): Promise<RpcEndpointRef<never>> {
    if (isEndpointInstance(module) || isRpcService(module)) {
      refuseUnknownKeys(`endpoint "${name}"`, options ?? {}, LOCAL_ENDPOINT_OPTION_KEYS);
      return this.#ref(await this.#dispatcher.setupOnLoopZero(name, module, this.#setup(options ?? {})));
    }
    const given: RpcEndpointOptions & { args?: unknown } = options ?? {};
    refuseUnknownKeys(`endpoint "${name}"`, given, ENDPOINT_OPTION_KEYS);
    const endpoint = await this.#dispatcher.setup(name, moduleUrl(module), {
      ...this.#setup(given),
      kind: kindOf(name, given.kind),
      loop: given.loop,
      args: given.args,
    });
    return this.#ref(endpoint);
  }

  #setup(given: RpcEndpointOptions): { inboxBytes: number; concurrency: number; handlerTimeoutMs: number } {
    return {
      inboxBytes: ringBytes("inboxBytes", given.inboxBytes ?? this.#inboxBytes),
      concurrency: integer("concurrency", given.concurrency ?? CONCURRENCY_DEFAULT, 1, IN_FLIGHT_ENTRIES_PER_LOOP),
      handlerTimeoutMs: checkTimeoutMs(given.handlerTimeoutMs ?? Number.POSITIVE_INFINITY),
    };
  }

  endpointRef<T extends RpcDefinition = RpcUntyped>(name: string): RpcEndpointRef<RpcTarget<T>> | null;
  endpointRef<T extends RpcEndpoint>(endpoint: T): RpcEndpointRef<T> | null;
  endpointRef(nameOrInstance: string | RpcEndpoint): RpcEndpointRef<never> | null {
    const dispatcher = this.#dispatcher;
    const byName = typeof nameOrInstance === "string";
    const endpoint = byName ? dispatcher.directory.find(nameOrInstance) : dispatcher.findInstance(nameOrInstance);
    return endpoint?.state === EndpointState.RUNNING ? this.#ref(endpoint) : null;
  }

  async setupEndpointRef<T extends RpcDefinition = RpcUntyped>(
    address: RpcAddress | null,
    name: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    if (address !== null) throw notReachable(this.name, name, address);
    checkEndpointName(name);
    options?.signal?.throwIfAborted();
    const ref = this.endpointRef<T>(name);
    if (ref !== null) return ref;
    if (options?.verify !== false) throw notFound(this.name, name);
    return this.#dispatcher.refs.named(name) as unknown as RpcEndpointRef<RpcTarget<T>>;
  }

  async setupEndpointRefByURI<T extends RpcDefinition = RpcUntyped>(
    uri: string,
    options?: RpcLookupOptions,
  ): Promise<RpcEndpointRef<RpcTarget<T>>> {
    const { name, address } = parseEndpointUri(uri);
    return this.setupEndpointRef<T>(address, name, options);
  }

  async stop(ref: RpcEndpointRef, options?: RpcShutdownOptions): Promise<void> {
    const handle = this.#dispatcher.refs.own(ref);
    if (handle === null) throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `stop takes a ref of this env: ${String(ref)}`);
    const timeoutMs = stopTimeoutMs(options);
    const endpoint = this.#dispatcher.directory.findMade(handle.name);
    if (endpoint !== undefined) await this.#dispatcher.stop(endpoint, timeoutMs);
  }

  async shutdown(options?: RpcShutdownOptions): Promise<void> {
    const timeoutMs = stopTimeoutMs(options);
    this.#shutdown ??= this.#dispatcher.shutdown(timeoutMs).finally(this.#terminated);
    await this.#shutdown;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  awaitTermination(): Promise<void> {
    return this.#termination;
  }

  stats(): RpcEnvStats {
    const dispatcher = this.#dispatcher;
    const endpoints = dispatcher.directory.all.map((endpoint): RpcEndpointStats => {
      const state = endpoint.state === EndpointState.STOPPED ? EndpointState.STOPPING : endpoint.state;
      return {
        name: endpoint.name,
        state,
        loops: endpoint.loops,
        ...dispatcher.endpointStats(endpoint),
      };
    });
    const loops = dispatcher.loops.all.map((loop): RpcLoopStats => {
      const { status, endpoint, busyMs } = dispatcher.loops.status(loop);
      const state = LOOP_STATES[status as keyof typeof LOOP_STATES];
      return {
        index: loop.index,
        state,
        endpoint: endpoint === 0 ? null : dispatcher.directory.nameOf(endpoint),
        busyMs,
        epoch: loop.epoch,
        inFlight: dispatcher.inFlight(loop.index).length,
      };
    });
    return {
      endpoints,
      loops,
      mainLoop: { delayMs: dispatcher.poster.delayMs, delayMsMax: dispatcher.poster.delayMsMax },
    };
  }

  on<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this {
    this.#events.on(event, listener as (...event: unknown[]) => void);
    return this;
  }

  off<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this {
    this.#events.off(event, listener as (...event: unknown[]) => void);
    return this;
  }

  #ref<T>(endpoint: HostedEndpoint): RpcEndpointRef<T> {
    // The definition is the compiler's affair alone: at run time every ref takes every message.
    return this.#dispatcher.refs.of(endpoint) as unknown as RpcEndpointRef<T>;
  }

  #deadLetter(endpoint: string, error: RpcError, count: number, message: () => unknown = () => undefined): void {
    const letter = { endpoint, address: this.address, reason: error.code, count, error, message };
    this.#report("deadLetter", letter, () => this.#logger.warn({ endpoint, error, count }, "dead letter"));
  }

  /** Tells logger and listeners. What they throw is theirs: it must not stop loop 0 in the middle of its work. */
  #report<E extends keyof RpcEnvEvents>(event: E, value: RpcEnvEvents[E][0], log: () => void): void {
    for (const tell of [log, () => this.#events.emit(event, value)]) {
      try {
        tell();
      } catch (error) {
        process.nextTick(() => {
          throw error;
        });
      }
    }
  }
}

function notFound(env: string, endpoint: string): RpcError {
  const text = `env "${env}" has no running endpoint "${endpoint}"`;
  return new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", text, { endpoint });
}

function startTimeoutMs(seconds: number | undefined): number {
  return seconds === undefined ? ENDPOINT_START_TIMEOUT_MS : Math.min(checkTimeoutMs(seconds * 1_000), TIMEOUT_MS_MAX);
}

function stopTimeoutMs(options: RpcShutdownOptions | undefined): number {
  // A timer cannot be set to Infinity; 12 days are as good.
  return Math.min(checkTimeoutMs(options?.timeoutMs ?? SHUTDOWN_TIMEOUT_MS_DEFAULT), TIMEOUT_MS_MAX);
}

const ENDPOINT_KINDS: readonly unknown[] = ["concurrent", "serial", "isolated", "isolated-serial"];

function kindOf(endpoint: string, kind: unknown): RpcEndpointKind | undefined {
  if (kind === undefined || ENDPOINT_KINDS.includes(kind)) return kind as RpcEndpointKind | undefined;
  const text = `endpoint "${endpoint}": kind is one of ${ENDPOINT_KINDS.join(", ")}: kind=${String(kind)}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

function moduleUrl(module: unknown): string {
  if (module instanceof URL || (typeof module === "string" && module.startsWith("file:"))) {
    const url = new URL(module);
    if (url.protocol === "file:") return pathToFileURL(fileURLToPath(url)).href;
  } else if (typeof module === "string" && isAbsolute(module)) {
    return pathToFileURL(module).href;
  }
  const text = `a module is a file URL or an absolute path, such as new URL("./x.js", import.meta.url): ${String(module)}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

function refuseUnknownKeys(what: string, given: object, known: readonly string[]): void {
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `${what} has no key ${key}; it has: ${known.join(", ")}`);
  }
}

function integer(what: string, value: unknown, min: number, max: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RpcError(
    "ERR_RPC_INVALID_ARGUMENT",
    `${what} must be an integer from ${min} to ${max}: ${what}=${String(value)}`,
  );
}

function ringBytes(what: string, value: number): number {
  if (isPowerOfTwo(value) && value >= INBOX_BYTES_MIN && value <= INBOX_BYTES_MAX) return value;
  const range = `a power of two from ${INBOX_BYTES_MIN} to ${INBOX_BYTES_MAX}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `${what} must be ${range}: ${what}=${String(value)}`);
}
