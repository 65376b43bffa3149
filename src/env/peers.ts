/**
 * Who is connected to this env: its connections, the peers at their other ends, and whether they are still there.
 *
 * A peer is an env: one that listens is known by its address, however many connections lead to it; one that does not
 * listen is known by its one connection. So a peer connects once and disconnects once, whoever dialled.
 *
 * Spark's wire has no heartbeat. Any byte is a sign of life; whoever has given none for two looks is asked whether he is
 * there, and after six he is dead. What is counted is looks, not time, so that a main thread that was held up does not
 * take everybody for dead.
 */
import type { Clock, Timer } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { LIVENESS_DEAD_LOOKS, LIVENESS_PROBE_LOOKS } from "../common/limits.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { PeerConnection } from "./peer-connection.js";

export interface PeersOptions {
  readonly clock: Clock;
  /** Between two looks, in milliseconds. */
  readonly lookMs: number;
  readonly connected: (address: RpcAddress) => void;
  readonly disconnected: (address: RpcAddress) => void;
  /** Asks a silent peer for a sign of life. */
  readonly probe: (connection: PeerConnection) => void;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #connections = new Set<PeerConnection>();
  /** Connections to each known peer, by its place. */
  readonly #places = new Map<string, Set<PeerConnection>>();
  /** By the id of the env at the other end, in the order in which they said it: one may come by several addresses. */
  readonly #byEnv = new Map<string, Set<PeerConnection>>();
  #timer: Timer | null = null;
  #empty = (): void => {};

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  get all(): Iterable<PeerConnection> {
    return this.#connections;
  }

  /** A connection by which the env of that id has come, the newest that is open; undefined: there is none. */
  of(envId: string): PeerConnection | undefined {
    let found: PeerConnection | undefined;
    for (const connection of this.#byEnv.get(envId) ?? []) if (connection.client.isActive) found = connection;
    return found;
  }

  opened(connection: PeerConnection): void {
    this.#connections.add(connection);
    if (this.#timer === null) this.#schedule();
  }

  /** It is known who is at the other end. `listening` null: an env that does not listen. */
  known(connection: PeerConnection, listening: RpcAddress | null): void {
    if (connection.known || !this.#connections.has(connection)) return;
    connection.introduce(listening);
    const { place, address } = connection;
    let connections = this.#places.get(place);
    if (connections === undefined) {
      connections = new Set();
      this.#places.set(place, connections);
    }
    connections.add(connection);
    if (connections.size === 1) this.#options.connected(address);
  }

  /** It has said the id of its env. One that is in use by somebody else stays his. */
  named(connection: PeerConnection, envId: string): void {
    // An env has one id: others that a peer may name are nobody's.
    if (connection.envId !== null && connection.envId !== envId) return;
    connection.envId = envId;
    const holder = this.of(envId);
    if (holder !== undefined && holder.identity !== connection.identity) return;
    let connections = this.#byEnv.get(envId);
    if (connections === undefined) {
      connections = new Set();
      this.#byEnv.set(envId, connections);
    }
    connections.add(connection);
  }

  closed(connection: PeerConnection): void {
    if (!this.#connections.delete(connection)) return;
    if (this.#connections.size === 0) this.#empty();
    const { envId, place, address } = connection;
    if (envId !== null) this.#unname(connection, envId);
    if (!connection.known) return;
    const connections = this.#places.get(place);
    connections?.delete(connection);
    if (connections?.size !== 0) return;
    this.#places.delete(place);
    this.#options.disconnected(address);
  }

  #unname(connection: PeerConnection, envId: string): void {
    const connections = this.#byEnv.get(envId);
    connections?.delete(connection);
    if (connections?.size === 0) this.#byEnv.delete(envId);
  }

  /** Looks no more. */
  stop(): void {
    if (this.#timer !== null) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Resolves when there is no connection any more. For one who waits. */
  async whenEmpty(): Promise<void> {
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#empty = resolve;
    });
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = null;
      for (const connection of this.#connections) this.#look(connection);
      if (this.#connections.size > 0) this.#schedule();
    }, this.#options.lookMs);
    this.#timer.unref();
  }

  #look(connection: PeerConnection): void {
    const { lastReadMs, queue } = connection.client.connection;
    // Who is sent a file has nothing to say, and does not see the question behind it.
    if (lastReadMs !== connection.heardMs || !queue.isEmpty) {
      connection.heardMs = lastReadMs;
      connection.silentLooks = 0;
      return;
    }
    connection.silentLooks++;
    if (connection.silentLooks >= LIVENESS_DEAD_LOOKS) {
      const seconds = (LIVENESS_DEAD_LOOKS * this.#options.lookMs) / 1_000;
      const text = `nothing was heard of ${connection.place} for ${seconds} s, though it was asked: it is taken for dead`;
      connection.client.connection.fail(new RpcError("ERR_RPC_CONNECTION_LOST", text, { address: connection.address }));
    } else if (connection.silentLooks >= LIVENESS_PROBE_LOOKS) {
      this.#options.probe(connection);
    }
  }
}
