/** Addresses of environments. Plain data, so that an address stays usable after it travelled inside a message. */
import { RpcError } from "../common/errors.js";

export interface RpcAddress {
  /** A host name, an IPv4 address or an IPv6 address without brackets. */
  readonly host: string;
  /** 1 – 65535. */
  readonly port: number;
}

/** `ringpost://host:port`, nothing before or after it. Spark's own scheme is accepted as well. */
const ADDRESS_URI =
  /^(?:ringpost|spark):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?)):([1-9][0-9]{0,4})$/;

export const RpcAddress = {
  /**
   * Reads `ringpost://host:port` (or `spark://host:port`); an IPv6 host stands in brackets. The host becomes lower case.
   * Throws ERR_RPC_INVALID_ARGUMENT for anything else: a missing port, a path, a user, a port outside 1 – 65535.
   */
  parse(uri: string): RpcAddress {
    const match = ADDRESS_URI.exec(uri);
    const port = Number(match?.[3]);
    const ipv6 = match?.[1];
    if (match === null || port > 65_535 || (ipv6 !== undefined && !URL.canParse(`http://[${ipv6}]/`))) {
      throw new RpcError(
        "ERR_RPC_INVALID_ARGUMENT",
        `not an address: ${JSON.stringify(uri)}; expected ringpost://host:port with a port of 1 to 65535, IPv6 in brackets`,
      );
    }
    return { host: (ipv6 ?? match[2] ?? "").toLowerCase(), port };
  },

  /** Writes `ringpost://host:port`; `parse` reads it back. */
  format(address: RpcAddress): string {
    return `ringpost://${RpcAddress.hostPort(address)}`;
  },

  /** Writes `host:port`, an IPv6 host in brackets. */
  hostPort({ host, port }: RpcAddress): string {
    return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  },

  /** The same host (letter case aside, names are not resolved) and port. Two nulls are equal: both are this process. */
  equals(a: RpcAddress | null, b: RpcAddress | null): boolean {
    if (a === null || b === null) return a === b;
    return a.port === b.port && a.host.toLowerCase() === b.host.toLowerCase();
  },
};
