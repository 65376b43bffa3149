/**
 * ReceivedBuffer: the body of a chunk, in the memory that it was read into. Once nobody owns it any more that memory is read into
 * again: memory made for each read costs the kernel and the garbage collector as much as the reading.
 *
 *     OWNED ──the last release──▶ RELEASED      OWNED ──createInputStream, toBody──▶ LENT ──the last release──▶ RELEASED
 *
 * Nobody is surprised by other bytes than his: of what is LENT, or lies in one piece, there are views, and it is not used
 * again; of all else `bytes` makes a copy. Who comes after the last release is told so.
 */
import type { Readable } from "node:stream";
import { RpcError } from "../common/errors.js";
import { socketReads } from "./kept-buffers.js";
import { type ManagedBuffer, type MessageBody, NioManagedBuffer } from "./managed-buffer.js";

export class ReceivedBuffer implements ManagedBuffer {
  readonly size: number;
  #pieces: readonly Uint8Array[];
  /** Null: RELEASED. */
  #buffer: NioManagedBuffer | null;
  #owners = 1;
  #isLent: boolean;

  /** @param pieces as they were read. */
  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
    this.#buffer = new NioManagedBuffer(pieces);
    this.#isLent = pieces.length === 1;
    this.size = this.#buffer.size;
  }

  get residentBytes(): number {
    return this.size;
  }

  bytes(): Uint8Array {
    return this.#owned().bytes();
  }

  createInputStream(): Readable {
    this.#isLent = true;
    return this.#owned().createInputStream();
  }

  toBody(): MessageBody {
    this.#isLent = true;
    return this.#owned().toBody();
  }

  retain(): this {
    this.#owned();
    this.#owners++;
    return this;
  }

  release(): this {
    if (this.#buffer === null) return this;
    this.#owners--;
    if (this.#owners > 0) return this;
    this.#buffer = null;
    if (!this.#isLent) recycle(this.#pieces);
    this.#pieces = [];
    return this;
  }

  #owned(): NioManagedBuffer {
    if (this.#buffer !== null) return this.#buffer;
    const text = `the buffer was released; whoever needs it after the callback retains it there: size=${this.size}`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }
}

/** Memory of which this is all. Other memory may hold what came before, what comes behind, or somebody's chunk. */
function recycle(pieces: readonly Uint8Array[]): void {
  let memory: ArrayBufferLike | null = null;
  let covered = 0;
  for (const { buffer, length } of pieces) {
    covered = buffer === memory ? covered + length : length;
    memory = buffer;
    if (covered === buffer.byteLength) socketReads.giveBack(buffer);
  }
}
