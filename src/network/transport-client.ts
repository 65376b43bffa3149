/**
 * TransportClient: how something is asked of the peer of a connection, whichever side opened it. Nothing here waits for
 * anything: a call puts bytes into the connection's queue, and callbacks tell the rest.
 *
 * Small requests by the hundred thousand: `reserveRpc` writes the header and lets the caller write the body where it goes,
 * in `room` from `roomOffset`. No array, view or promise is made for it.
 */
import { RpcError } from "../common/errors.js";
import { FRAME_BYTES_MAX, WRITE_QUEUE_BYTES_MAX } from "../common/limits.js";
import type {
  ChunkReceivedCallback,
  MergedBlockMetaResponseCallback,
  RpcResponseCallback,
  StreamCallback,
} from "./callbacks.js";
import type { Connection } from "./connection.js";
import { hostPort } from "./dial.js";
import { ONE_WAY_HEADER_BYTES, RPC_HEADER_BYTES, writeOneWayMessageHeader, writeRpcRequestHeader } from "./encode.js";
import { checkManagedBuffer, type ManagedBuffer } from "./managed-buffer.js";
import { MessageType } from "./message-type.js";
import { HANDLE_SLOTS, NO_SLOT, type OutstandingRpcs, type RpcCallback } from "./outstanding-rpcs.js";
import { bytesOf, type RpcBody, writeBody } from "./rpc-body.js";
import { sendFailed, type TransportResponseHandler } from "./transport-response-handler.js";
import type { PeerAddress } from "./transport-security.js";
import type { WriteQueue } from "./write-queue.js";
import type { Written } from "./written-listeners.js";

/** The handle of a request that was refused: it stands for nothing. */
export const NO_HANDLE = -1;

export class TransportClient {
  readonly #connection: Connection;
  readonly #queue: WriteQueue;
  readonly #responses: TransportResponseHandler;
  readonly #rpcs: OutstandingRpcs;
  #clientId: string | null = null;
  #isTimedOut = false;
  /** Where the body begins in `room`, after one of the `reserve…` methods. */
  roomOffset = 0;
  /** Its owner's own: what he knows of the peer. */
  attachment: unknown = null;

  constructor(connection: Connection, responses: TransportResponseHandler) {
    this.#connection = connection;
    this.#queue = connection.queue;
    this.#responses = responses;
    this.#rpcs = responses.rpcs;
  }

  get connection(): Connection {
    return this.#connection;
  }

  get remoteAddress(): PeerAddress {
    return this.#connection.remoteAddress;
  }

  /** Who the peer proved to be in the handshake; null without one. */
  get identity(): string | null {
    return this.#connection.identity;
  }

  /** False once the connection has ended or was given up: the pool then makes another one. */
  get isActive(): boolean {
    return !this.#isTimedOut && this.#connection.isActive;
  }

  /** The application that the peer has proved to belong to; null: nobody has proved anything, and nothing is checked. */
  get clientId(): string | null {
    return this.#clientId;
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT the second time. */
  setClientId(id: string): void {
    if (this.#clientId !== null) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `Client ID has already been set: clientId=${this.#clientId}`);
    }
    this.#clientId = id;
  }

  /** Requests without an answer. */
  get outstandingCount(): number {
    return this.#responses.outstandingCount;
  }

  /** RPCs and uploads among them: a peer takes a limited number of these. */
  get outstandingRpcCount(): number {
    return this.#rpcs.count;
  }

  /** Bytes in memory that wait to be written to the peer. */
  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  /** Where the body belongs that room was reserved for last, from `roomOffset`; only until anything else is called. */
  get room(): Uint8Array {
    return this.#queue.room;
  }

  /**
   * Sends a request. The body is captured before it returns.
   *
   * @returns A handle for `removeRpcRequest`.
   * Throws ERR_RPC_MESSAGE_TOO_LARGE. Everything else is told to the callback, later.
   */
  sendRpc(body: RpcBody, callback: RpcResponseCallback): number {
    const handle = this.reserveRpc(bytesOf(body), callback);
    writeBody(body, this.#queue.room, this.roomOffset);
    return handle;
  }

  /**
   * Sends a request whose body the caller writes himself, all of it, before he calls anything else or returns to the loop:
   * into `room`, from `roomOffset`.
   *
   * @returns A handle for `removeRpcRequest`.
   * Throws ERR_RPC_MESSAGE_TOO_LARGE. Everything else is told to the callback, later; there is room even then.
   */
  reserveRpc(bodyBytes: number, callback: RpcResponseCallback): number {
    const queue = this.#queue;
    checkSize(RPC_HEADER_BYTES + bodyBytes);
    if (!this.isActive || queue.queuedBytes > WRITE_QUEUE_BYTES_MAX) return this.#refuse(bodyBytes, callback);
    const slot = this.#responses.addRpc(callback, false);
    if (slot === NO_SLOT) return this.#roomForNothing(bodyBytes);
    const at = queue.reserve(RPC_HEADER_BYTES + bodyBytes, false);
    this.#rpcs.setEnd(slot, queue.queuedTo);
    this.roomOffset = writeRpcRequestHeader(queue.room, at, this.#rpcs.generationOf(slot), slot, bodyBytes);
    return this.#rpcs.handleOf(slot);
  }

  /**
   * Sends a message without an answer. The body is captured before it returns.
   *
   * @returns False: it was not accepted, because the connection has ended or too much waits for it.
   */
  send(body: RpcBody): boolean {
    const isAccepted = this.reserveOneWay(bytesOf(body));
    if (isAccepted) writeBody(body, this.#queue.room, this.roomOffset);
    return isAccepted;
  }

  /** As `send`, for a body that the caller writes himself; see `reserveRpc`. There is no room when it returns false. */
  reserveOneWay(bodyBytes: number): boolean {
    const queue = this.#queue;
    checkSize(ONE_WAY_HEADER_BYTES + bodyBytes);
    if (!this.isActive || queue.queuedBytes > WRITE_QUEUE_BYTES_MAX) return false;
    const at = queue.reserve(ONE_WAY_HEADER_BYTES + bodyBytes, false);
    this.roomOffset = writeOneWayMessageHeader(queue.room, at, bodyBytes);
    return true;
  }

  /** The id of a request, as it was written: 8 bytes. */
  requestIdOf(handle: number): Uint8Array {
    const id = Buffer.allocUnsafe(8);
    id.writeInt32BE(Math.floor(handle / HANDLE_SLOTS), 0);
    id.writeInt32BE(handle % HANDLE_SLOTS, 4);
    return id;
  }

  /** Forgets a request: its callback will not be called. False when it has been. */
  removeRpcRequest(handle: number): boolean {
    return handle !== NO_HANDLE && this.#rpcs.remove(handle);
  }

  /**
   * Asks for a chunk of a stream that the peer has registered for this connection. A chunk is asked for once at a time:
   * the second call for it fails with ERR_RPC_INVALID_ARGUMENT, as both answers would be the same bytes and there is one.
   */
  fetchChunk(streamId: bigint, chunkIndex: number, callback: ChunkReceivedCallback): void {
    const chunk = `StreamChunkId[streamId=${streamId},chunkIndex=${chunkIndex}]`;
    if (!this.isActive) {
      const error = sendFailed(`request ${chunk}`, this.remoteAddress, this.#inactive());
      this.#later(() => callback.onFailure(chunkIndex, error));
      return;
    }
    if (!this.#responses.addFetch(streamId, chunkIndex, callback)) {
      const error = new RpcError("ERR_RPC_INVALID_ARGUMENT", `${chunk} is being fetched already by this client`);
      this.#later(() => callback.onFailure(chunkIndex, error));
      return;
    }
    this.#queue.enqueueMessage({ type: MessageType.CHUNK_FETCH_REQUEST, streamId, chunkIndex }, false);
  }

  /** Asks for a stream by its name. Streams of one connection come one after the other, in the order of the requests. */
  stream(streamId: string, callback: StreamCallback): void {
    if (!this.isActive) {
      const error = sendFailed(`stream request ${streamId}`, this.remoteAddress, this.#inactive());
      this.#later(() => callback.onFailure(streamId, error));
      return;
    }
    this.#responses.addStream(streamId, callback);
    this.#queue.enqueueMessage({ type: MessageType.STREAM_REQUEST, streamId }, false);
  }

  /**
   * Sends `data` as a stream, with `meta` before it, from which the peer knows where it belongs. `data` is read while it is
   * sent, and released afterwards.
   *
   * @returns A handle for `removeRpcRequest`.
   * Throws ERR_RPC_INVALID_ARGUMENT for `data` that is no ManagedBuffer.
   */
  uploadStream(meta: Uint8Array, data: ManagedBuffer, callback: RpcResponseCallback): number {
    checkManagedBuffer("data", data);
    if (!this.isActive) {
      data.release();
      return this.#refuse(0, callback);
    }
    const slot = this.#responses.addRpc(callback, false);
    if (slot === NO_SLOT) {
      data.release();
      return NO_HANDLE;
    }
    const handle = this.#rpcs.handleOf(slot);
    this.#queue.enqueueMessage(
      { type: MessageType.UPLOAD_STREAM, requestId: this.#idOf(slot), meta, byteCount: data.size, body: data },
      false,
      (error) => {
        // When the connection has ended, all outstanding ones are told together.
        if (error === null || !this.#connection.isActive || !this.#rpcs.remove(handle)) return;
        const failure = sendFailed(`upload ${slot}`, this.remoteAddress, error);
        this.#responses.guard(() => callback.onFailure(failure));
      },
    );
    // Once its frame is out its receiver has been called, however much of the body follows.
    this.#rpcs.setEnd(slot, this.#queue.queuedTo - data.size);
    return handle;
  }

  /** Asks for the bitmaps of a merged shuffle block. */
  sendMergedBlockMetaReq(
    appId: string,
    shuffleId: number,
    shuffleMergeId: number,
    reduceId: number,
    callback: MergedBlockMetaResponseCallback,
  ): number {
    if (!this.isActive) return this.#refuse(0, callback);
    const slot = this.#responses.addRpc(callback, true);
    if (slot === NO_SLOT) return NO_HANDLE;
    const requestId = this.#idOf(slot);
    const type = MessageType.MERGED_BLOCK_META_REQUEST;
    this.#queue.enqueueMessage({ type, requestId, appId, shuffleId, shuffleMergeId, reduceId }, false);
    this.#rpcs.setEnd(slot, this.#queue.queuedTo);
    return this.#rpcs.handleOf(slot);
  }

  /** Calls back when all that was sent so far is in the hands of the operating system, with null, or will not be. */
  whenWritten(call: Written): void {
    this.#queue.whenWritten((error) => this.#responses.guard(() => call(error)));
  }

  /** Hands to the socket at once what would go at the end of the tick. */
  flush(): void {
    this.#queue.flush();
  }

  /** Gives the client up: it is not active any more. */
  timeOut(): void {
    this.#isTimedOut = true;
  }

  /** Writes what is queued and ends the connection; what is outstanding fails. */
  close(): void {
    this.timeOut();
    this.#connection.close();
  }

  toString(): string {
    return `TransportClient[remoteAddress=${hostPort(this.remoteAddress)},clientId=${this.#clientId},isActive=${this.isActive}]`;
  }

  #idOf(slot: number): bigint {
    return (BigInt(this.#rpcs.generationOf(slot)) << 32n) | BigInt(slot);
  }

  #refuse(bodyBytes: number, callback: RpcCallback): number {
    const { remoteAddress } = this;
    const error = this.isActive
      ? new RpcError(
          "ERR_RPC_OUTBOX_FULL",
          `too much waits to be written to ${hostPort(remoteAddress)}: ` +
            `queuedBytes=${this.#queue.queuedBytes}, maxBytes=${WRITE_QUEUE_BYTES_MAX}`,
          { address: remoteAddress },
        )
      : sendFailed("RPC", remoteAddress, this.#inactive());
    this.#later(() => callback.onFailure(error));
    return this.#roomForNothing(bodyBytes);
  }

  /** Memory that nobody sends. */
  #roomForNothing(bodyBytes: number): number {
    this.#queue.room = Buffer.allocUnsafe(bodyBytes);
    this.roomOffset = 0;
    return NO_HANDLE;
  }

  /** After the caller has got what the call returns. What the callback throws is logged. */
  #later(call: () => unknown): void {
    queueMicrotask(() => this.#responses.guard(call));
  }

  #inactive(): Error {
    return new Error(this.#isTimedOut ? "the client was given up" : "the connection has ended");
  }
}

function checkSize(frameBytes: number): void {
  if (frameBytes <= FRAME_BYTES_MAX) return;
  const text = `frame too long: bytes=${frameBytes}, maxBytes=${FRAME_BYTES_MAX}; send it as a stream`;
  throw new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", text);
}
