/** A server of the transport that has whatever is wished for. */
import {
  FileSegmentManagedBuffer,
  type ManagedBuffer,
  NioManagedBuffer,
  OneForOneStreamManager,
  RpcHandler,
  type RpcReply,
  type TransportClient,
} from "ringpost/network";
import { readWish } from "./bare-fetch.js";

/** Registers the chunks that a wish names, of the memory or of the file; answers with the id of their stream. */
export class BlockHandler extends RpcHandler {
  readonly #streams = new OneForOneStreamManager(Math.random);
  readonly #memory: Buffer;
  readonly #path: string;

  constructor(memory: Buffer, path: string) {
    super();
    this.#memory = memory;
    this.#path = path;
  }

  receive(client: TransportClient, message: Uint8Array, reply: RpcReply): void {
    const { byteCount, fromFile, count } = readWish(message);
    const buffers = Array.from(
      { length: count },
      (): ManagedBuffer =>
        fromFile
          ? new FileSegmentManagedBuffer(this.#path, 0, byteCount)
          : new NioManagedBuffer(this.#memory.subarray(0, byteCount)),
    );
    const { connection } = client;
    const streamId = this.#streams.registerStream({ buffers, chunkCount: count, connection });
    const answer = Buffer.alloc(8);
    answer.writeBigInt64BE(streamId);
    reply.onSuccess(answer);
  }

  getStreamManager(): OneForOneStreamManager {
    return this.#streams;
  }
}
