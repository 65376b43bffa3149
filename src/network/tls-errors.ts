/** What both kinds of credentials say in the same way. */
import { constants } from "node:crypto";
import { RpcError } from "../common/errors.js";
import type { HostAndPort, TlsError } from "./credentials.js";
import { hostPort } from "./dial.js";

/** TLS 1.3 and no tickets: a ticket would let a peer in after its secret or its certificate is no longer taken. */
export const TLS_VERSION_OPTIONS = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

/** The first byte of whatever TLS sends before it is encrypted: a hello. */
export const TLS_HANDSHAKE_BYTE = 0x16;

/** A fatal alert, as TLS writes it before there are keys: how a server says no to who has not begun a handshake. */
export const ALERT_PROTOCOL_VERSION = Uint8Array.of(0x15, 0x03, 0x03, 0, 2, 2, 70);
/** The nearest that TLS has to "busy". */
export const ALERT_INTERNAL_ERROR = Uint8Array.of(0x15, 0x03, 0x03, 0, 2, 2, 80);

/** What an error means whatever the credentials are; null: they know better. */
export function commonReason({ code }: TlsError): string | null {
  switch (code) {
    case "ERR_SSL_HTTP_REQUEST":
    case "ERR_SSL_HTTPS_PROXY_REQUEST":
      return "the peer speaks HTTP";
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "the peer does not speak TLS: it was set up without `secret` and `tls`";
    case "ERR_SSL_UNSUPPORTED_PROTOCOL":
    case "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION":
      return "the two have no version of TLS in common: 1.3 is the only one here";
    case "ECONNRESET":
    case "EPIPE":
      return "the peer ended the connection";
    default:
      return null;
  }
}

/** ERR_RPC_AUTH towards a peer that was dialled. */
export function dialRefusal(target: HostAndPort, why: string, cause: Error | null, retryable = false): RpcError {
  const { host, port } = target;
  return new RpcError("ERR_RPC_AUTH", `no trust between this side and ${hostPort(target)}: ${why}`, {
    ...(cause === null ? {} : { cause }),
    address: { host, port },
    retryable,
  });
}

/** ERR_RPC_AUTH about a peer that came. */
export function acceptRefusal(peer: HostAndPort, why: string, cause: Error | null): RpcError {
  return new RpcError("ERR_RPC_AUTH", `refused the connection from ${hostPort(peer)}: ${why}`, {
    ...(cause === null ? {} : { cause }),
    address: peer,
  });
}
