/**
 * The messages of the transport, as objects: what `encodeMessage` takes and `decodeMessage` gives. docs/protocol.md draws
 * their bytes. The hot three (RpcRequest, RpcResponse, OneWayMessage) also have paths without objects, see encode.ts.
 *
 * Ids of 64 bits are signed and belong to whoever chose them: bigint, echoed bit by bit, never a number. Byte counts are
 * numbers: what a number cannot count exactly is refused when it is decoded.
 */
import type { ManagedBuffer } from "./managed-buffer.js";
import type { MessageType } from "./message-type.js";

export interface ChunkFetchRequest {
  readonly type: typeof MessageType.CHUNK_FETCH_REQUEST;
  readonly streamId: bigint;
  readonly chunkIndex: number;
}

export interface ChunkFetchSuccess {
  readonly type: typeof MessageType.CHUNK_FETCH_SUCCESS;
  readonly streamId: bigint;
  readonly chunkIndex: number;
  readonly body: ManagedBuffer;
}

export interface ChunkFetchFailure {
  readonly type: typeof MessageType.CHUNK_FETCH_FAILURE;
  readonly streamId: bigint;
  readonly chunkIndex: number;
  readonly errorText: string;
}

export interface RpcRequest {
  readonly type: typeof MessageType.RPC_REQUEST;
  readonly requestId: bigint;
  readonly body: ManagedBuffer;
}

export interface RpcResponse {
  readonly type: typeof MessageType.RPC_RESPONSE;
  readonly requestId: bigint;
  readonly body: ManagedBuffer;
}

export interface RpcFailure {
  readonly type: typeof MessageType.RPC_FAILURE;
  readonly requestId: bigint;
  readonly errorText: string;
}

export interface StreamRequest {
  readonly type: typeof MessageType.STREAM_REQUEST;
  readonly streamId: string;
}

export interface StreamResponse {
  readonly type: typeof MessageType.STREAM_RESPONSE;
  readonly streamId: string;
  /** Bytes that follow the frame. */
  readonly byteCount: number;
  /** Null in a decoded message: its bytes follow the frame. */
  readonly body: ManagedBuffer | null;
}

export interface StreamFailure {
  readonly type: typeof MessageType.STREAM_FAILURE;
  readonly streamId: string;
  readonly errorText: string;
}

export interface OneWayMessage {
  readonly type: typeof MessageType.ONE_WAY_MESSAGE;
  readonly body: ManagedBuffer;
}

export interface UploadStream {
  readonly type: typeof MessageType.UPLOAD_STREAM;
  readonly requestId: bigint;
  readonly meta: Uint8Array;
  /** Bytes that follow the frame. */
  readonly byteCount: number;
  /** Null in a decoded message: its bytes follow the frame. */
  readonly body: ManagedBuffer | null;
}

export interface MergedBlockMetaRequest {
  readonly type: typeof MessageType.MERGED_BLOCK_META_REQUEST;
  readonly requestId: bigint;
  readonly appId: string;
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
  readonly reduceId: number;
}

export interface MergedBlockMetaSuccess {
  readonly type: typeof MessageType.MERGED_BLOCK_META_SUCCESS;
  readonly requestId: bigint;
  readonly chunkCount: number;
  /** The chunks' bitmaps, serialized one behind the other. */
  readonly body: ManagedBuffer;
}

/** From whoever wants something. */
export type RequestMessage =
  | ChunkFetchRequest
  | RpcRequest
  | StreamRequest
  | OneWayMessage
  | UploadStream
  | MergedBlockMetaRequest;

/** What answers a request. */
export type ResponseMessage =
  | ChunkFetchSuccess
  | ChunkFetchFailure
  | RpcResponse
  | RpcFailure
  | StreamResponse
  | StreamFailure
  | MergedBlockMetaSuccess;

export type Message = RequestMessage | ResponseMessage;
