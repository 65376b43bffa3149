/**
 * MemoryBlockStore: blocks in memory, so many bytes of them in all. What is being uploaded counts from its first byte, so that
 * uploads which come together cannot pass the bound either, and what was removed counts until nobody sends it any more.
 */
import type { Readable } from "node:stream";
import {
  BLOCK_ENTRY_BYTES,
  MEMORY_BLOCK_PIECE_BYTES,
  MEMORY_BLOCK_STORE_BYTES_MAX_DEFAULT,
} from "../common/block-limits.js";
import { checkOptions, type OptionKeys, shown } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import type { StreamCallbackWithID } from "../network/callbacks.js";
import { asError } from "../network/failure-text.js";
import {
  checkManagedBuffer,
  type ManagedBuffer,
  type MessageBody,
  NioManagedBuffer,
} from "../network/managed-buffer.js";
import type { BlockDataManager } from "./block-data-manager.js";
import { checkBlockId } from "./block-name.js";
import { blockNotFound } from "./block-store-errors.js";

export interface MemoryBlockStoreOptions {
  /** Bytes of all blocks, each with 1 KiB for itself; 256 MiB by default. */
  readonly bytesMax?: number;
}

const OPTION_KEYS: OptionKeys<MemoryBlockStoreOptions> = { bytesMax: true };
const NOTHING = new Uint8Array(0);

export class MemoryBlockStore implements BlockDataManager {
  readonly bytesMax: number;
  readonly #blocks = new Map<string, StoredBlock>();
  #bytes = 0;

  /** Throws ERR_RPC_INVALID_ARGUMENT for a bound that is no whole number from 1 on. */
  constructor(options: MemoryBlockStoreOptions = {}) {
    checkOptions("MemoryBlockStore", options, OPTION_KEYS);
    const { bytesMax = MEMORY_BLOCK_STORE_BYTES_MAX_DEFAULT } = options;
    if (!Number.isSafeInteger(bytesMax) || bytesMax < 1) {
      const text = `bytesMax must be a whole number from 1 on: bytesMax=${shown(bytesMax)}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    this.bytesMax = bytesMax;
  }

  /** What its blocks count for, those included that are being uploaded, and those removed whose buffers somebody still owns. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Blocks that are there. */
  get blockCount(): number {
    return this.#blocks.size;
  }

  getLocalBlockData(blockId: string): ManagedBuffer {
    const block = this.#blocks.get(checkBlockId(blockId));
    if (block === undefined) throw blockNotFound(blockId);
    return block.retain();
  }

  async putBlockData(blockId: string, data: ManagedBuffer): Promise<boolean> {
    checkBlockId(blockId);
    checkManagedBuffer("data", data);
    if (this.#blocks.has(blockId)) return true;
    const reserved = this.#reserve(blockId, BLOCK_ENTRY_BYTES + data.size);
    try {
      const bytes = data.bytes();
      // What has to be read, from a file, is a block in memory afterwards; what is there already is shared.
      const kept = bytes instanceof Uint8Array ? data.retain() : new NioManagedBuffer(await bytes);
      this.#keep(blockId, kept, reserved);
    } catch (error) {
      this.#bytes -= reserved;
      throw error;
    }
    return true;
  }

  putBlockDataAsStream(blockId: string): StreamCallbackWithID {
    checkBlockId(blockId);
    const pieces = new Pieces();
    let reserved = 0;
    let failure: Error | null = null;
    const giveUp = (error: Error): void => {
      failure ??= error;
      this.#bytes -= reserved;
      reserved = 0;
      pieces.take();
    };
    const reserve = (bytes: number): void => {
      reserved += this.#reserve(blockId, bytes);
    };
    return {
      getID: () => blockId,
      onData: (_streamId, bytes) => {
        // The rest of what does not fit is thrown away: the connection carries other things, too, and has done no wrong.
        if (failure !== null) return;
        try {
          reserve(bytes.length);
          pieces.add(bytes);
        } catch (error) {
          giveUp(asError(error));
        }
      },
      onComplete: () => {
        if (failure !== null) throw failure;
        reserve(BLOCK_ENTRY_BYTES);
        this.#keep(blockId, new NioManagedBuffer(pieces.take()), reserved);
        reserved = 0;
      },
      onFailure: (_streamId, error) => giveUp(error),
    };
  }

  getLocalDiskDirs(): readonly string[] {
    return [];
  }

  async removeBlocks(blockIds: readonly string[]): Promise<number> {
    let count = 0;
    for (const blockId of blockIds) {
      const block = this.#blocks.get(checkBlockId(blockId));
      if (block === undefined) continue;
      this.#blocks.delete(blockId);
      // Whoever is sending it has retained it himself: it is gone, and counts no more, when he is done.
      block.release();
      count++;
    }
    return count;
  }

  /** Forgets all blocks. */
  async clear(): Promise<void> {
    await this.removeBlocks([...this.#blocks.keys()]);
  }

  #reserve(blockId: string, bytes: number): number {
    if (this.#bytes + bytes > this.bytesMax) {
      const text = `no room in memory for block ${blockId}: bytes=${bytes}, used=${this.#bytes}, bytesMax=${this.bytesMax}`;
      throw new RpcError("ERR_RPC_STREAM", text);
    }
    this.#bytes += bytes;
    return bytes;
  }

  /** The first one of an id stays. */
  #keep(blockId: string, data: ManagedBuffer, bytes: number): void {
    if (this.#blocks.has(blockId)) {
      data.release();
      this.#bytes -= bytes;
    } else {
      const gone = (): void => {
        this.#bytes -= bytes;
      };
      this.#blocks.set(blockId, new StoredBlock(data, gone));
    }
  }
}

/** A block with its owners: the store, for as long as the block is there, and everybody who was given it. */
class StoredBlock implements ManagedBuffer {
  readonly #data: ManagedBuffer;
  readonly #gone: () => void;
  #owners = 1;

  /** @param data belongs to the block. @param gone is called when the last owner has released it. */
  constructor(data: ManagedBuffer, gone: () => void) {
    this.#data = data;
    this.#gone = gone;
  }

  get size(): number {
    return this.#data.size;
  }

  get residentBytes(): number {
    return this.size;
  }

  bytes(): Uint8Array | Promise<Uint8Array> {
    return this.#data.bytes();
  }

  createInputStream(): Readable {
    return this.#data.createInputStream();
  }

  toBody(): MessageBody | Promise<MessageBody> {
    return this.#data.toBody();
  }

  retain(): this {
    if (this.#owners === 0) {
      throw new RpcError("ERR_RPC_STREAM", "a block in memory was given back by its last owner", { retryable: false });
    }
    this.#owners++;
    return this;
  }

  release(): this {
    if (this.#owners === 0) return this;
    this.#owners--;
    if (this.#owners === 0) {
      this.#data.release();
      this.#gone();
    }
    return this;
  }
}

/** What comes in parts of any size, in pieces of one size: a part of a byte shall not cost an array. */
class Pieces {
  #pieces: Uint8Array[] = [];
  #last: Uint8Array = NOTHING;
  #filled = 0;

  /** Copies. */
  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === this.#last.length) this.#next();
      const end = Math.min(bytes.length, at + this.#last.length - this.#filled);
      this.#last.set(bytes.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
    }
  }

  /** All of them, and begins anew. */
  take(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    if (this.#filled > 0) pieces.push(this.#last.slice(0, this.#filled));
    this.#pieces = [];
    this.#last = NOTHING;
    this.#filled = 0;
    return pieces;
  }

  #next(): void {
    if (this.#filled > 0) this.#pieces.push(this.#last);
    this.#last = new Uint8Array(MEMORY_BLOCK_PIECE_BYTES);
    this.#filled = 0;
  }
}
