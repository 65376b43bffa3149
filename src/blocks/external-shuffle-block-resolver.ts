/**
 * ExternalShuffleBlockResolver: finds the blocks of executors that have registered, in the files that they left.
 *
 * request                   | file                                              | what of it
 * --------------------------|---------------------------------------------------|----------------------------------------------
 * a shuffle block, or batch | `shuffle_<s>_<m>_0.data`                          | from … to … as the index says
 * its index                 | `shuffle_<s>_<m>_0.index`                         | all, kept in memory
 * its checksum              | `shuffle_<s>_<m>_0.checksum.<algorithm>`          | 8 bytes
 * a block of an RDD         | `rdd_<r>_<s>`                                     | all
 *
 * Failures: an unknown executor is ERR_RPC_INVALID_ARGUMENT ("not registered"), a file that is not there ERR_RPC_STREAM ("Failed
 * to open file"), one that a link leads to ERR_RPC_FORBIDDEN.
 */
import { type FileHandle, lstat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import { FileSegmentManagedBuffer } from "../network/file-segment-managed-buffer.js";
import { type ManagedBuffer, NioManagedBuffer } from "../network/managed-buffer.js";
import { checkRealPath } from "../network/open-real-file.js";
import { SILENT, type TransportLogger } from "../network/transport-logger.js";
import { parseBlockId } from "./block-ids.js";
import type { Cause, DiagnoseCorruption, ExecutorShuffleInfo } from "./block-transfer-messages.js";
import { createChecksum } from "./checksums.js";
import { inRealDirectory } from "./real-directory.js";
import type { RegisteredExecutor, RegisteredExecutors } from "./registered-executors.js";
import type { CheckWanted } from "./request-turns.js";
import { cleanLocalDirs, codeOf } from "./shuffle-cleanup.js";
import { rddName, shuffleChecksumName, shuffleDataName, shuffleIndexName } from "./shuffle-files.js";
import { ShuffleIndexCache } from "./shuffle-index-cache.js";

/** Runs work that nobody waits for: a cleanup. It must run all that it is given, and may run them together. */
export type Cleaner = (work: () => Promise<void>) => void;

export interface ExternalShuffleBlockResolverOptions {
  readonly executors: RegisteredExecutors;
  /** Bytes of index files that are kept in memory. */
  readonly indexCacheBytes: number;
  /** Blocks of RDDs stay when their executor goes. */
  readonly fetchRddEnabled: boolean;
  /** One cleanup after the other by default. */
  readonly cleaner?: Cleaner;
  readonly logger?: TransportLogger;
}

const OPTION_KEYS: OptionKeys<ExternalShuffleBlockResolverOptions> = {
  executors: true,
  indexCacheBytes: true,
  fetchRddEnabled: true,
  cleaner: true,
  logger: true,
};
const CHECKSUM_BYTES = 8;
/** The files of a shuffle, besides what `parseBlockId` knows. */
const SHUFFLE_FILE = /^(shuffle_\d{1,10}_\d{1,19}_\d{1,10})(?:\.data|\.index|\.checksum\.[A-Z0-9]{1,16})$/;

export class ExternalShuffleBlockResolver {
  readonly indexCache: ShuffleIndexCache;
  readonly #executors: RegisteredExecutors;
  readonly #fetchRddEnabled: boolean;
  readonly #cleaner: Cleaner;
  readonly #logger: TransportLogger;
  /** The last cleanup, where no other cleaner was given. */
  #cleanups: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ExternalShuffleBlockResolverOptions) {
    checkOptions("ExternalShuffleBlockResolver", options, OPTION_KEYS);
    this.#executors = options.executors;
    this.indexCache = new ShuffleIndexCache(options.indexCacheBytes);
    this.#fetchRddEnabled = options.fetchRddEnabled;
    this.#logger = options.logger ?? SILENT;
    this.#cleaner =
      options.cleaner ??
      ((work) => {
        this.#cleanups = this.#cleanups.then(work).catch((error) => this.#logger.warn({ error }, "a cleanup failed"));
      });
  }

  get registeredExecutorCount(): number {
    return this.#executors.size;
  }

  /** Rejects as `RegisteredExecutors.register`. When it resolves, the executor is known after a restart as well. */
  registerExecutor(appId: string, execId: string, info: ExecutorShuffleInfo): Promise<void> {
    return this.#executors.register(appId, execId, info);
  }

  /**
   * A shuffle block, or several of a map one behind the other.
   * @param endReduceId one more than the last; one block without it.
   *
   * Rejects as said at the top of this file. A block without bytes needs no data file.
   */
  async getBlockData(
    appId: string,
    execId: string,
    shuffleId: number,
    mapId: bigint | number,
    startReduceId: number,
    endReduceId = startReduceId + 1,
  ): Promise<ManagedBuffer> {
    const { dirs } = this.#executors.get(appId, execId);
    const index = await this.indexCache.get(await dirs.pathOf(shuffleIndexName(shuffleId, mapId)));
    const { offset, length } = index.getIndex(startReduceId, endReduceId);
    if (length === 0) return new NioManagedBuffer([]);
    const path = await dirs.pathOf(shuffleDataName(shuffleId, mapId));
    return segmentOf(path, offset, length);
  }

  /** A block of an RDD; null: there is none. */
  async getRddBlockData(
    appId: string,
    execId: string,
    rddId: number,
    splitIndex: number,
  ): Promise<ManagedBuffer | null> {
    const { dirs } = this.#executors.get(appId, execId);
    try {
      const path = await dirs.pathOf(rddName(rddId, splitIndex));
      const stat = await lstat(path);
      return stat.isFile() ? segmentOf(path, 0, stat.size) : null;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return null;
      throw error;
    }
  }

  /**
   * Removes blocks: of RDDs, and files of shuffles by their names.
   * @param checkWanted throws when no more shall be removed; asked before each.
   * @returns How many were there and are gone. That others are left is logged, once.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT, and removes none, for an unknown executor and for names of no such blocks; as
   * `checkWanted`.
   */
  async removeBlocks(
    appId: string,
    execId: string,
    blockIds: readonly string[],
    checkWanted: CheckWanted = () => {},
  ): Promise<number> {
    const { dirs, claims } = this.#executors.get(appId, execId);
    for (const blockId of blockIds) checkRemovable(blockId);
    let removed = 0;
    let failures = 0;
    let first: { readonly blockId: string; readonly error: unknown } | null = null;
    // Whoever had the directories next would lose files of the same names.
    claims.hold();
    try {
      for (const blockId of blockIds) {
        checkWanted();
        try {
          const path = await dirs.pathOf(blockId);
          await inRealDirectory(dirname(path), (directory) => unlink(join(directory, basename(path))));
          removed++;
        } catch (error) {
          failures++;
          first ??= { blockId, error };
        }
      }
    } finally {
      claims.release();
    }
    if (first !== null) this.#logger.warn({ ...first, appId, execId, failures }, "blocks were not removed");
    return removed;
  }

  /** The local directories of executors. Throws ERR_RPC_INVALID_ARGUMENT for one that is unknown. */
  getLocalDirs(appId: string, execIds: readonly string[]): Map<string, readonly string[]> {
    return new Map(execIds.map((execId) => [execId, this.#executors.get(appId, execId).info.localDirs]));
  }

  /**
   * Forgets an application.
   * @param cleanupLocalDirs removes its files, later, by the cleaner. Until then its directories are nobody else's.
   *
   * Rejects with ERR_RPC_STREAM when that cannot be written, ERR_RPC_ENV_STOPPED after `close`. One that is unknown is no error.
   */
  async applicationRemoved(appId: string, cleanupLocalDirs: boolean): Promise<void> {
    const executors = await this.#executors.removeApplication(appId, cleanupLocalDirs);
    if (!cleanupLocalDirs) return;
    for (const executor of executors) this.#clean(executor, () => false, true);
  }

  /**
   * An executor has ended: what the service does not hand out is removed, later, by the cleaner. It stays registered. One that
   * is unknown is no error. Throws ERR_RPC_ENV_STOPPED after `close`.
   */
  executorRemoved(appId: string, execId: string): void {
    if (this.#closed) throw new RpcError("ERR_RPC_ENV_STOPPED", "the resolver is closed: nothing is cleaned up");
    const executor = this.#executors.ofApplication(appId).find((candidate) => candidate.execId === execId);
    if (executor === undefined) return;
    executor.claims.hold();
    this.#clean(executor, (filename) => this.#isServed(filename), false);
  }

  /**
   * Where a shuffle block was damaged, by the checksum that its writer left. What goes wrong meanwhile is an unknown issue.
   * @param checkWanted throws when nobody waits for it any more; asked again and again. Rejects as it does.
   */
  async diagnoseCorruption(
    appId: string,
    execId: string,
    block: DiagnosedBlock,
    checkWanted: CheckWanted = () => {},
  ): Promise<Cause> {
    const checksum = createChecksum(block.algorithm);
    if (checksum === null) return "UNSUPPORTED_CHECKSUM_ALGORITHM";
    try {
      const { dirs } = this.#executors.get(appId, execId);
      const { shuffleId, mapId, reduceId } = block;
      const written = await readChecksum(
        await dirs.pathOf(shuffleChecksumName(shuffleId, mapId, block.algorithm)),
        reduceId,
      );
      const data = await this.getBlockData(appId, execId, shuffleId, mapId, reduceId);
      for await (const piece of data.createInputStream()) {
        checkWanted();
        checksum.update(piece as Uint8Array);
      }
      if (checksum.value !== written) return "DISK_ISSUE";
      return written === block.checksum ? "CHECKSUM_VERIFY_PASS" : "NETWORK_ISSUE";
    } catch (error) {
      checkWanted();
      this.#logger.warn({ error, appId, execId }, "a corrupt block could not be looked into");
      return "UNKNOWN_ISSUE";
    }
  }

  /** Ends when the database is closed and the cleanups of what was removed before have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    // First: an application that is being removed now has its cleanup yet to come.
    await this.#executors.close();
    await this.#cleanups;
    this.indexCache.clear();
  }

  #isServed(filename: string): boolean {
    if (filename.endsWith(".index") || filename.endsWith(".data")) return true;
    return this.#fetchRddEnabled && filename.startsWith("rdd_");
  }

  /** The executor's directories are held until then. */
  #clean(
    { appId, execId, dirs, claims }: RegisteredExecutor,
    keeps: (filename: string) => boolean,
    removesDirs: boolean,
  ): void {
    this.#cleaner(async () => {
      const isLocalDir = (path: string): boolean => this.#executors.isLocalDir(path);
      const cleaned = cleanLocalDirs(dirs, keeps, removesDirs, isLocalDir);
      const { removedFiles, failures } = await cleaned.finally(() => claims.release());
      this.#logger.debug({ appId, execId, removedFiles }, "cleaned up");
      for (const error of failures) this.#logger.warn({ error, appId, execId }, "a cleanup could not remove something");
    });
  }
}

export type DiagnosedBlock = Pick<DiagnoseCorruption, "shuffleId" | "mapId" | "reduceId" | "checksum" | "algorithm">;

/** A name that leads nowhere but into the executor's subdirectories, and only to what Spark asks to be removed. */
function checkRemovable(blockId: string): void {
  const [, shuffle] = SHUFFLE_FILE.exec(blockId) ?? [];
  const block = parseBlockId(shuffle ?? blockId);
  if (block?.kind === "rdd" || block?.kind === "shuffle") return;
  const shown = JSON.stringify(blockId.slice(0, 200));
  const text = `Unexpected block id format: ${shown}: rdd_<rddId>_<splitIndex>, and files of shuffle_<s>_<m>_<r>, can be removed`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

async function readChecksum(path: string, reduceId: number): Promise<bigint> {
  const bytes = await segmentOf(path, CHECKSUM_BYTES * reduceId, CHECKSUM_BYTES).bytes();
  return Buffer.from(bytes).readBigInt64BE();
}

/** @param path a real one: a file that is elsewhere by the time it is opened is not read. */
function segmentOf(path: string, offset: number, length: number): FileSegmentManagedBuffer {
  const options = { followsLinks: false, checkOpened: (file: FileHandle) => checkRealPath(file, path) };
  return new FileSegmentManagedBuffer(path, offset, length, options);
}
