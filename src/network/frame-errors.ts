/**
 * What is said of a length that no frame may have. A stranger's first bytes are mostly another protocol, met by a wrong port
 * or a missing `tls`: then the text names it, because the number by itself would not help anybody.
 */
import { RpcError } from "../common/errors.js";
import { i64At } from "./big-endian.js";

/** Smallest frame: its length and a type byte. */
export const FRAME_BYTES_MIN = 9;
/** Bytes of the length field, counted by itself. */
export const FRAME_LENGTH_BYTES = 8;

const HTTP_STARTS = ["GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI ", "HTTP"];
const TLS_ALERT = 0x15;
const TLS_HANDSHAKE = 0x16;

const TLS_ALERT_NAME = "a TLS alert";

/** Where it is a peer of ours that speaks so. */
const WHAT_TO_DO: Readonly<Record<string, string>> = {
  [TLS_ALERT_NAME]: ", so the peer wants `secret` or `tls`, which this side has not",
  "a TLS hello": ", so the peer has `secret` or `tls`, which this side has not",
};

/**
 * The protocol that begins with these bytes, as words; null for none of the well-known ones. No frame begins like them, and
 * three or four bytes are enough to tell, which matters with those who then wait for an answer.
 */
export function foreignProtocol(bytes: Uint8Array, start: number, end: number): string | null {
  const [first = 0, second = 0, third = 0] = bytes.subarray(start, end);
  if (end - start < 3) return null;
  if (second === 3 && third <= 4 && first === TLS_HANDSHAKE) return "a TLS hello";
  if (second === 3 && third <= 4 && first === TLS_ALERT) return TLS_ALERT_NAME;
  const word = String.fromCharCode(...bytes.subarray(start, Math.min(start + 4, end)));
  if (word === "SSH-") return "SSH";
  return HTTP_STARTS.includes(word) ? "HTTP" : null;
}

/** @param start Where the 8 bytes of the length stand. */
export function wrongLength(bytes: Uint8Array, start: number, isFirst: boolean, frameBytesMax: number): RpcError {
  const length = i64At(bytes, start);
  const payload = length - BigInt(FRAME_LENGTH_BYTES);
  // The first words and the number behind them are Spark's: there the length counts without itself.
  const text =
    payload > 0n
      ? `Too large frame: ${payload}; its length field says ${length}, at most ${frameBytesMax} are allowed`
      : `Frame length should be positive: ${payload}; its length field says ${length}, the least is ${FRAME_BYTES_MIN}`;
  const end = start + FRAME_LENGTH_BYTES;
  if (!isFirst || bytes[start] === 0) return protocolError(text);
  return foreignError(`${text}. ${describeStart(bytes, start, end)}`, bytes, start, end);
}

/** For a connection whose first bytes, fewer than a length has, are another protocol's. */
export function foreignStart(bytes: Uint8Array, start: number, end: number): RpcError {
  return foreignError(`No frame of this protocol. ${describeStart(bytes, start, end)}`, bytes, start, end);
}

/** An alert of TLS is the answer of one who took what this side has sent for a handshake, and nothing of it for a message. */
function foreignError(text: string, bytes: Uint8Array, start: number, end: number): RpcError {
  const isAlert = foreignProtocol(bytes, start, end) === TLS_ALERT_NAME;
  return isAlert ? new RpcError("ERR_RPC_AUTH", text) : protocolError(text);
}

export function protocolError(text: string): RpcError {
  return new RpcError("ERR_RPC_PROTOCOL", text);
}

function describeStart(bytes: Uint8Array, start: number, end: number): string {
  const hex = Array.from(bytes.subarray(start, end), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const protocol = foreignProtocol(bytes, start, end);
  const looks = protocol === null ? "look like no frame of this protocol" : `look like ${protocol}`;
  return `The first bytes of the connection ${looks}: ${hex}${WHAT_TO_DO[protocol ?? ""] ?? ""}`;
}
