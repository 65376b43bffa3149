/**
 * PeerConnection: what the env knows of a connection and of who is at its other end. It stands in the `attachment` of the
 * connection's TransportClient.
 *
 * Who dials knows whom he has dialled. Who accepts learns it from the first message: where its sender listens, if he does,
 * and the id of his env. From then on there is a peer.
 */

import { REQUESTS_PER_CONNECTION_MAX } from "../common/limits.js";
import type { RefTarget } from "../dispatcher/ref-poster.js";
import { isLoopback } from "../network/bind.js";
import type { TransportClient } from "../network/transport-client.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcPeer } from "../rpc/rpc-endpoint-options.js";
import { type RequestAddress, RequestReader } from "./envelope.js";
import { OpenRequests } from "./open-requests.js";

const ascii = new TextEncoder();

/** Who waits until fewer requests of a connection are without an answer. */
export interface AskHolder {
  drain(): void;
}

export class PeerConnection implements RpcPeer {
  readonly client: TransportClient;
  readonly local: boolean;
  readonly identity: string | null;
  readonly reader = new RequestReader();
  /** Targets of what it asks, by the address part of its messages. */
  readonly targets = new WeakMap<RequestAddress, RefTarget>();
  /** What it has asked and got no answer to. */
  readonly requests = new OpenRequests();
  /** Where it listens, if it says so, else where its socket is. */
  address: RpcAddress;
  /** The same as text, as it travels with its messages into an Inbox. */
  sender: Uint8Array;
  /** The peer has said who it is, or was dialled. */
  known = false;
  /** Id of its env, once it was said. */
  envId: string | null = null;
  /** We have said who we are. */
  introduced = false;
  /**
   * Requests that were given up before it was known that it would understand that. A peer of ours has no more of them
   * unanswered than these; one that never says who it is cannot make them grow.
   */
  #unsentCancels: number[] = [];
  /** It has sent an envelope of our version: it understands what is ours. */
  speaksOurVersion = false;
  /** Outboxes that hold asks back until the peer has answered some. */
  readonly #holders = new Set<AskHolder>();
  #isHeld = false;
  readonly #onVersionShown: (connection: PeerConnection) => void;
  /** When it was last heard of at the last look, and for how many looks it has been silent: see peers.ts. */
  heardMs = -1;
  silentLooks = 0;

  /** @param onVersionShown told once, when `speaksOurVersion` has become true. */
  constructor(client: TransportClient, onVersionShown: (connection: PeerConnection) => void) {
    this.client = client;
    this.#onVersionShown = onVersionShown;
    this.identity = client.identity;
    this.local = isLoopback(client.remoteAddress.host);
    this.address = client.remoteAddress;
    this.sender = ascii.encode(RpcAddress.hostPort(this.address));
  }

  /** It is known where it listens, because it has said so or was dialled there; null: nowhere. */
  introduce(listening: RpcAddress | null): void {
    this.known = true;
    if (listening === null) return;
    this.address = listening;
    this.sender = ascii.encode(RpcAddress.hostPort(listening));
  }

  /** It has sent an envelope of our version. */
  showVersion(): void {
    if (this.speaksOurVersion) return;
    this.speaksOurVersion = true;
    this.#onVersionShown(this);
  }

  /** A request was given up: to be told to the peer, once it is known to understand that. */
  keepCancel(handle: number): void {
    if (this.#unsentCancels.length < REQUESTS_PER_CONNECTION_MAX) this.#unsentCancels.push(handle);
  }

  takeCancels(): number[] {
    const handles = this.#unsentCancels;
    this.#unsentCancels = [];
    return handles;
  }

  get unsentCancelCount(): number {
    return this.#unsentCancels.length;
  }

  /** `holder` is told of each request that ends, until `release`. */
  hold(holder: AskHolder): void {
    this.#holders.add(holder);
    this.#isHeld = true;
  }

  release(holder: AskHolder): void {
    this.#holders.delete(holder);
    this.#isHeld = this.#holders.size > 0;
  }

  /** A request to it has ended. */
  answered(): void {
    if (!this.#isHeld) return;
    for (const holder of this.#holders) holder.drain();
  }

  get place(): string {
    return RpcAddress.hostPort(this.address);
  }
}
