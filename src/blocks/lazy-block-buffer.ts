/**
 * LazyBlockBuffer: a block that is looked for when it is sent, not when it is asked for. A client asks for thousands of chunks
 * at once; each of them is found, opened and read when its turn to be written has come. How long it is, is known from then on.
 *
 * A block that is not found is a chunk's failure, with a text of the form that Spark's peers read.
 */
import { PassThrough, pipeline, type Readable } from "node:stream";
import { RpcError } from "../common/errors.js";
import { failureText } from "../network/failure-text.js";
import type { ManagedBuffer, MessageBody } from "../network/managed-buffer.js";

/** Finds a block; null: it is not there. */
export type FindBlock = () => Promise<ManagedBuffer | null>;

export class LazyBlockBuffer implements ManagedBuffer {
  readonly #find: FindBlock;
  #finding: Promise<ManagedBuffer> | null = null;
  #found: ManagedBuffer | null = null;

  constructor(find: FindBlock) {
    this.#find = find;
  }

  get size(): number {
    return this.#found?.size ?? 0;
  }

  async bytes(): Promise<Uint8Array> {
    return (await this.#block()).bytes();
  }

  createInputStream(): Readable {
    const stream = new PassThrough();
    this.#block().then(
      (block) => pipeline(block.createInputStream(), stream, () => {}),
      (error) => stream.destroy(error),
    );
    return stream;
  }

  async toBody(): Promise<MessageBody> {
    return (await this.#block()).toBody();
  }

  /** What is found in the end holds nothing before it is read. */
  retain(): this {
    return this;
  }

  release(): this {
    return this;
  }

  #block(): Promise<ManagedBuffer> {
    this.#finding ??= this.#look();
    return this.#finding;
  }

  async #look(): Promise<ManagedBuffer> {
    let found: ManagedBuffer | null;
    try {
      found = await this.#find();
      if (found === null) throw new RpcError("ERR_RPC_STREAM", "Chunk was not found", { retryable: false });
    } catch (error) {
      // The failure of a body is sent as its message alone; Spark's peers look for the name of the class in it.
      throw new RpcError("ERR_RPC_STREAM", failureText(error), { cause: error });
    }
    this.#found = found;
    return found;
  }
}
