/**
 * Bytes that somebody sends or has received, wherever they are: in memory, or a part of a file.
 */
import { Readable } from "node:stream";

/** A body that is read while it is sent, piece by piece. */
export interface BodyReader {
  /** The next bytes, at most `bytesMax` of them; null: there are no more. */
  read(bytesMax: number): Promise<Uint8Array | null>;
  /** Gives file and memory back, also in the middle. */
  close(): void;
}

/** What the bytes of a body are sent from. */
export type MessageBody = Uint8Array | readonly Uint8Array[] | BodyReader;

export interface ManagedBuffer {
  /** Bytes. Where they have yet to be found it may be 0 until `toBody` or `bytes` has resolved. */
  readonly size: number;
  /**
   * Of them, those that stand in memory while it waits to be sent: they count against what a connection may hold for a peer
   * that does not read. None where this is left out: a file is read when its turn has come.
   */
  readonly residentBytes?: number;
  /** All of it in memory; a view where it is there already. */
  bytes(): Uint8Array | Promise<Uint8Array>;
  createInputStream(): Readable;
  /**
   * Gets it ready to be sent. Where a file is opened eagerly this fails if it cannot be opened, early enough for a failure to be
   * sent instead.
   */
  toBody(): MessageBody | Promise<MessageBody>;
  /** One more owner; each releases once. Without an effect where there is nothing to give back. */
  retain(): this;
  release(): this;
}

/** Bytes in memory: one array, or several that are sent one behind the other. */
export class NioManagedBuffer implements ManagedBuffer {
  readonly size: number;
  readonly #pieces: readonly Uint8Array[];

  constructor(bytes: Uint8Array | readonly Uint8Array[]) {
    this.#pieces = bytes instanceof Uint8Array ? [bytes] : bytes;
    this.size = this.#pieces.reduce((size, piece) => size + piece.length, 0);
  }

  get residentBytes(): number {
    return this.size;
  }

  bytes(): Uint8Array {
    const [first] = this.#pieces;
    return first !== undefined && this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
  }

  createInputStream(): Readable {
    return Readable.from(this.#pieces, { objectMode: false });
  }

  toBody(): MessageBody {
    return this.#pieces;
  }

  retain(): this {
    return this;
  }

  release(): this {
    return this;
  }
}
