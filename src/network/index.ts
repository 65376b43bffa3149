/** The transport by itself, exported as `ringpost/network`: frames, messages, buffers. */
export { type BindOptions, bind, isLoopback } from "./bind.js";
export type { CertificateOptions, Pem } from "./certificate-credentials.js";
export { createSecurity, type SecurityOptions } from "./create-security.js";
export { decodeMessage } from "./decode.js";
export { encodeMessage } from "./encode.js";
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
export { RoaringBitmap } from "./roaring-bitmap.js";
export type { Secret } from "./secret.js";
export { TransportConf, type TransportModule } from "./transport-conf.js";
export {
  type FrameSink,
  TransportFrameDecoder,
  type TransportFrameDecoderOptions,
} from "./transport-frame-decoder.js";
export {
  type AcceptHooks,
  type DialOptions,
  type PeerAddress,
  PlaintextSecurity,
  type ReadyConnection,
  type TransportSecurity,
} from "./transport-security.js";
export { WireReader } from "./wire-reader.js";
export { WireWriter } from "./wire-writer.js";
