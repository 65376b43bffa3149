/**
 * The message codec: one instance per thread, used by everything on that thread that encodes or decodes a message.
 * Steps 1, 6 and 8 of the data flow.
 *
 * Who copies when: after `encode`, the payload is `bytes[0 .. length)`. The caller copies it (into a ring, a transferred
 * buffer, a socket's batch) before anything else runs on this thread: `bytes` is the scratch, which the next `encode`
 * overwrites, or the caller's own Uint8Array, which its owner may write to. The same holds for attachments: large bytes
 * inside the message, which `takeAttachments` copies, or moves if the caller gave them away.
 *
 * Encoding may run getters of the message, and these may send messages: such an inner `encode` leaves the scratch and
 * the attachments of the outer one alone.
 */
import { types } from "node:util";
import { assert } from "../common/assert.js";
import { isRpcError, RpcError } from "../common/errors.js";
import { ATTACHMENT_BYTES_MIN, DECODE_DEPTH_MAX, MESSAGE_BYTES_MAX } from "../common/limits.js";
import { Attachments, isDetached } from "./attachments.js";
import { findProblem, type Problem, type ProblemRoot } from "./find-problem.js";
import { checkPayload, describeFault, PayloadFault } from "./payload-check.js";
import type { RecordShapes } from "./record-shapes.js";
import type { RefPacking } from "./ref-handle.js";
import { tooLarge } from "./token-writer.js";
import { ValueReader } from "./value-reader.js";
import { ValueWriter } from "./value-writer.js";

/** How a payload is written. Frozen: they are the wire's codes as well. */
export const PayloadCodec = {
  /** No bytes: undefined. */
  EMPTY: 0,
  MSGPACK: 1,
  /** A bare Uint8Array, as it is. */
  BYTES: 2,
  /** As MSGPACK, with records whose shapes stand in a list of this process. Never on the wire. */
  RECORDS: 3,
} as const;

const SCRATCH_BYTES = 64 * 1024;
/** Bytes up to here are copied into the scratch, so that a ring is written from one place; larger ones only once. */
const COPIED_BYTES_MAX = 4 * 1024;

export interface MessageCodecOptions {
  /** Bytes of one encoded message, attachments included: 1 to 134,217,728, which is the default. */
  messageBytesMax?: number | undefined;
  /** How references travel; without it they are refused. */
  refs?: RefPacking | undefined;
  /** Shapes shared with the other threads of this process: objects then travel as records to codecs that have them too. */
  shapes?: RecordShapes | undefined;
  /** What is decoded was encoded by this package in this process, and is not looked over before. */
  trusted?: boolean | undefined;
  /** Messages leave this process: nothing travels beside their payload, and stacks of errors only with `stacks`. */
  network?: { readonly stacks: boolean } | undefined;
}

/** An encoded message in memory of its own. */
export interface EncodedBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly attachments: readonly ArrayBuffer[];
}

export class MessageCodec {
  /** 64 KiB in a buffer of its own. */
  readonly scratch: Uint8Array;
  /** The payload of the last `encode`, from its start. Never a Buffer, so that `slice` copies. */
  bytes: Uint8Array;
  length = 0;
  payloadCodec: number = PayloadCodec.EMPTY;
  /**
   * Bytes of the last message that travel beside its payload; if there are any, `takeAttachments` must be called, or they
   * are copied from `viewBody`.
   */
  attachmentBytes = 0;

  readonly #messageBytesMax: number;
  readonly #refs: RefPacking | null;
  readonly #shapes: RecordShapes | null;
  readonly #trusted: boolean;
  readonly #inOnePiece: boolean;
  readonly #stacks: boolean;
  readonly #writer: ValueWriter;
  readonly #attachments = new Attachments(ATTACHMENT_BYTES_MIN);
  readonly #reader: ValueReader;
  /** Those of the last message. */
  #encoded = this.#attachments;

  constructor(options?: MessageCodecOptions) {
    this.#messageBytesMax = options?.messageBytesMax ?? MESSAGE_BYTES_MAX;
    this.#refs = options?.refs ?? null;
    this.#shapes = options?.shapes ?? null;
    this.#trusted = options?.trusted ?? false;
    this.#inOnePiece = options?.network !== undefined;
    this.#stacks = options?.network?.stacks ?? true;
    const buffer = new ArrayBuffer(SCRATCH_BYTES);
    this.scratch = new Uint8Array(buffer);
    this.bytes = this.scratch;
    this.#writer = this.#makeWriter(buffer);
    this.#reader = new ValueReader(this.#refs, this.#shapes);
  }

  /**
   * Encodes a message; afterwards `payloadCodec`, `bytes`, `length` and `attachmentBytes` say how and where.
   *
   * @param transfer Buffers of the message to be moved instead of copied. They are moved by `takeAttachments`, not here.
   * @param root What errors call the value: their paths begin with it.
   * Throws ERR_RPC_SERIALIZATION naming the path of a value that cannot travel, ERR_RPC_MESSAGE_TOO_LARGE,
   * ERR_RPC_INVALID_ARGUMENT for a transfer list with anything but buffers of the message, each once and not detached.
   */
  encode(value: unknown, transfer?: readonly ArrayBuffer[], root: ProblemRoot = "message"): void {
    const inner = this.#writer.busy;
    const attachments = inner ? new Attachments(ATTACHMENT_BYTES_MIN) : this.#attachments;
    attachments.begin(transfer);
    if (ArrayBuffer.isView(value) && isBareBytes(value) && !attachments.moves(value)) {
      this.#encodeBytes(value, inner, root);
    } else if (value === undefined) {
      this.payloadCodec = PayloadCodec.EMPTY;
      this.bytes = this.scratch;
      this.length = 0;
    } else {
      const writer = inner ? this.#innerWriter() : this.#writer;
      this.#encodeValue(value, writer, attachments, root);
    }
    attachments.finish();
    this.#encoded = attachments;
    this.attachmentBytes = attachments.bytes;
  }

  /**
   * The attachments of the last `encode`: copies, and the buffers that the caller gave away, which are detached from now
   * on. To be called once, before the next `encode`, by whoever has made sure that the message will be posted.
   */
  takeAttachments(): ArrayBuffer[] {
    this.attachmentBytes = 0;
    return this.#encoded.take();
  }

  /** True if buffers of the last message are to be moved. */
  get moves(): boolean {
    return this.#encoded.moving;
  }

  /** The bytes of the last message where they lie, payload and attachments: to be copied at once, if nothing moves. */
  viewBody(): Uint8Array[] {
    return [this.bytes.subarray(0, this.length), ...this.#encoded.views()];
  }

  /** A copy of the last message that was not posted, for whoever wants to see it: buffers of the caller stay his. */
  copyBody(): EncodedBody {
    return { bytes: this.bytes.slice(0, this.length) as Uint8Array<ArrayBuffer>, attachments: this.#encoded.copy() };
  }

  /** The last message in memory of its own, attachments included: see `takeAttachments`. */
  takeBody(): EncodedBody {
    return { bytes: this.bytes.slice(0, this.length) as Uint8Array<ArrayBuffer>, attachments: this.takeAttachments() };
  }

  /**
   * Decodes a payload that an `encode` has made, on whatever thread.
   *
   * @param source Private memory with the payload at its start, never shared memory. Nothing of what is returned lies in
   * it, so it may be used again at once, and should be: what msgpackr needs beside it is kept with it.
   * @param attachments what `takeAttachments` returned; they become part of the value.
   * @param owned `source` is given away with its buffer: bare bytes are returned where they are.
   * Throws ERR_RPC_SERIALIZATION for bytes that are no such payload.
   */
  decode(
    payloadCodec: number,
    source: Uint8Array,
    length: number,
    attachments?: readonly ArrayBuffer[],
    owned = false,
  ): unknown {
    if (payloadCodec === PayloadCodec.EMPTY && length === 0) return undefined;
    if (length <= source.length) {
      if ((source as DecodeSource).dataView === undefined) prepareSource(source);
      if (payloadCodec === PayloadCodec.MSGPACK) return this.#decodeValue(source, length, false, attachments);
      if (payloadCodec === PayloadCodec.RECORDS && this.#shapes !== null) {
        return this.#decodeValue(source, length, true, attachments);
      }
      if (payloadCodec === PayloadCodec.BYTES) {
        return owned ? new Uint8Array(source.buffer, source.byteOffset, length) : slice.call(source, 0, length);
      }
    }
    throw unreadable(`payloadCodec=${payloadCodec}, lengthBytes=${length}, sourceBytes=${source.length}`);
  }

  // ── Encoding ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #encodeBytes(value: Uint8Array, inner: boolean, root: ProblemRoot): void {
    const length = value.length;
    if (length === 0 && isDetached(value.buffer)) throw this.#unencodable(value, root, undefined);
    if (length > this.#messageBytesMax) throw tooLarge(length, this.#messageBytesMax);
    if (length <= COPIED_BYTES_MAX && !inner) {
      this.scratch.set(value);
      this.bytes = this.scratch;
    } else {
      this.bytes = new Uint8Array(value.buffer, value.byteOffset, length);
    }
    this.length = length;
    this.payloadCodec = PayloadCodec.BYTES;
  }

  #encodeValue(value: unknown, writer: ValueWriter, attachments: Attachments, root: ProblemRoot): void {
    try {
      writer.write(value, this.#inOnePiece ? null : attachments);
    } catch (error) {
      throw isRpcError(error) ? error : this.#unencodable(value, root, error);
    }
    const length = writer.position;
    const lengthBytes = length + attachments.bytes;
    if (lengthBytes > this.#messageBytesMax) throw tooLarge(lengthBytes, this.#messageBytesMax);
    const { bytes } = writer;
    this.bytes = bytes.buffer === this.scratch.buffer ? this.scratch : new Uint8Array(bytes.buffer, 0, bytes.length);
    this.length = length;
    this.payloadCodec = writer.hasRecords ? PayloadCodec.RECORDS : PayloadCodec.MSGPACK;
  }

  #innerWriter(): ValueWriter {
    return this.#makeWriter(new ArrayBuffer(COPIED_BYTES_MAX));
  }

  #makeWriter(scratch: ArrayBuffer): ValueWriter {
    return new ValueWriter(scratch, this.#refs, this.#shapes, this.#messageBytesMax, this.#stacks);
  }

  /** What an encoding failed of. The walk may fail as well, where a getter throws. */
  #unencodable(value: unknown, root: ProblemRoot, cause: unknown): RpcError {
    try {
      const problem = findProblem(value, DECODE_DEPTH_MAX, this.#refs !== null, root);
      if (problem !== null) return refused(problem);
    } catch (error) {
      cause = error;
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    return new RpcError("ERR_RPC_SERIALIZATION", `a message cannot be encoded: ${why}`, { cause });
  }

  // ── Decoding ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #decodeValue(
    source: Uint8Array,
    length: number,
    records: boolean,
    attachments: readonly ArrayBuffer[] | undefined,
  ): unknown {
    // Records come from this process only, and the check knows none.
    if (!this.#trusted && !records) {
      const fault = checkPayload(source, length, DECODE_DEPTH_MAX);
      if (fault !== PayloadFault.NONE) throw unreadable(describeFault(fault, DECODE_DEPTH_MAX));
    }
    try {
      return this.#reader.read(source, length, records, attachments);
    } catch (error) {
      throw unreadable(error instanceof Error ? error.message : String(error), error);
    }
  }
}

/** What msgpackr looks for beside the bytes. */
interface DecodeSource extends Uint8Array {
  dataView?: DataView;
  latin1Slice?: typeof Buffer.prototype.latin1Slice;
}

const slice = Uint8Array.prototype.slice as (this: Uint8Array, start: number, end: number) => Uint8Array<ArrayBuffer>;

// Kept here, because the global Buffer is a getter.
const BufferClass = Buffer;

/**
 * Exactly these two: a subclass goes through the writer like any other instance of a class. Told by the constructor,
 * because V8 looks a prototype up in a call to its runtime: 5 % of loop 0's time in a profile of 64-byte sends.
 */
function isBareBytes(view: ArrayBufferView): view is Uint8Array {
  const madeBy: unknown = view.constructor;
  return (madeBy === Uint8Array || madeBy === BufferClass) && view instanceof Uint8Array;
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

function refused({ path, what, instead }: Problem): RpcError {
  return new RpcError("ERR_RPC_SERIALIZATION", `${path} cannot travel: it is ${what}; ${instead}`);
}

function unreadable(why: string, cause?: unknown): RpcError {
  const text = `a message cannot be read: ${why}`;
  return new RpcError("ERR_RPC_SERIALIZATION", text, cause === undefined ? undefined : { cause });
}
