/**
 * TransportRequestHandler: answers what the peer of a connection asks, by way of its RpcHandler and that one's streams.
 *
 * Chunks are taken from the stream manager in the order of the requests, and answers with a body are written in that order.
 */
import { RpcError } from "../common/errors.js";
import { REQUESTS_PER_CONNECTION_MAX } from "../common/limits.js";
import { i32At } from "./big-endian.js";
import type { StreamCallbackWithID } from "./callbacks.js";
import type { Connection } from "./connection.js";
import { ONE_WAY_BODY_OFFSET, RPC_BODY_OFFSET } from "./decode.js";
import { hostPort } from "./dial.js";
import { asError, failureText, tooManyUnanswered } from "./failure-text.js";
import { guarded } from "./guarded.js";
import { MessageType } from "./message-type.js";
import type {
  ChunkFetchRequest,
  MergedBlockMetaRequest,
  RequestMessage,
  StreamRequest,
  UploadStream,
} from "./messages.js";
import type { RpcHandler } from "./rpc-handler.js";
import { type RequestCounter, RpcReply } from "./rpc-reply.js";
import { StreamInterceptor } from "./stream-interceptor.js";
import type { StreamManager } from "./stream-manager.js";
import type { TransportClient } from "./transport-client.js";
import type { TransportLogger } from "./transport-logger.js";
import { answerFailure, DROPPED, uploadCallback } from "./upload-callback.js";

export interface RequestHandlerOptions {
  readonly rpcHandler: RpcHandler;
  /** Chunks handed out and not sent, of all connections together; who asks for more loses his connection. */
  readonly maxChunksBeingTransferred: number;
  readonly logger: TransportLogger;
}

export class TransportRequestHandler implements RequestCounter {
  readonly connection: Connection;
  readonly #client: TransportClient;
  readonly #rpcHandler: RpcHandler;
  readonly #options: RequestHandlerOptions;
  #unanswered = 0;

  /** @param client asks something back over the same connection. */
  constructor(connection: Connection, client: TransportClient, options: RequestHandlerOptions) {
    this.connection = connection;
    this.#client = client;
    this.#rpcHandler = options.rpcHandler;
    this.#options = options;
  }

  answered(): void {
    this.#unanswered--;
  }

  /** An RpcRequest, without its length: the hot path, without a message object. */
  rpcRequest(bytes: Uint8Array, start: number, end: number): void {
    const reply = this.#reply(i32At(bytes, start + 1), i32At(bytes, start + 5));
    if (reply === null) return;
    try {
      this.#rpcHandler.receiveBytes(this.#client, bytes, start + RPC_BODY_OFFSET, end, reply);
    } catch (error) {
      reply.onFailure(error);
    }
  }

  /** A OneWayMessage, without its length. */
  oneWayMessage(bytes: Uint8Array, start: number, end: number): void {
    try {
      this.#rpcHandler.receiveOneWayBytes(this.#client, bytes, start + ONE_WAY_BODY_OFFSET, end);
    } catch (error) {
      this.#warn("a one-way message failed", error);
    }
  }

  handle(message: RequestMessage): void {
    switch (message.type) {
      case MessageType.CHUNK_FETCH_REQUEST:
        this.#chunkFetch(message);
        return;
      case MessageType.STREAM_REQUEST:
        this.#stream(message);
        return;
      case MessageType.UPLOAD_STREAM:
        this.#upload(message);
        return;
      case MessageType.MERGED_BLOCK_META_REQUEST:
        this.#mergedBlockMeta(message);
        return;
      case MessageType.RPC_REQUEST: {
        const reply = this.#reply(highOf(message.requestId), lowOf(message.requestId));
        if (reply === null) return;
        const bytes = message.body.bytes() as Uint8Array;
        try {
          this.#rpcHandler.receiveBytes(this.#client, bytes, 0, bytes.length, reply);
        } catch (error) {
          reply.onFailure(error);
        }
        return;
      }
      case MessageType.ONE_WAY_MESSAGE: {
        const bytes = message.body.bytes() as Uint8Array;
        this.oneWayMessage(bytes, -ONE_WAY_BODY_OFFSET, bytes.length);
        return;
      }
    }
  }

  channelActive(): void {
    this.#guard("channelActive", () => this.#rpcHandler.channelActive(this.#client));
  }

  exceptionCaught(cause: Error): void {
    this.#guard("exceptionCaught", () => this.#rpcHandler.exceptionCaught(cause, this.#client));
  }

  channelInactive(): void {
    this.#guard("connectionTerminated", () => this.#streams.connectionTerminated(this.connection));
    this.#guard("channelInactive", () => this.#rpcHandler.channelInactive(this.#client));
  }

  get #streams(): StreamManager {
    return this.#rpcHandler.getStreamManager();
  }

  /** Null: too many are unanswered, and this one has got its failure. */
  #reply(idHigh: number, idLow: number): RpcReply | null {
    const reply = new RpcReply(this, idHigh, idLow);
    if (++this.#unanswered <= REQUESTS_PER_CONNECTION_MAX) return reply;
    if (this.#unanswered - this.#rpcHandler.endingCount(this.#client) <= REQUESTS_PER_CONNECTION_MAX) return reply;
    reply.onFailure(tooManyUnanswered());
    return null;
  }

  #chunkFetch({ streamId, chunkIndex }: ChunkFetchRequest): void {
    const streams = this.#streams;
    if (this.#isOverloaded(streams)) return;
    const { queue } = this.connection;
    try {
      streams.checkAuthorization(this.#client, streamId);
      const body = streams.getChunk(streamId, chunkIndex);
      if (body === null) throw new RpcError("ERR_RPC_STREAM", "Chunk was not found");
      streams.chunkBeingSent(streamId);
      const message = { type: MessageType.CHUNK_FETCH_SUCCESS, streamId, chunkIndex, body };
      queue.enqueueMessage(message, true, (error) => {
        this.#guard("chunkSent", () => streams.chunkSent(streamId));
        if (error !== null) this.#warn(`chunk ${streamId}_${chunkIndex} was not sent`, error);
      });
    } catch (error) {
      const errorText = failureText(error);
      queue.enqueueMessage({ type: MessageType.CHUNK_FETCH_FAILURE, streamId, chunkIndex, errorText }, true);
    }
  }

  #stream({ streamId }: StreamRequest): void {
    const streams = this.#streams;
    if (this.#isOverloaded(streams)) return;
    const { queue } = this.connection;
    try {
      streams.checkStreamAuthorization(this.#client, streamId);
      const body = streams.openStream(streamId);
      if (body === null) {
        const errorText = `Stream '${streamId}' was not found.`;
        queue.enqueueMessage({ type: MessageType.STREAM_FAILURE, streamId, errorText }, true);
        return;
      }
      streams.streamBeingSent(streamId);
      const message = {
        type: MessageType.STREAM_RESPONSE,
        streamId,
        // Known when the body is, which may be later than now.
        get byteCount(): number {
          return body.size;
        },
        body,
      };
      queue.enqueueMessage(message, true, (error) => {
        this.#guard("streamSent", () => streams.streamSent(streamId));
        if (error !== null) this.#warn(`stream ${streamId} was not sent`, error);
      });
    } catch (error) {
      const errorText = failureText(error);
      queue.enqueueMessage({ type: MessageType.STREAM_FAILURE, streamId, errorText }, true);
    }
  }

  /** As Spark: no answer, the connection ends. */
  #isOverloaded(streams: StreamManager): boolean {
    const max = this.#options.maxChunksBeingTransferred;
    // Counting takes time where there are many streams, and nobody sets a limit by default.
    if (max >= Number.MAX_SAFE_INTEGER || streams.chunksBeingTransferred() < max) return false;
    const text = `chunks being transferred: ${streams.chunksBeingTransferred()}, at most ${max}; the connection is closed`;
    this.#warn(text, null);
    this.connection.close(new RpcError("ERR_RPC_STREAM", text));
    return true;
  }

  #upload(message: UploadStream): void {
    const reply = this.#reply(highOf(message.requestId), lowOf(message.requestId));
    const { connection } = this;
    const { byteCount } = message;
    if (reply === null) {
      // The limit is ours, so the connection need not pay for it as for a receiver that throws.
      if (byteCount > 0) connection.intercept(new StreamInterceptor("", byteCount, DROPPED));
      return;
    }
    let streamId: string;
    let receiver: StreamCallbackWithID | null;
    try {
      receiver = this.#rpcHandler.receiveStream(this.#client, message.meta, reply);
      if (receiver === null) throw new RpcError("ERR_RPC_STREAM", "receiveStream returned null");
      streamId = receiver.getID();
    } catch (error) {
      answerFailure(reply, error);
      // The bytes that follow have no reader, and nobody can tell what they are.
      connection.close(asError(error));
      return;
    }
    const { callback, end } = uploadCallback(receiver, reply, (text, error) => this.#warn(text, error));
    if (byteCount === 0) void callback.onComplete(streamId);
    else connection.intercept(new StreamInterceptor(streamId, byteCount, callback, end));
  }

  #mergedBlockMeta(message: MergedBlockMetaRequest): void {
    const reply = this.#reply(highOf(message.requestId), lowOf(message.requestId));
    if (reply === null) return;
    try {
      this.#rpcHandler.getMergedBlockMetaReqHandler().receiveMergeBlockMetaReq(this.#client, message, reply);
    } catch (error) {
      reply.onFailure(error);
    }
  }

  #guard(what: string, call: () => unknown): void {
    guarded(call, (error) => this.#warn(`${what} failed`, error));
  }

  #warn(text: string, error: unknown): void {
    this.#options.logger.warn({ error, peer: hostPort(this.connection.remoteAddress) }, text);
  }
}

function highOf(id: bigint): number {
  return Number(BigInt.asIntN(32, id >> 32n));
}

function lowOf(id: bigint): number {
  return Number(BigInt.asIntN(32, id));
}
