/** What the pieces of the Dispatcher that end things (stops, crashes) need of the whole. Types only. */
import type { RpcError } from "../common/errors.js";
import type { InFlightEntry } from "../inbox/in-flight-table.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import type { Forwarder } from "./forwarder.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { ReportedFailures } from "./message-counts.js";
import type { MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { Poster } from "./poster.js";
import type { Tickets } from "./tickets.js";

/** What the Dispatcher reports to its env. */
export interface DispatcherEvents {
  /** Messages that were accepted and will not be handled, or whose one-way handler failed. */
  deadLetter(endpoint: string, error: RpcError, count: number, message?: () => unknown): void;
  loopCrashed(loop: number, blamed: string | null, error: unknown): void;
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
  readonly events: DispatcherEvents;
  /** True while that loop serves its endpoints. Loop 0 always does. */
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
  /** Forgets an endpoint that has stopped: its name and its memory may be used again. */
  remove(endpoint: HostedEndpoint): void;
  /** Empties Inbox and spill of an endpoint that no loop serves. Returns how many one-way messages were in them. */
  discardBacklog(endpoint: HostedEndpoint): number;
}
