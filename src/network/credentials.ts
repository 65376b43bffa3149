/**
 * Credentials: what one kind of proof (a secret, a certificate) adds to the handshake that both have in common. They say
 * what to put into TLS, whom a finished handshake leads to, and what a failed one means.
 */
import type { ConnectionOptions, TLSSocket, TlsOptions } from "node:tls";

/** A host and a port that were dialled, or where a connection came from. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

export interface Credentials {
  readonly serverOptions: TlsOptions;
  clientOptions(target: HostAndPort): ConnectionOptions;

  /** True when a server judges its client only after the client's own handshake is done. */
  readonly judgedLate: boolean;

  /** At a server, who its client is, now that the handshake is done: a name, or why there is none that counts. */
  identifyClient(socket: TLSSocket): Identified;
  /** The same at a client. */
  identifyServer(socket: TLSSocket): Identified;

  /** The application that an identity of this kind stands for. */
  appIdOf(identity: string): string | null;

  /** Why a server's handshake failed: one sentence, without a full stop, about which side lacks what. */
  whyRefused(error: TlsError, socket: TLSSocket): string;
  /** The same at a client, with what the other side said of it. */
  whyFailed(error: TlsError): string;
}

export type Identified = { readonly identity: string } | { readonly why: string };

/** Codes are OpenSSL's reason in capitals, ERR_SSL_ before it, or those of node:tls. */
export interface TlsError extends Error {
  readonly code?: string | undefined;
}
