/**
 * Messages from other nodes: into Inboxes, undecoded. Steps 2, 3 and 8 of the data flow. Main thread only.
 *
 * An ask has a slot here, where its endpoint's loops look whether somebody still waits, and its asker is told the answer's
 * bytes. Whatever refuses an ask is answered; whatever refuses a one-way message, whose sender hears of nothing, is a
 * dead letter.
 */
import { RpcError } from "../common/errors.js";
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordKind } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { RpcPeer } from "../rpc/rpc-endpoint-options.js";
import { inboxFull, tooManyAsks } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { MessagePosting, Payload } from "./message-posting.js";
import type { OutstandingAsks, RemoteAsker } from "./outstanding-asks.js";
import type { Poster } from "./poster.js";
import type { RefTarget } from "./ref-poster.js";

/** A message from another node. Its bytes are valid during the call; `takeBody` copies them, or gives them away. */
export interface ArrivedMessage extends Payload {
  readonly kind: number;
  /** Env clock, ms, int32, and the time it leaves; 0 and Infinity: none. */
  readonly deadline: number;
  readonly timeoutMs: number;
  readonly enqueuedAt: number;
  /** `host:port` of the sender, in ASCII; nobody writes to it any more. */
  readonly sender: Uint8Array;
  /** The same object for all messages of one connection. */
  readonly peer: RpcPeer;
}

export interface RemoteDeliveryOptions {
  readonly networkCodec: MessageCodec;
  readonly asks: OutstandingAsks;
  readonly directory: EndpointDirectory;
  readonly poster: Poster;
  readonly posting: MessagePosting;
  readonly refusal: (target: RefTarget) => RpcError;
  readonly onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void;
}

export class RemoteDelivery {
  readonly #options: RemoteDeliveryOptions;
  readonly #asks: OutstandingAsks;
  readonly #directory: EndpointDirectory;
  readonly #posting: MessagePosting;
  readonly #record = new OutgoingRecord();
  /** What `allow` has said, once for each connection and endpoint; forgotten with either. */
  readonly #allowed = new WeakMap<RpcPeer, WeakMap<HostedEndpoint, boolean>>();

  constructor(options: RemoteDeliveryOptions) {
    this.#options = options;
    this.#asks = options.asks;
    this.#directory = options.directory;
    this.#posting = options.posting;
  }

  ask(target: RefTarget, message: ArrivedMessage, asker: RemoteAsker): void {
    const endpoint = this.#directory.accepting(target);
    if (endpoint === null) {
      this.#options.poster.countRefused(target);
      this.#asks.failRemote(asker, target.id, this.#options.refusal(target));
      return;
    }
    const { asks: counts, id, name } = endpoint;
    counts.sent++;
    if (endpoint.allow !== null && !this.#isAllowed(endpoint, endpoint.allow, message.peer)) {
      counts.rejected++;
      this.#asks.failRemote(asker, id, forbidden(name, message.peer));
      return;
    }
    const slot = this.#asks.openRemote(id, counts, message.deadline, message.timeoutMs, asker);
    if (slot === -1) {
      counts.rejected++;
      this.#asks.failRemote(asker, id, tooManyAsks(name, this.#asks.count));
      return;
    }
    const record = this.#fill(message);
    record.askSlot = slot;
    record.askGeneration = this.#asks.generation(slot);
    try {
      if (this.#posting.post(endpoint, record, Overflow.SPILL, message, message.sender) === PostResult.FULL) {
        this.#asks.reject(slot, inboxFull(endpoint), "rejected");
      } else {
        this.#options.poster.watchAsks();
      }
    } catch (error) {
      // No memory for the copy of a large body.
      this.#asks.reject(slot, error, "rejected");
    }
  }

  send(target: RefTarget, message: ArrivedMessage): void {
    const endpoint = this.#directory.accepting(target);
    if (endpoint === null) {
      this.#deadLetter(target.name, this.#options.refusal(target), message);
      return;
    }
    if (endpoint.allow !== null && !this.#isAllowed(endpoint, endpoint.allow, message.peer)) {
      this.#deadLetter(endpoint.name, forbidden(endpoint.name, message.peer), message);
      return;
    }
    const { oneWays } = endpoint;
    if (message.kind === RecordKind.BROADCAST && endpoint.shared && endpoint.state === EndpointState.RUNNING) {
      const { enqueuedAt, sender } = message;
      const lost = endpoint.loops.length - this.#posting.broadcast(endpoint, message, enqueuedAt, sender);
      oneWays.accepted += lost;
      oneWays.deadLettered += lost;
      for (let i = 0; i < lost; i++) this.#deadLetter(endpoint.name, inboxFull(endpoint), message);
      return;
    }
    const record = this.#fill(message);
    if (record.kind === RecordKind.BROADCAST) record.kind = RecordKind.SEND;
    oneWays.accepted++;
    if (this.#posting.post(endpoint, record, Overflow.SPILL, message, message.sender) !== PostResult.FULL) return;
    oneWays.deadLettered++;
    this.#deadLetter(endpoint.name, inboxFull(endpoint), message);
  }

  /** Askers elsewhere have given up, or are gone: queued asks never run, handlers that run are told. */
  cancel(askers: readonly RemoteAsker[]): void {
    const slots: number[] = [];
    for (const asker of askers) {
      const { slot } = asker;
      // Its message was refused, or its slot is another's by now.
      if (this.#asks.remoteAsker(slot) !== asker) continue;
      asker.forget();
      this.#asks.forgetAsker(slot);
      slots.push(slot);
    }
    this.#options.poster.cancelAsks(slots, () => null, "aborted");
  }

  #fill({ kind, deadline, enqueuedAt }: ArrivedMessage): OutgoingRecord {
    const record = this.#record;
    record.kind = kind;
    record.askSlot = -1;
    record.askGeneration = 0;
    record.deadline = deadline;
    record.enqueuedAt = enqueuedAt;
    return record;
  }

  #isAllowed(endpoint: HostedEndpoint, allow: (peer: RpcPeer) => boolean, peer: RpcPeer): boolean {
    let answers = this.#allowed.get(peer);
    if (answers === undefined) {
      answers = new WeakMap();
      this.#allowed.set(peer, answers);
    }
    let answer = answers.get(endpoint);
    if (answer === undefined) {
      answer = false;
      try {
        // Anything but true is no.
        answer = allow(peer) === true;
      } catch (error) {
        // The door stays shut, and whoever wrote the door hears of it.
        process.nextTick(() => {
          throw error;
        });
      }
      answers.set(endpoint, answer);
    }
    return answer;
  }

  #deadLetter(endpoint: string, error: RpcError, message: ArrivedMessage): void {
    const { payloadCodec, length } = message;
    // Not `slice`: of a Buffer that would be a view, and hold all that came with it as long as the event is kept.
    const bytes = new Uint8Array(message.bytes.subarray(0, length));
    const { networkCodec } = this.#options;
    this.#options.onDeadLetter(endpoint, error, () => networkCodec.decode(payloadCodec, bytes, length));
  }
}

function forbidden(endpoint: string, { address, identity }: RpcPeer): RpcError {
  const who = `${address === null ? "a peer" : `${address.host}:${address.port}`}, identity=${identity ?? "none"}`;
  return new RpcError("ERR_RPC_FORBIDDEN", `"${endpoint}" does not allow this peer: ${who}`, { endpoint });
}
