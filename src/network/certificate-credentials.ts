/**
 * Certificates as credentials: both sides show one that the other's authority signed. A peer's identity is the first URI
 * in its certificate's subjectAltName, else the first DNS name there; a subject's common name says nothing.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import type { Credentials, HostAndPort, Identified, TlsError } from "./credentials.js";
import { TLS_VERSION_OPTIONS } from "./tls-errors.js";

const CERTIFICATE_BEGIN = /-----BEGIN (?:X509 )?CERTIFICATE-----/;

/** PEM, as text or bytes. */
export type Pem = string | Uint8Array;

export interface CertificateOptions {
  readonly key: Pem;
  /** This side's certificate, and after it those between it and the authority. */
  readonly cert: Pem;
  /** The authorities whose certificates are accepted; those that the system trusts do not count. */
  readonly ca: Pem | readonly Pem[];
  readonly passphrase?: string | undefined;
  /** The name that certificates of servers must have, where it is not the host that is dialled. */
  readonly serverName?: string | undefined;
}

const OPTION_KEYS: OptionKeys<CertificateOptions> = {
  key: true,
  cert: true,
  ca: true,
  passphrase: true,
  serverName: true,
};

export class CertificateCredentials implements Credentials {
  readonly judgedLate = true;
  readonly #material: Pick<TlsOptions, "key" | "cert" | "ca" | "passphrase">;
  readonly #serverName: string | undefined;

  /** Throws ERR_RPC_INVALID_ARGUMENT, naming the part, when one is missing or is no PEM, or when key and certificate do not match. */
  constructor(options: CertificateOptions) {
    checkOptions("tls", options, OPTION_KEYS);
    for (const part of ["key", "cert", "ca"] as const) {
      if (options[part] === undefined || options[part] === null || options[part].length === 0) {
        throw invalid(`tls needs key, cert and ca, each in PEM: ${part} is missing`);
      }
    }
    const { key, cert, ca, passphrase, serverName } = options;
    this.#material = {
      key: buffer(key),
      cert: buffer(cert),
      ca: (Array.isArray(ca) ? (ca as readonly Pem[]) : [ca as Pem]).map(buffer),
      ...(passphrase === undefined ? {} : { passphrase }),
    };
    this.#serverName = serverName;
    check("tls.key, a private key in PEM,", () => createSecureContext({ key: this.#material.key, passphrase }));
    check("tls.cert", () => checkCertificates(cert));
    // OpenSSL takes a text without any, and nobody could connect.
    check("tls.ca", () => (Array.isArray(ca) ? (ca as readonly Pem[]) : [ca as Pem]).forEach(checkCertificates));
    check("tls.key with tls.cert", () => createSecureContext(this.#material));
  }

  get serverOptions(): TlsOptions {
    // Judged in `identifyClient`, which every handshake comes to: Node.js itself would end the connection without a reason.
    return { ...TLS_VERSION_OPTIONS, ...this.#material, requestCert: true, rejectUnauthorized: false };
  }

  clientOptions({ host }: HostAndPort): ConnectionOptions {
    const name = this.#serverName ?? host;
    return {
      ...TLS_VERSION_OPTIONS,
      ...this.#material,
      rejectUnauthorized: true,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    };
  }

  identifyClient(socket: TLSSocket): Identified {
    return identify(socket);
  }

  identifyServer(socket: TLSSocket): Identified {
    return identify(socket);
  }

  appIdOf(identity: string): string {
    return identity;
  }

  whyRefused(error: TlsError): string {
    if (ALERTS_ABOUT_CERTIFICATES.test(error.code ?? "")) {
      return `the peer refuses this side's certificate (${alertOf(error)})`;
    }
    return error.message;
  }

  whyFailed(error: TlsError): string {
    const { code = "" } = error;
    if (VERDICTS[code] !== undefined) return `the peer's certificate is refused: ${reasonOf(code)}`;
    if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
      return `the peer's certificate is for another name: ${error.message}; \`tls.serverName\` says which one to expect`;
    }
    if (code === "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED") return "the peer wants a certificate, and got none";
    if (code === "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE") {
      return "the peer has no certificate to show: it was set up with `secret`, this side with `tls`";
    }
    if (ALERTS_ABOUT_CERTIFICATES.test(code)) return `the peer refuses this side's certificate (${alertOf(error)})`;
    return error.message;
  }
}

/** Servers and clients are held to the same. */
function identify(socket: TLSSocket): Identified {
  const certificate = socket.getPeerX509Certificate();
  // A continued session counts as authorized, without a certificate too.
  if (certificate === undefined || socket.isSessionReused()) return { why: "the peer shows no certificate" };
  const verdict = socket.authorizationError as unknown as string | null | undefined;
  if (!socket.authorized) return { why: `the peer's certificate is refused: ${reasonOf(String(verdict))}` };
  const names = subjectAltNames(certificate.subjectAltName ?? "");
  const identity = names.find(({ kind }) => kind === "URI") ?? names.find(({ kind }) => kind === "DNS");
  return identity === undefined
    ? { why: "the peer's certificate names nobody: its subjectAltName has neither a URI nor a DNS name" }
    : { identity: identity.value };
}

/** The verdicts of OpenSSL that one meets. */
const VERDICTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "it has expired",
  CERT_NOT_YET_VALID: "it is not valid yet",
  CERT_REVOKED: "it was revoked",
  INVALID_PURPOSE: "it is not meant for this purpose",
  SELF_SIGNED_CERT_IN_CHAIN: "`tls.ca` of this side does not know who signed it (SELF_SIGNED_CERT_IN_CHAIN)",
  DEPTH_ZERO_SELF_SIGNED_CERT: "`tls.ca` of this side does not know who signed it (DEPTH_ZERO_SELF_SIGNED_CERT)",
  UNABLE_TO_GET_ISSUER_CERT: "`tls.ca` of this side does not know who signed it (UNABLE_TO_GET_ISSUER_CERT)",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "`tls.ca` of this side does not know who signed it (UNABLE_TO_GET_ISSUER_CERT_LOCALLY)",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "`tls.ca` of this side does not know who signed it (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
  CERT_SIGNATURE_FAILURE: "its signature is wrong",
};

function reasonOf(verdict: string): string {
  return VERDICTS[verdict] ?? verdict;
}

const ALERTS_ABOUT_CERTIFICATES = /ALERT_(?:BAD_|UNSUPPORTED_)?CERTIFICATE|ALERT_UNKNOWN_CA|ALERT_ACCESS_DENIED/;

function alertOf({ code = "" }: TlsError): string {
  return code
    .replace(/^ERR_SSL_\w*?ALERT_/, "")
    .toLowerCase()
    .replaceAll("_", " ");
}

/**
 * Reads `DNS:a.example, URI:spiffe://x`. A value with a comma or a quote in it stands there as a JSON string, so that no
 * name can pass for several.
 */
export function subjectAltNames(text: string): { readonly kind: string; readonly value: string }[] {
  const names: { kind: string; value: string }[] = [];
  const entry = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/gy;
  for (let match = entry.exec(text); match !== null; match = entry.exec(text)) {
    const [, kind = "", written = ""] = match;
    const value = written.startsWith('"') ? String(JSON.parse(written)) : written;
    if (value !== "") names.push({ kind, value });
  }
  return names;
}

function buffer(pem: Pem): string | Buffer {
  return typeof pem === "string" ? pem : Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength);
}

function check(what: string, use: () => void): void {
  try {
    use();
  } catch (error) {
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `${what} cannot be used: ${describe(error)}`, { cause: error });
  }
}

/** Throws for a text without certificates, and for one of which a certificate cannot be read. */
function checkCertificates(pem: Pem): void {
  const [, ...certificates] = buffer(pem).toString().split(CERTIFICATE_BEGIN);
  if (certificates.length === 0) throw new Error("it holds no certificate in PEM");
  for (const certificate of certificates) new X509Certificate(`-----BEGIN CERTIFICATE-----${certificate}`);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
