/**
 * The names of blocks that are made of numbers:
 *
 * kind         | id                                                              | Spark's name
 * -------------|-----------------------------------------------------------------|-------------------------
 * shuffle      | shuffle_<shuffleId>_<mapId>_<reduceId>                          | ShuffleBlockId
 * shuffleBatch | shuffle_<shuffleId>_<mapId>_<startReduceId>_<endReduceId>       | ShuffleBlockBatchId
 * shuffleChunk | shuffleChunk_<shuffleId>_<shuffleMergeId>_<reduceId>_<chunkId>  | ShuffleBlockChunkId
 * shufflePush  | shufflePush_<shuffleId>_<shuffleMergeId>_<mapIndex>_<reduceId>  | ShufflePushBlockId
 * rdd          | rdd_<rddId>_<splitIndex>                                        | RDDBlockId
 *
 * Numbers are decimal digits without zeros before them, so that each block has one name; they hold 31 bits, a map id 63.
 * Any other text may name a block, too: what it means is its store's affair.
 */
import { assertUnreachable } from "../common/assert.js";
import { RpcError } from "../common/errors.js";

export interface ShuffleBlockId {
  readonly kind: "shuffle";
  readonly shuffleId: number;
  readonly mapId: bigint;
  readonly reduceId: number;
}

/** Reducers from `startReduceId` up to, but not with, `endReduceId`. */
export interface ShuffleBatchBlockId {
  readonly kind: "shuffleBatch";
  readonly shuffleId: number;
  readonly mapId: bigint;
  readonly startReduceId: number;
  readonly endReduceId: number;
}

export interface ShuffleChunkBlockId {
  readonly kind: "shuffleChunk";
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
  readonly reduceId: number;
  readonly chunkId: number;
}

export interface ShufflePushBlockId {
  readonly kind: "shufflePush";
  readonly shuffleId: number;
  readonly shuffleMergeId: number;
  readonly mapIndex: number;
  readonly reduceId: number;
}

export interface RddBlockId {
  readonly kind: "rdd";
  readonly rddId: number;
  readonly splitIndex: number;
}

export type BlockId = ShuffleBlockId | ShuffleBatchBlockId | ShuffleChunkBlockId | ShufflePushBlockId | RddBlockId;

const I32_MAX = 2 ** 31 - 1;
const I64_MAX = 2n ** 63n - 1n;
/** 19 digits: 2^63 - 1. */
const PARTS = /^(shuffle|shuffleChunk|shufflePush|rdd)((?:_(?:0|[1-9][0-9]{0,18})){2,4})$/;
/** An id in an error text: what a stranger calls a block may be long. */
const ID_TEXT_LENGTH_MAX = 200;

/** What an id says; null if it is none of the table's. Throws nothing. */
export function parseBlockId(id: string): BlockId | null {
  const match = PARTS.exec(id);
  if (match === null) return null;
  const [, prefix, digits = ""] = match;
  const parts = digits.slice(1).split("_");
  const numbers = parts.map(Number);
  const [first = 0, second = 0, third = 0, fourth = 0] = numbers;
  const isMap = prefix === "shuffle";
  if (numbers.some((number, index) => number > I32_MAX && !(isMap && index === 1))) return null;
  if (prefix === "rdd") return parts.length === 2 ? { kind: "rdd", rddId: first, splitIndex: second } : null;
  if (isMap) {
    const mapId = BigInt(parts[1] as string);
    if (mapId > I64_MAX) return null;
    if (parts.length === 3) return { kind: "shuffle", shuffleId: first, mapId, reduceId: third };
    if (parts.length !== 4) return null;
    return { kind: "shuffleBatch", shuffleId: first, mapId, startReduceId: third, endReduceId: fourth };
  }
  if (parts.length !== 4) return null;
  if (prefix === "shuffleChunk") {
    return { kind: "shuffleChunk", shuffleId: first, shuffleMergeId: second, reduceId: third, chunkId: fourth };
  }
  return { kind: "shufflePush", shuffleId: first, shuffleMergeId: second, mapIndex: third, reduceId: fourth };
}

/** As `parseBlockId`, of a shuffle's block or batch. Throws ERR_RPC_INVALID_ARGUMENT for any other id. */
export function parseShuffleBlockId(id: string): ShuffleBlockId | ShuffleBatchBlockId {
  const block = parseBlockId(id);
  if (block?.kind === "shuffle" || block?.kind === "shuffleBatch") return block;
  throw unexpected("shuffle_<shuffleId>_<mapId>_<reduceId>, with a further _<endReduceId> a batch", id);
}

/** As `parseBlockId`, of a chunk of a merged shuffle. Throws ERR_RPC_INVALID_ARGUMENT for any other id. */
export function parseShuffleChunkBlockId(id: string): ShuffleChunkBlockId {
  const block = parseBlockId(id);
  if (block?.kind === "shuffleChunk") return block;
  throw unexpected("shuffleChunk_<shuffleId>_<shuffleMergeId>_<reduceId>_<chunkId>", id);
}

/** The id of a block; `parseBlockId` of it gives the block again. Throws ERR_RPC_INVALID_ARGUMENT for numbers outside. */
export function formatBlockId(block: BlockId): string {
  const id = join(block);
  if (parseBlockId(id) === null) {
    throw new RpcError(
      "ERR_RPC_INVALID_ARGUMENT",
      `no block id: ${id}: numbers are integers from 0 to ${I32_MAX}, map ids to ${I64_MAX}`,
    );
  }
  return id;
}

function join(block: BlockId): string {
  switch (block.kind) {
    case "shuffle":
      return `shuffle_${block.shuffleId}_${block.mapId}_${block.reduceId}`;
    case "shuffleBatch":
      return `shuffle_${block.shuffleId}_${block.mapId}_${block.startReduceId}_${block.endReduceId}`;
    case "shuffleChunk":
      return `shuffleChunk_${block.shuffleId}_${block.shuffleMergeId}_${block.reduceId}_${block.chunkId}`;
    case "shufflePush":
      return `shufflePush_${block.shuffleId}_${block.shuffleMergeId}_${block.mapIndex}_${block.reduceId}`;
    case "rdd":
      return `rdd_${block.rddId}_${block.splitIndex}`;
    default:
      return assertUnreachable(block);
  }
}

function unexpected(form: string, id: string): RpcError {
  const shown = id.length > ID_TEXT_LENGTH_MAX ? `${id.slice(0, ID_TEXT_LENGTH_MAX)}… (${id.length} characters)` : id;
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", `Unexpected block id format: ${shown}: expected ${form}`);
}
