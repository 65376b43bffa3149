/**
 * ShuffleIndexCache: index files that were read, the least recently used ones dropped when all together pass a number of
 * bytes. Before one is used again its file is looked at: another file, another size or another time of change, and it is
 * read anew. Who asks for a file that is being read waits for the same read. A failed read is not remembered.
 *
 * A file that has not changed is not opened: a link that took its place counts as another file, and is not followed.
 */
import { lstat } from "node:fs/promises";
import { SHUFFLE_INDEX_FILE_BYTES_MAX } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";
import { messageOf } from "../network/failure-text.js";
import { openRealFile } from "../network/open-real-file.js";
import { ShuffleIndexInformation } from "./shuffle-index-information.js";

interface Version {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

interface Entry {
  readonly version: Version;
  readonly information: ShuffleIndexInformation;
}

export class ShuffleIndexCache {
  readonly #bytesMax: number;
  /** The least recently used one first. */
  readonly #entries = new Map<string, Entry>();
  readonly #reads = new Map<string, Promise<ShuffleIndexInformation>>();
  #bytes = 0;
  #readCount = 0;

  /** @param bytesMax of all entries, as `retainedMemorySize` counts them; an index larger than that is not kept. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** What the entries count for. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Files that were read, for statistics and tests. */
  get readCount(): number {
    return this.#readCount;
  }

  /**
   * The index of a file.
   * @param path real path: what is looked up in the cache, and opened.
   *
   * Rejects with ERR_RPC_STREAM, "Failed to open file: …", for one that cannot be read or is no index.
   */
  async get(path: string): Promise<ShuffleIndexInformation> {
    const kept = this.#entries.get(path);
    if (kept !== undefined) {
      const version = await lstat(path, { bigint: true }).catch((error) => {
        this.#drop(path, kept);
        throw failed(path, error);
      });
      if (isSame(kept.version, version)) {
        this.#touch(path, kept);
        return kept.information;
      }
      this.#drop(path, kept);
    }
    let read = this.#reads.get(path);
    if (read === undefined) {
      read = this.#read(path).finally(() => this.#reads.delete(path));
      this.#reads.set(path, read);
    }
    return read;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  async #read(path: string): Promise<ShuffleIndexInformation> {
    this.#readCount++;
    try {
      const file = await openRealFile(path);
      try {
        const stat = await file.stat({ bigint: true });
        if (!stat.isFile()) throw new Error("it is no regular file");
        if (stat.size > SHUFFLE_INDEX_FILE_BYTES_MAX) {
          throw new Error(`too long for an index: bytes=${stat.size}, maxBytes=${SHUFFLE_INDEX_FILE_BYTES_MAX}`);
        }
        const bytes = Buffer.allocUnsafeSlow(Number(stat.size));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
        if (bytesRead !== bytes.length)
          throw new Error(`it became shorter: bytes=${bytesRead}, before=${bytes.length}`);
        const information = new ShuffleIndexInformation(path, bytes);
        this.#keep(path, { version: stat, information });
        return information;
      } finally {
        await file.close();
      }
    } catch (error) {
      throw failed(path, error);
    }
  }

  #keep(path: string, entry: Entry): void {
    const bytes = entry.information.retainedMemorySize;
    const before = this.#entries.get(path);
    if (before !== undefined) this.#drop(path, before);
    if (bytes > this.#bytesMax) return;
    this.#entries.set(path, entry);
    this.#bytes += bytes;
    for (const [oldPath, old] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(oldPath, old);
    }
  }

  #touch(path: string, entry: Entry): void {
    if (this.#entries.get(path) !== entry) return;
    this.#entries.delete(path);
    this.#entries.set(path, entry);
  }

  /** Unless another one has taken its place meanwhile. */
  #drop(path: string, entry: Entry): void {
    if (this.#entries.get(path) !== entry) return;
    this.#entries.delete(path);
    this.#bytes -= entry.information.retainedMemorySize;
  }
}

function isSame(one: Version, other: Version): boolean {
  return one.ino === other.ino && one.size === other.size && one.mtimeNs === other.mtimeNs;
}

function failed(path: string, error: unknown): RpcError {
  return new RpcError("ERR_RPC_STREAM", `Failed to open file: ${path}: ${messageOf(error)}`, { cause: error });
}
