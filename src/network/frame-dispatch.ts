/**
 * Whom a frame is for: requests go to the request handler of the connection, answers to its response handler. RpcRequest,
 * RpcResponse and OneWayMessage, which most frames are, come without a message object.
 */
import { i32At } from "./big-endian.js";
import { decodeMessage, decodeMessageInPieces, messageTypeAt, RPC_BODY_OFFSET } from "./decode.js";
import { MessageType } from "./message-type.js";
import type { RequestMessage, ResponseMessage } from "./messages.js";
import type { TransportRequestHandler } from "./transport-request-handler.js";
import type { TransportResponseHandler } from "./transport-response-handler.js";

/**
 * A frame without its length bytes. Throws ERR_RPC_PROTOCOL for one that is no message.
 *
 * @returns True: who was given its body may have retained it. Of all others views are valid during the call.
 */
export function dispatchFrame(
  requests: TransportRequestHandler,
  responses: TransportResponseHandler,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const type = messageTypeAt(bytes, start, end);
  switch (type) {
    case MessageType.RPC_REQUEST:
      requests.rpcRequest(bytes, start, end);
      return false;
    case MessageType.RPC_RESPONSE:
      responses.rpcResponse(i32At(bytes, start + 1), i32At(bytes, start + 5), bytes, start + RPC_BODY_OFFSET, end);
      return false;
    case MessageType.ONE_WAY_MESSAGE:
      requests.oneWayMessage(bytes, start, end);
      return false;
    case MessageType.CHUNK_FETCH_REQUEST:
    case MessageType.STREAM_REQUEST:
    case MessageType.UPLOAD_STREAM:
    case MessageType.MERGED_BLOCK_META_REQUEST:
      requests.handle(decodeMessage(bytes, start, end) as RequestMessage);
      return false;
    default:
      responses.handle(decodeMessage(bytes, start, end) as ResponseMessage);
      return type === MessageType.CHUNK_FETCH_SUCCESS || type === MessageType.MERGED_BLOCK_META_SUCCESS;
  }
}

/** A frame in several pieces. False: it is one that is read in one piece. */
export function dispatchPieces(responses: TransportResponseHandler, pieces: readonly Uint8Array[]): boolean {
  if (pieces[0]?.[0] !== MessageType.CHUNK_FETCH_SUCCESS) return false;
  responses.handle(decodeMessageInPieces(pieces) as ResponseMessage);
  return true;
}
