/**
 * Where a block's file lies, and what the files of a shuffle are called: Spark's layout, which processes that never speak to
 * each other agree upon. A name's hash picks one of an executor's local directories and a subdirectory of it.
 */
import { join } from "node:path";
import { RpcError } from "../common/errors.js";

/** Java's `String.hashCode`: a polynomial of the UTF-16 units, wrapped to 32 bits with a sign. */
export function javaStringHash(text: string): number {
  let hash = 0;
  for (let index = 0; index < text.length; index++) hash = (Math.imul(31, hash) + text.charCodeAt(index)) | 0;
  return hash;
}

/** As `javaStringHash`, without the sign. The least number has no positive twin; it becomes 0, as in Spark. */
export function nonNegativeHash(text: string): number {
  const hash = javaStringHash(text);
  return hash === -(2 ** 31) ? 0 : Math.abs(hash);
}

/** A file's place: which local directory, and the name of the subdirectory in it. */
export interface HashedPlace {
  readonly localDir: string;
  /** Two hexadecimal digits, more where there are more than 256 subdirectories. */
  readonly subDir: string;
}

/**
 * The place of a file of that name.
 * @param localDirs in the order in which they were registered: the order is part of the layout.
 *
 * Throws ERR_RPC_INVALID_ARGUMENT without a directory, and for a number of subdirectories that is not positive.
 */
export function hashedPlace(localDirs: readonly string[], subDirsPerLocalDir: number, filename: string): HashedPlace {
  if (localDirs.length === 0) {
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `no local directory to look for ${filename} in`);
  }
  if (!Number.isInteger(subDirsPerLocalDir) || subDirsPerLocalDir < 1) {
    const text = `subDirsPerLocalDir must be a whole number from 1 on: got ${subDirsPerLocalDir}`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }
  const hash = nonNegativeHash(filename);
  const localDir = localDirs[hash % localDirs.length] as string;
  const subDir = Math.floor(hash / localDirs.length) % subDirsPerLocalDir;
  return { localDir, subDir: subDir.toString(16).padStart(2, "0") };
}

/** The path of a file of that name. Throws as `hashedPlace`. */
export function hashedPath(localDirs: readonly string[], subDirsPerLocalDir: number, filename: string): string {
  const { localDir, subDir } = hashedPlace(localDirs, subDirsPerLocalDir, filename);
  return join(localDir, subDir, filename);
}

/** A map's partitions one behind the other. */
export function shuffleDataName(shuffleId: number, mapId: bigint | number): string {
  return `shuffle_${shuffleId}_${mapId}_0.data`;
}

/** Where each of them begins, and where the last one ends: 64-bit numbers, big-endian. */
export function shuffleIndexName(shuffleId: number, mapId: bigint | number): string {
  return `shuffle_${shuffleId}_${mapId}_0.index`;
}

/** What each of them should sum up to: 64-bit numbers, big-endian. */
export function shuffleChecksumName(shuffleId: number, mapId: bigint | number, algorithm: string): string {
  return `shuffle_${shuffleId}_${mapId}_0.checksum.${algorithm}`;
}

export function rddName(rddId: number, splitIndex: number): string {
  return `rdd_${rddId}_${splitIndex}`;
}
