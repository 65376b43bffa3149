/**
 * The environment: checks options, owns Dispatcher and network, hands out refs and events. Main thread only.
 */
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { type Clock, monotonicMs, systemClock, type Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { SHUTDOWN_FLUSH_MS_MIN, SHUTDOWN_TIMEOUT_MS_DEFAULT } from "../common/limits.js";
import type { NetworkEvent } from "../dispatcher/attached-endpoint.js";
import { Dispatcher } from "../dispatcher/dispatcher.js";
import type { DispatcherSide } from "../dispatcher/dispatcher-options.js";
import { handleOf } from "../dispatcher/endpoint-ref.js";
import { EndpointState, type HostedEndpoint } from "../dispatcher/hosted-endpoint.js";
import { piscinaLoopHost } from "../dispatcher/loop-host.js";
import { LoopStatus } from "../inbox/layout.js";
import { createSecurity } from "../network/create-security.js";
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
  RpcFileServer,
  RpcLoopStats,
} from "../rpc/rpc-env.js";
import type { RpcLookupOptions, RpcShutdownOptions } from "../rpc/rpc-env-view.js";
import type { NotIsolated, RpcDefinition, RpcService, RpcTarget, RpcUntyped } from "../rpc/rpc-protocol.js";
import { isRpcService } from "../rpc/rpc-service.js";
import { BUILT_IN_ENDPOINTS, type VerifiedEndpoint } from "./built-in-endpoints.js";
import { EnvEvents } from "./env-events.js";
import { EnvView } from "./env-view.js";
import {
  checkLookup,
  type EnvSettings,
  moduleUrl,
  readEndpointOptions,
  readEnvOptions,
  stopTimeoutMs,
} from "./rpc-env-options.js";
import { RpcNetwork } from "./rpc-network.js";

const LOOP_STATES = {
  [LoopStatus.STARTING]: "busy",
  [LoopStatus.BUSY]: "busy",
  [LoopStatus.SPINNING]: "spinning",
  [LoopStatus.PARKED]: "parked",
  [LoopStatus.STOPPED]: "stopped",
} as const;

/** A timer this long keeps the process alive without ever doing anything. */
const KEEP_ALIVE_MS = 2 ** 31 - 1;

const dispatchers = new WeakMap<RpcEnv, Dispatcher>();

/** Tells the endpoints of an environment of a network event, as its network will. For tests. */
export function postNetworkEvent(env: RpcEnv, event: NetworkEvent): void {
  dispatchers.get(env)?.postEvent(event);
}

/** Makes an environment; see RpcEnv.create. */
export async function createEnv(options: RpcEnvOptions): Promise<RpcEnv> {
  const settings = readEnvOptions(options);
  const { name, logger, network: given } = settings;
  const originMs = monotonicMs();
  const clock = systemClock(originMs);
  const events = new EnvEvents(name, logger);
  const envId = randomBytes(12).toString("base64url");
  const security = createSecurity(given.security, clock);
  const { transport, files, outboxBytesMax, livenessLookMs, listen } = given;
  const network = new RpcNetwork({
    envId,
    clock,
    settings: transport,
    files,
    security,
    logger,
    outboxBytesMax,
    livenessLookMs,
    events,
  });
  if (listen !== null) await network.listen(listen);
  // In the tick in which it began to listen: nobody can have connected yet.
  return new MainRpcEnv({ settings, envId, clock, originMs, events, network });
}

interface MainRpcEnvParts {
  readonly settings: EnvSettings;
  readonly envId: string;
  readonly clock: Clock;
  readonly originMs: number;
  readonly events: EnvEvents;
  readonly network: RpcNetwork;
}

class MainRpcEnv implements RpcEnv {
  readonly name: string;
  readonly address: RpcAddress | null;
  readonly #dispatcher: Dispatcher;
  readonly #network: RpcNetwork;
  readonly #events: EnvEvents;
  readonly #settings: EnvSettings;
  readonly #clock: Clock;
  readonly #keepAlive: Timer;
  #shutdown: Promise<void> | null = null;
  #terminated: () => void = () => {};
  readonly #termination: Promise<void>;

  constructor({ settings, envId, clock, originMs, events, network }: MainRpcEnvParts) {
    this.#clock = clock;
    const { name, loopCount, throughput, loopRingBytes, engine } = settings;
    this.name = name;
    this.address = network.address;
    this.#settings = settings;
    this.#events = events;
    this.#network = network;
    events.address = network.address;
    const view = new EnvView(this);
    const onDeadLetter = (endpoint: string, error: RpcError, message: () => unknown): void =>
      events.deadLetter(endpoint, error, 1, message);
    this.#dispatcher = new Dispatcher({
      envName: name,
      envId,
      clock,
      originMs,
      loopCount,
      throughput,
      loopRingBytes,
      settings: engine,
      hostFactory: piscinaLoopHost,
      events,
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
      network: (dispatcher) => {
        const verify = (name: string): VerifiedEndpoint | false => verified(dispatcher, envId, name);
        return network.start(dispatcher, { askTimeout: engine.askTimeout, onDeadLetter, verify });
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
    if (BUILT_IN_ENDPOINTS.includes(name)) {
      const text = `every env has an endpoint "${name}" of its own: choose another name`;
      throw new RpcError("ERR_RPC_ENDPOINT_EXISTS", text, { endpoint: name });
    }
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
    const { refs } = this.#dispatcher;
    if (address !== null && !RpcAddress.equals(address, this.address)) {
      const known = { name, address, id: 0, generation: 0, env: "", replicas: 1 };
      if (options?.verify === false) return refs.unpack(known) as unknown as RpcEndpointRef<RpcTarget<T>>;
      const timeoutMs = options?.timeoutMs ?? this.#settings.engine.lookupTimeout.ms;
      const { env, replicas, methods } = await this.#network.verify(address, name, timeoutMs, options?.signal);
      return refs.found({ ...known, env, replicas }, methods) as unknown as RpcEndpointRef<RpcTarget<T>>;
    }
    const ref = this.endpointRef<T>(name);
    if (ref !== null) return ref;
    if (options?.verify !== false) throw notFound(this.name, name);
    return refs.named(name) as unknown as RpcEndpointRef<RpcTarget<T>>;
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
    this.#shutdown ??= this.#end(timeoutMs).finally(this.#terminated);
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
      peers: this.#network.stats(),
      mainLoop: { delayMs: dispatcher.poster.delayMs, delayMsMax: dispatcher.poster.delayMsMax },
    };
  }

  get fileServer(): RpcFileServer {
    return this.#network.fileServer;
  }

  async openChannel(uri: string): Promise<Readable> {
    return this.#network.fileChannels.open(uri);
  }

  on<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this {
    this.#events.on(event, listener);
    return this;
  }

  off<E extends keyof RpcEnvEvents>(event: E, listener: (...event: RpcEnvEvents[E]) => void): this {
    this.#events.off(event, listener);
    return this;
  }

  /** Endpoints first, and what they still answer goes out; then the connections. */
  async #end(timeoutMs: number): Promise<void> {
    const endMs = this.#clock.now() + timeoutMs;
    this.#network.stopping();
    try {
      await this.#dispatcher.shutdown(timeoutMs);
    } finally {
      const error = new RpcError("ERR_RPC_ENV_STOPPED", "the env was shut down", { maybeExecuted: true });
      // Where endpoints took all the time, their last answers still have some to go out.
      await this.#network.stop(error, Math.max(endMs - this.#clock.now(), SHUTDOWN_FLUSH_MS_MIN));
    }
  }

  #ref<T>(endpoint: HostedEndpoint): RpcEndpointRef<T> {
    // The definition is the compiler's affair alone: at run time every ref takes every message.
    return this.#dispatcher.refs.of(endpoint) as unknown as RpcEndpointRef<T>;
  }
}

/** What the verifier says of an endpoint of this env. */
function verified({ directory }: DispatcherSide, env: string, name: string): VerifiedEndpoint | false {
  if (BUILT_IN_ENDPOINTS.includes(name)) return { env, replicas: 1, methods: null };
  const endpoint = directory.find(name);
  if (endpoint?.state !== EndpointState.RUNNING) return false;
  return { env, replicas: endpoint.loops.length, methods: endpoint.description.methods ?? null };
}

function notFound(env: string, endpoint: string): RpcError {
  const text = `env "${env}" has no running endpoint "${endpoint}"`;
  return new RpcError("ERR_RPC_ENDPOINT_NOT_FOUND", text, { endpoint });
}
