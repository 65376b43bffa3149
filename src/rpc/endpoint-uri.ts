/** The uri of a reference: `ringpost://name@host:port`, and `ringpost://name` of an environment that does not listen. */
import { RpcError } from "../common/errors.js";
import { RpcAddress } from "./rpc-address.js";

/** An endpoint by its place in the world. `address` null: in this process. */
export interface RpcEndpointPlace {
  readonly name: string;
  readonly address: RpcAddress | null;
}

/** Spark writes `spark-client://name` for an endpoint of an environment that does not listen. */
const ENDPOINT_URI = /^(?:ringpost|spark|spark-client):\/\/([^@/?#]+)(?:@([^@/?#]+))?$/;

/** Writes the uri of an endpoint; `parseEndpointUri` reads it back. What a uri cannot hold of a name is percent-encoded. */
export function formatEndpointUri(name: string, address: RpcAddress | null): string {
  const encoded = encodeURIComponent(name.toWellFormed());
  return address === null ? `ringpost://${encoded}` : RpcAddress.format(address).replace("//", () => `//${encoded}@`);
}

/** Reads the uri of an endpoint. Throws ERR_RPC_INVALID_ARGUMENT for anything else, and for an address that is none. */
export function parseEndpointUri(uri: string): RpcEndpointPlace {
  const match = ENDPOINT_URI.exec(uri);
  const name = match === null ? null : decoded(match[1] ?? "");
  if (name === null) {
    const expected = "expected ringpost://name@host:port, or ringpost://name for an endpoint of this environment";
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `not the uri of an endpoint: ${JSON.stringify(uri)}; ${expected}`);
  }
  const hostAndPort = match?.[2];
  return { name, address: hostAndPort === undefined ? null : RpcAddress.parse(`ringpost://${hostAndPort}`) };
}

function decoded(name: string): string | null {
  try {
    return decodeURIComponent(name);
  } catch {
    // A stray percent sign.
    return null;
  }
}
