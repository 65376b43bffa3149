/** Sets up endpoints on loop 0: an instance, or a service, in place of a module. Not in the data flow. Main thread only. */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import type { PayloadWriter } from "../inbox/record.js";
import { SpillBudget, type SpillTotal } from "../inbox/spill-queue.js";
import { describeInstance } from "../rpc/rpc-definition.js";
import { bindEndpoint, isEndpointInstance, isSerial, type RpcStart } from "../rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../rpc/rpc-endpoint-ref.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import type { RpcService } from "../rpc/rpc-protocol.js";
import { serviceInternals } from "../rpc/rpc-service.js";
import { ClassBehaviour, type EndpointBehaviour, ServiceBehaviour, startInstance } from "./attached-endpoint.js";
import { envStopped } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import type { EngineSettings } from "./engine-settings.js";
import { describeThrown } from "./failure.js";
import { EndpointState, HostedEndpoint } from "./hosted-endpoint.js";
import type { LoopZeroEndpoints, LoopZeroSetup } from "./loop-zero-endpoints.js";
import type { MainLoopMemory } from "./main-loop-memory.js";

export interface LoopZeroStarterOptions {
  readonly clock: Clock;
  readonly memory: MainLoopMemory;
  readonly directory: EndpointDirectory;
  readonly writer: PayloadWriter;
  readonly spillTotal: SpillTotal;
  readonly settings: EngineSettings;
  readonly endpoints: LoopZeroEndpoints;
  /** Ends what was posted to an endpoint that did not start. */
  readonly onStartFailed: (endpoint: HostedEndpoint, failure: unknown) => void;
  readonly isAccepting: () => boolean;
  /** What an endpoint sees of itself and of its env. */
  readonly bind: (endpoint: HostedEndpoint) => { readonly self: RpcEndpointRef; readonly rpcEnv: RpcEnvView };
}

export class LoopZeroStarter {
  readonly #options: LoopZeroStarterOptions;
  /** Endpoints by their instance, so that one instance is not set up twice. */
  readonly #byInstance = new WeakMap<object, HostedEndpoint>();

  constructor(options: LoopZeroStarterOptions) {
    this.#options = options;
  }

  find(instance: object): HostedEndpoint | undefined {
    return this.#byInstance.get(instance);
  }

  /** `given`: an instance of an endpoint class, or a service. Resolves when onStart has finished. The name is checked. */
  async start(name: string, given: object, setup: LoopZeroSetup): Promise<HostedEndpoint> {
    const description = describeInstance(given);
    const { directory, endpoints, memory, settings } = this.#options;
    const before = this.#byInstance.get(given);
    if (before !== undefined && before.state !== EndpointState.STOPPED && isEndpointInstance(given)) {
      const text = `this instance is set up already, as "${before.name}"; an instance is one endpoint`;
      throw new RpcError("ERR_RPC_ENDPOINT_EXISTS", text, { endpoint: name });
    }
    const id = directory.reserve(name);
    const ring = memory.allocateRing(setup.inboxBytes);
    const budget = new SpillBudget(settings.spill, this.#options.spillTotal);
    const endpoint = new HostedEndpoint({
      id,
      generation: directory.nextGeneration(),
      name,
      description,
      launch: null,
      loops: [0],
      group: null,
      ring,
      counters: [memory.allocateCounters()],
      producer: memory.ownProducer(ring, endpoints.doorbell(id), this.#options.writer, budget),
      budget,
      handlerTimeoutMs: setup.handlerTimeoutMs,
      allow: setup.allow,
      crashes: settings.crashes,
    });
    directory.add(endpoint);
    this.#byInstance.set(given, endpoint);
    try {
      const behaviour = await this.#startTimed(endpoint, given);
      if (!this.#options.isAccepting()) throw envStopped(name);
      endpoints.attach(endpoint, behaviour, setup, isSerial(description.kind), {
        replace: () => replaceInstance(endpoint),
      });
      endpoint.serving.add(0);
      endpoint.open();
      return endpoint;
    } catch (error) {
      const text = `endpoint "${name}" did not start: ${describeThrown(error)}`;
      const failure = this.#options.isAccepting()
        ? new RpcError("ERR_RPC_ENDPOINT_START", text, { endpoint: name, cause: error })
        : envStopped(name);
      this.#options.onStartFailed(endpoint, failure);
      endpoint.state = EndpointState.STOPPED;
      directory.remove(endpoint);
      memory.releaseRing(ring);
      for (const region of endpoint.counters) memory.release(region);
      throw failure;
    }
  }

  #startTimed(endpoint: HostedEndpoint, given: object): Promise<EndpointBehaviour> {
    const { clock, settings } = this.#options;
    const { startTimeoutMs } = settings;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(() => {
        reject(
          new Error(
            `its onStart did not finish within ${startTimeoutMs} ms; rpc.startTimeout says how long it may take`,
          ),
        );
      }, startTimeoutMs);
      this.#behaviour(endpoint, given)
        .then(resolve, reject)
        .finally(() => clock.clearTimeout(timer));
    });
  }

  async #behaviour(endpoint: HostedEndpoint, given: object): Promise<EndpointBehaviour> {
    const { self, rpcEnv } = this.#options.bind(endpoint);
    if (isEndpointInstance(given)) {
      const start: RpcStart = { restarts: 0, reason: null };
      bindEndpoint(given, { replica: { index: 0, count: 1 }, self, rpcEnv });
      await startInstance(given, start);
      return new ClassBehaviour(endpoint.name, given);
    }
    const methods = await serviceInternals(given as RpcService).create({ args: undefined, self, rpcEnv });
    return new ServiceBehaviour(endpoint.name, methods);
  }
}

/** An instance that somebody else made cannot be made anew. */
function replaceInstance({ name }: HostedEndpoint): Promise<never> {
  const text = `"${name}" is an instance on the main thread and cannot be replaced by a new one; stop it`;
  return Promise.reject(new RpcError("ERR_RPC_ENDPOINT_FAILED", text, { endpoint: name }));
}
