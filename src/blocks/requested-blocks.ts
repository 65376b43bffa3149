/**
 * RequestedBlocks: what a request for blocks asks for, checked before a stream is promised: ids of one kind, of one shuffle, no
 * more than a request may have. The blocks themselves are made one by one, when their chunks are asked for.
 */
import { assertUnreachable } from "../common/assert.js";
import { SHUFFLE_BLOCKS_PER_REQUEST_MAX } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";
import { parseBlockId, type RddBlockId, type ShuffleBlockId } from "./block-ids.js";
import { BlockTransferMessageType, type FetchShuffleBlocks, type OpenBlocks } from "./block-transfer-messages.js";

/** Where one chunk of the answer comes from. */
export type RequestedBlock =
  | { readonly kind: "rdd"; readonly rddId: number; readonly splitIndex: number }
  | {
      readonly kind: "shuffle";
      readonly shuffleId: number;
      readonly mapId: bigint;
      readonly startReduceId: number;
      /** One more than the last. */
      readonly endReduceId: number;
    };

export interface RequestedBlocks {
  readonly count: number;
  readonly blocks: Iterable<RequestedBlock>;
}

/** Throws ERR_RPC_INVALID_ARGUMENT for ids that do not go together, and for none; ERR_RPC_MESSAGE_TOO_LARGE for too many. */
export function requestedBlocks(request: OpenBlocks | FetchShuffleBlocks): RequestedBlocks {
  switch (request.type) {
    case BlockTransferMessageType.OPEN_BLOCKS:
      return opened(request);
    case BlockTransferMessageType.FETCH_SHUFFLE_BLOCKS:
      return request.batchFetchEnabled ? batches(request) : flattened(request);
    default:
      return assertUnreachable(request);
  }
}

/** The first id decides what all of them are. */
function opened({ blockIds }: OpenBlocks): RequestedBlocks {
  checkCount(blockIds.length);
  const blocks = blockIds.map(parseOpened);
  const [first] = blocks;
  const different = blockIds.find((_, index) => blocks[index]?.kind !== first?.kind);
  if (different !== undefined) {
    throw invalid(
      `Unexpected block id ${quoted(different)}: the first one, ${quoted(blockIds[0] ?? "")}, is of another kind`,
    );
  }
  const shuffleId = first?.kind === "shuffle" ? first.shuffleId : null;
  const foreign = blocks.find((block) => block.kind === "shuffle" && block.shuffleId !== shuffleId);
  if (foreign?.kind === "shuffle") {
    throw invalid(`Expected shuffleId=${shuffleId}, got: ${foreign.shuffleId}; a request is for blocks of one shuffle`);
  }
  return { count: blocks.length, blocks: { [Symbol.iterator]: () => eachOpened(blocks) } };
}

function parseOpened(blockId: string): ShuffleBlockId | RddBlockId {
  const block = parseBlockId(blockId);
  if (block?.kind === "shuffle" || block?.kind === "rdd") return block;
  if (block?.kind === "shuffleChunk") throw pushMergeUnsupported("chunks of merged shuffle blocks");
  throw invalid(`Unexpected block id format: ${quoted(blockId)}: blocks are shuffle_<s>_<m>_<r> or rdd_<r>_<s>`);
}

function* eachOpened(blocks: readonly (ShuffleBlockId | RddBlockId)[]): Generator<RequestedBlock, void> {
  for (const block of blocks) {
    if (block.kind === "rdd") yield block;
    else {
      const { kind, shuffleId, mapId, reduceId } = block;
      yield { kind, shuffleId, mapId, startReduceId: reduceId, endReduceId: reduceId + 1 };
    }
  }
}

/** All of a map before the next map. */
function flattened(request: FetchShuffleBlocks): RequestedBlocks {
  checkNumbers(request);
  const count = request.reduceIds.reduce((sum, { length }) => sum + length, 0);
  checkCount(count);
  return { count, blocks: { [Symbol.iterator]: () => eachFlattened(request) } };
}

function* eachFlattened({ shuffleId, mapIds, reduceIds }: FetchShuffleBlocks): Generator<RequestedBlock, void> {
  for (const [index, mapId] of mapIds.entries()) {
    for (const reduceId of reduceIds[index] ?? []) {
      yield { kind: "shuffle", shuffleId, mapId, startReduceId: reduceId, endReduceId: reduceId + 1 };
    }
  }
}

/** One chunk for each map: the reducers from the first number up to, not with, the second. */
function batches(request: FetchShuffleBlocks): RequestedBlocks {
  checkNumbers(request);
  checkCount(request.mapIds.length);
  const empty = request.reduceIds.find(([start = 0, end = 0]) => start >= end);
  if (empty !== undefined)
    throw invalid(`a batch goes from its first reduceId to a later one: got ${empty.join(", ")}`);
  return { count: request.mapIds.length, blocks: { [Symbol.iterator]: () => eachBatch(request) } };
}

function* eachBatch({ shuffleId, mapIds, reduceIds }: FetchShuffleBlocks): Generator<RequestedBlock, void> {
  for (const [index, mapId] of mapIds.entries()) {
    const [startReduceId = 0, endReduceId = 0] = reduceIds[index] ?? [];
    yield { kind: "shuffle", shuffleId, mapId, startReduceId, endReduceId };
  }
}

/** They become parts of a file's name. */
function checkNumbers({ shuffleId, mapIds, reduceIds }: FetchShuffleBlocks): void {
  if (shuffleId < 0) throw invalid(`shuffleId must not be negative: got ${shuffleId}`);
  const mapId = mapIds.find((id) => id < 0n);
  if (mapId !== undefined) throw invalid(`mapId must not be negative: got ${mapId}`);
  const reduceId = reduceIds.flat().find((id) => id < 0);
  if (reduceId !== undefined) throw invalid(`reduceId must not be negative: got ${reduceId}`);
}

function checkCount(count: number): void {
  if (count === 0) throw invalid("a request for blocks asks for one at least");
  if (count <= SHUFFLE_BLOCKS_PER_REQUEST_MAX) return;
  const text = `too many blocks in one request: count=${count}, max=${SHUFFLE_BLOCKS_PER_REQUEST_MAX}`;
  throw new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", `${text}; ask for them in several`);
}

/** What this package has no part of: executors fall back to their own blocks. */
export function pushMergeUnsupported(what: string): RpcError {
  return new RpcError(
    "ERR_RPC_UNSUPPORTED_MESSAGE",
    `${what}: this shuffle service does not merge pushed blocks; set spark.shuffle.push.enabled=false`,
  );
}

function quoted(blockId: string): string {
  return JSON.stringify(blockId.slice(0, 200));
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
