/**
 * BlockRpcHandler: what an executor answers who asks for its blocks, or brings some. Spark's NettyBlockRpcServer.
 *
 * message                       | done                                              | answered by
 * ------------------------------|---------------------------------------------------|-----------------------------------------
 * OpenBlocks, FetchShuffleBlocks| all blocks looked up, a stream registered for them| StreamHandle
 * UploadBlock                   | stored                                            | nothing, when it is
 * UploadBlockStream + its bytes | stored as they come                               | nothing, when they are
 * GetLocalDirsForExecutors      | –                                                 | LocalDirsForExecutors, of this one only
 * DiagnoseCorruption            | the store is asked                                | CorruptionCause
 * RemoveBlocks                  | where the store can, some at a time, in turns     | BlocksRemoved
 *
 * Whatever fails is answered with a failure, also what cannot be read: Spark leaves some of that without any answer.
 *
 * Who has proved to belong to an application (`clientId`) gets the blocks of that application only. Where nobody proves
 * anything, nothing is checked: then only this machine can connect, unless somebody wanted it otherwise.
 */

import {
  BLOCK_ID_ENTRY_BYTES,
  BLOCK_LOOKUPS_AT_ONCE,
  BLOCK_REQUEST_BYTES_MAX,
  REMOVALS_AT_ONCE_MAX,
  REMOVALS_AT_ONCE_PER_CONNECTION_MAX,
  REMOVALS_HELD_BYTES_MAX,
  REMOVALS_HELD_BYTES_PER_CONNECTION_MAX,
  UPLOADS_UNDER_WAY_BYTES_MAX,
} from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";
import type { StreamCallbackWithID } from "../network/callbacks.js";
import { type ManagedBuffer, NioManagedBuffer } from "../network/managed-buffer.js";
import { OneForOneStreamManager } from "../network/one-for-one-stream-manager.js";
import { RpcHandler } from "../network/rpc-handler.js";
import type { RpcReply } from "../network/rpc-reply.js";
import type { TransportClient } from "../network/transport-client.js";
import type { BlockDataManager } from "./block-data-manager.js";
import { formatBlockId } from "./block-ids.js";
import { decodeBlockTransferMessage, encodeBlockTransferMessage } from "./block-transfer-codec.js";
import {
  type BlockTransferMessage,
  type DiagnoseCorruption,
  type FetchShuffleBlocks,
  type GetLocalDirsForExecutors,
  type RemoveBlocks,
  BlockTransferMessageType as Type,
  type UploadBlock,
} from "./block-transfer-messages.js";
import { RequestTurns } from "./request-turns.js";
import { WaitingChunks } from "./waiting-chunks.js";

export interface BlockRpcHandlerOptions {
  /** The application whose blocks these are. */
  readonly appId: string;
  /** Who has them. */
  readonly execId: string;
  readonly blocks: BlockDataManager;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Bytes of blocks that came in one message and are being stored; that of limits.ts by default. */
  readonly uploadsUnderWayBytesMax?: number;
}

const NOTHING = new Uint8Array(0);

export class BlockRpcHandler extends RpcHandler {
  readonly #options: BlockRpcHandlerOptions;
  readonly #streams: OneForOneStreamManager;
  readonly #waiting = new WaitingChunks();
  readonly #removals = new RequestTurns("removals", {
    atOnceMax: REMOVALS_AT_ONCE_MAX,
    atOncePerConnectionMax: REMOVALS_AT_ONCE_PER_CONNECTION_MAX,
    heldBytesMax: REMOVALS_HELD_BYTES_MAX,
    heldBytesPerConnectionMax: REMOVALS_HELD_BYTES_PER_CONNECTION_MAX,
  });
  /** Of blocks that are being stored and are in memory for that, with their metadata. */
  #uploadBytes = 0;

  constructor(options: BlockRpcHandlerOptions) {
    super();
    this.#options = options;
    this.#streams = new OneForOneStreamManager(options.random);
  }

  /** Streams that were opened and not fetched to their end. */
  get streamCount(): number {
    return this.#streams.streamCount;
  }

  getStreamManager(): OneForOneStreamManager {
    return this.#streams;
  }

  receive(client: TransportClient, bytes: Uint8Array, reply: RpcReply): void {
    // Numbers of blocks are bounded by their bytes before anything is made for them; only a block itself may be long.
    if (bytes.length > BLOCK_REQUEST_BYTES_MAX && bytes[0] !== Type.UPLOAD_BLOCK) {
      const text = `request too long: bytes=${bytes.length}, maxBytes=${BLOCK_REQUEST_BYTES_MAX}; ask for fewer blocks at a time`;
      throw new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", text);
    }
    const message = decodeBlockTransferMessage(bytes);
    // What is called here reads the message before it waits for anything: its bytes are a view of the frame.
    this.#answer(client, message)
      .then((answer) => reply.onSuccess(answer === null ? NOTHING : encodeBlockTransferMessage(answer)))
      // Of an answer that is too long, too.
      .catch((error: unknown) => reply.onFailure(error));
  }

  override receiveStream(client: TransportClient, meta: Uint8Array): StreamCallbackWithID {
    if (meta.length > BLOCK_REQUEST_BYTES_MAX) {
      const text = `metadata too long: bytes=${meta.length}, maxBytes=${BLOCK_REQUEST_BYTES_MAX}`;
      throw new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", text);
    }
    const message = decodeBlockTransferMessage(meta);
    if (message.type !== Type.UPLOAD_BLOCK_STREAM) throw unsupported(message, "before a stream");
    this.#authorize(client, this.#options.appId);
    return this.#options.blocks.putBlockDataAsStream(message.blockId, new Uint8Array(message.metadata));
  }

  override channelInactive(client: TransportClient): void {
    this.#removals.forget(client.connection);
  }

  /** No more blocks are removed, also not for who has asked. */
  close(): void {
    this.#removals.close();
  }

  async #answer(client: TransportClient, message: BlockTransferMessage): Promise<BlockTransferMessage | null> {
    switch (message.type) {
      case Type.OPEN_BLOCKS:
        this.#authorize(client, message.appId);
        return this.#open(client, message.blockIds.length, () => message.blockIds);
      case Type.FETCH_SHUFFLE_BLOCKS:
        this.#authorize(client, message.appId);
        return this.#open(client, shuffleBlockCount(message), () => shuffleBlockIds(message));
      case Type.UPLOAD_BLOCK:
        this.#authorize(client, message.appId);
        return this.#upload(message);
      case Type.GET_LOCAL_DIRS_FOR_EXECUTORS:
        this.#authorize(client, message.appId);
        return this.#localDirs(message);
      case Type.DIAGNOSE_CORRUPTION:
        this.#authorize(client, message.appId);
        return this.#diagnose(message);
      case Type.REMOVE_BLOCKS:
        this.#authorize(client, message.appId);
        return this.#remove(client, message);
      default:
        throw unsupported(message, "as a request");
    }
  }

  /** Nothing is opened, or all of it. */
  async #open(client: TransportClient, count: number, ids: () => readonly string[]): Promise<BlockTransferMessage> {
    if (count === 0) throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "no blocks are asked for: blockIds is empty");
    const { connection } = client;
    this.#waiting.add(connection, count);
    const buffers: ManagedBuffer[] = [];
    try {
      await this.#lookUp(ids(), buffers);
      if (!connection.isActive) throw new RpcError("ERR_RPC_CONNECTION_LOST", "the connection ended meanwhile");
    } catch (error) {
      this.#waiting.remove(connection, count);
      for (const buffer of buffers) buffer.release();
      throw error;
    }
    const streamId = this.#streams.registerStream({
      appId: this.#options.appId,
      buffers: this.#waiting.handOut(connection, buffers),
      chunkCount: count,
      connection,
    });
    return { type: Type.STREAM_HANDLE, streamId, numChunks: count };
  }

  /** Some at a time: a look-up on disk takes a while, and thousands at once would keep all others waiting. */
  async #lookUp(blockIds: readonly string[], buffers: ManagedBuffer[]): Promise<void> {
    const { blocks } = this.#options;
    for (let first = 0; first < blockIds.length; first += BLOCK_LOOKUPS_AT_ONCE) {
      const some = blockIds.slice(first, first + BLOCK_LOOKUPS_AT_ONCE);
      const found = await Promise.allSettled(some.map(async (blockId) => blocks.getLocalBlockData(blockId)));
      let failure: PromiseRejectedResult | null = null;
      for (const result of found) {
        if (result.status === "fulfilled") buffers.push(result.value);
        else failure ??= result;
      }
      if (failure !== null) throw failure.reason;
    }
  }

  async #upload({ blockId, metadata, blockData }: UploadBlock): Promise<null> {
    const bytes = blockData.length + metadata.length;
    const { uploadsUnderWayBytesMax: max = UPLOADS_UNDER_WAY_BYTES_MAX } = this.#options;
    if (this.#uploadBytes + bytes > max) {
      throw new RpcError(
        "ERR_RPC_STREAM",
        `too much is being stored: bytes=${bytes}, underWay=${this.#uploadBytes}, max=${max}; ` +
          "upload it as a stream",
      );
    }
    this.#uploadBytes += bytes;
    // The frame's memory is the connection's.
    const data = new NioManagedBuffer(new Uint8Array(blockData));
    try {
      if (await this.#options.blocks.putBlockData(blockId, data, new Uint8Array(metadata))) return null;
    } finally {
      data.release();
      this.#uploadBytes -= bytes;
    }
    throw new RpcError(
      "ERR_RPC_STREAM",
      `Upload block for ${blockId} failed. This mostly happens when there is no room.`,
    );
  }

  #localDirs({ appId, execIds }: GetLocalDirsForExecutors): BlockTransferMessage {
    const { execId, blocks } = this.#options;
    this.#checkApplication(appId);
    if (execIds.length !== 1 || execIds[0] !== execId) {
      const asked = execIds.length === 1 ? `of ${execIds[0]}` : `of ${execIds.length} executors`;
      const text = `an executor knows its own local directories only: this is ${execId}, asked for those ${asked}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    const localDirsByExec = new Map([[execId, blocks.getLocalDiskDirs()]]);
    return { type: Type.LOCAL_DIRS_FOR_EXECUTORS, localDirsByExec };
  }

  async #diagnose(message: DiagnoseCorruption): Promise<BlockTransferMessage> {
    const { shuffleId, mapId, reduceId, checksum, algorithm } = message;
    const blockId = formatBlockId({ kind: "shuffle", shuffleId, mapId, reduceId });
    const checked = { value: checksum, algorithm };
    const cause = (await this.#options.blocks.diagnoseShuffleBlockCorruption?.(blockId, checked)) ?? "UNKNOWN_ISSUE";
    return { type: Type.CORRUPTION_CAUSE, cause };
  }

  async #remove({ connection }: TransportClient, message: RemoveBlocks): Promise<BlockTransferMessage> {
    const { execId, blocks } = this.#options;
    if (blocks.removeBlocks === undefined) throw unsupported(message, "by this store");
    this.#checkApplication(message.appId);
    if (message.execId !== execId) {
      const text = `an executor removes its own blocks only: this is ${execId}, asked for those of ${message.execId}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
    }
    const { blockIds } = message;
    const bytes = blockIds.reduce((sum, { length }) => sum + length + BLOCK_ID_ENTRY_BYTES, 0);
    const numRemovedBlocks = await this.#removals.run(connection, bytes, async (checkWanted) => {
      let count = 0;
      for (let first = 0; first < blockIds.length; first += BLOCK_LOOKUPS_AT_ONCE) {
        checkWanted();
        count += (await blocks.removeBlocks?.(blockIds.slice(first, first + BLOCK_LOOKUPS_AT_ONCE))) ?? 0;
      }
      return count;
    });
    return { type: Type.BLOCKS_REMOVED, numRemovedBlocks };
  }

  /** As Spark: also where nobody proves anything. */
  #checkApplication(appId: string): void {
    if (appId === this.#options.appId) return;
    const text = `incorrect application id: asked for ${appId}, this is an executor of ${this.#options.appId}`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }

  /** `appId` is what the message says, which proves nothing: it must agree with what was proved, and be the one here. */
  #authorize({ clientId }: TransportClient, appId: string): void {
    const own = this.#options.appId;
    if (clientId === null || (clientId === appId && clientId === own)) return;
    const text = `Client ${clientId} may not act for application ${appId} here: these are the blocks of ${own}`;
    throw new RpcError("ERR_RPC_FORBIDDEN", text);
  }
}

function shuffleBlockCount({ mapIds, reduceIds, batchFetchEnabled }: FetchShuffleBlocks): number {
  return batchFetchEnabled ? mapIds.length : reduceIds.reduce((sum, ids) => sum + ids.length, 0);
}

/** Map by map, as its chunks will come. */
function shuffleBlockIds({ shuffleId, mapIds, reduceIds, batchFetchEnabled }: FetchShuffleBlocks): readonly string[] {
  return mapIds.flatMap((mapId, index) => {
    const reduces = reduceIds[index] ?? [];
    if (!batchFetchEnabled) {
      return reduces.map((reduceId) => formatBlockId({ kind: "shuffle", shuffleId, mapId, reduceId }));
    }
    const [startReduceId = 0, endReduceId = 0] = reduces;
    return [formatBlockId({ kind: "shuffleBatch", shuffleId, mapId, startReduceId, endReduceId })];
  });
}

function unsupported({ type }: BlockTransferMessage, where: string): RpcError {
  return new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", `Unexpected message ${where}: type=${type}`);
}
