/**
 * FileChannel: a file of another node as a stream of bytes. It waits for a connection, has it to itself while the bytes
 * come, and gives it back. Spark's FileDownloadChannel.
 *
 *     WAITING ──receive──► RECEIVING ──last byte──► RECEIVED ──read──► end
 *        └───────destroy───────┴── failure, destroy ──► destroyed: no end without all bytes
 */
import { Readable } from "node:stream";
import { isRpcError, RpcError } from "../common/errors.js";
import { FILE_CHANNEL_BYTES } from "../common/limits.js";
import type { StreamCallback } from "../network/callbacks.js";
import type { TransportClient } from "../network/transport-client.js";

/**
 * What became of the connection. free: the next file may come over it. gone: it has ended. stale: it had ended before it
 * was used again, and nothing has come: another one may do.
 */
export type Received = "free" | "gone" | "stale";

export class FileChannel extends Readable implements StreamCallback {
  readonly #path: string;
  readonly #onDestroyed: (channel: FileChannel) => void;
  #client: TransportClient | null = null;
  #isReused = false;
  #hasBytes = false;
  #received: ((received: Received) => void) | null = null;
  /** The transport gives no more until it is called. */
  #roomAwaited: (() => void) | null = null;

  /** @param onDestroyed told once, also after an orderly end. */
  constructor(path: string, onDestroyed: (channel: FileChannel) => void) {
    super({ highWaterMark: FILE_CHANNEL_BYTES });
    this.#path = path;
    this.#onDestroyed = onDestroyed;
  }

  /**
   * Asks for the file over this connection, which nobody else uses meanwhile.
   * @param isReused it has served before: the peer may have ended it just now.
   * @returns Resolves once the connection is not needed any more.
   */
  receive(client: TransportClient, isReused: boolean): Promise<Received> {
    if (this.destroyed) return Promise.resolve("free");
    this.#client = client;
    this.#isReused = isReused;
    return new Promise((resolve) => {
      this.#received = resolve;
      client.stream(this.#path, this);
    });
  }

  onData(_streamId: string, bytes: Uint8Array): void | Promise<void> {
    this.#hasBytes = true;
    this.#client?.connection.keepBytes();
    if (this.destroyed || this.push(bytes)) return;
    return new Promise((resolve) => {
      this.#roomAwaited = resolve;
    });
  }

  onComplete(): void {
    this.push(null);
    this.#settle("free");
  }

  onFailure(_streamId: string, error: Error): void {
    if (this.#client === null) return;
    const isRefusal = isRpcError(error, "ERR_RPC_STREAM");
    if (this.#isReused && !this.#hasBytes && !isRefusal) {
      this.#settle("stale");
      return;
    }
    this.#settle(isRefusal ? "free" : "gone");
    this.destroy(error);
  }

  override _read(): void {
    const room = this.#roomAwaited;
    this.#roomAwaited = null;
    room?.();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const client = this.#client;
    this.#settle("gone");
    // The rest of the file is on its way: only the end of the connection stops it.
    client?.connection.fail(new RpcError("ERR_RPC_STREAM", "the reader of the file has given it up"));
    this._read();
    this.#onDestroyed(this);
    callback(error);
  }

  #settle(received: Received): void {
    const settle = this.#received;
    this.#client = null;
    this.#received = null;
    settle?.(received);
  }
}
