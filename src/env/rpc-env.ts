/**
 * RpcEnv in one process: checks options, owns the Dispatcher, hands out refs and events. Main thread only.
 */
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { monotonicMs, systemClock, type Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { SHUTDOWN_TIMEOUT_MS_DEFAULT } from "../common/limits.js";
import type { NetworkEvent } from "../dispatcher/attached-endpoint.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import type { DispatcherNetwork } from "../dispatcher/dispatcher-options.js";
import { handleOf } from "../dispatcher/endpoint-ref.js";
import { describeThrown } from "../dispatcher/failure.js";
import { EndpointState, type HostedEndpoint } from "../dispatcher/hosted-endpoint.js";
import { piscinaLoopHost } from "../dispatcher/loop-host.js";
import type { RefTarget } from "../dispatcher/ref-poster.js";
import { LoopStatus } from "../inbox/layout.js";
import { parseEndpointUri } from "../rpc/endpoint-uri.js";
import type { RefHandle } from "../rpc/ref-handle.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import { isEndpointInstance, type RpcEndpoint } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointOptions, SetupOptions } from "../rpc/rpc-endpoint-options.js";
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
import { EnvView } from "./env-view.js";
import { ProcessWarnings } from "./process-warnings.js";
import {
  checkLookup,
  type EnvSettings,
  moduleUrl,
  readEndpointOptions,
  readEnvOptions,
  stopTimeoutMs,
} from "./rpc-env-options.js";

const LOOP_STATES = {
  [LoopStatus.STARTING]: "busy",
  [LoopStatus.BUSY]: "busy",
  [LoopStatus.SPINNING]: "spinning",
  [LoopStatus.PARKED]: "parked",
  [LoopStatus.STOPPED]: "stopped",
} as const;

const EVENTS: readonly (keyof RpcEnvEvents)[] = ["deadLetter", "loopCrashed", "endpointFailed", "endpointStuck"];

/** A timer this long keeps the process alive without ever doing anything. */
const KEEP_ALIVE_MS = 2 ** 31 - 1;

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
  readonly #logger: RpcLogger | null;
  readonly #warnings: ProcessWarnings;
  readonly #settings: EnvSettings;
  readonly #keepAlive: Timer;
  #shutdown: Promise<void> | null = null;
  #terminated: () => void = () => {};
  readonly #termination: Promise<void>;

  constructor(options: RpcEnvOptions) {
    this.#settings = readEnvOptions(options);
    const { name, logger, loopCount, throughput, loopRingBytes, engine } = this.#settings;
    this.name = name;
    this.#logger = logger;
    this.#warnings = new ProcessWarnings(name);
    const originMs = monotonicMs();
    const clock = systemClock(originMs);
    const view = new EnvView(this);
    this.#dispatcher = new Dispatcher({
      envName: this.name,
      envId: randomBytes(12).toString("base64url"),
      clock,
      originMs,
      loopCount,
      throughput,
      loopRingBytes,
      settings: engine,
      hostFactory: piscinaLoopHost,
      events: {
        deadLetter: (endpoint, error, count, message) => this.#deadLetter(endpoint, error, count, message),
        loopCrashed: (crash) => {
          const what = crash.stuck ? "message loop does not end" : "message loop died";
          const warning = (): string =>
            `${what}: loop=${crash.loop}, blamed=${crash.blamed}: ${describeThrown(crash.error)}`;
          this.#report("loopCrashed", crash, (logger) => logger.error(crash, what), warning);
        },
        endpointFailed: (endpoint, error) => {
          const log = (logger: RpcLogger): void => logger.error({ endpoint, error }, "endpoint failed");
          this.#report("endpointFailed", { endpoint, error }, log, () => error.message);
        },
        endpointStuck: (endpoint, loop, ageMs) => {
          const log = (logger: RpcLogger): void => logger.warn({ endpoint, loop, ageMs }, "endpoint stuck");
          const warning = (): string => `a handler of "${endpoint}" does not end: loop=${loop}, ageMs=${ageMs}`;
          this.#report("endpointStuck", { endpoint, loop, ageMs }, log, warning);
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
        find: async (address, name, timeoutMs) =>
          handleOf(await this.setupEndpointRef(address, name, { timeoutMs })) as RefHandle,
      },
      network: () => noNetwork(this.name),
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
    const local = isEndpointInstance(module) || isRpcService(module);
    const settings = readEndpointOptions(name, options ?? {}, this.#settings, local);
    const endpoint = local
      ? await this.#dispatcher.setupOnLoopZero(name, module, settings)
      : await this.#dispatcher.setup(name, moduleUrl(module), settings);
    return this.#ref(endpoint);
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
    checkLookup(address, name, options);
    if (address !== null) throw notReachable(this.name, name, RpcAddress.hostPort(address));
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
    if (!EVENTS.includes(event)) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `an env has no event ${event}; it has: ${EVENTS.join(", ")}`);
    }
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
    const log = (logger: RpcLogger): void => logger.warn({ endpoint, error, count }, "dead letter");
    this.#report("deadLetter", letter, log, () => this.#warnings.deadLetter(endpoint, error));
  }

  /**
   * Tells logger and listeners; where there is neither, the process. What they throw is theirs: it must not stop loop 0
   * in the middle of its work.
   * @param warning the text for the process, or what tells it.
   */
  #report<E extends keyof RpcEnvEvents>(
    event: E,
    value: RpcEnvEvents[E][0],
    log: (logger: RpcLogger) => void,
    warning: () => string | void,
  ): void {
    const logger = this.#logger;
    if (logger === null && this.#events.listenerCount(event) === 0) {
      const text = warning();
      if (typeof text === "string") this.#warnings.warn(event, text);
      return;
    }
    for (const tell of [() => logger && log(logger), () => this.#events.emit(event, value)]) {
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

function notReachable(env: string, endpoint: string, place: string): RpcError {
  const text = `"${endpoint}" at ${place} cannot be reached: env "${env}" has no network yet`;
  return new RpcError("ERR_RPC_CONNECT", text, { endpoint, retryable: false });
}

function noNetwork(env: string): DispatcherNetwork {
  const fail = (target: RefTarget): RpcError => notReachable(env, target.name, String(target.place));
  return {
    poster: {
      lastSlot: -1,
      generation: () => 0,
      ask: (target) => Promise.reject(fail(target)),
      abort: () => {},
      send: () => false,
      broadcast: () => 0,
      ready: (target) => Promise.reject(fail(target)),
    },
    gateway: {
      ask: (target, _message, asker) => asker.fail(fail(target)),
      send: () => {},
      ready: (target, asker) => asker.fail(fail(target)),
      giveUp: () => false,
      onLoopDied: () => {},
    },
  };
}

function notFound(env: string, endpoint: string): RpcError {
  const text = `env "${env}" has no running endpoint "${endpoint}"`;
  return new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", text, { endpoint });
}
