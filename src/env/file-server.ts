/**
 * FileServer: the files and folders that an environment lets others read, and the streams that they are read from.
 * Main thread only.
 *
 * The path of a request is matched as it came, decoded once by whoever asks: `/files/<name>` is a file that was added by
 * itself, `/<base>/<name>` one below a folder, that of the longest base. Which file a name stands for is decided when the
 * file is opened: served-file.ts.
 */
import { realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { RpcError } from "../common/errors.js";
import { FILE_PATH_BYTES_MAX } from "../common/limits.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import { StreamManager } from "../network/stream-manager.js";
import { formatFileUri } from "../rpc/file-uri.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcFileServer } from "../rpc/rpc-env.js";
import { ServedFile } from "./served-file.js";

/** First parts of paths that are no folder's: Spark serves jars below the second. */
const RESERVED = ["files", "jars"];

export class FileServer extends StreamManager implements RpcFileServer {
  /** Real paths by key. */
  readonly #files = new Map<string, string>();
  /** Real paths of folders by base, without slashes at its ends. */
  readonly #directories = new Map<string, string>();
  readonly #address: () => RpcAddress | null;
  #stopped: RpcError | null = null;

  /** @param address where the env listens, null if it does not. */
  constructor(address: () => RpcAddress | null) {
    super();
    this.#address = address;
  }

  async addFile(path: string): Promise<string> {
    this.#running();
    const real = await realPathOf("addFile", path, "file");
    const address = this.#running();
    const key = basename(path);
    const other = this.#files.get(key);
    if (other !== undefined && other !== real) {
      throw invalid(`addFile: "${key}" is the name of another file already: added=${other}, path=${real}`);
    }
    this.#files.set(key, real);
    return formatFileUri(address, ["files", key]);
  }

  async addDirectory(baseUri: string, directory: string): Promise<string> {
    this.#running();
    const segments = baseSegments(baseUri);
    const base = segments.join("/");
    this.#refuseTaken(base);
    const real = await realPathOf("addDirectory", directory, "directory");
    const address = this.#running();
    this.#refuseTaken(base);
    this.#directories.set(base, real);
    return formatFileUri(address, segments);
  }

  removeFile(key: string): void {
    this.#files.delete(key);
  }

  /** Nothing can be added any more, and nothing is served. */
  stop(error: RpcError): void {
    this.#stopped = error;
    this.#files.clear();
    this.#directories.clear();
  }

  getChunk(): never {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", "this environment serves no chunks");
  }

  /** Throws ERR_RPC_INVALID_ARGUMENT where nothing begins like that, as Spark. */
  override openStream(streamId: string): ManagedBuffer | null {
    if (Buffer.byteLength(streamId) > FILE_PATH_BYTES_MAX) return null;
    const segments = (streamId.startsWith("/") ? streamId.slice(1) : streamId).split("/");
    // No name of a file, and neither of these leads out by accident.
    if (segments.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"))) return null;
    const [first = "", ...rest] = segments;
    if (RESERVED.includes(first)) {
      const file = first === "files" ? this.#files.get(rest.join("/")) : undefined;
      return file === undefined ? null : new ServedFile(streamId, file, null);
    }
    const path = segments.join("/");
    const base = this.#baseOf(path);
    const root = base === null ? undefined : this.#directories.get(base);
    if (base === null || root === undefined) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `Invalid stream URI: ${first} not found.`);
    }
    return path === base ? null : new ServedFile(streamId, root, path.slice(base.length + 1));
  }

  /** The longest base that the path begins with. */
  #baseOf(path: string): string | null {
    let longest: string | null = null;
    for (const base of this.#directories.keys()) {
      if (longest !== null && base.length <= longest.length) continue;
      if (path === base || path.startsWith(`${base}/`)) longest = base;
    }
    return longest;
  }

  #running(): RpcAddress {
    if (this.#stopped !== null) throw this.#stopped;
    const address = this.#address();
    if (address === null) {
      throw invalid("an environment that does not listen has no address to serve files from: create it with a port");
    }
    return address;
  }

  #refuseTaken(base: string): void {
    const taken = this.#directories.get(base);
    if (taken !== undefined) throw invalid(`addDirectory: URI "/${base}" is taken already: directory=${taken}`);
  }
}

/** The parts of a base URI: decoded, dots resolved, slashes at its ends and in a row taken for one. */
function baseSegments(baseUri: string): string[] {
  const refused = (why: string): RpcError => invalid(`addDirectory: ${why}: baseUri=${JSON.stringify(baseUri)}`);
  if (typeof baseUri !== "string" || /[?#\0]/.test(baseUri))
    throw refused("the base URI must be a path, such as /data");
  const segments: string[] = [];
  for (const encoded of baseUri.split("/")) {
    const part = decodedPart(encoded);
    if (part === null || part.includes("/") || part.includes("\0")) {
      throw refused("the base URI must be a path, percent-encoded");
    }
    if (part === "" || part === ".") continue;
    if (part !== "..") segments.push(part);
    else if (segments.pop() === undefined) throw refused("the base URI leads above its root");
  }
  const [first] = segments;
  if (first === undefined) throw refused("the base URI names nothing");
  if (RESERVED.includes(first)) throw refused("Directory URI cannot be /files nor /jars, nor begin with them");
  const bytes = Buffer.byteLength(segments.join("/"));
  if (bytes >= FILE_PATH_BYTES_MAX) throw refused(`the base URI is too long, maxBytes=${FILE_PATH_BYTES_MAX}`);
  return segments;
}

function decodedPart(encoded: string): string | null {
  try {
    return decodeURIComponent(encoded);
  } catch {
    // A stray percent sign.
    return null;
  }
}

/** Throws ERR_RPC_INVALID_ARGUMENT for what is not there, or is something else. */
async function realPathOf(what: string, path: string, kind: "file" | "directory"): Promise<string> {
  if (typeof path !== "string") throw invalid(`${what}: a path is a string: path=${String(path)}`);
  let real: string;
  let isOfKind: boolean;
  try {
    real = await realpath(path);
    const stats = await stat(real);
    isOfKind = kind === "file" ? stats.isFile() : stats.isDirectory();
  } catch (cause) {
    const text = `${what}: ${JSON.stringify(path)} cannot be served: ${(cause as Error).message}`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text, { cause });
  }
  if (!isOfKind) throw invalid(`${what}: ${JSON.stringify(path)} is no ${kind === "file" ? "regular file" : kind}`);
  return real;
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
