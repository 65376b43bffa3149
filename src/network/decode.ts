/**
 * From frames to messages, as lenient as Spark: the body length of RpcRequest, RpcResponse and OneWayMessage is read and
 * ignored, the body is what is left of the frame; bytes behind the last field of a message without a body are ignored.
 */
import { assertUnreachable } from "../common/assert.js";
import { protocolError } from "./frame-errors.js";
import { type ManagedBuffer, NioManagedBuffer } from "./managed-buffer.js";
import { MessageType } from "./message-type.js";
import type { ChunkFetchSuccess, Message } from "./messages.js";
import { ReceivedBuffer } from "./received-buffer.js";
import { WireReader } from "./wire-reader.js";

/** Spark's names, by type. */
const NAMES: Readonly<Record<MessageType, string>> = {
  [MessageType.CHUNK_FETCH_REQUEST]: "ChunkFetchRequest",
  [MessageType.CHUNK_FETCH_SUCCESS]: "ChunkFetchSuccess",
  [MessageType.CHUNK_FETCH_FAILURE]: "ChunkFetchFailure",
  [MessageType.RPC_REQUEST]: "RpcRequest",
  [MessageType.RPC_RESPONSE]: "RpcResponse",
  [MessageType.RPC_FAILURE]: "RpcFailure",
  [MessageType.STREAM_REQUEST]: "StreamRequest",
  [MessageType.STREAM_RESPONSE]: "StreamResponse",
  [MessageType.STREAM_FAILURE]: "StreamFailure",
  [MessageType.ONE_WAY_MESSAGE]: "OneWayMessage",
  [MessageType.UPLOAD_STREAM]: "UploadStream",
  [MessageType.MERGED_BLOCK_META_REQUEST]: "MergedBlockMetaRequest",
  [MessageType.MERGED_BLOCK_META_SUCCESS]: "MergedBlockMetaSuccess",
};

/** The least that a frame of a type has, without its length: fixed fields, and texts and bodies of no bytes. */
const FRAME_BYTES_LEAST: Readonly<Record<MessageType, number>> = {
  [MessageType.CHUNK_FETCH_REQUEST]: 13,
  [MessageType.CHUNK_FETCH_SUCCESS]: 13,
  [MessageType.CHUNK_FETCH_FAILURE]: 17,
  [MessageType.RPC_REQUEST]: 13,
  [MessageType.RPC_RESPONSE]: 13,
  [MessageType.RPC_FAILURE]: 13,
  [MessageType.STREAM_REQUEST]: 5,
  [MessageType.STREAM_RESPONSE]: 13,
  [MessageType.STREAM_FAILURE]: 9,
  [MessageType.ONE_WAY_MESSAGE]: 5,
  [MessageType.UPLOAD_STREAM]: 21,
  [MessageType.MERGED_BLOCK_META_REQUEST]: 25,
  [MessageType.MERGED_BLOCK_META_SUCCESS]: 13,
};

/** Where the body of an RpcRequest or an RpcResponse begins in a frame without its length: type, id, body length. */
export const RPC_BODY_OFFSET = 13;
/** ... and that of a OneWayMessage: type, body length. */
export const ONE_WAY_BODY_OFFSET = 5;

const CHUNK_BODY_OFFSET = 13;

/**
 * `decodeMessage` for a frame that lies in several pieces: the body of a chunk stays in them, for all others they are
 * copied together.
 */
export function decodeMessageInPieces(pieces: readonly Uint8Array[]): Message {
  if (pieces[0]?.[0] !== MessageType.CHUNK_FETCH_SUCCESS) return decodeMessage(Buffer.concat(pieces));
  const head = Buffer.concat(pieces.slice(0, CHUNK_BODY_OFFSET), CHUNK_BODY_OFFSET);
  const { streamId, chunkIndex } = decodeMessage(head) as ChunkFetchSuccess;
  const body = new ReceivedBuffer(behind(pieces, CHUNK_BODY_OFFSET));
  return { type: MessageType.CHUNK_FETCH_SUCCESS, streamId, chunkIndex, body };
}

/** The pieces without the first `offset` bytes. */
function behind(pieces: readonly Uint8Array[], offset: number): Uint8Array[] {
  let index = 0;
  let skipped = 0;
  for (let piece = pieces[0]; piece !== undefined && skipped + piece.length <= offset; piece = pieces[++index]) {
    skipped += piece.length;
  }
  const [first, ...rest] = pieces.slice(index);
  return first === undefined ? [] : [first.subarray(offset - skipped), ...rest];
}

/**
 * The message of a frame without its 8 length bytes. Bodies and metadata are views of it.
 *
 * Throws ERR_RPC_PROTOCOL for an unknown type and for fields that the frame does not hold.
 */
export function decodeMessage(bytes: Uint8Array, start = 0, end: number = bytes.length): Message {
  const type = messageTypeAt(bytes, start, end);
  const reader = new WireReader(NAMES[type], bytes, start + 1, end);
  switch (type) {
    case MessageType.CHUNK_FETCH_REQUEST:
      return { type, streamId: reader.i64("streamId"), chunkIndex: reader.i32("chunkIndex") };
    case MessageType.CHUNK_FETCH_SUCCESS: {
      const streamId = reader.i64("streamId");
      const chunkIndex = reader.i32("chunkIndex");
      const body = new ReceivedBuffer([reader.raw("body", reader.remaining)]);
      return { type, streamId, chunkIndex, body };
    }
    case MessageType.CHUNK_FETCH_FAILURE: {
      const streamId = reader.i64("streamId");
      const chunkIndex = reader.i32("chunkIndex");
      return { type, streamId, chunkIndex, errorText: reader.string("errorText") };
    }
    case MessageType.RPC_REQUEST:
    case MessageType.RPC_RESPONSE: {
      const requestId = reader.i64("requestId");
      reader.i32("bodyLength");
      return { type, requestId, body: rest(reader) };
    }
    case MessageType.RPC_FAILURE:
      return { type, requestId: reader.i64("requestId"), errorText: reader.string("errorText") };
    case MessageType.STREAM_REQUEST:
      return { type, streamId: reader.string("streamId") };
    case MessageType.STREAM_RESPONSE: {
      const streamId = reader.string("streamId");
      return { type, streamId, byteCount: reader.byteCount("byteCount"), body: null };
    }
    case MessageType.STREAM_FAILURE:
      return { type, streamId: reader.string("streamId"), errorText: reader.string("errorText") };
    case MessageType.ONE_WAY_MESSAGE:
      reader.i32("bodyLength");
      return { type, body: rest(reader) };
    case MessageType.UPLOAD_STREAM: {
      const requestId = reader.i64("requestId");
      const meta = reader.byteArray("meta");
      return { type, requestId, meta, byteCount: reader.byteCount("byteCount"), body: null };
    }
    case MessageType.MERGED_BLOCK_META_REQUEST: {
      const requestId = reader.i64("requestId");
      const appId = reader.string("appId");
      const shuffleId = reader.i32("shuffleId");
      const shuffleMergeId = reader.i32("shuffleMergeId");
      return { type, requestId, appId, shuffleId, shuffleMergeId, reduceId: reader.i32("reduceId") };
    }
    case MessageType.MERGED_BLOCK_META_SUCCESS: {
      const requestId = reader.i64("requestId");
      const chunkCount = reader.i32("chunkCount");
      return { type, requestId, chunkCount, body: rest(reader) };
    }
    default:
      return assertUnreachable(type);
  }
}

/**
 * The type of a frame without its 8 length bytes, for who handles RpcRequest, RpcResponse and OneWayMessage without
 * objects: the first two have their id behind it and their body from RPC_BODY_OFFSET, the last its body from
 * ONE_WAY_BODY_OFFSET. Throws ERR_RPC_PROTOCOL for an unknown type, and for a frame too short for its type.
 */
export function messageTypeAt(bytes: Uint8Array, start: number, end: number): MessageType {
  if (start >= end) throw protocolError("empty frame: a message has a type");
  const type = bytes[start] as MessageType;
  const least = FRAME_BYTES_LEAST[type];
  if (least === undefined) throw unknownType(type);
  if (end - start < least) throw protocolError(`${NAMES[type]}: ${end - start} bytes, at least ${least}`);
  return type;
}

/** Spark's types are signed bytes. */
function unknownType(type: number): Error {
  return protocolError(`Unknown message type: ${(type << 24) >> 24}`);
}

function rest(reader: WireReader): ManagedBuffer {
  return new NioManagedBuffer(reader.raw("body", reader.remaining));
}
