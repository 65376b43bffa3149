/**
 * ShuffleIndexInformation: an index file in memory. It says where in a map's data file each partition lies: one number more
 * than there are partitions, 64 bits each, big-endian, beginning with 0. A partition without bytes is a partition.
 */

import { SHUFFLE_INDEX_ENTRY_BYTES } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";

const OFFSET_BYTES = 8;

/** Where bytes lie in a data file. */
export interface ShuffleIndexRecord {
  readonly offset: number;
  readonly length: number;
}

export class ShuffleIndexInformation {
  readonly #path: string;
  readonly #offsets: DataView;
  /** How many partitions there are. */
  readonly partitionCount: number;

  /**
   * @param path of the file, for the texts of errors.
   * Throws ERR_RPC_STREAM for bytes that are no index: none, or a part of a number at the end.
   */
  constructor(path: string, bytes: Uint8Array) {
    if (bytes.length === 0 || bytes.length % OFFSET_BYTES !== 0) {
      throw damaged(path, `its length is no multiple of ${OFFSET_BYTES}: bytes=${bytes.length}`);
    }
    this.#path = path;
    this.#offsets = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.partitionCount = bytes.length / OFFSET_BYTES - 1;
  }

  /** What the cache counts for it, in bytes. */
  get retainedMemorySize(): number {
    return this.#offsets.byteLength + SHUFFLE_INDEX_ENTRY_BYTES;
  }

  /**
   * Where partitions lie, one behind the other.
   * @param endReduceId one more than the last; without it, one partition.
   *
   * Throws ERR_RPC_INVALID_ARGUMENT for partitions that there are not, ERR_RPC_STREAM where the file's numbers cannot be.
   */
  getIndex(startReduceId: number, endReduceId = startReduceId + 1): ShuffleIndexRecord {
    const { partitionCount } = this;
    if (startReduceId < 0 || endReduceId <= startReduceId || endReduceId > partitionCount) {
      const text = `no such partitions: from ${startReduceId} up to, not with, ${endReduceId} of ${partitionCount}`;
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `${text} in ${this.#path}`);
    }
    const offset = this.#offsetOf(startReduceId);
    const end = this.#offsetOf(endReduceId);
    if (end < offset)
      throw damaged(this.#path, `partition ${startReduceId} ends at ${end}, before its begin ${offset}`);
    return { offset, length: end - offset };
  }

  #offsetOf(index: number): number {
    const offset = Number(this.#offsets.getBigInt64(index * OFFSET_BYTES));
    if (Number.isSafeInteger(offset) && offset >= 0) return offset;
    throw damaged(this.#path, `number ${index} is no place in a file: ${offset}`);
  }
}

function damaged(path: string, problem: string): RpcError {
  return new RpcError("ERR_RPC_STREAM", `${path} is no index file: ${problem}`, { retryable: false });
}
