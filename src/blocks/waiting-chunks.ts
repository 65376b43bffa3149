/**
 * WaitingChunks: how many chunks of open streams each connection has not fetched yet. A stream stays until its last chunk is
 * fetched or its connection ends, so somebody who only opens streams would fill the memory.
 */

import { BLOCKS_WAITING_PER_CONNECTION_MAX } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";
import type { Connection } from "../network/connection.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";

export class WaitingChunks {
  readonly #countOf = new WeakMap<Connection, number>();

  /** Throws ERR_RPC_STREAM when it would be too many; then nothing was counted. */
  add(connection: Connection, count: number): void {
    const waiting = this.#countOf.get(connection) ?? 0;
    if (waiting + count > BLOCKS_WAITING_PER_CONNECTION_MAX) {
      throw new RpcError(
        "ERR_RPC_STREAM",
        "too many blocks of one connection wait to be fetched: " +
          `asked=${count}, waiting=${waiting}, max=${BLOCKS_WAITING_PER_CONNECTION_MAX}`,
      );
    }
    this.#countOf.set(connection, waiting + count);
  }

  remove(connection: Connection, count: number): void {
    this.#countOf.set(connection, (this.#countOf.get(connection) ?? 0) - count);
  }

  /** Gives the buffers out, each of which then waits no more. */
  *handOut(connection: Connection, buffers: readonly ManagedBuffer[]): Generator<ManagedBuffer> {
    for (const buffer of buffers) {
      this.remove(connection, 1);
      yield buffer;
    }
  }
}
