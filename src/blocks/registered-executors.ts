/**
 * RegisteredExecutors: which executors there are and where their files lie, by application. Changes are made one after the
 * other: first written to the database, if there is one, then known; whoever awaits `register` has both.
 *
 * A directory belongs to the application that registered it first (directory-claims.ts): another one would read and remove its
 * blocks through a directory that it calls its own. Where roots are given, a directory has to lie below one of them; the root of
 * the file system is nobody's. All is decided by real paths. What is registered is bounded, per application and in all.
 */
import { dirname } from "node:path";
import {
  SHUFFLE_EXECUTORS_MAX,
  SHUFFLE_EXECUTORS_PER_APP_MAX,
  SHUFFLE_ID_BYTES_MAX,
  SHUFFLE_MANAGER_BYTES_MAX,
  SHUFFLE_REGISTRATIONS_BYTES_MAX,
} from "../common/block-limits.js";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import type { ExecutorShuffleInfo } from "./block-transfer-messages.js";
import { DirectoryClaims, ExecutorClaims } from "./directory-claims.js";
import { isBelow, LocalDirs } from "./local-dirs.js";
import {
  damagedEntry,
  formatInfo,
  formatKey,
  RegisteredExecutorsDb,
  type Registration,
} from "./registered-executors-db.js";

export interface RegisteredExecutor {
  readonly appId: string;
  readonly execId: string;
  readonly info: ExecutorShuffleInfo;
  readonly dirs: LocalDirs;
  /** Its directories are its application's for as long as these are held. */
  readonly claims: ExecutorClaims;
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

const OPTION_KEYS: OptionKeys<RegisteredExecutorsOptions> = { file: true, roots: true };
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
  readonly #claims = new DirectoryClaims();
  #size = 0;
  #bytes = 0;
  /** The last change; the next one waits for it. */
  #changes: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(roots: readonly string[] | null, bounds: RegistrationBounds) {
    this.#roots = roots;
    this.#bounds = bounds;
  }

  /** Reads what the file holds. Rejects with ERR_RPC_INVALID_ARGUMENT for a file, or an entry in it, that cannot be used. */
  static async open(
    options: RegisteredExecutorsOptions,
    bounds: RegistrationBounds = BOUNDS,
  ): Promise<RegisteredExecutors> {
    checkOptions("RegisteredExecutors.open", options, OPTION_KEYS);
    const { file, roots } = options;
    const executors = new RegisteredExecutors(roots, bounds);
    if (file === null) return executors;
    const db = await RegisteredExecutorsDb.open(file);
    try {
      for await (const registration of db.registrations()) {
        const executor = executors.#stored(file, registration);
        // Before anybody else can register: also what is not mounted yet is theirs.
        await executor.dirs.claim();
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

  /** True for a directory that an executor has as its local directory. */
  isLocalDir(path: string): boolean {
    return this.#claims.has(path);
  }

  /**
   * Makes an executor known, instead of one of the same name. When it resolves, a restart of the service knows it too.
   *
   * Rejects with ERR_RPC_INVALID_ARGUMENT for ids, directories and numbers that cannot be, ERR_RPC_FORBIDDEN for a directory
   * outside the roots or of another application, ERR_RPC_INBOX_FULL when there are too many, ERR_RPC_STREAM when it cannot be
   * written, ERR_RPC_ENV_STOPPED after `close`.
   */
  register(appId: string, execId: string, info: ExecutorShuffleInfo): Promise<void> {
    return this.#change(async () => {
      checkText("appId", appId, 1, SHUFFLE_ID_BYTES_MAX);
      checkText("execId", execId, 1, SHUFFLE_ID_BYTES_MAX);
      checkText("shuffleManager", info.shuffleManager, 0, SHUFFLE_MANAGER_BYTES_MAX);
      const registration = { appId, execId, info };
      const executor = this.#executorOf(registration);
      try {
        this.#checkRoom(executor);
        await executor.dirs.resolve();
        this.#checkClaims();
        await this.#db?.put(registration);
      } catch (error) {
        executor.claims.release();
        throw error;
      }
      this.#add(executor);
    });
  }

  /**
   * Forgets an application.
   * @param holdsClaims Its directories stay claimed until `claims.release()` of each executor.
   * @returns Its executors.
   *
   * Rejects with ERR_RPC_STREAM when that cannot be written, ERR_RPC_ENV_STOPPED after `close`.
   */
  removeApplication(appId: string, holdsClaims = false): Promise<RegisteredExecutor[]> {
    return this.#change(async () => {
      const removed = this.ofApplication(appId);
      if (removed.length === 0) return removed;
      await this.#db?.remove(removed);
      for (const executor of removed) {
        this.#drop(executor);
        if (!holdsClaims) executor.claims.release();
      }
      return removed;
    });
  }

  /** What was asked before is done first. Changes that come later are refused. */
  async close(): Promise<void> {
    if (!this.#closed) {
      const closed = this.#change(async () => this.#db?.close());
      this.#closed = true;
      await closed;
    }
    await this.#changes;
  }

  async #change<T>(make: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new RpcError("ERR_RPC_ENV_STOPPED", "the registered executors are closed: nothing changes");
    const change = this.#changes.then(make);
    this.#changes = change.catch(() => {});
    return change;
  }

  #executorOf({ appId, execId, info }: Registration): RegisteredExecutor {
    const claims = new ExecutorClaims(this.#claims, appId);
    const dirs = new LocalDirs(info.localDirs, info.subDirsPerLocalDir, (localDir, realDir) => {
      this.#checkPlace(localDir, realDir);
      return claims.add(realDir);
    });
    const bytes = Buffer.byteLength(formatKey({ appId, execId })) + Buffer.byteLength(formatInfo(info));
    return { appId, execId, info, dirs, claims, bytes };
  }

  #stored(file: string, registration: Registration): RegisteredExecutor {
    try {
      return this.#executorOf(registration);
    } catch (error) {
      throw damagedEntry(file, registration, error);
    }
  }

  #checkPlace(localDir: string, realDir: string): void {
    if (this.#roots !== null && !this.#roots.some((root) => isBelow(root, realDir))) {
      const text = `the local directory ${localDir} (${realDir}) is not below one of the service's: ${this.#roots.join(", ")}`;
      throw new RpcError("ERR_RPC_FORBIDDEN", text);
    }
    if (dirname(realDir) === realDir) {
      throw new RpcError("ERR_RPC_FORBIDDEN", `the root of the file system is no local directory: ${localDir}`);
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

  #checkClaims(): void {
    const { bytes } = this.#claims;
    const { bytesMax } = this.#bounds;
    if (bytes > bytesMax) throw full(`local directories take too many bytes: bytes=${bytes}, max=${bytesMax}`);
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
    old?.claims.release();
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
