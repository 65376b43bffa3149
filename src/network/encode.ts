/**
 * From messages to frames. docs/protocol.md draws the bytes.
 *
 * A body is no part of the header: it goes to the socket behind it, from where it lies. It either counts as part of the
 * frame, or follows the frame (StreamResponse, UploadStream), which lifts the frame's limit from it.
 */
import { assertUnreachable } from "../common/assert.js";
import { RpcError } from "../common/errors.js";
import { FRAME_BYTES_MAX } from "../common/limits.js";
import { putI32 } from "./big-endian.js";
import { FRAME_LENGTH_BYTES } from "./frame-errors.js";
import type { ManagedBuffer, MessageBody } from "./managed-buffer.js";
import { MessageType } from "./message-type.js";
import { MessageWithHeader } from "./message-with-header.js";
import type { Message } from "./messages.js";
import { WireWriter } from "./wire-writer.js";

/** Bytes before the body: length, type, request id, body length. */
export const RPC_HEADER_BYTES = 21;
/** Bytes before the body of a one-way message: length, type, body length. */
export const ONE_WAY_HEADER_BYTES = 13;

/** How a message that carries a body tells about it. */
interface Body {
  readonly buffer: ManagedBuffer | null;
  readonly size: number;
  readonly isInFrame: boolean;
}

const NO_BODY: Body = { buffer: null, size: 0, isInFrame: false };

/**
 * A message as it goes to the socket. A response whose body cannot be got ready becomes its failure form, if it has one.
 * A promise where getting the body ready takes one.
 *
 * Throws, or rejects with, ERR_RPC_MESSAGE_TOO_LARGE for a frame that the protocol cannot carry, ERR_RPC_INVALID_ARGUMENT for a
 * body that is not as long as `byteCount` says, and what the body of a message without a failure form fails with. The body
 * is released then.
 */
export function encodeMessage(message: Message): MessageWithHeader | Promise<MessageWithHeader> {
  const body = bodyOf(message);
  const { buffer } = body;
  if (buffer === null) return new MessageWithHeader(headerOf(message, body), null, 0, null);
  let ready: MessageBody | Promise<MessageBody>;
  try {
    ready = buffer.toBody();
  } catch (error) {
    return failed(message, buffer, error);
  }
  if (!(ready instanceof Promise)) return withBody(message, body, buffer, ready);
  return ready.then(
    // Asked again: how long a body is may be known only now.
    (bytes) => withBody(message, bodyOf(message), buffer, bytes),
    (error) => failed(message, buffer, error),
  );
}

function withBody(message: Message, body: Body, buffer: ManagedBuffer, ready: MessageBody): MessageWithHeader {
  try {
    return new MessageWithHeader(headerOf(message, body), ready, body.size, buffer);
  } catch (error) {
    if (!(ready instanceof Uint8Array) && "close" in ready) ready.close();
    return failed(message, buffer, error);
  }
}

function failed(message: Message, buffer: ManagedBuffer, error: unknown): MessageWithHeader {
  buffer.release();
  const failure = failureOf(message, error);
  if (failure === null) throw error;
  return new MessageWithHeader(headerOf(failure, NO_BODY), null, 0, null);
}

/** What is sent instead of a response whose body cannot be sent; null: there is nothing to say it with. */
export function failureOf(message: Message, error: unknown): Message | null {
  const errorText = (error instanceof Error ? error.message : String(error)) || "null";
  switch (message.type) {
    case MessageType.CHUNK_FETCH_SUCCESS: {
      const { streamId, chunkIndex } = message;
      return { type: MessageType.CHUNK_FETCH_FAILURE, streamId, chunkIndex, errorText };
    }
    case MessageType.STREAM_RESPONSE:
      return { type: MessageType.STREAM_FAILURE, streamId: message.streamId, errorText };
    case MessageType.RPC_RESPONSE:
    case MessageType.MERGED_BLOCK_META_SUCCESS:
      return { type: MessageType.RPC_FAILURE, requestId: message.requestId, errorText };
    default:
      return null;
  }
}

function bodyOf(message: Message): Body {
  switch (message.type) {
    case MessageType.CHUNK_FETCH_SUCCESS:
    case MessageType.RPC_REQUEST:
    case MessageType.RPC_RESPONSE:
    case MessageType.ONE_WAY_MESSAGE:
    case MessageType.MERGED_BLOCK_META_SUCCESS:
      return { buffer: message.body, size: message.body.size, isInFrame: true };
    case MessageType.STREAM_RESPONSE:
    case MessageType.UPLOAD_STREAM:
      return message.body === null ? NO_BODY : { buffer: message.body, size: message.body.size, isInFrame: false };
    default:
      return NO_BODY;
  }
}

/** The frame up to its body. */
function headerOf(message: Message, body: Body): Uint8Array {
  const writer = new WireWriter();
  writer.i64(0n);
  writer.i8(message.type);
  writeFields(writer, message, body);
  const header = writer.finish();
  const frameBytes = header.length + (body.isInFrame ? body.size : 0);
  if (frameBytes > FRAME_BYTES_MAX) throw tooLarge(frameBytes);
  putI32(header, 4, frameBytes);
  return header;
}

function writeFields(writer: WireWriter, message: Message, body: Body): void {
  switch (message.type) {
    case MessageType.CHUNK_FETCH_REQUEST:
    case MessageType.CHUNK_FETCH_SUCCESS:
      writer.i64(message.streamId);
      writer.i32(message.chunkIndex);
      break;
    case MessageType.CHUNK_FETCH_FAILURE:
      writer.i64(message.streamId);
      writer.i32(message.chunkIndex);
      writer.string(message.errorText);
      break;
    case MessageType.RPC_REQUEST:
    case MessageType.RPC_RESPONSE:
      writer.i64(message.requestId);
      writer.i32(body.size);
      break;
    case MessageType.RPC_FAILURE:
      writer.i64(message.requestId);
      writer.string(message.errorText);
      break;
    case MessageType.STREAM_REQUEST:
      writer.string(message.streamId);
      break;
    case MessageType.STREAM_RESPONSE:
      writer.string(message.streamId);
      writer.i64(announced(message.byteCount, body));
      break;
    case MessageType.STREAM_FAILURE:
      writer.string(message.streamId);
      writer.string(message.errorText);
      break;
    case MessageType.ONE_WAY_MESSAGE:
      writer.i32(body.size);
      break;
    case MessageType.UPLOAD_STREAM:
      writer.i64(message.requestId);
      writer.byteArray(message.meta);
      writer.i64(announced(message.byteCount, body));
      break;
    case MessageType.MERGED_BLOCK_META_REQUEST:
      writer.i64(message.requestId);
      writer.string(message.appId);
      writer.i32(message.shuffleId);
      writer.i32(message.shuffleMergeId);
      writer.i32(message.reduceId);
      break;
    case MessageType.MERGED_BLOCK_META_SUCCESS:
      writer.i64(message.requestId);
      writer.i32(message.chunkCount);
      break;
    default:
      assertUnreachable(message);
  }
}

/** What follows a frame is found by this count alone: one byte more or less, and every frame behind it is lost. */
function announced(byteCount: number, body: Body): bigint {
  if (Number.isSafeInteger(byteCount) && byteCount >= 0 && (body.buffer === null || body.size === byteCount)) {
    return BigInt(byteCount);
  }
  const has = body.buffer === null ? "a whole number from 0" : `what the body has: ${body.size}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `byteCount: got ${byteCount}, must be ${has}`);
}

// ── The hot three, without objects ───────────────────────────────────────────────────────────────────────────────────

/**
 * Writes the 21 bytes before the body of an RpcRequest to `target[at ...]` and returns the offset behind them.
 * @param idHigh The upper and the lower 32 bits of the request id, as they are.
 * @param bodyBytes At most what a frame can carry; throws ERR_RPC_MESSAGE_TOO_LARGE beyond.
 */
export function writeRpcRequestHeader(
  target: Uint8Array,
  at: number,
  idHigh: number,
  idLow: number,
  bodyBytes: number,
): number {
  return writeRpcHeader(MessageType.RPC_REQUEST, target, at, idHigh, idLow, bodyBytes);
}

/** As `writeRpcRequestHeader`, for an RpcResponse. */
export function writeRpcResponseHeader(
  target: Uint8Array,
  at: number,
  idHigh: number,
  idLow: number,
  bodyBytes: number,
): number {
  return writeRpcHeader(MessageType.RPC_RESPONSE, target, at, idHigh, idLow, bodyBytes);
}

/** As `writeRpcRequestHeader`, the 13 bytes of a OneWayMessage. */
export function writeOneWayMessageHeader(target: Uint8Array, at: number, bodyBytes: number): number {
  writeStart(target, at, ONE_WAY_HEADER_BYTES + bodyBytes, MessageType.ONE_WAY_MESSAGE);
  putI32(target, at + FRAME_LENGTH_BYTES + 1, bodyBytes);
  return at + ONE_WAY_HEADER_BYTES;
}

function writeRpcHeader(
  type: MessageType,
  target: Uint8Array,
  at: number,
  idHigh: number,
  idLow: number,
  bodyBytes: number,
): number {
  writeStart(target, at, RPC_HEADER_BYTES + bodyBytes, type);
  putI32(target, at + 9, idHigh);
  putI32(target, at + 13, idLow);
  putI32(target, at + 17, bodyBytes);
  return at + RPC_HEADER_BYTES;
}

function writeStart(target: Uint8Array, at: number, frameBytes: number, type: MessageType): void {
  if (frameBytes > FRAME_BYTES_MAX) throw tooLarge(frameBytes);
  putI32(target, at, 0);
  putI32(target, at + 4, frameBytes);
  target[at + FRAME_LENGTH_BYTES] = type;
}

function tooLarge(frameBytes: number): RpcError {
  const text = `frame too long: bytes=${frameBytes}, maxBytes=${FRAME_BYTES_MAX}; send it as a stream`;
  return new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", text);
}
