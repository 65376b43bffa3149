/**
 * StreamManager: what a server's chunk and stream requests are answered from. Stream ids are 64 bits, bigint here.
 */
import { RpcError } from "../common/errors.js";
import type { Connection } from "./connection.js";
import type { ManagedBuffer } from "./managed-buffer.js";
import type { TransportClient } from "./transport-client.js";

export abstract class StreamManager {
  /**
   * A chunk of a stream; each can be had once, in order. null: there is no such chunk. It is released once it is sent.
   * Called in the order in which the connection asked.
   */
  abstract getChunk(streamId: bigint, chunkIndex: number): ManagedBuffer | null;

  /** A stream as a whole, by name. null: there is none of that name. It is released once it is sent. */
  openStream(_streamId: string): ManagedBuffer | null {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", "this server has no streams");
  }

  /** The connection has ended; what was registered for it is given back. */
  connectionTerminated(_connection: Connection): void {}

  /** Throws ERR_RPC_FORBIDDEN when this client may not read the stream. */
  checkAuthorization(_client: TransportClient, _streamId: bigint): void {}

  /**
   * The same for a stream by its name: called before each `openStream`. A manager that finds streams by name and serves
   * several applications overrides it.
   */
  checkStreamAuthorization(_client: TransportClient, _streamId: string): void {}

  /** Chunks handed out and not sent yet. */
  chunksBeingTransferred(): number {
    return 0;
  }

  chunkBeingSent(_streamId: bigint): void {}

  chunkSent(_streamId: bigint): void {}

  streamBeingSent(_streamId: string): void {}

  streamSent(_streamId: string): void {}
}
