/**
 * What loop 0 and a message loop tell each other outside the rings: the start message of a loop, and the calls of the
 * control plane. Every value is structured-cloneable.
 */
import type { MessagePort } from "node:worker_threads";
import type { Region, RingRegion, SegmentHandle } from "../inbox/segment.js";
import type { EncodedBody } from "../rpc/codec.js";
import type { RefHandle } from "../rpc/ref-handle.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { EndpointDescription } from "../rpc/rpc-definition.js";
import type { EngineSettings } from "./engine-settings.js";

/** Where the memory of one message loop lies. */
export interface LoopRegions {
  readonly control: Region;
  readonly ready: Region;
  readonly entries: Region;
  readonly mailbox: RingRegion;
  readonly outbound: RingRegion;
}

/** Where the memory that all loops of an env use lies. */
export interface EnvRegions {
  readonly env: Region;
  readonly loopZeroReady: Region;
  readonly sharedReady: Region;
  readonly asks: Region;
  readonly structures: Region;
  readonly blocks: Region;
}

/** The one task of a message loop's thread. */
export interface LoopStart {
  readonly envName: string;
  /** Tells its refs from those of other envs. */
  readonly envId: string;
  /** Where the env listens. */
  readonly address: RpcAddress | null;
  readonly loop: number;
  readonly epoch: number;
  /** `monotonicMs()` of the env's creation: origin of the env clock. */
  readonly originMs: number;
  readonly throughput: number;
  readonly settings: EngineSettings;
  readonly segments: readonly SegmentHandle[];
  readonly envRegions: EnvRegions;
  readonly loopRegions: LoopRegions;
  /** The control plane, spoken with comlink. */
  readonly controlPort: MessagePort;
  /** What its handlers want of the env, spoken with comlink the other way round. */
  readonly envPort: MessagePort;
  /** Large bodies, both ways. Nobody listens: it is read when a record says that a body is there. */
  readonly bodyPort: MessagePort;
}

/** A body on the body port, behind the record that names it. */
export interface Body extends EncodedBody {
  readonly ticket: number;
}

/** What is posted of a body whose payload travels in its record. */
export type BodyOnPort = Omit<Body, "bytes"> & { readonly bytes: Body["bytes"] | null };

/** Posts a body; its memory goes with it. */
export function postBody(port: MessagePort, body: BodyOnPort): void {
  const { bytes, attachments } = body;
  port.postMessage(body, bytes === null ? attachments : [bytes.buffer, ...attachments]);
}

export interface AttachRequest {
  readonly endpoint: number;
  readonly generation: number;
  readonly name: string;
  readonly module: string;
  /** The constructor's or the service's argument, encoded by the message codec. */
  readonly args: EncodedValue | null;
  readonly inbox: RingRegion;
  readonly segment: SegmentHandle;
  /** Several loops serve this Inbox: take under its lock. */
  readonly shared: boolean;
  /** The highest id of those loops. */
  readonly loopMax: number;
  readonly concurrency: number;
  readonly throughput: number | undefined;
  /** Milliseconds, or Infinity. */
  readonly handlerTimeoutMs: number;
  readonly replica: { readonly index: number; readonly count: number };
  /** This loop's counters of the endpoint. */
  readonly counters: Region;
  readonly countersSegment: SegmentHandle;
  /** How often the instance on this loop was started again, and why the last time. */
  readonly restarts: number;
  readonly reason: EncodedValue | null;
}

export interface EncodedValue extends EncodedBody {
  readonly codec: number;
}

/** Errors keep their fields in our codec, not in comlink's. */
export type ControlResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: EncodedValue };

/** What a message loop offers over its control port. */
export interface LoopControl {
  /** Answers once the loop runs. */
  hello(): void;
  /** Imports a module for an endpoint id and says what it defines. */
  describe(endpoint: number, module: string): Promise<ControlResult<EndpointDescription>>;
  /** Makes the instance and runs its onStart. Its Inbox is served from then on, unless it was detached meanwhile. */
  attach(request: AttachRequest): Promise<ControlResult<null>>;
  /** Forgets an instance without onStop, also one that is still starting. */
  detach(endpoint: number): Promise<void>;
  /** Takes back an instance that is starting. False: it has started, and is served like any other. */
  takeBack(endpoint: number): boolean;
}

/** What loop 0 offers the handlers of a message loop over its env port. */
export interface EnvControl {
  /** `request`: a SetupRequest. */
  setupEndpoint(request: EncodedValue): Promise<ControlResult<RefHandle>>;
  /** The endpoint that runs under this name, at this address or, with null, here. */
  find(address: RpcAddress | null, name: string, timeoutMs: number): Promise<ControlResult<RefHandle>>;
}
