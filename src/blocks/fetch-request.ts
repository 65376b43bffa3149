/**
 * How blocks are asked for: the message, and the order in which their chunks come. Shuffle blocks and chunks of merged ones
 * are named by numbers, grouped, which changes their order; any other block by its id.
 */
import { RpcError } from "../common/errors.js";
import { parseShuffleBlockId, parseShuffleChunkBlockId } from "./block-ids.js";
import {
  BlockTransferMessageType,
  type FetchShuffleBlockChunks,
  type FetchShuffleBlocks,
  type OpenBlocks,
} from "./block-transfer-messages.js";

export interface BlocksOf {
  readonly appId: string;
  readonly execId: string;
  readonly blockIds: readonly string[];
}

export interface FetchRequest {
  readonly message: OpenBlocks | FetchShuffleBlocks | FetchShuffleBlockChunks;
  /** Chunk i is block i of these. */
  readonly blockIds: readonly string[];
}

interface Group<T> {
  readonly blockIds: string[];
  readonly items: T[];
}

/**
 * @param useOldFetchProtocol Asks by ids always, as Spark 2 does.
 *
 * Throws ERR_RPC_INVALID_ARGUMENT for no ids at all, for ids that begin as a shuffle's and are none, and for those of several
 * shuffles, or of batches and single blocks, in one request.
 */
export function fetchRequestOf(blocks: BlocksOf, useOldFetchProtocol: boolean): FetchRequest {
  const { blockIds } = blocks;
  if (blockIds.length === 0) throw invalid("Zero-sized blockIds array: there is nothing to fetch");
  if (!useOldFetchProtocol && blockIds.every((id) => id.startsWith("shuffle_"))) return shuffleBlocks(blocks);
  if (!useOldFetchProtocol && blockIds.every((id) => id.startsWith("shuffleChunk_"))) return shuffleBlockChunks(blocks);
  const { appId, execId } = blocks;
  return { message: { type: BlockTransferMessageType.OPEN_BLOCKS, appId, execId, blockIds }, blockIds };
}

function shuffleBlocks({ appId, execId, blockIds }: BlocksOf): FetchRequest {
  const blocks = blockIds.map(parseShuffleBlockId);
  const [first] = blocks;
  const batchFetchEnabled = first?.kind === "shuffleBatch";
  const shuffleId = first?.shuffleId ?? 0;
  const groups = new Map<unknown, Group<number> & { readonly mapId: bigint }>();
  for (const [index, block] of blocks.entries()) {
    const blockId = blockIds[index] as string;
    if (block.shuffleId !== shuffleId) throw mixed("shuffleId", shuffleId, blockId);
    if ((block.kind === "shuffleBatch") !== batchFetchEnabled) throw mixed("kind", first?.kind, blockId);
    // A batch is a list of its own: its first reducer and its end are all that such a list may hold.
    const group = groupOf(groups, batchFetchEnabled ? index : block.mapId, { mapId: block.mapId });
    group.blockIds.push(blockId);
    group.items.push(...(block.kind === "shuffleBatch" ? [block.startReduceId, block.endReduceId] : [block.reduceId]));
  }
  const inOrder = [...groups.values()];
  const message: FetchShuffleBlocks = {
    type: BlockTransferMessageType.FETCH_SHUFFLE_BLOCKS,
    appId,
    execId,
    shuffleId,
    mapIds: inOrder.map(({ mapId }) => mapId),
    reduceIds: inOrder.map(({ items }) => items),
    batchFetchEnabled,
  };
  return { message, blockIds: inOrder.flatMap((group) => group.blockIds) };
}

function shuffleBlockChunks({ appId, execId, blockIds }: BlocksOf): FetchRequest {
  const blocks = blockIds.map(parseShuffleChunkBlockId);
  const { shuffleId = 0, shuffleMergeId = 0 } = blocks[0] ?? {};
  const groups = new Map<unknown, Group<number> & { readonly reduceId: number }>();
  for (const [index, block] of blocks.entries()) {
    const blockId = blockIds[index] as string;
    if (block.shuffleId !== shuffleId) throw mixed("shuffleId", shuffleId, blockId);
    if (block.shuffleMergeId !== shuffleMergeId) throw mixed("shuffleMergeId", shuffleMergeId, blockId);
    const group = groupOf(groups, block.reduceId, { reduceId: block.reduceId });
    group.blockIds.push(blockId);
    group.items.push(block.chunkId);
  }
  const inOrder = [...groups.values()];
  const message: FetchShuffleBlockChunks = {
    type: BlockTransferMessageType.FETCH_SHUFFLE_BLOCK_CHUNKS,
    appId,
    execId,
    shuffleId,
    shuffleMergeId,
    reduceIds: inOrder.map(({ reduceId }) => reduceId),
    chunkIds: inOrder.map(({ items }) => items),
  };
  return { message, blockIds: inOrder.flatMap((group) => group.blockIds) };
}

/** Groups stand in the order in which they were seen first. */
function groupOf<T, G extends object>(groups: Map<unknown, Group<T> & G>, key: unknown, more: G): Group<T> & G {
  const known = groups.get(key);
  if (known !== undefined) return known;
  const group = { blockIds: [], items: [], ...more };
  groups.set(key, group);
  return group;
}

function mixed(what: string, expected: unknown, blockId: string): RpcError {
  return invalid(`blocks of one request have the same ${what}: expected ${what}=${expected}, got: ${blockId}`);
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
