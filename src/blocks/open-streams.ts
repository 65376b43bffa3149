/**
 * OpenStreams: how many streams and blocks each connection has been promised and has not fetched. What was promised is held in
 * memory until its last chunk is taken or its connection ends; here it is bounded.
 */

import { SHUFFLE_BLOCKS_PER_CONNECTION_MAX, SHUFFLE_STREAMS_PER_CONNECTION_MAX } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";
import type { Connection } from "../network/connection.js";

interface Held {
  streams: number;
  blocks: number;
}

export interface StreamBounds {
  readonly streamsMax: number;
  readonly blocksMax: number;
}

const BOUNDS: StreamBounds = {
  streamsMax: SHUFFLE_STREAMS_PER_CONNECTION_MAX,
  blocksMax: SHUFFLE_BLOCKS_PER_CONNECTION_MAX,
};

export class OpenStreams {
  readonly #bounds: StreamBounds;
  readonly #held = new Map<Connection, Held>();

  constructor(bounds: StreamBounds = BOUNDS) {
    this.#bounds = bounds;
  }

  get streams(): number {
    return this.#sum(({ streams }) => streams);
  }

  get blocks(): number {
    return this.#sum(({ blocks }) => blocks);
  }

  /**
   * Notes a stream, and hands its blocks on; with the last one the stream is over.
   * Throws ERR_RPC_INBOX_FULL when the connection has too much already.
   */
  track<T>(connection: Connection, count: number, blocks: Iterable<T>): Iterable<T> {
    const { streamsMax, blocksMax } = this.#bounds;
    const held = this.#held.get(connection) ?? { streams: 0, blocks: 0 };
    if (held.streams >= streamsMax) {
      throw full(`too many open streams of one connection: count=${held.streams}, max=${streamsMax}`);
    }
    if (held.blocks + count > blocksMax) {
      throw full(`too many unfetched blocks of one connection: count=${held.blocks + count}, max=${blocksMax}`);
    }
    held.streams++;
    held.blocks += count;
    this.#held.set(connection, held);
    return { [Symbol.iterator]: () => this.#each(connection, held, count, blocks) };
  }

  /** The connection has ended, and its streams with it. */
  forget(connection: Connection): void {
    this.#held.delete(connection);
  }

  *#each<T>(connection: Connection, held: Held, count: number, blocks: Iterable<T>): Generator<T, void> {
    let taken = 0;
    for (const block of blocks) {
      held.blocks--;
      if (++taken === count && --held.streams === 0 && this.#held.get(connection) === held)
        this.#held.delete(connection);
      yield block;
    }
  }

  #sum(of: (held: Held) => number): number {
    let sum = 0;
    for (const held of this.#held.values()) sum += of(held);
    return sum;
  }
}

function full(text: string): RpcError {
  return new RpcError("ERR_RPC_INBOX_FULL", `${text}; fetch what was opened, or open less at once`);
}
