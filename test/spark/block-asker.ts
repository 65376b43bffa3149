/** One who fetches blocks of executors, with Spark's client of shuffle services or with ours. */
import { DirectoryDownloadFileManager, type ExternalBlockStoreClient } from "ringpost/blocks";
import { firstLine } from "../fixtures/spark-asker.js";
import { type Told, toldOf } from "../fixtures/spark-peer.js";
import type { Jvm } from "./jvm.js";

/** How a block's fetch ended. */
export type BlockEnd = { readonly block: string } & (Told | { readonly error: string });

export interface Diagnosed {
  readonly executor: string;
  readonly shuffle: number;
  readonly map: number;
  readonly reduce: number;
  /** Decimal. */
  readonly checksum: string;
  readonly algorithm: string;
}

export interface BlockAsker {
  register(port: number, executor: string, localDirs: readonly string[], subDirs: number): Promise<void>;
  /** Every block's last word. @param folder where blocks go as files; memory without it. */
  fetch(port: number, executor: string, blocks: readonly string[], folder?: string): Promise<BlockEnd[]>;
  remove(port: number, executor: string, blocks: readonly string[]): Promise<number>;
  localDirs(port: number, executors: readonly string[]): Promise<Readonly<Record<string, readonly string[]>>>;
  diagnose(port: number, block: Diagnosed): Promise<string>;
}

const HOST = "127.0.0.1";

export class JvmBlockAsker implements BlockAsker {
  readonly #jvm: Jvm;

  constructor(jvm: Jvm) {
    this.#jvm = jvm;
  }

  register(port: number, executor: string, localDirs: readonly string[], subDirs: number): Promise<void> {
    return this.#jvm.ask("register", { port, executor, localDirs, subDirs });
  }

  async fetch(port: number, executor: string, blocks: readonly string[], folder?: string): Promise<BlockEnd[]> {
    type End = { block: string; bytes: number; sha256: string; error?: { message: string } };
    const ends = await this.#jvm.ask<End[]>("fetch", { port, executor, blocks, ...(folder && { folder }) });
    const told = ends.map(({ block, bytes, sha256, error }): BlockEnd => {
      return error === undefined ? { block, bytes, sha256 } : { block, error: firstLine(error) };
    });
    return lastWords(blocks, told);
  }

  remove(port: number, executor: string, blocks: readonly string[]): Promise<number> {
    return this.#jvm.ask("remove", { port, executor, blocks });
  }

  localDirs(port: number, executors: readonly string[]): Promise<Record<string, readonly string[]>> {
    return this.#jvm.ask("localDirs", { port, executors });
  }

  diagnose(port: number, block: Diagnosed): Promise<string> {
    return this.#jvm.ask("diagnose", { port, ...block });
  }
}

export class ClientBlockAsker implements BlockAsker {
  readonly #client: ExternalBlockStoreClient;

  constructor(client: ExternalBlockStoreClient) {
    this.#client = client;
  }

  register(port: number, executor: string, localDirs: readonly string[], subDirs: number): Promise<void> {
    const shuffleManager = "org.apache.spark.shuffle.sort.SortShuffleManager";
    const info = { localDirs, subDirsPerLocalDir: subDirs, shuffleManager };
    return this.#client.registerWithShuffleServer(HOST, port, executor, info);
  }

  async fetch(port: number, executor: string, blocks: readonly string[], folder?: string): Promise<BlockEnd[]> {
    const files = folder === undefined ? null : new DirectoryDownloadFileManager(folder);
    const ends: Promise<BlockEnd>[] = [];
    const waiting = new Set(blocks);
    await new Promise<void>((resolve) => {
      const ended = (block: string, end: Promise<BlockEnd>): void => {
        ends.push(end);
        waiting.delete(block);
        if (waiting.size === 0) resolve();
      };
      this.#client.fetchBlocks(
        HOST,
        port,
        executor,
        blocks,
        {
          onBlockFetchSuccess: (block, data) => {
            data.retain();
            const told = async (): Promise<BlockEnd> => ({ block, ...toldOf(await data.bytes()) });
            ended(
              block,
              told().finally(() => data.release()),
            );
          },
          onBlockFetchFailure: (block, error) => ended(block, Promise.resolve({ block, error: firstLine(error) })),
        },
        files,
      );
    });
    const told = lastWords(blocks, await Promise.all(ends));
    await files?.[Symbol.asyncDispose]();
    return told;
  }

  remove(port: number, executor: string, blocks: readonly string[]): Promise<number> {
    return this.#client.removeBlocks(HOST, port, executor, blocks);
  }

  async localDirs(port: number, executors: readonly string[]): Promise<Record<string, readonly string[]>> {
    return Object.fromEntries(await this.#client.getHostLocalDirs(HOST, port, executors));
  }

  diagnose(port: number, { executor, shuffle, map, reduce, checksum, algorithm }: Diagnosed): Promise<string> {
    const block = { shuffleId: shuffle, mapId: BigInt(map), reduceId: reduce, checksum: BigInt(checksum), algorithm };
    return this.#client.diagnoseCorruption(HOST, port, executor, block);
  }
}

/** In the order of the blocks: who is told of one more than once is told of its end last. */
function lastWords(blocks: readonly string[], told: readonly BlockEnd[]): BlockEnd[] {
  return blocks.map((block) => told.findLast((end) => end.block === block) as BlockEnd);
}
