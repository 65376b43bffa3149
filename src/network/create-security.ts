/** Which security a transport gets: by secret, by certificate, or none. */
import { checkOptions, type OptionKeys } from "../common/check-options.js";
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

const OPTION_KEYS: OptionKeys<SecurityOptions> = {
  secret: true,
  secretOf: true,
  tls: true,
  appId: true,
  handshakeTimeoutMs: true,
};
const APP_ID_DEFAULT = "ringpost";

/** Throws ERR_RPC_INVALID_ARGUMENT for a secret that is too short, certificates that cannot be used, for both, and for an option that there is not. */
export function createSecurity(options: SecurityOptions, clock: Clock): TransportSecurity {
  checkOptions("createSecurity", options, OPTION_KEYS);
  const { secret, secretOf, tls, appId = APP_ID_DEFAULT, handshakeTimeoutMs } = options;
  if (secretOf !== undefined && secret === undefined) {
    // Without the own one nothing would be proved at all.
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", "secretOf needs secret, too: what this side proves itself by");
  }
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
