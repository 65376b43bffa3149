/**
 * ExternalBlockHandler: what a shuffle service answers.
 *
 * message                                       | answer
 * ----------------------------------------------|----------------------------------------------------------------------------
 * OpenBlocks, FetchShuffleBlocks                | StreamHandle; each chunk is found when it is sent
 * RegisterExecutor                              | nothing, once it is written
 * RemoveBlocks                                  | BlocksRemoved
 * GetLocalDirsForExecutors                      | LocalDirsForExecutors
 * DiagnoseCorruption                            | CorruptionCause
 * push-merge: pushes, finalizing, merged chunks | refused: nothing here merges
 * all others                                    | refused
 *
 * What takes a while is done in turns (request-turns.ts): registering, removing, diagnosing. It is given up when its connection
 * ends, or the service begins to close.
 *
 * Who has proved an application (`clientId`) may speak for that one only: any other `appId` is ERR_RPC_FORBIDDEN, which a JVM
 * peer reads as java.lang.SecurityException. Streams belong to the connection and the application that opened them.
 */

import {
  BLOCK_ID_ENTRY_BYTES,
  DIAGNOSES_AT_ONCE_MAX,
  DIAGNOSES_AT_ONCE_PER_CONNECTION_MAX,
  DIAGNOSES_HELD_BYTES_MAX,
  DIAGNOSES_HELD_BYTES_PER_CONNECTION_MAX,
  REGISTRATIONS_HELD_BYTES_MAX,
  REGISTRATIONS_HELD_BYTES_PER_CONNECTION_MAX,
  REMOVALS_AT_ONCE_MAX,
  REMOVALS_AT_ONCE_PER_CONNECTION_MAX,
  REMOVALS_HELD_BYTES_MAX,
  REMOVALS_HELD_BYTES_PER_CONNECTION_MAX,
} from "../common/block-limits.js";
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import type { StreamCallbackWithID } from "../network/callbacks.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import { OneForOneStreamManager } from "../network/one-for-one-stream-manager.js";
import { type MergedBlockMetaReqHandler, RpcHandler } from "../network/rpc-handler.js";
import type { RpcReply } from "../network/rpc-reply.js";
import type { TransportClient } from "../network/transport-client.js";
import { decodeBlockTransferMessage, encodeBlockTransferMessage } from "./block-transfer-codec.js";
import {
  type BlockTransferMessage,
  type FetchShuffleBlocks,
  type OpenBlocks,
  BlockTransferMessageType as Type,
} from "./block-transfer-messages.js";
import type { ExternalShuffleBlockResolver } from "./external-shuffle-block-resolver.js";
import { LazyBlockBuffer } from "./lazy-block-buffer.js";
import { OpenStreams, type StreamBounds } from "./open-streams.js";
import { short } from "./registered-executors.js";
import { type CheckWanted, RequestTurns } from "./request-turns.js";
import { pushMergeUnsupported, type RequestedBlock, requestedBlocks } from "./requested-blocks.js";
import { type ExternalShuffleStats, Latency } from "./shuffle-metrics.js";

const NOTHING = new Uint8Array(0);
/** Spark's name for where merged blocks lie. */
const PUSH_MERGER = "shuffle-push-merger";

const MERGED_BLOCKS_REFUSED: MergedBlockMetaReqHandler = {
  receiveMergeBlockMetaReq: (_client, _request, reply) => reply.onFailure(pushMergeUnsupported("merged blocks")),
};

export class ExternalBlockHandler extends RpcHandler {
  readonly #clock: Clock;
  readonly #resolver: ExternalShuffleBlockResolver;
  readonly #streamManager: OneForOneStreamManager;
  readonly #openStreams: OpenStreams;
  readonly #registrations = new RequestTurns("registrations", {
    // The store takes one after the other.
    atOnceMax: 1,
    atOncePerConnectionMax: 1,
    heldBytesMax: REGISTRATIONS_HELD_BYTES_MAX,
    heldBytesPerConnectionMax: REGISTRATIONS_HELD_BYTES_PER_CONNECTION_MAX,
  });
  readonly #removals = new RequestTurns("removals", {
    atOnceMax: REMOVALS_AT_ONCE_MAX,
    atOncePerConnectionMax: REMOVALS_AT_ONCE_PER_CONNECTION_MAX,
    heldBytesMax: REMOVALS_HELD_BYTES_MAX,
    heldBytesPerConnectionMax: REMOVALS_HELD_BYTES_PER_CONNECTION_MAX,
  });
  readonly #diagnoses = new RequestTurns("diagnoses", {
    atOnceMax: DIAGNOSES_AT_ONCE_MAX,
    atOncePerConnectionMax: DIAGNOSES_AT_ONCE_PER_CONNECTION_MAX,
    heldBytesMax: DIAGNOSES_HELD_BYTES_MAX,
    heldBytesPerConnectionMax: DIAGNOSES_HELD_BYTES_PER_CONNECTION_MAX,
  });
  readonly #openLatency = new Latency();
  readonly #registerLatency = new Latency();
  /** Answers that are still being made. */
  readonly #pending = new Set<Promise<void>>();
  #blocks = 0;
  #chunks = 0;
  #bytes = 0;
  #connections = 0;
  #exceptions = 0;

  /** @param bounds of what one connection may have open; those of limits.ts by default. */
  constructor(resolver: ExternalShuffleBlockResolver, clock: Clock, bounds?: StreamBounds) {
    super();
    this.#resolver = resolver;
    this.#clock = clock;
    this.#streamManager = new OneForOneStreamManager(() => clock.random());
    this.#openStreams = new OpenStreams(bounds);
  }

  /** What is thrown is answered as a failure: ERR_RPC_PROTOCOL, ERR_RPC_FORBIDDEN, ERR_RPC_UNSUPPORTED_MESSAGE, … */
  override receive(client: TransportClient, message: Uint8Array, reply: RpcReply): void {
    const request = decodeBlockTransferMessage(message);
    checkAuth(client, request);
    const bytes = message.length;
    const startedMs = this.#clock.now();
    switch (request.type) {
      case Type.OPEN_BLOCKS:
      case Type.FETCH_SHUFFLE_BLOCKS: {
        const handle = this.#open(client, request);
        this.#openLatency.add(this.#clock.now() - startedMs);
        answer(reply, handle);
        return;
      }
      case Type.REGISTER_EXECUTOR: {
        const { appId, execId, executorInfo } = request;
        this.#inTurn(this.#registrations, client, bytes, reply, async () => {
          await this.#resolver.registerExecutor(appId, execId, executorInfo);
          this.#registerLatency.add(this.#clock.now() - startedMs);
          return null;
        });
        return;
      }
      case Type.REMOVE_BLOCKS: {
        const { appId, execId, blockIds } = request;
        const held = bytes + BLOCK_ID_ENTRY_BYTES * blockIds.length;
        this.#inTurn(this.#removals, client, held, reply, async (checkWanted) => ({
          type: Type.BLOCKS_REMOVED,
          numRemovedBlocks: await this.#resolver.removeBlocks(appId, execId, blockIds, checkWanted),
        }));
        return;
      }
      case Type.GET_LOCAL_DIRS_FOR_EXECUTORS: {
        const { appId, execIds } = request;
        if (execIds.includes(PUSH_MERGER)) throw pushMergeUnsupported("directories of merged blocks");
        const localDirsByExec = this.#resolver.getLocalDirs(appId, execIds);
        answer(reply, { type: Type.LOCAL_DIRS_FOR_EXECUTORS, localDirsByExec });
        return;
      }
      case Type.DIAGNOSE_CORRUPTION: {
        const { appId, execId } = request;
        this.#inTurn(this.#diagnoses, client, bytes, reply, async (checkWanted) => ({
          type: Type.CORRUPTION_CAUSE,
          cause: await this.#resolver.diagnoseCorruption(appId, execId, request, checkWanted),
        }));
        return;
      }
      default:
        throw refusal(request);
    }
  }

  /** Only push-merge has messages without an answer. What is thrown is logged. */
  override receiveOneWay(client: TransportClient, message: Uint8Array): void {
    const request = decodeBlockTransferMessage(message);
    checkAuth(client, request);
    throw refusal(request);
  }

  override receiveStream(_client: TransportClient, meta: Uint8Array): StreamCallbackWithID {
    throw refusal(decodeBlockTransferMessage(meta));
  }

  override getMergedBlockMetaReqHandler(): MergedBlockMetaReqHandler {
    return MERGED_BLOCKS_REFUSED;
  }

  getStreamManager(): OneForOneStreamManager {
    return this.#streamManager;
  }

  override channelActive(): void {
    this.#connections++;
  }

  override channelInactive(client: TransportClient): void {
    this.#connections--;
    this.#openStreams.forget(client.connection);
    for (const turns of this.#turns) turns.forget(client.connection);
  }

  override exceptionCaught(): void {
    this.#exceptions++;
  }

  stats(): ExternalShuffleStats {
    return {
      openBlockRequestLatencyMillis: this.#openLatency.stats,
      registerExecutorRequestLatencyMillis: this.#registerLatency.stats,
      blockTransferRate: this.#blocks,
      blockTransferMessageRate: this.#chunks,
      blockTransferRateBytes: this.#bytes,
      registeredExecutorsSize: this.#resolver.registeredExecutorCount,
      numActiveConnections: this.#connections,
      numCaughtExceptions: this.#exceptions,
      openStreams: this.#openStreams.streams,
      openBlocks: this.#openStreams.blocks,
    };
  }

  /**
   * Gives up what waits for its turn, and what takes long; from now on such requests are refused. Resolves when every answer that
   * has been begun until now is given.
   */
  async close(): Promise<void> {
    for (const turns of this.#turns) turns.close();
    await Promise.all(this.#pending);
  }

  #open(client: TransportClient, request: OpenBlocks | FetchShuffleBlocks): BlockTransferMessage {
    const { appId, execId } = request;
    const { count, blocks } = requestedBlocks(request);
    const tracked = this.#openStreams.track(client.connection, count, blocks);
    const streamId = this.#streamManager.registerStream({
      appId: client.clientId,
      buffers: this.#buffers(appId, execId, tracked),
      chunkCount: count,
      connection: client.connection,
      isBufferMaterializedOnNext: true,
    });
    return { type: Type.STREAM_HANDLE, streamId, numChunks: count };
  }

  *#buffers(appId: string, execId: string, blocks: Iterable<RequestedBlock>): Generator<ManagedBuffer, void> {
    for (const block of blocks) {
      this.#chunks++;
      this.#blocks += block.kind === "shuffle" ? block.endReduceId - block.startReduceId : 1;
      yield new LazyBlockBuffer(async () => {
        const found = await this.#find(appId, execId, block);
        this.#bytes += found?.size ?? 0;
        return found;
      });
    }
  }

  #find(appId: string, execId: string, block: RequestedBlock): Promise<ManagedBuffer | null> {
    if (block.kind === "rdd") return this.#resolver.getRddBlockData(appId, execId, block.rddId, block.splitIndex);
    const { shuffleId, mapId, startReduceId, endReduceId } = block;
    return this.#resolver.getBlockData(appId, execId, shuffleId, mapId, startReduceId, endReduceId);
  }

  get #turns(): readonly RequestTurns[] {
    return [this.#registrations, this.#removals, this.#diagnoses];
  }

  /**
   * Answers a request when it has had its turn.
   * @param bytes that it holds until then.
   * @param make the answer; null: an empty one.
   */
  #inTurn(
    turns: RequestTurns,
    { connection }: TransportClient,
    bytes: number,
    reply: RpcReply,
    make: (checkWanted: CheckWanted) => Promise<BlockTransferMessage | null>,
  ): void {
    const pending = turns
      .run(connection, bytes, make)
      .then((message) => answer(reply, message))
      .catch((error) => reply.onFailure(error))
      .finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
  }
}

function answer(reply: RpcReply, message: BlockTransferMessage | null): void {
  reply.onSuccess(message === null ? NOTHING : encodeBlockTransferMessage(message));
}

/** Who has proved nothing may speak for every application: then the address is what is trusted. */
function checkAuth({ clientId }: TransportClient, message: BlockTransferMessage): void {
  if (clientId === null || !("appId" in message) || message.appId === clientId) return;
  const text = `Client for ${short(clientId)} not authorized for application ${short(message.appId)}.`;
  throw new RpcError("ERR_RPC_FORBIDDEN", text);
}

function refusal(message: BlockTransferMessage): RpcError {
  switch (message.type) {
    case Type.PUSH_BLOCK_STREAM:
      return pushMergeUnsupported("pushed blocks");
    case Type.FINALIZE_SHUFFLE_MERGE:
      return pushMergeUnsupported("the end of a merge");
    case Type.FETCH_SHUFFLE_BLOCK_CHUNKS:
      return pushMergeUnsupported("chunks of merged shuffle blocks");
    case Type.REMOVE_SHUFFLE_MERGE:
      return pushMergeUnsupported("the removal of merged blocks");
    default:
      return new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", `Unexpected message: type=${message.type}`);
  }
}
