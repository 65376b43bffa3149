/** The transport by itself, exported as `ringpost/network`: frames, messages, buffers, connections. */
export { SECRET_BYTES_MIN } from "../common/limits.js";
export { type BindOptions, bind, isLoopback } from "./bind.js";
export type {
  ChunkReceivedCallback,
  MergedBlockMetaResponseCallback,
  RpcResponseCallback,
  StreamCallback,
  StreamCallbackWithID,
} from "./callbacks.js";
export type { CertificateOptions, Pem } from "./certificate-credentials.js";
export type { Connection } from "./connection.js";
export { createSecurity, type SecurityOptions } from "./create-security.js";
export { decodeMessage } from "./decode.js";
export { encodeMessage } from "./encode.js";
export { FileSegmentManagedBuffer, type FileSegmentOptions } from "./file-segment-managed-buffer.js";
export { type BodyReader, type ManagedBuffer, type MessageBody, NioManagedBuffer } from "./managed-buffer.js";
export { MessageType } from "./message-type.js";
export { MessageWithHeader } from "./message-with-header.js";
export type {
  ChunkFetchFailure,
  ChunkFetchRequest,
  ChunkFetchSuccess,
  MergedBlockMetaRequest,
  MergedBlockMetaSuccess,
  Message,
  OneWayMessage,
  RequestMessage,
  ResponseMessage,
  RpcFailure,
  RpcRequest,
  RpcResponse,
  StreamFailure,
  StreamRequest,
  StreamResponse,
  UploadStream,
} from "./messages.js";
export { NoOpRpcHandler } from "./no-op-rpc-handler.js";
export {
  genStreamChunkId,
  OneForOneStreamManager,
  parseStreamChunkId,
  type RegisterStreamOptions,
} from "./one-for-one-stream-manager.js";
export { RoaringBitmap } from "./roaring-bitmap.js";
export type { RpcBody } from "./rpc-body.js";
export { BlockPushNonFatalFailure, type MergedBlockMetaReqHandler, RpcHandler } from "./rpc-handler.js";
export type { RpcReply } from "./rpc-reply.js";
export { parseIdentity, type Secret } from "./secret.js";
export { StreamManager } from "./stream-manager.js";
export { openStreamReadable, type StreamReadableOptions } from "./stream-readable.js";
export type { TransportClientBootstrap, TransportServerBootstrap } from "./transport-bootstrap.js";
export { NO_HANDLE, type TransportClient } from "./transport-client.js";
export type { CreateClientOptions, TransportClientFactory } from "./transport-client-factory.js";
export { TransportConf, type TransportModule } from "./transport-conf.js";
export { TransportContext, type TransportContextOptions } from "./transport-context.js";
export {
  type FrameSink,
  TransportFrameDecoder,
  type TransportFrameDecoderOptions,
} from "./transport-frame-decoder.js";
export type { TransportLogger } from "./transport-logger.js";
export {
  type AcceptHooks,
  type DialOptions,
  type PeerAddress,
  PlaintextSecurity,
  type ReadyConnection,
  type TransportSecurity,
} from "./transport-security.js";
export type { TransportServer, TransportServerOptions } from "./transport-server.js";
export { TRANSPORT_DEFAULTS, type TransportSettings } from "./transport-settings.js";
export { WireReader } from "./wire-reader.js";
export { WireWriter } from "./wire-writer.js";
