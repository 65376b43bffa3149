/** What a Dispatcher is made of. Types only. */
import type { Clock } from "../common/clock.js";
import type { RpcEnvView } from "../rpc/rpc-env-view.js";
import type { NetworkEvent } from "./attached-endpoint.js";
import type { DispatcherEvents } from "./dispatcher-parts.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import type { EngineSettings } from "./engine-settings.js";
import type { EnvRequestHost } from "./env-requests.js";
import type { LoopRequests } from "./forwarder.js";
import type { LoopHostFactory } from "./loop-host.js";
import type { LoopZeroStarterOptions } from "./loop-zero-starter.js";
import type { RefPoster } from "./ref-poster.js";
import type { RemoteDelivery } from "./remote-delivery.js";
import type { RemoteGateway } from "./remote-gateway.js";
import type { RunningHandler } from "./running-handler.js";
import type { LoopCodecs } from "./shared-shapes.js";

export interface DispatcherOptions {
  readonly envName: string;
  readonly envId: string;
  readonly clock: Clock;
  readonly originMs: number;
  readonly loopCount: number;
  readonly throughput: number;
  readonly loopRingBytes: number;
  readonly settings: EngineSettings;
  readonly hostFactory: LoopHostFactory;
  readonly events: DispatcherEvents;
  readonly bind: LoopZeroStarterOptions["bind"];
  /** The env as endpoints on loop 0 see it. */
  readonly view: RpcEnvView;
  /** What handlers on message loops want of the env. */
  readonly requests: LoopRequests & EnvRequestHost;
  /** Makes the way to other nodes. Called once, by the constructor. */
  readonly network: (side: DispatcherSide) => DispatcherNetwork;
}

/** What the way to other nodes needs of the Dispatcher. */
export interface DispatcherSide {
  readonly codecs: LoopCodecs;
  readonly running: RunningHandler;
  readonly directory: EndpointDirectory;
  /** Takes what comes from there. */
  readonly remote: RemoteDelivery;
  /** Tells every endpoint that overrides the method of a network event. */
  postEvent(event: NetworkEvent): void;
}

/** The env's way to other nodes. */
export interface DispatcherNetwork {
  /** Of what is sent on the main thread. */
  readonly poster: RefPoster;
  /** Of what handlers on message loops send. */
  readonly gateway: RemoteGateway;
}
