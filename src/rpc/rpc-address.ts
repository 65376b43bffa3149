/** Addresses of environments. Plain data, so that an address stays usable after it travelled inside a message. */
import { RpcError } from "../common/errors.js";

export interface RpcAddress {
  /** A host name, an IPv4 address, or an IPv6 address: without brackets, in its shortest form where `parse` made it. */
  readonly host: string;
  /** 1 – 65535. */
  readonly port: number;
}

/** `ringpost://host:port`, nothing before or after it. Spark's own scheme is accepted as well. */
const ADDRESS_URI =
  /^(?:ringpost|spark):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?)):([1-9][0-9]{0,4})$/;

export const RpcAddress = {
  /**
   * Reads `ringpost://host:port` (or `spark://host:port`); an IPv6 host stands in brackets. The host becomes lower case,
   * and an IPv6 address its shortest form.
   * Throws ERR_RPC_INVALID_ARGUMENT for anything else: a missing port, a path, a user, a port outside 1 – 65535.
   */
  parse(uri: string): RpcAddress {
    const match = ADDRESS_URI.exec(uri);
    const port = Number(match?.[3]);
    const ipv6 = match?.[1];
    const host = ipv6 === undefined ? match?.[2]?.toLowerCase() : shortestIpv6(ipv6);
    if (host === undefined || host === null || port > 65_535) {
      throw new RpcError(
        "ERR_RPC_INVALID_ARGUMENT",
        `not an address: ${JSON.stringify(uri)}; expected ringpost://host:port with a port of 1 to 65535, IPv6 in brackets`,
      );
    }
    return { host, port };
  },

  /** Writes `ringpost://host:port`; `parse` reads it back. */
  format(address: RpcAddress): string {
    return `ringpost://${RpcAddress.hostPort(address)}`;
  },

  /** Writes `host:port`, an IPv6 address in its shortest form and in brackets. */
  hostPort({ host, port }: RpcAddress): string {
    return host.includes(":") ? `[${sameForAll(host)}]:${port}` : `${host}:${port}`;
  },

  /**
   * The same host and port: letter case aside, and however an IPv6 address is written; names are not resolved. Two nulls
   * are equal: both are this process.
   */
  equals(a: RpcAddress | null, b: RpcAddress | null): boolean {
    if (a === null || b === null) return a === b;
    return a.port === b.port && (a.host === b.host || sameForAll(a.host) === sameForAll(b.host));
  },
};

/** One text for all ways to write a host. */
function sameForAll(host: string): string {
  if (!host.includes(":")) return host.toLowerCase();
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  // A scoped address, such as fe80::1%eth0, is none that a URL can hold.
  return shortestIpv6(bare) ?? bare.toLowerCase();
}

/** An IPv6 address in its shortest form, by the rules of URLs, which are those of RFC 5952; null for what is none. */
function shortestIpv6(address: string): string | null {
  const url = `http://[${address}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : null;
}
