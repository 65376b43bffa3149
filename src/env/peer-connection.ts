/**
 * PeerConnection: what the env knows of a connection and of who is at its other end. It stands in the `attachment` of the
 * connection's TransportClient.
 *
 * Who dials knows whom he has dialled. Who accepts learns it from the first message: where its sender listens, if he does,
 * and the id of his env. From then on there is a peer.
 */

import type { RefTarget } from "../dispatcher/ref-poster.js";
import { isLoopback } from "../network/bind.js";
import type { TransportClient } from "../network/transport-client.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcPeer } from "../rpc/rpc-endpoint-options.js";
import { type RequestAddress, RequestReader } from "./envelope.js";

const ascii = new TextEncoder();

export class PeerConnection implements RpcPeer {
  readonly client: TransportClient;
  readonly local: boolean;
  readonly identity: string | null;
  readonly reader = new RequestReader();
  /** Targets of what it asks, by the address part of its messages. */
  readonly targets = new WeakMap<RequestAddress, RefTarget>();
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
  /** Requests that were given up before it was known that it would understand that. */
  readonly unsentCancels: number[] = [];
  /** It has sent an envelope of our version: it understands what is ours. */
  speaksOurVersion = false;
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

  get place(): string {
    return RpcAddress.hostPort(this.address);
  }
}
