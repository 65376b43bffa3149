/**
 * Frees what endpoints have used that nobody serves any more: backlog, tickets, memory, loops of their own, id and name.
 * Main thread only.
 */
import { isRpcError, RpcError } from "../common/errors.js";
import { RecordKind, TakenRecord } from "../inbox/record.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import { LoopState } from "./hosted-message-loop.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { Poster } from "./poster.js";
import type { Tickets } from "./tickets.js";

export interface EndpointRemoverOptions {
  readonly memory: MainLoopMemory;
  readonly directory: EndpointDirectory;
  readonly asks: OutstandingAsks;
  readonly tickets: Tickets;
  readonly loops: MessageLoops;
  readonly poster: Poster;
  /** Why nothing more can be sent to an endpoint. */
  readonly refusal: (endpoint: HostedEndpoint) => RpcError;
  /** Accepted one-way messages that nobody will handle. */
  readonly deadLetter: (endpoint: HostedEndpoint, error: RpcError, count: number) => void;
}

export class EndpointRemover {
  readonly #options: EndpointRemoverOptions;

  constructor(options: EndpointRemoverOptions) {
    this.#options = options;
  }

  /** Forgets an endpoint that has stopped: its name may be used again. Resolves when loops of its own have ended. */
  remove(endpoint: HostedEndpoint): Promise<void> {
    const { directory, memory } = this.#options;
    const ended = this.retire(endpoint);
    if (endpoint.state === EndpointState.STOPPED) return ended;
    endpoint.state = EndpointState.STOPPED;
    directory.dropName(endpoint.name);
    directory.forget(endpoint);
    this.#whenUntouched(endpoint, () => {
      directory.dropId(endpoint.id);
      for (const region of endpoint.counters) memory.release(region);
    });
    return ended;
  }

  /** Frees everything but name, id and counters. Resolves when loops of its own have ended. */
  retire(endpoint: HostedEndpoint): Promise<void> {
    if (endpoint.retired !== null) return endpoint.retired;
    const { asks, tickets, loops, memory, poster } = this.#options;
    const refusal = this.#options.refusal(endpoint);
    poster.cancelAsks(asks.slots(endpoint.id), () => refusal, "failed");
    endpoint.settleRoomWaiters(refusal);
    const { loops: served, group } = endpoint;
    if (!endpoint.shared) for (const loop of served) if (loop !== 0) loops.unpin(loop);
    this.#whenUntouched(endpoint, () => {
      tickets.endAllOf(endpoint.id);
      memory.releaseRing(endpoint.ring);
    });
    endpoint.retired = group === null ? Promise.resolve() : loops.close(group);
    return endpoint.retired;
  }

  /** An endpoint did not start: nobody will take what was posted to it meanwhile. */
  startFailed(endpoint: HostedEndpoint, failure: unknown): void {
    const { name, id } = endpoint;
    const { poster, asks, deadLetter } = this.#options;
    const error = isRpcError(failure)
      ? failure
      : new RpcError("ERR_RPC_ENDPOINT_START", `endpoint "${name}" did not start`, { endpoint: name, cause: failure });
    poster.cancelAsks(asks.slots(id), () => error, "failed");
    const sends = this.discardBacklog(endpoint);
    if (sends > 0) deadLetter(endpoint, error, sends);
    endpoint.settleRoomWaiters(error);
  }

  /** Empties the Inbox and the spill of an endpoint that no loop serves. Returns how many one-way messages were in it. */
  discardBacklog(endpoint: HostedEndpoint): number {
    const reader = this.#options.memory.backlogReader(endpoint.ring);
    const record = new TakenRecord();
    let sends = 0;
    const count = (kind: number): void => {
      endpoint.accepted--;
      if (kind === RecordKind.SEND || kind === RecordKind.CAST) sends++;
    };
    endpoint.producer.flush();
    while (reader.read(record)) count(record.kind);
    for (let spilled = endpoint.producer.spill.peek(); spilled !== null; spilled = endpoint.producer.spill.peek()) {
      count(spilled.kind);
      endpoint.producer.spill.shift();
    }
    this.#options.tickets.endAllOf(endpoint.id);
    return sends;
  }

  /** Runs `free` once no thread can come to the endpoint's memory: at once, unless a loop of it is dying. */
  #whenUntouched({ loops }: HostedEndpoint, free: () => void): void {
    const dying = loops.flatMap((index) => {
      const loop = index === 0 ? null : this.#options.loops.get(index);
      const gone = loop === null || loop.up || loop.state === LoopState.DEAD;
      return gone ? [] : [loop.hosted.exited];
    });
    if (dying.length === 0) free();
    else void Promise.all(dying).then(free);
  }
}
