/**
 * RegisteredExecutorsDb: what executors registered, in a LevelDB as Spark writes it, so that it is there after the service was
 * killed and started again.
 *
 * key                                                   | value
 * ------------------------------------------------------|-----------------------------------------------------------------
 * `StoreVersion`                                        | `{"major":1,"minor":0}`
 * `AppExecShuffleInfo;{"appId":"…","execId":"…"}`       | `{"localDirs":[…],"subDirsPerLocalDir":n,"shuffleManager":"…"}`
 *
 * A write is in the hands of the operating system when its promise resolves: the end of this process does not undo it, a
 * loss of power may, and would end the executors as well. Other keys of Spark's (push-merge) are left alone.
 *
 * LevelDB is a native module: it is loaded with the first database, and not at all without one.
 */
import type { ClassicLevel } from "classic-level";
import { RpcError } from "../common/errors.js";
import { messageOf } from "../network/failure-text.js";
import type { ExecutorShuffleInfo } from "./block-transfer-messages.js";

export interface AppExecId {
  readonly appId: string;
  readonly execId: string;
}

export interface Registration extends AppExecId {
  readonly info: ExecutorShuffleInfo;
}

type Database = ClassicLevel<string, string>;

const VERSION_KEY = "StoreVersion";
const VERSION = { major: 1, minor: 0 } as const;
const KEY_PREFIX = "AppExecShuffleInfo";
/** Behind every key of the prefix: one more than `;`. */
const KEY_END = `${KEY_PREFIX}<`;

export class RegisteredExecutorsDb {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Opens a database, or makes one. No other process may have it open.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT, naming the path and what to do, for one that is open elsewhere, damaged, of another
   * major version, or cannot be made.
   */
  static async open(path: string): Promise<RegisteredExecutorsDb> {
    const { ClassicLevel } = await import("classic-level");
    const database: Database = new ClassicLevel(path, { keyEncoding: "utf8", valueEncoding: "utf8" });
    try {
      await database.open();
      await checkVersion(database, path);
      return new RegisteredExecutorsDb(database);
    } catch (error) {
      await database.close().catch(() => {});
      throw error instanceof RpcError ? error : unusable(path, error);
    }
  }

  /** What was registered. Rejects as `open` for an entry that cannot be read. */
  async *registrations(): AsyncGenerator<Registration> {
    const path = this.#database.location;
    const entries = this.#database.iterator({ gte: KEY_PREFIX, lt: KEY_END });
    try {
      for (let entry = await entries.next(); entry !== undefined; entry = await entries.next()) {
        const [key, value] = entry;
        yield { ...parseKey(path, key), info: parseInfo(path, key, value) };
      }
    } catch (error) {
      throw error instanceof RpcError ? error : unusable(path, error);
    } finally {
      await entries.close();
    }
  }

  /** Rejects with ERR_RPC_STREAM where it cannot be written. */
  async put({ appId, execId, info }: Registration): Promise<void> {
    await this.#written(this.#database.put(formatKey({ appId, execId }), formatInfo(info)));
  }

  /** Rejects as `put`. */
  async remove(ids: readonly AppExecId[]): Promise<void> {
    await this.#written(this.#database.batch(ids.map((id) => ({ type: "del", key: formatKey(id) }))));
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  async #written(write: Promise<void>): Promise<void> {
    try {
      await write;
    } catch (error) {
      const text = `registered executors cannot be written to ${this.#database.location}: ${whyOf(error)}`;
      throw new RpcError("ERR_RPC_STREAM", text, { cause: error });
    }
  }
}

/** Spark's key of an executor. */
export function formatKey({ appId, execId }: AppExecId): string {
  return `${KEY_PREFIX};${JSON.stringify({ appId, execId })}`;
}

/** Spark's value of an executor. */
export function formatInfo({ localDirs, subDirsPerLocalDir, shuffleManager }: ExecutorShuffleInfo): string {
  return JSON.stringify({ localDirs, subDirsPerLocalDir, shuffleManager });
}

/** Reads a key. Throws ERR_RPC_INVALID_ARGUMENT, naming the database, for what is none. */
export function parseKey(path: string, key: string): AppExecId {
  const { appId, execId } = parseObject(key.slice(KEY_PREFIX.length + 1));
  if (key.startsWith(`${KEY_PREFIX};`) && isText(appId) && isText(execId)) return { appId, execId };
  throw damaged(path, `the key ${JSON.stringify(key)} names no executor`);
}

/** Reads a value. Throws as `parseKey`. */
export function parseInfo(path: string, key: string, value: string): ExecutorShuffleInfo {
  const { localDirs, subDirsPerLocalDir, shuffleManager } = parseObject(value);
  const isInfo =
    Array.isArray(localDirs) &&
    localDirs.every(isText) &&
    Number.isInteger(subDirsPerLocalDir) &&
    isText(shuffleManager);
  if (!isInfo) throw damaged(path, `the value of ${JSON.stringify(key)} says nothing of an executor`);
  return { localDirs, subDirsPerLocalDir: subDirsPerLocalDir as number, shuffleManager };
}

/** What an entry is that can be read, and says what no executor has. */
export function damagedEntry(path: string, id: AppExecId, error: unknown): RpcError {
  return damaged(path, `the value of ${shown(formatKey(id))}: ${messageOf(error)}`, error);
}

/** Of a key, which somebody else may have written. */
function shown(key: string): string {
  return JSON.stringify(key.length <= 300 ? key : `${key.slice(0, 300)}…`);
}

async function checkVersion(database: Database, path: string): Promise<void> {
  const text = await database.get(VERSION_KEY);
  if (text === undefined) {
    await database.put(VERSION_KEY, JSON.stringify(VERSION));
    return;
  }
  const { major, minor } = parseObject(text);
  if (!Number.isInteger(major) || !Number.isInteger(minor))
    throw damaged(path, `its version is ${JSON.stringify(text)}`);
  if (major === VERSION.major) {
    if (minor !== VERSION.minor) await database.put(VERSION_KEY, JSON.stringify(VERSION));
    return;
  }
  throw new RpcError(
    "ERR_RPC_INVALID_ARGUMENT",
    `the store of registered executors ${path} has version ${major}.${minor}, incompatible with current version ` +
      `${VERSION.major}.${VERSION.minor}: give another file, or move this one away`,
  );
}

function unusable(path: string, error: unknown): RpcError {
  const { code } = causeOf(error) as { readonly code?: unknown };
  if (code === "LEVEL_LOCKED") {
    const text = `the store of registered executors ${path} is open in another process: end that one, or give another file`;
    return new RpcError("ERR_RPC_INVALID_ARGUMENT", text, { cause: error });
  }
  return damaged(path, whyOf(error), error);
}

function damaged(path: string, problem: string, cause?: unknown): RpcError {
  return new RpcError(
    "ERR_RPC_INVALID_ARGUMENT",
    `the store of registered executors ${path} cannot be used: ${problem}; move it away and start again, ` +
      "executors then have to register anew",
    { cause },
  );
}

/** LevelDB's own words are in the cause. */
function whyOf(error: unknown): string {
  return messageOf(causeOf(error));
}

function causeOf(error: unknown): object {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return typeof cause === "object" && cause !== null ? cause : new Error(String(cause));
}

/** An object that JSON text holds; an empty one for any other text. */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
