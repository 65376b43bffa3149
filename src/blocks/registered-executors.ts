/**
 * RegisteredExecutors: which executors there are and where their files lie, by application. Changes are made one after the
 * other: first written to the database, if there is one, then known; whoever awaits `register` has both.
 *
 * A directory belongs to the application that registered it first, for as long as that is registered: another one would read
 * and remove its blocks through a directory that it calls its own. Where roots are given, a directory has to lie below one of
 * them. Both are decided by real paths. What is registered is bounded, per application and in all.
 */
import { RpcError } from "../common/errors.js";
import {
  SHUFFLE_EXECUTORS_MAX,
  SHUFFLE_EXECUTORS_PER_APP_MAX,
  SHUFFLE_ID_BYTES_MAX,
  SHUFFLE_MANAGER_BYTES_MAX,
  SHUFFLE_REGISTRATIONS_BYTES_MAX,
} from "../common/limits.js";
import type { ExecutorShuffleInfo } from "./block-transfer-messages.js";
import { isBelow, LocalDirs } from "./local-dirs.js";
import { formatInfo, formatKey, RegisteredExecutorsDb, type Registration } from "./registered-executors-db.js";

export interface RegisteredExecutor {
  readonly appId: string;
  readonly execId: string;
  readonly info: ExecutorShuffleInfo;
  readonly dirs: LocalDirs;
  /** What it counts for. */
  readonly bytes: number;
}

export interface RegisteredExecutorsOptions {
  /** A LevelDB that keeps registrations over a restart; null: they end with the service. */
  readonly file: string | null;
  /** Real paths below which local directories have to lie; null: anywhere. */
  readonly roots: readonly string[] | null;
}

/** For tests: all of limits.ts by default. */
export interface RegistrationBounds {
  readonly executorsPerAppMax: number;
  readonly executorsMax: number;
  readonly bytesMax: number;
}

const BOUNDS: RegistrationBounds = {
  executorsPerAppMax: SHUFFLE_EXECUTORS_PER_APP_MAX,
  executorsMax: SHUFFLE_EXECUTORS_MAX,
  bytesMax: SHUFFLE_REGISTRATIONS_BYTES_MAX,
};

export class RegisteredExecutors {
  readonly #roots: readonly string[] | null;
  readonly #bounds: RegistrationBounds;
  #db: RegisteredExecutorsDb | null = null;
  readonly #apps = new Map<string, Map<string, RegisteredExecutor>>();
  #size = 0;
  #bytes = 0;
  /** The last change; the next one waits for it. */
  #changes: Promise<unknown> = Promise.resolve();

  private constructor(roots: readonly string[] | null, bounds: RegistrationBounds) {
    this.#roots = roots;
    this.#bounds = bounds;
  }

  /** Reads what the file holds. Rejects with ERR_RPC_INVALID_ARGUMENT for a file that cannot be used. */
  static async open(
    { file, roots }: RegisteredExecutorsOptions,
    bounds: RegistrationBounds = BOUNDS,
  ): Promise<RegisteredExecutors> {
    const executors = new RegisteredExecutors(roots, bounds);
    if (file === null) return executors;
    const db = await RegisteredExecutorsDb.open(file);
    try {
      for await (const registration of db.registrations()) {
        const executor = executors.#executorOf(registration);
        // Now, so that nobody else can claim them first. What is not mounted yet is looked up when it is wanted.
        await executor.dirs.resolve().catch(() => {});
        executors.#add(executor);
      }
    } catch (error) {
      await db.close();
      throw error;
    }
    executors.#db = db;
    return executors;
  }

  get size(): number {
    return this.#size;
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT, "Executor is not registered", for one that is unknown. */
  get(appId: string, execId: string): RegisteredExecutor {
    const executor = this.#apps.get(appId)?.get(execId);
    if (executor !== undefined) return executor;
    const text = `Executor is not registered (appId=${short(appId)}, execId=${short(execId)})`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }

  /** The executors of an application. */
  ofApplication(appId: string): RegisteredExecutor[] {
    return [...(this.#apps.get(appId)?.values() ?? [])];
  }

  /**
   * Makes an executor known, instead of one of the same name. When it resolves, a restart of the service knows it too.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT for ids, directories and numbers that cannot be, ERR_RPC_FORBIDDEN for a directory
   * outside the roots or of another application, ERR_RPC_INBOX_FULL when there are too many, ERR_RPC_STREAM when it cannot be
   * written.
   */
  register(appId: string, execId: string, info: ExecutorShuffleInfo): Promise<void> {
    return this.#change(async () => {
      checkText("appId", appId, 1, SHUFFLE_ID_BYTES_MAX);
      checkText("execId", execId, 1, SHUFFLE_ID_BYTES_MAX);
      checkText("shuffleManager", info.shuffleManager, 0, SHUFFLE_MANAGER_BYTES_MAX);
      const registration = { appId, execId, info };
      const executor = this.#executorOf(registration);
      this.#checkRoom(executor);
      await executor.dirs.resolve();
      await this.#db?.put(registration);
      this.#add(executor);
    });
  }

  /** Forgets an application. @returns Its executors. Rejects with ERR_RPC_STREAM when that cannot be written. */
  removeApplication(appId: string): Promise<RegisteredExecutor[]> {
    return this.#change(async () => {
      const removed = this.ofApplication(appId);
      if (removed.length === 0) return removed;
      await this.#db?.remove(removed);
      for (const executor of removed) this.#drop(executor);
      return removed;
    });
  }

  /** What was asked before is done first. */
  async close(): Promise<void> {
    await this.#change(async () => {
      await this.#db?.close();
      this.#db = null;
    });
  }

  #change<T>(make: () => Promise<T>): Promise<T> {
    const change = this.#changes.then(make);
    this.#changes = change.catch(() => {});
    return change;
  }

  #executorOf({ appId, execId, info }: Registration): RegisteredExecutor {
    const dirs = new LocalDirs(info.localDirs, info.subDirsPerLocalDir, (localDir, realDir) =>
      this.#admit(appId, localDir, realDir),
    );
    const bytes = Buffer.byteLength(formatKey({ appId, execId })) + Buffer.byteLength(formatInfo(info));
    return { appId, execId, info, dirs, bytes };
  }

  #admit(appId: string, localDir: string, realDir: string): void {
    if (this.#roots !== null && !this.#roots.some((root) => isBelow(root, realDir))) {
      const text = `the local directory ${localDir} (${realDir}) is not below one of the service's: ${this.#roots.join(", ")}`;
      throw new RpcError("ERR_RPC_FORBIDDEN", text);
    }
    // A linear search: executors register once in their life.
    for (const [otherId, executors] of this.#apps) {
      if (otherId === appId) continue;
      for (const { dirs } of executors.values()) {
        for (const taken of dirs.realDirs) {
          if (taken !== realDir && !isBelow(taken, realDir) && !isBelow(realDir, taken)) continue;
          const text = `the local directory ${localDir} (${realDir}) belongs to another application: appId=${short(appId)}`;
          throw new RpcError("ERR_RPC_FORBIDDEN", text);
        }
      }
    }
  }

  #checkRoom({ appId, execId, bytes }: RegisteredExecutor): void {
    const { executorsPerAppMax, executorsMax, bytesMax } = this.#bounds;
    const app = this.#apps.get(appId);
    const old = app?.get(execId);
    const bytesAfter = this.#bytes + bytes - (old?.bytes ?? 0);
    if (bytesAfter > bytesMax) throw full(`registrations take too many bytes: bytes=${bytesAfter}, max=${bytesMax}`);
    if (old !== undefined) return;
    const ofApp = app?.size ?? 0;
    if (ofApp >= executorsPerAppMax) {
      throw full(`too many executors of ${short(appId)} are registered: count=${ofApp}, max=${executorsPerAppMax}`);
    }
    if (this.#size >= executorsMax) {
      throw full(`too many executors are registered: count=${this.#size}, max=${executorsMax}`);
    }
  }

  #add(executor: RegisteredExecutor): void {
    const { appId, execId, bytes } = executor;
    let app = this.#apps.get(appId);
    if (app === undefined) {
      app = new Map();
      this.#apps.set(appId, app);
    }
    const old = app.get(execId);
    app.set(execId, executor);
    if (old === undefined) this.#size++;
    this.#bytes += bytes - (old?.bytes ?? 0);
  }

  #drop({ appId, execId, bytes }: RegisteredExecutor): void {
    const app = this.#apps.get(appId);
    if (app?.delete(execId) !== true) return;
    if (app.size === 0) this.#apps.delete(appId);
    this.#size--;
    this.#bytes -= bytes;
  }
}

/** Ids come from peers, and stand in texts. */
export function short(id: string): string {
  return id.length <= 100 ? id : `${id.slice(0, 100)}… (${id.length} characters)`;
}

function checkText(name: string, value: string, bytesMin: number, bytesMax: number): void {
  const bytes = Buffer.byteLength(value);
  if (bytes >= bytesMin && bytes <= bytesMax) return;
  const text = `${name} must have ${bytesMin} to ${bytesMax} bytes: bytes=${bytes}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

function full(text: string): RpcError {
  return new RpcError("ERR_RPC_INBOX_FULL", `${text}; remove applications that have ended`);
}
