/**
 * A shared secret as credentials: TLS 1.3 with a pre-shared key and nothing else. There are no certificates; a server
 * that shows one, whoever signed it, has not proved that it knows the secret.
 */
import type { ConnectionOptions, TLSSocket, TlsOptions } from "node:tls";
import type { Credentials, Identified, TlsError } from "./credentials.js";
import { messageOf } from "./failure-text.js";
import { checkAppId, formatIdentity, type PreSharedKey, parseIdentity, preSharedKeys, type Secret } from "./secret.js";
import { TLS_VERSION_OPTIONS } from "./tls-errors.js";

export interface SecretOptions {
  /** Several while one replaces another: all are accepted, the first is dialled with. */
  readonly secret: Secret | readonly Secret[];
  /** Whom this process says it belongs to. */
  readonly appId: string;
  /**
   * For a server of many applications: what each of them has to know, instead of `secret`; null: it is not known. Asked in each
   * handshake: what it throws, and a secret that cannot be, ends that one.
   */
  readonly secretOf?: ((appId: string) => Secret | readonly Secret[] | null) | undefined;
}

/** Those whose hash is SHA-256, as a pre-shared key demands; AES first, which is in hardware nearly everywhere. */
const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

/** What a client offered, by its socket. */
type Offer = {
  readonly identity: string;
  readonly known: boolean;
  /** Why it could not be found out whether it is known; null: it was. */
  readonly failure: string | null;
};

export class SecretCredentials implements Credentials {
  readonly judgedLate = false;
  readonly #keys: readonly PreSharedKey[];
  readonly #ownIdentity: string;
  readonly #dialled: PreSharedKey;
  readonly #secretOf: SecretOptions["secretOf"];
  readonly #offers = new WeakMap<object, Offer>();

  constructor({ secret, appId, secretOf }: SecretOptions) {
    this.#keys = preSharedKeys(secret);
    this.#dialled = this.#keys[0] as PreSharedKey;
    this.#ownIdentity = formatIdentity(checkAppId(appId), this.#dialled.id);
    this.#secretOf = secretOf;
  }

  get serverOptions(): TlsOptions {
    return {
      ...TLS_VERSION_OPTIONS,
      ciphers: CIPHERS,
      pskCallback: (socket: TLSSocket, identity: string) => this.#keyOf(socket, identity),
    };
  }

  clientOptions(): ConnectionOptions {
    const { id, key } = this.#dialled;
    return {
      ...TLS_VERSION_OPTIONS,
      ciphers: CIPHERS,
      pskCallback: () => ({ psk: key, identity: this.#ownIdentity }),
      // No authority counts here, not even those that the system trusts: one of them would vouch for a stranger.
      ca: [],
      checkServerIdentity: () => new Error(`the server showed a certificate to a client with the key id ${id}`),
    };
  }

  identifyClient(socket: TLSSocket): Identified {
    const offer = this.#offers.get(socket);
    // A session that is continued without an offer was not begun with a secret that counts now.
    if (offer?.known !== true || !usedKey(socket)) return { why: NOT_USED };
    return { identity: offer.identity };
  }

  /** All that a client knows of its server is that it has the same secret. */
  identifyServer(socket: TLSSocket): Identified {
    return usedKey(socket) ? { identity: this.#ownIdentity } : { why: NOT_USED };
  }

  appIdOf(identity: string): string | null {
    return parseIdentity(identity)?.appId ?? null;
  }

  whyRefused(error: TlsError, socket: TLSSocket): string {
    const offer = this.#offers.get(socket);
    const whose = offer === undefined ? "" : ` ${quoted(offer.identity)}`;
    if (error.code === "ERR_SSL_BINDER_DOES_NOT_VERIFY") return `the peer's secret is another one than that of${whose}`;
    if (offer !== undefined && offer.failure !== null) {
      return `the secret of the application cannot be had, it comes as${whose}: ${offer.failure}`;
    }
    if (offer !== undefined && !offer.known) {
      return `the peer's secret is none of this side's: it comes as${whose}, known key ids: ${this.#knownIds()}`;
    }
    if (offer === undefined && NO_KEY_OFFERED.has(error.code ?? "")) return "the peer offers no secret";
    return error.message;
  }

  whyFailed(error: TlsError): string {
    const own = `the key id ${this.#dialled.id}`;
    switch (error.code) {
      case "ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER":
      case "ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR":
        return `the peer has another secret for ${own}`;
      case "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE":
      case "ERR_SSL_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY":
        return `the peer does not know ${own}: its secret is another one, or none`;
      case "SELF_SIGNED_CERT_IN_CHAIN":
      case "DEPTH_ZERO_SELF_SIGNED_CERT":
      case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
        return "the peer shows a certificate instead of using the secret: it was set up with `tls`, this side with `secret`";
      default:
        return error.message;
    }
  }

  #keyOf(socket: TLSSocket, identity: string): Uint8Array | null {
    const named = parseIdentity(identity);
    let found: PreSharedKey | undefined;
    let failure: string | null = null;
    try {
      const keys = named === null ? [] : this.#keysOf(named.appId);
      found = keys.find(({ id }) => id === named?.keyId);
    } catch (error) {
      // OpenSSL is asking: what is thrown into it would be uncaught, and end the process.
      failure = messageOf(error);
    }
    this.#offers.set(socket, { identity, known: found !== undefined, failure });
    return found?.key ?? null;
  }

  #keysOf(appId: string): readonly PreSharedKey[] {
    if (this.#secretOf === undefined) return this.#keys;
    const secret = this.#secretOf(appId);
    return secret === null ? [] : preSharedKeys(secret);
  }

  #knownIds(): string {
    return this.#secretOf === undefined ? this.#keys.map(({ id }) => id).join(", ") : "those of the application";
  }
}

const NOT_USED = "the handshake did not use the secret";

/** A key that was used counts as a session that is continued; then there is no certificate. */
function usedKey(socket: TLSSocket): boolean {
  return socket.isSessionReused() && socket.getPeerX509Certificate() === undefined;
}

/** What OpenSSL says when it falls back to certificates and has none. */
const NO_KEY_OFFERED: ReadonlySet<string> = new Set([
  "ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM",
  "ERR_SSL_NO_SHARED_CIPHER",
]);

/** Bytes of a stranger in a text of ours. */
function quoted(identity: string): string {
  return JSON.stringify(identity.slice(0, 128));
}
