/** The type byte of a frame. Numbers are Spark's and frozen. */
export const MessageType = {
  CHUNK_FETCH_REQUEST: 0,
  CHUNK_FETCH_SUCCESS: 1,
  CHUNK_FETCH_FAILURE: 2,
  RPC_REQUEST: 3,
  RPC_RESPONSE: 4,
  RPC_FAILURE: 5,
  STREAM_REQUEST: 6,
  STREAM_RESPONSE: 7,
  STREAM_FAILURE: 8,
  ONE_WAY_MESSAGE: 9,
  UPLOAD_STREAM: 10,
  MERGED_BLOCK_META_REQUEST: 11,
  MERGED_BLOCK_META_SUCCESS: 12,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];
