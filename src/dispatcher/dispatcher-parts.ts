/** What the pieces of the Dispatcher that end things (stops, crashes) need of the whole. Types only. */
import type { RpcError } from "../common/errors.js";
import type { InFlightEntry } from "../inbox/in-flight-table.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import type { EndpointRemover } from "./endpoint-remover.js";
import type { Forwarder } from "./forwarder.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { ReportedFailures } from "./message-counts.js";
import type { MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { Poster } from "./poster.js";
import type { Tickets } from "./tickets.js";

/** A loop died, or does not end though it was told to. */
export interface LoopCrash {
  readonly loop: number;
  readonly blamed: string | null;
  readonly restarted: readonly string[];
  readonly stuck: boolean;
  readonly error: unknown;
}

/** What the Dispatcher reports to its env. */
export interface DispatcherEvents {
  /** Messages that were accepted and will not be handled, or whose one-way handler failed. */
  deadLetter(endpoint: string, error: RpcError, count: number, message?: () => unknown): void;
  loopCrashed(crash: LoopCrash): void;
  endpointFailed(endpoint: string, error: RpcError): void;
  endpointStuck(endpoint: string, loop: number, ageMs: number): void;
}

export interface DispatcherParts {
  readonly memory: MainLoopMemory;
  readonly directory: EndpointDirectory;
  readonly asks: OutstandingAsks;
  readonly loops: MessageLoops;
  readonly tickets: Tickets;
  readonly poster: Poster;
  readonly forwarder: Forwarder;
  readonly remover: EndpointRemover;
  readonly events: DispatcherEvents;
  /** True while the thread of that loop may run. Loop 0's always does. */
  isAlive(loop: number): boolean;
  /** Tells a loop something about an endpoint of its, behind all that it was told before. */
  tell(loop: number, kind: number, subject: number, generation?: number, detail?: number): void;
  /** What a loop has in flight now. */
  inFlight(loop: number): InFlightEntry[];
  /** Accepted one-way messages of an endpoint that nobody will handle: counted and told. */
  deadLetter(endpoint: HostedEndpoint, error: RpcError, count: number): void;
  /** One-way messages whose failure was reported before their loop died. */
  readonly reportedFailures: ReportedFailures;
  /** Why nothing more can be sent to this endpoint. */
  refusal(endpoint: HostedEndpoint): RpcError;
  /** Takes back an instance that is just starting. Resolves when there is none, or it serves, having started meanwhile. */
  takeBack(endpoint: HostedEndpoint, loop: number): Promise<void>;
}
