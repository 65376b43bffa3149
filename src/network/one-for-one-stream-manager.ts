/**
 * OneForOneStreamManager: streams whose chunks are the elements of an iterator, each handed out once, in order, to the
 * connection for which the stream was registered.
 *
 * A stream is  | as soon as
 * -------------|----------------------------------------------------------------------------------------------------------
 * registered   | its owner says so; nothing is taken from the iterator for it
 * given back   | its last chunk was taken (an array's, or that of `chunkCount`), handed out or failed
 *              | a chunk beyond the end was asked for: an iterator without `chunkCount` has its end only then
 *              | its connection has ended
 *
 * The iterator is asked for an element when that chunk is, never before: Java's has `hasNext`, which makes nothing; one of
 * JavaScript has to make the next element to say whether there is one, and what fails then is not the chunk at hand.
 */
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import type { Connection } from "./connection.js";
import type { ManagedBuffer } from "./managed-buffer.js";
import { StreamManager } from "./stream-manager.js";
import type { TransportClient } from "./transport-client.js";

interface StreamState {
  readonly appId: string | null;
  readonly buffers: Iterator<ManagedBuffer | null>;
  /** Its end gives the state back. */
  readonly connection: Connection | null;
  /** Elements are made by the iterator when asked for: those not asked for need not be released. */
  readonly isBufferMaterializedOnNext: boolean;
  /** Where the stream ends; null: where the iterator does. */
  readonly chunkCount: number | null;
  nextIndex: number;
  chunksBeingTransferred: number;
}

export interface RegisterStreamOptions {
  /** The application whose clients may read it. null: clients of none, which have proved nothing; as in Spark, no others. */
  readonly appId?: string | null;
  /** A null element is a chunk that is missing. */
  readonly buffers: Iterable<ManagedBuffer | null>;
  /**
   * How many there are; not needed for an array. An iterator without it, and without `connection`, is kept until somebody
   * asks for a chunk beyond its end.
   */
  readonly chunkCount?: number;
  /** The stream ends with it; null: with its last chunk only. */
  readonly connection?: Connection | null;
  /** The iterator makes a buffer only when it is asked for it, so that there is nothing to release otherwise. */
  readonly isBufferMaterializedOnNext?: boolean;
}

const OPTION_KEYS: OptionKeys<RegisterStreamOptions> = {
  appId: true,
  buffers: true,
  chunkCount: true,
  connection: true,
  isBufferMaterializedOnNext: true,
};
const FIRST_IDS = 2 ** 31 - 1;

export class OneForOneStreamManager extends StreamManager {
  readonly #streams = new Map<bigint, StreamState>();
  #nextId: bigint;

  /** @param random uniform in [0, 1): where the ids begin, so that those of another life of this server mean nothing. */
  constructor(random: () => number) {
    super();
    this.#nextId = BigInt(Math.floor(random() * FIRST_IDS)) * 1000n;
  }

  /** For tests and statistics. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /**
   * Throws ERR_RPC_INVALID_ARGUMENT for a `chunkCount` that is none, or another than that of the array.
   *
   * @returns The stream's id, for `getChunk`, or with a chunk's index behind it for `openStream`.
   */
  registerStream(options: RegisterStreamOptions): bigint {
    checkOptions("registerStream", options, OPTION_KEYS);
    const chunkCount = countOf(options);
    const streamId = this.#nextId++;
    this.#streams.set(streamId, {
      appId: options.appId ?? null,
      buffers: options.buffers[Symbol.iterator](),
      connection: options.connection ?? null,
      isBufferMaterializedOnNext: options.isBufferMaterializedOnNext ?? false,
      chunkCount,
      nextIndex: 0,
      chunksBeingTransferred: 0,
    });
    return streamId;
  }

  /**
   * Throws ERR_RPC_STREAM for a stream that has ended, a chunk out of order, or one beyond the last; and what the iterator
   * throws, for that chunk: as in Spark it cannot be asked for again, and the next one can.
   */
  override getChunk(streamId: bigint, chunkIndex: number): ManagedBuffer | null {
    const state = this.#streams.get(streamId);
    const asked = `streamId=${streamId}, chunkIndex=${chunkIndex}`;
    if (state === undefined) {
      const text = `Requested chunk not available since streamId ${streamId} is closed: ${asked}`;
      throw new RpcError("ERR_RPC_STREAM", text, { retryable: false });
    }
    if (chunkIndex !== state.nextIndex) {
      throw new RpcError(
        "ERR_RPC_STREAM",
        `Received out-of-order chunk index ${chunkIndex} (expected ${state.nextIndex}): ${asked}`,
      );
    }
    if (!isAtEnd(state)) {
      state.nextIndex++;
      // As Spark: whoever has the last chunk needs the stream no more.
      if (isAtEnd(state)) this.#streams.delete(streamId);
      const element = state.buffers.next();
      if (element.done !== true) return element.value;
    }
    this.#streams.delete(streamId);
    throw new RpcError("ERR_RPC_STREAM", `Requested chunk index beyond end ${chunkIndex}: ${asked}`);
  }

  /** @param name `<streamId>_<chunkIndex>`. */
  override openStream(name: string): ManagedBuffer | null {
    const { streamId, chunkIndex } = parseStreamChunkId(name);
    return this.getChunk(streamId, chunkIndex);
  }

  /** Every stream of the connection is given back; the first error of an iterator is thrown when all are. */
  override connectionTerminated(connection: Connection): void {
    let failed = false;
    let failure: unknown;
    for (const [streamId, state] of this.#streams) {
      if (state.connection !== connection) continue;
      this.#streams.delete(streamId);
      try {
        if (!state.isBufferMaterializedOnNext) releaseRest(state);
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
    }
    if (failed) throw failure;
  }

  override checkAuthorization(client: TransportClient, streamId: bigint): void {
    if (client.clientId === null) return;
    const state = this.#streams.get(streamId);
    if (state === undefined) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `Unknown stream ID: streamId=${streamId}`);
    }
    if (state.appId === client.clientId) return;
    throw new RpcError(
      "ERR_RPC_FORBIDDEN",
      `Client ${client.clientId} not authorized to read stream ${streamId} (app ${state.appId}).`,
    );
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT, too, for a name that stands for no chunk. */
  override checkStreamAuthorization(client: TransportClient, name: string): void {
    if (client.clientId !== null) this.checkAuthorization(client, parseStreamChunkId(name).streamId);
  }

  override chunksBeingTransferred(): number {
    let count = 0;
    for (const state of this.#streams.values()) count += state.chunksBeingTransferred;
    return count;
  }

  override chunkBeingSent(streamId: bigint): void {
    const state = this.#streams.get(streamId);
    if (state !== undefined) state.chunksBeingTransferred++;
  }

  override chunkSent(streamId: bigint): void {
    const state = this.#streams.get(streamId);
    if (state !== undefined) state.chunksBeingTransferred--;
  }

  override streamBeingSent(name: string): void {
    this.chunkBeingSent(parseStreamChunkId(name).streamId);
  }

  override streamSent(name: string): void {
    this.chunkSent(parseStreamChunkId(name).streamId);
  }
}

/** The name under which `openStream` finds a chunk. */
export function genStreamChunkId(streamId: bigint, chunkIndex: number): string {
  return `${streamId}_${chunkIndex}`;
}

/** Throws ERR_RPC_INVALID_ARGUMENT for what is no such name. */
export function parseStreamChunkId(name: string): { readonly streamId: bigint; readonly chunkIndex: number } {
  const [, streamId, chunkIndex] = /^(-?\d{1,19})_(\d{1,10})$/.exec(name) ?? [];
  if (streamId === undefined || chunkIndex === undefined) {
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `Stream id and chunk index should be specified: ${name}`);
  }
  return { streamId: BigInt(streamId), chunkIndex: Number(chunkIndex) };
}

function countOf({ buffers, chunkCount }: RegisterStreamOptions): number | null {
  const length = Array.isArray(buffers) ? buffers.length : null;
  if (chunkCount === undefined) return length;
  if (Number.isSafeInteger(chunkCount) && chunkCount >= 0 && (length === null || length === chunkCount)) {
    return chunkCount;
  }
  const there = length === null ? "" : `, buffers.length=${length}`;
  throw new RpcError(
    "ERR_RPC_INVALID_ARGUMENT",
    `chunkCount must say how many chunks there are: ${chunkCount}${there}`,
  );
}

/** What was not handed out, and no more: an iterator with a count may have no end of its own. */
function releaseRest(state: StreamState): void {
  while (!isAtEnd(state)) {
    state.nextIndex++;
    const element = state.buffers.next();
    if (element.done === true) return;
    element.value?.release();
  }
}

/** As far as it is known. */
function isAtEnd(state: StreamState): boolean {
  return state.chunkCount !== null && state.nextIndex >= state.chunkCount;
}
