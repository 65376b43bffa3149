/** Which security a transport gets: by secret, by certificate, or none. */
import type { Clock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { CertificateCredentials, type CertificateOptions } from "./certificate-credentials.js";
import { SecretCredentials, type SecretOptions } from "./secret-credentials.js";
import { TlsSecurity } from "./tls-security.js";
import { PlaintextSecurity, type TransportSecurity } from "./transport-security.js";

export interface SecurityOptions {
  readonly secret?: SecretOptions["secret"] | undefined;
  readonly secretOf?: SecretOptions["secretOf"];
  readonly tls?: CertificateOptions | undefined;
  /** Whom this process belongs to, where it proves itself by secret. */
  readonly appId?: string | undefined;
  /** Of a handshake of TLS, at either end. */
  readonly handshakeTimeoutMs?: number;
}

const APP_ID_DEFAULT = "ringpost";

/** Throws ERR_RPC_INVALID_ARGUMENT for a secret that is too short, certificates that cannot be used, and for both. */
export function createSecurity(options: SecurityOptions, clock: Clock): TransportSecurity {
  const { secret, secretOf, tls, appId = APP_ID_DEFAULT, handshakeTimeoutMs } = options;
  if (secret !== undefined && tls !== undefined) {
    // A peer has one identity, and two kinds of proof could give it two.
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "give either secret or tls: a peer proves itself in one way");
  }
  if (secret !== undefined) {
    return new TlsSecurity(new SecretCredentials({ secret, appId, secretOf }), clock, handshakeTimeoutMs);
  }
  if (tls !== undefined) return new TlsSecurity(new CertificateCredentials(tls), clock, handshakeTimeoutMs);
  return new PlaintextSecurity(clock);
}
