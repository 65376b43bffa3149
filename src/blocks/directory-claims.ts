/**
 * Which application has which local directory, by real paths. A directory belongs to the application that claimed it first, until
 * the last one who holds it lets go: a registration, or a cleanup that is still to come.
 *
 * Only the same directory is shared, not one below or above: the file of a block lies exactly two levels below its local
 * directory, so that it belongs to no other one. Whoever claims a directory above others' has nothing of theirs, and keeps
 * nobody out.
 */
import { RpcError } from "../common/errors.js";

interface Owner {
  readonly appId: string;
  /** The one copy of the path that all of its holders share: many executors have the same directories. */
  readonly path: string;
  holders: number;
}

export class DirectoryClaims {
  readonly #owners = new Map<string, Owner>();
  #bytes = 0;

  /** Of all paths: longer than what was registered, where that was a link. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True for a directory that somebody has. */
  has(path: string): boolean {
    return this.#owners.has(path);
  }

  /** @returns The path. Throws ERR_RPC_FORBIDDEN where another application has it. */
  add(appId: string, path: string): string {
    const owner = this.#owners.get(path);
    if (owner === undefined) {
      this.#owners.set(path, { appId, path, holders: 1 });
      this.#bytes += Buffer.byteLength(path);
      return path;
    }
    // Whose it is, is not said: the other one may be anybody.
    if (owner.appId !== appId) {
      throw new RpcError("ERR_RPC_FORBIDDEN", `the local directory ${path} belongs to another application`);
    }
    owner.holders++;
    return owner.path;
  }

  remove(path: string): void {
    const owner = this.#owners.get(path);
    if (owner === undefined || --owner.holders > 0) return;
    this.#owners.delete(path);
    this.#bytes -= Buffer.byteLength(path);
  }
}

/** What one executor has claimed. Held by its registration, and by each of its cleanups. */
export class ExecutorClaims {
  readonly #claims: DirectoryClaims;
  readonly #appId: string;
  /** By itself. */
  readonly #paths = new Map<string, string>();
  #holders = 1;

  constructor(claims: DirectoryClaims, appId: string) {
    this.#claims = claims;
    this.#appId = appId;
  }

  /** As `DirectoryClaims.add`. Throws ERR_RPC_INVALID_ARGUMENT for an executor that is no more. */
  add(path: string): string {
    if (this.#holders === 0) throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "Executor is not registered any more");
    const known = this.#paths.get(path);
    if (known !== undefined) return known;
    const added = this.#claims.add(this.#appId, path);
    this.#paths.set(added, added);
    return added;
  }

  /** Once more: they stay claimed until each has let go. */
  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders > 0) return;
    for (const path of this.#paths.keys()) this.#claims.remove(path);
    this.#paths.clear();
  }
}
