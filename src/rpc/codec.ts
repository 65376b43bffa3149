/**
 * The message codec: one instance per thread, used by everything on that thread that encodes or decodes a message.
 * Steps 1, 6 and 8 of the data flow.
 *
 * Who copies when: after `encode`, the payload is `bytes[0 .. length)`. The caller copies it (into a ring, a transferred
 * buffer, a socket's batch) before anything else runs on this thread: `bytes` is the scratch, which the next `encode`
 * overwrites, or the caller's own Uint8Array, which its owner may write to.
 *
 * msgpackr's state is global to its module, so three things happen around every pack and unpack:
 * - The scratch is handed over before each pack, for msgpackr moves silently to a buffer of its own when a message
 *   outgrows it, and stays there.
 * - A spare buffer, used up, is handed over after each pack. Other users of msgpackr in this process would otherwise
 *   write behind our message into the scratch, and be given views of it as their result.
 * - Packing may run getters of the message, and these may send messages: such an inner `encode`, of this codec or
 *   of another, leaves msgpackr's buffer alone.
 */
import { types } from "node:util";
import { REUSE_BUFFER_MODE } from "msgpackr";
import { assert } from "../common/assert.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { DECODE_DEPTH_MAX, MESSAGE_BYTES_MAX } from "../common/limits.js";
import { findProblem, type Problem } from "./find-problem.js";
import { checkPayload, describeFault, PayloadFault } from "./payload-check.js";
import type { RefPacking } from "./ref-handle.js";
import { isPacking, ValuePackr } from "./value-packing.js";

/** How a payload is written. Frozen: they are the wire's codes as well. */
export const PayloadCodec = {
  /** No bytes: undefined. */
  EMPTY: 0,
  MSGPACK: 1,
  /** A bare Uint8Array, as it is. */
  BYTES: 2,
} as const;

const SCRATCH_BYTES = 64 * 1024;
/** Bytes up to here are copied into the scratch, so that a ring is written from one place; larger ones only once. */
const COPIED_BYTES_MAX = 4 * 1024;
/** Containers inside containers need as many bytes: a message shorter than that cannot be too deep. */
const FLAT_BYTES_MAX = DECODE_DEPTH_MAX;
/** A message that has grown to this size is looked at once, for it may be a cycle. */
const CYCLE_CHECK_BYTES = 1024 * 1024;
/** As large as msgpackr's own first one. Handed over with its position at the end, so that msgpackr allocates anew. */
const spare = Buffer.allocUnsafeSlow(8 * 1024);

export interface MessageCodecOptions {
  /** Bytes of one encoded message: 1 to 134,217,728, which is the default. */
  messageBytesMax?: number | undefined;
  /** How references travel; without it they are refused. */
  refs?: RefPacking | undefined;
}

export class MessageCodec {
  /** 64 KiB in a buffer of its own. */
  readonly scratch: Uint8Array;
  /** The payload of the last `encode`, from its start. Never a Buffer, so that `slice` copies. */
  bytes: Uint8Array;
  length = 0;
  payloadCodec: number = PayloadCodec.EMPTY;

  readonly #messageBytesMax: number;
  readonly #refs: RefPacking | null;
  readonly #packr: ValuePackr;
  /** For objects of more than 65,535 keys; made when the first one is met. */
  #widePackr: ValuePackr | null = null;
  /** The scratch as msgpackr wants it. */
  readonly #target: Buffer;
  /** The message being packed, and whether it was looked at for cycles. */
  #message: unknown;
  #checked = false;

  constructor(options?: MessageCodecOptions) {
    this.#messageBytesMax = options?.messageBytesMax ?? MESSAGE_BYTES_MAX;
    this.#refs = options?.refs ?? null;
    this.#packr = new ValuePackr(this.#refs);
    const buffer = new ArrayBuffer(SCRATCH_BYTES);
    this.scratch = new Uint8Array(buffer);
    this.bytes = this.scratch;
    this.#target = watchGrowth(Buffer.from(buffer), () => this.#onGrowth());
  }

  /**
   * Encodes a message; afterwards `payloadCodec`, `bytes` and `length` say how and where.
   * Throws ERR_RPC_SERIALIZATION naming the path of a value that cannot travel, ERR_RPC_MESSAGE_TOO_LARGE.
   */
  encode(value: unknown): void {
    if (ArrayBuffer.isView(value) && isBareBytes(value)) {
      this.#encodeBytes(value);
    } else if (value === undefined) {
      this.payloadCodec = PayloadCodec.EMPTY;
      this.bytes = this.scratch;
      this.length = 0;
    } else if (isPacking()) {
      this.#encodeInner(value);
    } else {
      this.#encodeValue(value);
    }
  }

  /**
   * Decodes a payload that an `encode` has made, on whatever thread.
   *
   * @param source Private memory with the payload at its start, never shared memory. Nothing of what is returned lies in
   * it, so it may be used again at once, and should be: what msgpackr needs beside it is kept with it.
   * Throws ERR_RPC_SERIALIZATION for bytes that are no such payload.
   */
  decode(payloadCodec: number, source: Uint8Array, length: number): unknown {
    if (payloadCodec === PayloadCodec.EMPTY && length === 0) return undefined;
    if ((source as DecodeSource).dataView === undefined) prepareSource(source);
    if (length <= source.length) {
      if (payloadCodec === PayloadCodec.MSGPACK) return this.#decodeValue(source, length);
      if (payloadCodec === PayloadCodec.BYTES) return slice.call(source, 0, length);
    }
    throw unreadable(`payloadCodec=${payloadCodec}, lengthBytes=${length}, sourceBytes=${source.length}`);
  }

  // ── Encoding ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #encodeBytes(value: Uint8Array): void {
    const length = value.length;
    if (length > this.#messageBytesMax) throw this.#tooLarge(length);
    if (length <= COPIED_BYTES_MAX && !isPacking()) {
      this.scratch.set(value);
      this.bytes = this.scratch;
    } else {
      this.bytes = new Uint8Array(value.buffer, value.byteOffset, length);
    }
    this.length = length;
    this.payloadCodec = PayloadCodec.BYTES;
  }

  #encodeValue(value: unknown): void {
    const packr = this.#packr;
    this.#message = value;
    this.#checked = false;
    try {
      packr.useBuffer(this.#target);
      this.#take(packr.packValue(value, REUSE_BUFFER_MODE) as Packed);
    } catch (error) {
      this.#packAgain(value, error);
    } finally {
      packr.useBuffer(spare);
      packr.position = spare.length;
      this.#message = undefined;
    }
    const length = this.length;
    if (length > this.#messageBytesMax) throw this.#tooLarge(length);
    if (length > FLAT_BYTES_MAX) this.#checkDepth(value, this.bytes, length);
    this.payloadCodec = PayloadCodec.MSGPACK;
  }

  #take(packed: Packed): void {
    this.bytes = packed === this.#target ? this.scratch : new Uint8Array(packed.buffer, 0, packed.length);
    this.length = packed.end;
  }

  /** A message that a getter of the message being packed sends: msgpackr packs it into a buffer of its own. */
  #encodeInner(value: unknown): void {
    let packed: Uint8Array;
    try {
      packed = this.#packr.packValue(value, 0);
    } catch (error) {
      throw this.#unencodable(value, error);
    }
    if (packed.length > this.#messageBytesMax) throw this.#tooLarge(packed.length);
    this.#checkDepth(value, packed, packed.length);
    this.bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.length);
    this.length = packed.length;
    this.payloadCodec = PayloadCodec.MSGPACK;
  }

  /** Packing has failed: because of a value that cannot travel, or only because an object has too many keys. */
  #packAgain(value: unknown, error: unknown): void {
    if (isRpcError(error)) throw error;
    const wide = error instanceof Error && error.message.includes("variableMapSize");
    if (!wide || findProblem(value, DECODE_DEPTH_MAX, this.#refs !== null) !== null)
      throw this.#unencodable(value, error);
    this.#widePackr ??= new ValuePackr(this.#refs, true);
    try {
      this.#widePackr.useBuffer(this.#target);
      this.#take(this.#widePackr.packValue(value, REUSE_BUFFER_MODE) as Packed);
    } catch (wideError) {
      throw isRpcError(wideError) ? wideError : this.#unencodable(value, wideError);
    }
  }

  /** msgpackr is about to move to a larger buffer. */
  #onGrowth(): void {
    const length = this.#packr.position;
    if (length > this.#messageBytesMax) throw this.#tooLarge(length);
    if (length <= CYCLE_CHECK_BYTES || this.#checked) return;
    this.#checked = true;
    const problem = findProblem(this.#message, DECODE_DEPTH_MAX, this.#refs !== null);
    if (problem !== null) throw refused(problem);
  }

  /** The bytes are looked over as their receiver will: cheaper than counting levels while packing. */
  #checkDepth(value: unknown, bytes: Uint8Array, length: number): void {
    const fault = checkPayload(bytes, length, DECODE_DEPTH_MAX);
    if (fault !== PayloadFault.NONE) throw this.#unencodable(value, new Error(describeFault(fault, DECODE_DEPTH_MAX)));
  }

  /** What an encoding failed of. The walk may fail as well, where a getter throws. */
  #unencodable(value: unknown, cause: unknown): RpcError {
    try {
      const problem = findProblem(value, DECODE_DEPTH_MAX, this.#refs !== null);
      if (problem !== null) return refused(problem);
    } catch (error) {
      cause = error;
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    return new RpcError("ERR_RPC_SERIALIZATION", `a message cannot be encoded: ${why}`, { cause });
  }

  #tooLarge(length: number): RpcError {
    return new RpcError(
      "ERR_RPC_MESSAGE_TOO_LARGE",
      `message too large: lengthBytes=${length}, maxBytes=${this.#messageBytesMax}; send it in parts`,
    );
  }

  // ── Decoding ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #decodeValue(source: Uint8Array, length: number): unknown {
    const fault = checkPayload(source, length, DECODE_DEPTH_MAX);
    if (fault !== PayloadFault.NONE) throw unreadable(describeFault(fault, DECODE_DEPTH_MAX));
    try {
      return this.#packr.unpackValue(source, length);
    } catch (error) {
      throw unreadable(error instanceof Error ? error.message : String(error), error);
    }
  }
}

/** What msgpackr returns in REUSE_BUFFER_MODE: the whole buffer, and where the message ends. */
type Packed = Buffer & { readonly end: number };

/** What msgpackr looks for beside the bytes. */
interface DecodeSource extends Uint8Array {
  dataView?: DataView;
  latin1Slice?: typeof Buffer.prototype.latin1Slice;
}

const slice = Uint8Array.prototype.slice as (this: Uint8Array, start: number, end: number) => Uint8Array<ArrayBuffer>;

/** Exactly these two: a subclass goes through the packer like any other instance of a class. */
function isBareBytes(view: ArrayBufferView): view is Uint8Array {
  const prototype: unknown = Object.getPrototypeOf(view);
  return prototype === Uint8Array.prototype || prototype === Buffer.prototype;
}

/**
 * Done once for each source. With latin1Slice msgpackr reads short strings in one call; with Uint8Array as its
 * constructor, slices of a Buffer are copies and no Buffers.
 */
function prepareSource(source: DecodeSource): void {
  assert(!types.isSharedArrayBuffer(source.buffer), "a message is decoded from private memory");
  source.latin1Slice ??= Buffer.prototype.latin1Slice;
  if (source.constructor !== Uint8Array) source.constructor = Uint8Array;
  source.dataView = new DataView(source.buffer, source.byteOffset, source.byteLength);
}

/** Calls `onGrowth` whenever msgpackr leaves `buffer`, or one that it moved to from there, for a larger one. */
function watchGrowth(buffer: Buffer, onGrowth: () => void): Buffer {
  buffer.copy = (larger: Uint8Array, ...range: number[]) => {
    onGrowth();
    watchGrowth(larger as Buffer, onGrowth);
    return Buffer.prototype.copy.call(buffer, larger, ...range);
  };
  return buffer;
}

function refused({ path, what, instead }: Problem): RpcError {
  return new RpcError("ERR_RPC_SERIALIZATION", `${path} cannot travel: it is ${what}; ${instead}`);
}

function unreadable(why: string, cause?: unknown): RpcError {
  const text = `a message cannot be read: ${why}`;
  return new RpcError("ERR_RPC_SERIALIZATION", text, cause === undefined ? undefined : { cause });
}
