/**
 * RpcReply: the one answer that a request may get, now or later. One small object for each request, and the only one.
 */
import { RpcError } from "../common/errors.js";
import { FAILURE_TEXT_SHORT, FRAME_BYTES_MAX } from "../common/limits.js";
import type { Connection } from "./connection.js";
import { RPC_HEADER_BYTES, writeRpcResponseHeader } from "./encode.js";
import { failureText, noRoomForAnswer } from "./failure-text.js";
import type { ManagedBuffer } from "./managed-buffer.js";
import { MessageType } from "./message-type.js";
import { bytesOf, type RpcBody, writeBody } from "./rpc-body.js";
import type { WriteQueue } from "./write-queue.js";

/** Who counts the requests of a connection that are not answered. */
export interface RequestCounter {
  readonly connection: Connection;
  answered(): void;
}

export class RpcReply {
  readonly #counter: RequestCounter;
  readonly #idHigh: number;
  readonly #idLow: number;
  #isOpen = true;
  /** Where the body begins in `room`, after `reserve`. */
  roomOffset = 0;

  constructor(counter: RequestCounter, idHigh: number, idLow: number) {
    this.#counter = counter;
    this.#idHigh = idHigh;
    this.#idLow = idLow;
  }

  /** The request's id as its sender wrote it: a character for each of the 8 bytes. */
  get requestIdText(): string {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeInt32BE(this.#idHigh, 0);
    bytes.writeInt32BE(this.#idLow, 4);
    return bytes.toString("latin1");
  }

  /** False after the first answer: others are ignored. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Where the body belongs that room was reserved for, from `roomOffset`; only until anything else is called. */
  get room(): Uint8Array {
    return this.#queue.room;
  }

  /** Answers. The body is captured before it returns. Throws ERR_RPC_MESSAGE_TOO_LARGE, and is still open then. */
  onSuccess(body: RpcBody): void {
    if (this.reserve(bytesOf(body))) writeBody(body, this.#queue.room, this.roomOffset);
  }

  /**
   * Answers with a body that the caller writes himself, all of it, before he calls anything else or returns to the loop:
   * into `room`, from `roomOffset`.
   *
   * @returns False: it is answered already, or now by a failure, because too many answers wait for the peer.
   * Throws ERR_RPC_MESSAGE_TOO_LARGE, and is still open then.
   */
  reserve(bodyBytes: number): boolean {
    if (!this.#isOpen) return false;
    const frameBytes = RPC_HEADER_BYTES + bodyBytes;
    if (frameBytes > FRAME_BYTES_MAX) {
      const text = `answer too long: bytes=${frameBytes}, maxBytes=${FRAME_BYTES_MAX}; have it fetched as a stream`;
      throw new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", text);
    }
    const queue = this.#queue;
    if (queue.refusesAnswers()) {
      this.onFailure(noRoomForAnswer(queue.queuedReplyBytes));
      return false;
    }
    this.#end();
    const at = queue.reserve(frameBytes, true);
    this.roomOffset = writeRpcResponseHeader(queue.room, at, this.#idHigh, this.#idLow, bodyBytes);
    return true;
  }

  /** Answers with a failure: an error, or the whole text that the peer shall see. */
  onFailure(error: unknown): void {
    if (!this.#isOpen) return;
    this.#end();
    const queue = this.#queue;
    const type = MessageType.RPC_FAILURE;
    let errorText = failureText(error);
    if (errorText.length > FAILURE_TEXT_SHORT && queue.refusesAnswers()) {
      errorText = failureText(noRoomForAnswer(queue.queuedReplyBytes));
    }
    queue.enqueueMessage({ type, requestId: this.#requestId, errorText }, true);
  }

  /** Answers a request for merged blocks. */
  onMergedBlockMeta(chunkCount: number, body: ManagedBuffer): void {
    if (!this.#isOpen) return;
    this.#end();
    const type = MessageType.MERGED_BLOCK_META_SUCCESS;
    this.#queue.enqueueMessage({ type, requestId: this.#requestId, chunkCount, body }, true);
  }

  /** There will be no answer: the request does not count as unanswered any more. */
  discard(): void {
    if (this.#isOpen) this.#end();
  }

  get #queue(): WriteQueue {
    return this.#counter.connection.queue;
  }

  get #requestId(): bigint {
    return BigInt.asIntN(64, (BigInt(this.#idHigh) << 32n) | BigInt(this.#idLow >>> 0));
  }

  #end(): void {
    this.#isOpen = false;
    this.#counter.answered();
  }
}
