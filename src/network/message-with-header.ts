/**
 * A message on its way to the socket: header, then body, given out in pieces. Nothing else may be written between them, and
 * once the header has left, a body that falls short cannot be reported any more: the connection has to end.
 */
import { assert } from "../common/assert.js";
import { RpcError } from "../common/errors.js";
import { BODY_PIECE_BYTES_MAX } from "../common/limits.js";
import type { BodyReader, ManagedBuffer, MessageBody } from "./managed-buffer.js";

export class MessageWithHeader {
  /** The frame up to its body. */
  readonly header: Uint8Array;
  readonly bodyBytes: number;
  /** Header and body, in bytes. */
  readonly size: number;
  /** Bytes given out. */
  transferredBytes = 0;
  /** In memory, in order; null: the body is read while it is sent. */
  readonly memory: readonly Uint8Array[] | null;
  readonly #reader: BodyReader | null;
  readonly #owner: ManagedBuffer | null;
  /** Where in `memory` the next piece begins. */
  #index = 0;
  #offset = 0;
  #isReleased = false;

  /**
   * @param body What `owner` gave to be sent; null: a message without a body.
   * @param owner Released together with it.
   *
   * Throws ERR_RPC_STREAM if a body in memory is not as long as its buffer says.
   */
  constructor(header: Uint8Array, body: MessageBody | null, bodyBytes: number, owner: ManagedBuffer | null) {
    this.header = header;
    this.bodyBytes = bodyBytes;
    this.size = header.length + bodyBytes;
    this.#owner = owner;
    this.#reader = body === null || body instanceof Uint8Array || isList(body) ? null : body;
    this.memory = this.#reader === null ? [header, ...piecesOf(body)] : null;
    const memoryBytes = this.memory?.reduce((bytes, piece) => bytes + piece.length, 0) ?? this.size;
    if (memoryBytes !== this.size) throw wrongSize(memoryBytes - header.length, bodyBytes);
  }

  /**
   * What follows, at most `bytesMax` of it; null: everything is given out. One call at a time.
   *
   * Rejects with ERR_RPC_STREAM if the body ends before its size, and with what reading it throws.
   */
  next(bytesMax: number = BODY_PIECE_BYTES_MAX): Uint8Array | null | Promise<Uint8Array | null> {
    assert(bytesMax > 0, "a piece has bytes");
    if (this.transferredBytes === this.size) return null;
    if (this.memory !== null) return this.#count(this.#cut(this.memory, bytesMax));
    if (this.transferredBytes < this.header.length) {
      const from = this.transferredBytes;
      return this.#count(this.header.subarray(from, from + bytesMax));
    }
    return this.#read(this.#reader as BodyReader, bytesMax);
  }

  /** A piece that `next` gave as a promise has been sent: its reader may use the memory again. */
  recycle(piece: Uint8Array): void {
    this.#reader?.recycle?.(piece);
  }

  /** Gives the body back, once, whatever of it has been given out. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#reader?.close();
    this.#owner?.release();
  }

  #cut(memory: readonly Uint8Array[], bytesMax: number): Uint8Array {
    let piece = memory[this.#index] as Uint8Array;
    while (this.#offset === piece.length) {
      this.#index++;
      this.#offset = 0;
      piece = memory[this.#index] as Uint8Array;
    }
    const from = this.#offset;
    this.#offset = Math.min(from + bytesMax, piece.length);
    return from === 0 && this.#offset === piece.length ? piece : piece.subarray(from, this.#offset);
  }

  async #read(reader: BodyReader, bytesMax: number): Promise<Uint8Array> {
    const done = this.transferredBytes - this.header.length;
    const wanted = Math.min(bytesMax, this.bodyBytes - done);
    const piece = await reader.read(wanted);
    if (piece === null || piece.length === 0) {
      throw wrongSize(done, this.bodyBytes);
    }
    assert(piece.length <= wanted, "a reader gives no more than was asked for");
    return this.#count(piece);
  }

  #count(piece: Uint8Array): Uint8Array {
    this.transferredBytes += piece.length;
    return piece;
  }
}

function wrongSize(bytes: number, announced: number): RpcError {
  return new RpcError("ERR_RPC_STREAM", `body ends elsewhere than announced: bytes=${bytes}, announced=${announced}`);
}

function isList(body: readonly Uint8Array[] | BodyReader): body is readonly Uint8Array[] {
  return Array.isArray(body);
}

function piecesOf(body: MessageBody | null): readonly Uint8Array[] {
  if (body instanceof Uint8Array) return [body];
  return body === null ? [] : (body as readonly Uint8Array[]);
}
