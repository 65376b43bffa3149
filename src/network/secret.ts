/**
 * Secrets and the keys made of them. A peer that has a secret proves it in the handshake of TLS 1.3 by a pre-shared key;
 * the key and its id come from the secret by HKDF, so neither the wire nor a log ever holds the secret. The id lets two
 * secrets be valid at once while one replaces the other.
 */
import { hkdfSync } from "node:crypto";
import { RpcError } from "../common/errors.js";
import { APP_ID_BYTES_MAX, SECRET_BYTES_MIN } from "../common/limits.js";

/** Text counts as its UTF-8 bytes. */
export type Secret = string | Uint8Array;

export interface PreSharedKey {
  /** A short fingerprint of the secret: public, part of the identity. */
  readonly id: string;
  readonly key: Uint8Array;
}

const KEY_BYTES = 32;
const KEY_ID_BYTES = 6;

/**
 * The keys of one secret or several; the first is the one that is dialled with.
 * Throws ERR_RPC_INVALID_ARGUMENT for a secret that is too short, for none, and for the same one twice. No text of an
 * error holds any of it.
 */
export function preSharedKeys(secrets: Secret | readonly Secret[]): readonly PreSharedKey[] {
  const list: readonly Secret[] = Array.isArray(secrets) ? secrets : [secrets as Secret];
  if (list.length === 0) throw invalid("secret must be at least one: the list is empty");
  const keys = list.map(preSharedKey);
  if (new Set(keys.map(({ id }) => id)).size < keys.length) throw invalid("secret has the same one twice");
  return keys;
}

function preSharedKey(secret: Secret): PreSharedKey {
  if (typeof secret !== "string" && !(secret instanceof Uint8Array)) {
    throw invalid(`secret must be a string or a Uint8Array: it is ${secret === null ? "null" : typeof secret}`);
  }
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  if (bytes.length < SECRET_BYTES_MIN) {
    const make = "make one with: openssl rand -hex 32";
    throw invalid(`secret is too short to be safe: bytes=${bytes.length}, min=${SECRET_BYTES_MIN}; ${make}`);
  }
  return {
    id: Buffer.from(derive(bytes, "ringpost psk v1 id", KEY_ID_BYTES)).toString("hex"),
    key: derive(bytes, "ringpost psk v1", KEY_BYTES),
  };
}

function derive(secret: Uint8Array, info: string, bytes: number): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), info, bytes));
}

/** What travels in clear in the handshake: whose key this is, and which of his. */
export function formatIdentity(appId: string, keyId: string): string {
  return `${appId}:${keyId}`;
}

/** Reads an identity; null for what is none. The id of a key holds no colon, so that of an application may. */
export function parseIdentity(identity: string): { readonly appId: string; readonly keyId: string } | null {
  const at = identity.lastIndexOf(":");
  return at <= 0 ? null : { appId: identity.slice(0, at), keyId: identity.slice(at + 1) };
}

/** Throws ERR_RPC_INVALID_ARGUMENT for an id that cannot stand in an identity. */
export function checkAppId(appId: string): string {
  if (typeof appId === "string" && appId.length <= APP_ID_BYTES_MAX && /^[!-~]+$/.test(appId)) return appId;
  const range = `1 to ${APP_ID_BYTES_MAX} printable ASCII characters without blanks`;
  throw invalid(`appId must be ${range}: appId=${JSON.stringify(appId)}`);
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
