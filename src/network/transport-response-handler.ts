/**
 * TransportResponseHandler: what this side of a connection has asked for, and what comes back.
 *
 * An entry is taken out before its callback runs, so a callback may ask again; an answer without an entry is ignored,
 * because whoever asked may have given up. Answers to stream requests come in the order of the requests, and are matched
 * by that order alone, as in Spark.
 */
import { RpcError } from "../common/errors.js";
import type {
  ChunkReceivedCallback,
  MergedBlockMetaResponseCallback,
  RpcResponseCallback,
  StreamCallback,
} from "./callbacks.js";
import type { Connection } from "./connection.js";
import { hostPort } from "./dial.js";
import { asError } from "./failure-text.js";
import { guarded } from "./guarded.js";
import { MessageType } from "./message-type.js";
import type { ResponseMessage } from "./messages.js";
import { NO_SLOT, OutstandingRpcs, type RpcCallback } from "./outstanding-rpcs.js";
import { StreamInterceptor } from "./stream-interceptor.js";
import type { TransportLogger } from "./transport-logger.js";

interface OutstandingFetch {
  readonly chunkIndex: number;
  readonly callback: ChunkReceivedCallback;
}

interface OutstandingStream {
  readonly streamId: string;
  readonly callback: StreamCallback;
}

export class TransportResponseHandler {
  readonly #connection: Connection;
  readonly #callbackFailed: (error: unknown) => void;
  readonly #rpcs = new OutstandingRpcs();
  readonly #fetches = new Map<string, OutstandingFetch>();
  readonly #streams: OutstandingStream[] = [];
  #streamActive = false;

  constructor(connection: Connection, logger: TransportLogger) {
    this.#connection = connection;
    this.#callbackFailed = (error) => logger.warn({ error: asError(error) }, "a callback of the transport threw");
  }

  /** Requests without an answer, and the stream that is being received. */
  get outstandingCount(): number {
    return this.#rpcs.count + this.#fetches.size + this.#streams.length + (this.#streamActive ? 1 : 0);
  }

  get rpcs(): OutstandingRpcs {
    return this.#rpcs;
  }

  /** @returns The slot, or NO_SLOT after the callback was told that there is none. */
  addRpc(callback: RpcCallback, isMeta: boolean): number {
    const slot = this.#rpcs.add(callback, isMeta);
    if (slot === NO_SLOT) {
      const peer = hostPort(this.#connection.remoteAddress);
      const text = `too many requests are outstanding: peer=${peer}, count=${this.#rpcs.count}`;
      const error = new RpcError("ERR_RPC_OUTBOX_FULL", text, { address: this.#connection.remoteAddress });
      queueMicrotask(() => this.guard(() => callback.onFailure(error)));
    }
    this.#connection.touch();
    return slot;
  }

  /** @returns False: the chunk is outstanding already, and the callback that waits for it stays. */
  addFetch(streamId: bigint, chunkIndex: number, callback: ChunkReceivedCallback): boolean {
    const key = fetchKey(streamId, chunkIndex);
    if (this.#fetches.has(key)) return false;
    this.#connection.touch();
    this.#fetches.set(key, { chunkIndex, callback });
    return true;
  }

  removeFetch(streamId: bigint, chunkIndex: number): ChunkReceivedCallback | null {
    const key = fetchKey(streamId, chunkIndex);
    const fetch = this.#fetches.get(key);
    this.#fetches.delete(key);
    return fetch?.callback ?? null;
  }

  addStream(streamId: string, callback: StreamCallback): void {
    this.#connection.touch();
    this.#streams.push({ streamId, callback });
  }

  /** Runs a callback. Its own error is its own affair: the others must hear of their answers. */
  guard(call: () => unknown): void {
    guarded(call, this.#callbackFailed);
  }

  /** The body of an RpcResponse: the hot path, without a message object. */
  rpcResponse(idHigh: number, idLow: number, bytes: Uint8Array, start: number, end: number): void {
    const callback = this.#rpcs.take(idHigh, idLow, false);
    if (callback === null) return;
    try {
      const rpc = callback as RpcResponseCallback;
      let result: unknown;
      if (rpc.onSuccessBytes !== undefined) result = rpc.onSuccessBytes(bytes, start, end);
      else result = rpc.onSuccess(bytes.subarray(start, end));
      // Of an async function; nearly none is, and they pay for no more than this look.
      if (result !== undefined) this.guard(() => result);
    } catch (error) {
      this.#callbackFailed(error);
    }
  }

  handle(message: ResponseMessage): void {
    switch (message.type) {
      case MessageType.CHUNK_FETCH_SUCCESS: {
        const callback = this.removeFetch(message.streamId, message.chunkIndex);
        if (callback !== null) this.guard(() => callback.onSuccess(message.chunkIndex, message.body));
        message.body.release();
        return;
      }
      case MessageType.CHUNK_FETCH_FAILURE: {
        const callback = this.removeFetch(message.streamId, message.chunkIndex);
        const chunk = `StreamChunkId[streamId=${message.streamId},chunkIndex=${message.chunkIndex}]`;
        const text = `Failure while fetching ${chunk}: ${message.errorText}`;
        const error = this.#told("ERR_RPC_STREAM", text);
        if (callback !== null) this.guard(() => callback.onFailure(message.chunkIndex, error));
        return;
      }
      case MessageType.RPC_RESPONSE: {
        const bytes = message.body.bytes() as Uint8Array;
        this.rpcResponse(highOf(message.requestId), lowOf(message.requestId), bytes, 0, bytes.length);
        return;
      }
      case MessageType.RPC_FAILURE: {
        const callback = this.#rpcs.takeAny(highOf(message.requestId), lowOf(message.requestId));
        if (callback !== null) this.guard(() => callback.onFailure(this.#told("ERR_RPC_HANDLER", message.errorText)));
        return;
      }
      case MessageType.MERGED_BLOCK_META_SUCCESS: {
        const callback = this.#rpcs.take(highOf(message.requestId), lowOf(message.requestId), true);
        if (callback !== null) {
          const { onSuccess } = callback as MergedBlockMetaResponseCallback;
          this.guard(() => onSuccess.call(callback, message.chunkCount, message.body));
        }
        message.body.release();
        return;
      }
      case MessageType.STREAM_RESPONSE:
        this.#streamResponse(message.streamId, message.byteCount);
        return;
      case MessageType.STREAM_FAILURE: {
        const stream = this.#streams.shift();
        if (stream !== undefined) {
          const error = this.#told("ERR_RPC_STREAM", message.errorText);
          this.guard(() => stream.callback.onFailure(stream.streamId, error));
        }
        return;
      }
    }
  }

  /**
   * The connection has ended: everything outstanding fails. What was never in the hands of the socket cannot have been run.
   * @param handedTo how much of the queue is there, or will be.
   */
  connectionEnded(error: Error, handedTo: number): void {
    const { remoteAddress } = this.#connection;
    this.#rpcs.takeAll(handedTo, (callback, isHanded, slot) => {
      const failure = isHanded ? error : sendFailed(`RPC ${slot}`, remoteAddress, error);
      this.guard(() => callback.onFailure(failure));
    });
    const fetches = [...this.#fetches.values()];
    this.#fetches.clear();
    for (const { chunkIndex, callback } of fetches) this.guard(() => callback.onFailure(chunkIndex, error));
    for (const { streamId, callback } of this.#streams.splice(0)) {
      this.guard(() => callback.onFailure(streamId, error));
    }
  }

  /** A stream's bytes are received now, or not any more. */
  set streamActive(active: boolean) {
    this.#streamActive = active;
  }

  #streamResponse(streamId: string, byteCount: number): void {
    const stream = this.#streams.shift();
    if (stream === undefined) {
      // Its bytes follow, and nobody reads them: the connection is of no use any more.
      if (byteCount > 0) throw new RpcError("ERR_RPC_PROTOCOL", `a stream nobody asked for: streamId=${streamId}`);
      return;
    }
    const { callback } = stream;
    if (byteCount === 0) {
      this.guard(() => callback.onComplete(stream.streamId));
      return;
    }
    const ended = (): void => {
      this.#streamActive = false;
    };
    this.#streamActive = true;
    this.#connection.intercept(
      new StreamInterceptor(stream.streamId, byteCount, callback, { completed: ended, failed: ended }),
    );
  }

  #told(code: "ERR_RPC_STREAM" | "ERR_RPC_HANDLER", text: string): RpcError {
    return new RpcError(code, text, { address: this.#connection.remoteAddress, retryable: false });
  }
}

/** A request that the socket never had altogether: the peer cannot have run it. */
export function sendFailed(what: string, address: Connection["remoteAddress"], cause: Error): RpcError {
  const text = `Failed to send ${what} to ${hostPort(address)}: ${cause.message}`;
  return new RpcError("ERR_RPC_CONNECTION_LOST", text, { cause, address, maybeExecuted: false });
}

function fetchKey(streamId: bigint, chunkIndex: number): string {
  return `${streamId}_${chunkIndex}`;
}

function highOf(id: bigint): number {
  return Number(BigInt.asIntN(32, id >> 32n));
}

function lowOf(id: bigint): number {
  return Number(BigInt.asIntN(32, id));
}
