/**
 * Writes the tokens of MessagePack into a buffer that grows: numbers, strings, headers and extensions. value-writer.ts
 * knows what they are written for.
 */
import { RpcError } from "../common/errors.js";
import { Extension } from "./payload-check.js";

/** Strings up to this many characters are written by a loop; calls into Node cost more than that. */
const LOOPED_STRING_LENGTH = 64;
/** Up to this many characters three bytes for each are reserved; the exact length of a longer string costs less. */
const COUNTED_STRING_LENGTH = 4_096;
/** Room for the longest token without content, and for the few that are written without asking. */
const SLACK_BYTES = 32;

export class TokenWriter {
  /** What was written, from its start; the scratch, or a larger buffer made for this value. */
  bytes: Buffer;
  position = 0;
  protected view: DataView;
  /** Beyond it the buffer must grow before a token is written. */
  protected end: number;
  /** Integers from here on are no single byte: where records are written, these bytes are the numbers of shapes. */
  protected readonly singleByteEnd: number;
  protected readonly bytesMax: number;
  readonly #scratch: Buffer;
  readonly #scratchView: DataView;

  /** @param bytesMax Growing well beyond it is ERR_RPC_MESSAGE_TOO_LARGE; whoever writes a whole value looks exactly. */
  constructor(scratch: ArrayBuffer, bytesMax: number, singleByteEnd: number) {
    this.singleByteEnd = singleByteEnd;
    this.#scratch = Buffer.from(scratch);
    this.#scratchView = new DataView(scratch);
    this.bytesMax = bytesMax;
    this.bytes = this.#scratch;
    this.view = this.#scratchView;
    this.end = scratch.byteLength - SLACK_BYTES;
  }

  /** Back to the start of the scratch. */
  protected restart(): void {
    this.bytes = this.#scratch;
    this.view = this.#scratchView;
    this.end = this.#scratch.length - SLACK_BYTES;
    this.position = 0;
  }

  // ── Numbers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected number(value: number): void {
    const bytes = this.bytes;
    let at = this.position;
    if (value >>> 0 === value) {
      if (value < this.singleByteEnd) bytes[at++] = value;
      else if (value < 0x100) {
        bytes[at++] = 0xcc;
        bytes[at++] = value;
      } else if (value < 0x10000) {
        bytes[at++] = 0xcd;
        bytes[at++] = value >> 8;
        bytes[at++] = value;
      } else {
        bytes[at++] = 0xce;
        this.view.setUint32(at, value);
        at += 4;
      }
    } else if (value >> 0 === value) {
      if (value >= -0x20) bytes[at++] = value;
      else if (value >= -0x80) {
        bytes[at++] = 0xd0;
        bytes[at++] = value;
      } else if (value >= -0x8000) {
        bytes[at++] = 0xd1;
        bytes[at++] = value >> 8;
        bytes[at++] = value;
      } else {
        bytes[at++] = 0xd2;
        this.view.setInt32(at, value);
        at += 4;
      }
    } else {
      bytes[at++] = 0xcb;
      this.view.setFloat64(at, value);
      at += 8;
    }
    this.position = at;
  }

  protected bigint(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      this.bytes[this.position++] = 0xd3;
      this.view.setBigInt64(this.position, value);
      this.position += 8;
    } else if (BigInt.asUintN(64, value) === value) {
      this.bytes[this.position++] = 0xcf;
      this.view.setBigUint64(this.position, value);
      this.position += 8;
    } else {
      // Two's complement, big-endian, with a sign bit: of a negative number the complement of its complement.
      const digits = (value < 0n ? ~value : value).toString(16);
      const even = digits.length % 2 === 0 ? digits : `0${digits}`;
      const content = Buffer.from(even.charCodeAt(0) >= 0x38 ? `00${even}` : even, "hex");
      if (value < 0n) for (let i = 0; i < content.length; i++) content[i] = ~(content[i] as number);
      this.extension(Extension.BIGINT, content);
    }
  }

  // ── Strings ────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected string(value: string): void {
    const length = value.length;
    if (length >= LOOPED_STRING_LENGTH) {
      this.#longString(value);
      return;
    }
    if (this.position + length * 3 > this.end) this.grow(length * 3);
    const bytes = this.bytes;
    let at = this.position;
    if (length < 32) bytes[at++] = 0xa0 | length;
    else {
      bytes[at++] = 0xd9;
      bytes[at++] = length;
    }
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) {
        this.#shortUnicode(value);
        return;
      }
      bytes[at++] = unit;
    }
    this.position = at;
  }

  /** A short string that is not ASCII; there is room for it. */
  #shortUnicode(value: string): void {
    const bytes = this.bytes;
    const start = this.position;
    const length = value.length;
    let at = start + 2;
    for (let i = 0; i < length; i++) {
      let unit = value.charCodeAt(i);
      if (unit < 0x80) bytes[at++] = unit;
      else if (unit < 0x800) {
        bytes[at++] = (unit >> 6) | 0xc0;
        bytes[at++] = (unit & 0x3f) | 0x80;
      } else {
        if (unit >= 0xd800 && unit < 0xe000) {
          const low = i + 1 < length && unit < 0xdc00 ? value.charCodeAt(i + 1) : 0;
          if ((low & 0xfc00) !== 0xdc00) {
            this.#codeUnits(value);
            return;
          }
          unit = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
          i++;
          bytes[at++] = (unit >> 18) | 0xf0;
          bytes[at++] = ((unit >> 12) & 0x3f) | 0x80;
        } else {
          bytes[at++] = (unit >> 12) | 0xe0;
        }
        bytes[at++] = ((unit >> 6) & 0x3f) | 0x80;
        bytes[at++] = (unit & 0x3f) | 0x80;
      }
    }
    const count = at - start - 2;
    if (count < 32) {
      bytes[start] = 0xa0 | count;
      bytes.copyWithin(start + 1, start + 2, at);
      at--;
    } else {
      bytes[start] = 0xd9;
      bytes[start + 1] = count;
    }
    this.position = at;
  }

  /** UTF-8 has no bytes for half a surrogate pair: the code units travel as they are. */
  #codeUnits(value: string): void {
    this.extension(Extension.UTF16, Buffer.from(value, "utf16le"));
  }

  #longString(value: string): void {
    if (!value.isWellFormed()) {
      this.#codeUnits(value);
      return;
    }
    const lengthMax = value.length <= COUNTED_STRING_LENGTH ? value.length * 3 : Buffer.byteLength(value);
    if (this.position + lengthMax > this.end) this.grow(lengthMax);
    const bytes = this.bytes;
    const start = this.position;
    const header = stringHeaderBytes(value.length <= COUNTED_STRING_LENGTH ? value.length : lengthMax);
    const length = bytes.write(value, start + header, "utf8");
    const exact = stringHeaderBytes(length);
    if (exact !== header) bytes.copyWithin(start + exact, start + header, start + header + length);
    if (exact === 1) bytes[start] = 0xa0 | length;
    else if (exact === 2) {
      bytes[start] = 0xd9;
      bytes[start + 1] = length;
    } else if (exact === 3) {
      bytes[start] = 0xda;
      this.view.setUint16(start + 1, length);
    } else {
      bytes[start] = 0xdb;
      this.view.setUint32(start + 1, length);
    }
    this.position = start + exact + length;
  }

  // ── Containers, bytes, extensions ──────────────────────────────────────────────────────────────────────────────────

  protected arrayHeader(count: number): void {
    if (count < 16) {
      this.bytes[this.position++] = 0x90 | count;
    } else if (count < 0x10000) {
      this.bytes[this.position] = 0xdc;
      this.view.setUint16(this.position + 1, count);
      this.position += 3;
    } else {
      this.bytes[this.position] = 0xdd;
      this.view.setUint32(this.position + 1, count);
      this.position += 5;
    }
  }

  /** Bytes as MessagePack's own; whoever calls has made room for them. */
  protected bin(view: ArrayBufferView): void {
    const length = view.byteLength;
    if (length < 0x100) {
      this.bytes[this.position] = 0xc4;
      this.bytes[this.position + 1] = length;
      this.position += 2;
    } else {
      this.bytes[this.position] = 0xc6;
      this.view.setUint32(this.position + 1, length);
      this.position += 5;
    }
    // Small bytes have no buffer until somebody asks for it, which costs more than to write them.
    const bytes = view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, length);
    this.bytes.set(bytes, this.position);
    this.position += length;
  }

  protected tag(type: number): void {
    const bytes = this.bytes;
    bytes[this.position++] = 0xd4;
    bytes[this.position++] = type;
    bytes[this.position++] = 0;
  }

  protected extension(type: number, content: Uint8Array): void {
    const length = content.length;
    if (this.position + length > this.end) this.grow(length);
    if (length < 0x100) {
      this.bytes[this.position] = 0xc7;
      this.bytes[this.position + 1] = length;
      this.position += 2;
    } else {
      this.bytes[this.position] = 0xc9;
      this.view.setUint32(this.position + 1, length);
      this.position += 5;
    }
    this.bytes[this.position++] = type;
    this.bytes.set(content, this.position);
    this.position += length;
  }

  /** Moves to a buffer with room for `length` bytes more, of which a string that is not measured may use a third only. */
  protected grow(length: number): void {
    const needed = this.position + length;
    if (needed > this.bytesMax + COUNTED_STRING_LENGTH * 2) throw tooLarge(needed, this.bytesMax);
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, needed + (needed >> 2)) + SLACK_BYTES);
    larger.set(this.bytes.subarray(0, this.position));
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
    this.end = larger.length - SLACK_BYTES;
  }
}

function stringHeaderBytes(length: number): number {
  return length < 32 ? 1 : length < 256 ? 2 : length < 0x10000 ? 3 : 5;
}

/** A message that is larger than its codec's limit. */
export function tooLarge(lengthBytes: number, bytesMax: number): RpcError {
  return new RpcError(
    "ERR_RPC_MESSAGE_TOO_LARGE",
    `message too large: lengthBytes=${lengthBytes}, maxBytes=${bytesMax}; send it in parts`,
  );
}
