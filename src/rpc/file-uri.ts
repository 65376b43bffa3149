/** The uri of a file that an environment serves: `ringpost://host:port/path`, percent-encoded. */
import { RpcError } from "../common/errors.js";
import { RpcAddress } from "./rpc-address.js";

/** A file by its place in the world. */
export interface FilePlace {
  readonly address: RpcAddress;
  /** Decoded, from the first slash on: as a request carries it. */
  readonly path: string;
}

const FILE_URI = /^(?:ringpost|spark):\/\/([^/@?#]+)(\/[^?#]+)$/;

/** Writes the uri of a file; `parseFileUri` reads it back. */
export function formatFileUri(address: RpcAddress, segments: readonly string[]): string {
  const path = segments.map((segment) => encodeURIComponent(segment.toWellFormed()));
  return [RpcAddress.format(address), ...path].join("/");
}

/**
 * Reads the uri of a file; Spark's scheme is accepted as well. The path stays as it is: no dots are resolved, whoever
 * serves it decides. Throws ERR_RPC_INVALID_ARGUMENT for anything else: no port, no path, a user, a query, a stray percent.
 */
export function parseFileUri(uri: string): FilePlace {
  const [, hostPort, encoded] = (typeof uri === "string" ? FILE_URI.exec(uri) : null) ?? [];
  const path = encoded === undefined ? null : decoded(encoded);
  if (hostPort === undefined || path === null) {
    const shown = JSON.stringify(uri) ?? String(uri);
    const text = `not the uri of a file: ${shown}; expected ringpost://host:port/path, percent-encoded`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }
  return { address: RpcAddress.parse(`ringpost://${hostPort}`), path };
}

function decoded(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    // A stray percent sign.
    return null;
  }
}
