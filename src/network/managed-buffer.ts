/**
 * Bytes that somebody sends or has received, wherever they are: in memory, or a part of a file.
 */
import { Readable } from "node:stream";
import { shown } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";

/** A body that is read while it is sent, piece by piece. */
export interface BodyReader {
  /** The next bytes, at most `bytesMax` of them; null: there are no more. */
  read(bytesMax: number): Promise<Uint8Array | null>;
  /**
   * A piece has been sent: nobody looks at it any more, and its memory may be read into again. Called once for a piece, in
   * order, also after `close`; not for those that were not sent. What it throws ends the connection.
   */
  recycle?(piece: Uint8Array): void;
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

const METHODS = ["bytes", "createInputStream", "toBody", "retain", "release"] as const;

/** Throws ERR_RPC_INVALID_ARGUMENT for what is none. */
export function checkManagedBuffer(what: string, value: unknown): void {
  const given = (typeof value === "object" ? value : null) as Partial<ManagedBuffer> | null;
  if (given !== null && typeof given.size === "number" && METHODS.every((name) => typeof given[name] === "function")) {
    return;
  }
  throw invalid(`${what} must be a ManagedBuffer, such as new NioManagedBuffer(bytes): ${what}=${shown(value)}`);
}

/** Bytes in memory: one array, or several that are sent one behind the other. */
export class NioManagedBuffer implements ManagedBuffer {
  readonly size: number;
  readonly #pieces: readonly Uint8Array[];

  /** Throws ERR_RPC_INVALID_ARGUMENT for what is no Uint8Array, or none of several. */
  constructor(bytes: Uint8Array | readonly Uint8Array[]) {
    const pieces: unknown = bytes instanceof Uint8Array ? [bytes] : bytes;
    if (!Array.isArray(pieces)) throw invalid(`bytes must be a Uint8Array or an array of them: bytes=${shown(bytes)}`);
    let size = 0;
    for (const piece of pieces as readonly unknown[]) {
      if (!(piece instanceof Uint8Array)) throw invalid(`each piece must be a Uint8Array: piece=${shown(piece)}`);
      size += piece.length;
    }
    this.#pieces = pieces as readonly Uint8Array[];
    this.size = size;
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

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
