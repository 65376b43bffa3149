/**
 * The envelope: what stands before a message in the body of an RpcRequest or a OneWayMessage, and before an answer in
 * that of an RpcResponse. docs/protocol.md has the bytes. Steps 1, 2 and 8 of the data flow.
 *
 * A request begins as Spark's RequestMessage does (who sends it, where to, the endpoint's name), so that this part is
 * known before anything of ours is read; it is the same for all messages of one sender to one endpoint: the address.
 *
 *   address  sender: u8 present [u16 length, host, i32 port] · receiver: the same · u16 length, name of the endpoint
 *   ours     u8 version · u8 flags · u8 kind · u8 codec · i32 remaining ms, -1: no deadline
 *            [ENV_ID: u8 length, id of the sender's env] · the message
 *   answer   u8 version · u8 flags · u8 codec · u8 0 · the value, or [code, text, cause, maybeExecuted, retryable]
 */
import { RpcError } from "../common/errors.js";
import { ENDPOINT_NAME_BYTES_MAX, HOST_BYTES_MAX } from "../common/limits.js";
import { RecordKind } from "../inbox/record.js";
import { PayloadCodec } from "../rpc/codec.js";
import { RpcAddress } from "../rpc/rpc-address.js";

export const ENVELOPE_VERSION = 1;
/** Bytes of what is ours in a request, without the optional parts, and of an answer's envelope. */
const OWN_BYTES = 8;
export const ANSWER_BYTES = 4;
const NO_DEADLINE = -1;

const RequestFlag = { ENV_ID: 2 } as const;
const AnswerFlag = { FAILED: 1 } as const;

const ASK_KINDS: readonly number[] = [RecordKind.ASK, RecordKind.CALL];
const ONE_WAY_KINDS: readonly number[] = [RecordKind.SEND, RecordKind.CAST, RecordKind.BROADCAST];
const CODECS: readonly number[] = [PayloadCodec.EMPTY, PayloadCodec.MSGPACK, PayloadCodec.BYTES];

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The address part of all messages from `sender` to one endpoint. null: an env that does not listen. */
export function requestAddress(sender: RpcAddress | null, receiver: RpcAddress | null, name: string): Uint8Array {
  const nameBytes = utf8.encode(name);
  return Uint8Array.of(...addressBytes(sender), ...addressBytes(receiver), ...shortBytes(nameBytes));
}

export function requestBytes(address: Uint8Array, envId: Uint8Array, payloadBytes: number): number {
  return address.length + OWN_BYTES + (envId.length === 0 ? 0 : 1 + envId.length) + payloadBytes;
}

/**
 * Writes all but the message. Returns where that belongs.
 * @param remainingMs Milliseconds, or Infinity.
 * @param envId Id of the sender's env, in the first message of a connection; empty later.
 */
export function writeRequest(
  target: Uint8Array,
  at: number,
  address: Uint8Array,
  kind: number,
  payloadCodec: number,
  remainingMs: number,
  envId: Uint8Array,
): number {
  copyBytes(target, at, address, 0, address.length);
  let next = at + address.length;
  target[next++] = ENVELOPE_VERSION;
  target[next++] = envId.length === 0 ? 0 : RequestFlag.ENV_ID;
  target[next++] = kind;
  target[next++] = payloadCodec;
  // Whoever gets it counts from when it comes; a part of a millisecond is rounded in its favour.
  const remaining = remainingMs === Number.POSITIVE_INFINITY ? NO_DEADLINE : Math.max(1, Math.ceil(remainingMs));
  target[next++] = remaining >>> 24;
  target[next++] = remaining >>> 16;
  target[next++] = remaining >>> 8;
  target[next++] = remaining;
  if (envId.length > 0) {
    target[next++] = envId.length;
    target.set(envId, next);
    next += envId.length;
  }
  return next;
}

/** Up to this many bytes a loop beats a view and `set`. */
const LOOPED_BYTES_MAX = 160;

/** Copies `source[start .. end)`, as fast for a few bytes as for many. */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): void {
  const length = end - start;
  if (length <= LOOPED_BYTES_MAX) for (let i = 0; i < length; i++) target[at + i] = source[start + i] as number;
  else target.set(length === source.length ? source : source.subarray(start, end), at);
}

/** Writes the envelope of an answer. Returns where the value belongs. */
export function writeAnswer(target: Uint8Array, at: number, failed: boolean, payloadCodec: number): number {
  target[at] = ENVELOPE_VERSION;
  target[at + 1] = failed ? AnswerFlag.FAILED : 0;
  target[at + 2] = payloadCodec;
  target[at + 3] = 0;
  return at + ANSWER_BYTES;
}

/** Checks the envelope of an answer at `start`; its flags and codec are read by the two below. */
export function checkAnswer(bytes: Uint8Array, start: number, end: number): void {
  if (end - start < ANSWER_BYTES) throw malformed(`an answer of ${end - start} bytes has no envelope`);
  checkVersion(bytes[start] as number);
  if (!CODECS.includes(bytes[start + 2] as number)) throw malformed(`unknown codec: codec=${bytes[start + 2]}`);
}

export function answerFailed(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start + 1] as number) & AnswerFlag.FAILED) !== 0;
}

export function answerCodec(bytes: Uint8Array, start: number): number {
  return bytes[start + 2] as number;
}

/** Who sends, and to which endpoint: the parsed address part. */
export interface RequestAddress {
  readonly bytes: Uint8Array;
  readonly sender: RpcAddress | null;
  readonly name: string;
}

/**
 * Reads requests of one connection, one at a time. Nearly all come from one env for a few endpoints, so addresses are kept
 * and recognised by their bytes.
 */
export class RequestReader {
  readonly #known = new Map<string, RequestAddress>();
  /** Of the last request read. */
  address: RequestAddress = { bytes: new Uint8Array(0), sender: null, name: "" };
  kind = 0;
  payloadCodec = 0;
  /** Milliseconds, or Infinity. */
  remainingMs = Number.POSITIVE_INFINITY;
  envId: string | null = null;
  payloadStart = 0;

  /** @param oneWay nobody waits for an answer. Throws ERR_RPC_PROTOCOL for what is no request. */
  read(bytes: Uint8Array, start: number, end: number, oneWay: boolean): void {
    let at = this.#readAddress(bytes, start, end);
    if (end - at < OWN_BYTES) throw malformed("it ends within the envelope");
    checkVersion(bytes[at] as number);
    const flags = bytes[at + 1] as number;
    const kind = bytes[at + 2] as number;
    const payloadCodec = bytes[at + 3] as number;
    if (!(oneWay ? ONE_WAY_KINDS : ASK_KINDS).includes(kind)) throw malformed(`unknown kind of message: kind=${kind}`);
    if (!CODECS.includes(payloadCodec)) throw malformed(`unknown codec: codec=${payloadCodec}`);
    const remaining = i32(bytes, at + 4);
    at += OWN_BYTES;
    this.envId = null;
    if ((flags & RequestFlag.ENV_ID) !== 0) {
      const length = bytes[at++] ?? 0;
      if (length === 0 || end - at < length) throw malformed("it ends within the sender's id");
      this.envId = text(bytes, at, at + length);
      at += length;
    }
    this.kind = kind;
    this.payloadCodec = payloadCodec;
    this.remainingMs = remaining < 0 ? Number.POSITIVE_INFINITY : remaining;
    this.payloadStart = at;
  }

  #readAddress(bytes: Uint8Array, start: number, end: number): number {
    const last = this.address.bytes;
    if (last.length > 0 && startsWith(bytes, start, end, last)) return start + last.length;
    const afterSender = skipAddress(bytes, start, end);
    const nameAt = skipAddress(bytes, afterSender, end);
    if (end - nameAt < 2) throw malformed("it ends before the endpoint's name");
    const nameBytes = u16(bytes, nameAt);
    const next = nameAt + 2 + nameBytes;
    if (nameBytes === 0 || nameBytes > ENDPOINT_NAME_BYTES_MAX) {
      throw malformed(`an endpoint's name has 1 to ${ENDPOINT_NAME_BYTES_MAX} bytes: bytes=${nameBytes}`);
    }
    if (next > end) throw malformed("it ends within the endpoint's name");
    const key = Buffer.prototype.latin1Slice.call(bytes, start, next);
    let address = this.#known.get(key);
    if (address === undefined) {
      const sender = readAddress(bytes, start);
      // Not `slice`: of a Buffer that would be a view, and hold the chunk that it came in as long as the connection is there.
      address = { bytes: new Uint8Array(bytes.subarray(start, next)), sender, name: text(bytes, nameAt + 2, next) };
      if (this.#known.size >= KNOWN_ADDRESSES_MAX) this.#known.clear();
      this.#known.set(key, address);
    }
    this.address = address;
    return next;
  }
}

/** More endpoints than that on one connection cost a little more each. */
const KNOWN_ADDRESSES_MAX = 1_024;

function startsWith(bytes: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  const { length } = prefix;
  if (end - start < length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== prefix[i]) return false;
  return true;
}

/** Where the address at `at` ends. */
function skipAddress(bytes: Uint8Array, at: number, end: number): number {
  const present = bytes[at];
  if (at >= end) throw malformed("it ends before an address");
  if (present === 0) return at + 1;
  if (present !== 1 || end - at < 3) throw malformed(`an address begins with 0 or 1: byte=${present}`);
  const hostBytes = u16(bytes, at + 1);
  const next = at + 3 + hostBytes + 4;
  if (hostBytes === 0 || hostBytes > HOST_BYTES_MAX || next > end) {
    throw malformed(`a host has 1 to ${HOST_BYTES_MAX} bytes: bytes=${hostBytes}`);
  }
  return next;
}

/** An address that has been skipped. */
function readAddress(bytes: Uint8Array, at: number): RpcAddress | null {
  if (bytes[at] === 0) return null;
  const hostBytes = u16(bytes, at + 1);
  const host = text(bytes, at + 3, at + 3 + hostBytes);
  const port = i32(bytes, at + 3 + hostBytes);
  try {
    return RpcAddress.parse(`ringpost://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`);
  } catch {
    throw malformed(`its sender has no address: ${JSON.stringify(`${host}:${port}`)}`);
  }
}

function text(bytes: Uint8Array, start: number, end: number): string {
  try {
    return fromUtf8.decode(bytes.subarray(start, end));
  } catch {
    throw malformed("a name in it is no UTF-8");
  }
}

function addressBytes(address: RpcAddress | null): number[] {
  if (address === null) return [0];
  const { host, port } = address;
  return [1, ...shortBytes(utf8.encode(host)), port >>> 24, (port >>> 16) & 0xff, (port >>> 8) & 0xff, port & 0xff];
}

function shortBytes(bytes: Uint8Array): number[] {
  return [bytes.length >>> 8, bytes.length & 0xff, ...bytes];
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function i32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) << 16) | u16(bytes, at + 2);
}

function checkVersion(version: number): void {
  if (version === ENVELOPE_VERSION) return;
  throw malformed(`version ${version} of the envelope, this side speaks ${ENVELOPE_VERSION}`);
}

function malformed(why: string): RpcError {
  return new RpcError("ERR_RPC_PROTOCOL", `a message cannot be read: ${why}`);
}
