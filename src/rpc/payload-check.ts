/**
 * Looks over the bytes of a MessagePack payload without building anything: complete, nothing behind the end, not too
 * deep, only the tokens and extensions of our table. msgpackr by itself would also read what we never write (record
 * definitions, string bundles, back references) and would take stack for every level before anyone can say no.
 *
 * One pass, 2 to 3 ns a token; strings and bytes are skipped whole.
 *
 * Extension codes, frozen: they are the wire's codes as well.
 *
 * code | form                               | value
 * -----|------------------------------------|-------------------------------------------------------------------
 * 0x00 | fixext 1, data 0                   | undefined
 * 0x42 | fixext 16 or ext of 9 bytes up     | bigint outside of 64 bits: two's complement, big-endian
 * 0x53 | ext of an even length              | a string that is not well-formed: its UTF-16 code units, little-endian
 * 0x76 | fixext 1, data 0, then an array    | [kind, …]: see value-kinds.ts
 */

export const Extension = { UNDEFINED: 0x00, BIGINT: 0x42, UTF16: 0x53, VALUE: 0x76 } as const;

export const PayloadFault = { NONE: 0, TOO_DEEP: 1, TRUNCATED: 2, TRAILING: 3, UNKNOWN: 4, BAD_KEY: 5 } as const;
export type PayloadFault = (typeof PayloadFault)[keyof typeof PayloadFault];

/** Bytes that follow a token without children; COMPLEX for all that need a closer look. */
const SKIP = new Uint8Array(256);
const COMPLEX = 0xff;
SKIP.fill(COMPLEX, 0x80, 0xa0); // maps and arrays of up to 15
SKIP.fill(COMPLEX, 0xc0, 0xe0);
for (let length = 0; length < 32; length++) SKIP[0xa0 + length] = length; // strings of up to 31 bytes
for (const [bytes, tokens] of [
  [0, [0xc0, 0xc2, 0xc3]], // nil, false, true
  [1, [0xcc, 0xd0]], // uint 8, int 8
  [2, [0xcd, 0xd1]],
  [4, [0xca, 0xce, 0xd2]], // float 32, uint 32, int 32
  [8, [0xcb, 0xcf, 0xd3]],
] as const) {
  for (const token of tokens) SKIP[token] = bytes;
}

/** Enclosing containers: children to come in an array, or the complement of pairs to come in an object. */
const enclosing = new Int32Array(256);

/**
 * @param length Bytes of the payload; what the array holds behind it is never taken into account.
 * @param depthMax Containers inside containers: 1 to 255.
 */
export function checkPayload(bytes: Uint8Array, length: number, depthMax: number): PayloadFault {
  let position = 0;
  let depth = 0;
  let remaining = 1;
  let inObject = false;

  for (;;) {
    if (remaining === 0) {
      if (depth === 0) break;
      remaining = enclosing[--depth] as number;
      inObject = remaining < 0;
      if (inObject) remaining = ~remaining;
      continue;
    }
    remaining--;
    if (inObject) {
      const key = bytes[position] as number;
      if (key >= 0xa0 && key < 0xc0) position += key - 0x9f;
      else if (key >= 0xd9 && key <= 0xdb) position = skipSized(bytes, position + 1, 1 << (key - 0xd9));
      else return position < length ? PayloadFault.BAD_KEY : PayloadFault.TRUNCATED;
    }
    // Bytes behind the end may be read here, but never count: positions only grow, and are compared with the length
    // before anything is decided.
    let token = bytes[position++] as number;
    const skip = SKIP[token] as number;
    if (skip < COMPLEX) {
      position += skip;
      continue;
    }
    if (position > length) return PayloadFault.TRUNCATED;

    if (token === 0xd4) {
      const type = bytes[position];
      if (position + 2 > length) return PayloadFault.TRUNCATED;
      if (bytes[position + 1] !== 0) return PayloadFault.UNKNOWN;
      position += 2;
      if (type === Extension.UNDEFINED) continue;
      if (type !== Extension.VALUE) return PayloadFault.UNKNOWN;
      if (position >= length) return PayloadFault.TRUNCATED;
      token = bytes[position++] as number;
      if (!isArray(token)) return PayloadFault.UNKNOWN;
    }

    let children: number;
    if (token >= 0x80 && token < 0xa0) {
      children = token & 0x0f;
    } else if (token === 0xde || token === 0xdc) {
      children = ((bytes[position] as number) << 8) | (bytes[position + 1] as number);
      position += 2;
    } else if (token === 0xdf || token === 0xdd) {
      children = readUint(bytes, position, 4);
      position += 4;
    } else {
      position = skipLeaf(bytes, position, token, length);
      if (position < 0) return PayloadFault.UNKNOWN;
      continue;
    }
    // Every child takes a byte at least, so that a header alone cannot make the decoder allocate.
    const map = isMap(token);
    if (position + (map ? children * 2 : children) > length) return PayloadFault.TRUNCATED;
    if (depth === depthMax) return PayloadFault.TOO_DEEP;
    enclosing[depth++] = inObject ? ~remaining : remaining;
    inObject = map;
    remaining = children;
  }
  if (position === length) return PayloadFault.NONE;
  return position > length ? PayloadFault.TRUNCATED : PayloadFault.TRAILING;
}

/** What an error says of a faulty payload: "… cannot be read: <this>". */
export function describeFault(fault: PayloadFault, depthMax: number): string {
  switch (fault) {
    case PayloadFault.TOO_DEEP:
      return `nested deeper than ${depthMax} levels`;
    case PayloadFault.TRUNCATED:
      return "its bytes end too early";
    case PayloadFault.TRAILING:
      return "bytes follow its end";
    case PayloadFault.BAD_KEY:
      return "an object has a key that is no string";
    default:
      return "it holds a token or extension that is not of this format";
  }
}

function isMap(token: number): boolean {
  return (token >= 0x80 && token < 0x90) || token === 0xde || token === 0xdf;
}

function isArray(token: number): boolean {
  return (token >= 0x90 && token < 0xa0) || token === 0xdc || token === 0xdd;
}

/** Behind a string, bytes or a big integer whose token is at `position - 1`; −1 for any other token. */
function skipLeaf(bytes: Uint8Array, position: number, token: number, length: number): number {
  if (token >= 0xd9 && token <= 0xdb) return skipSized(bytes, position, 1 << (token - 0xd9));
  if (token >= 0xc4 && token <= 0xc6) return skipSized(bytes, position, 1 << (token - 0xc4));
  if (token === 0xd8) return bytes[position] === Extension.BIGINT ? position + 17 : -1;
  if (token < 0xc7 || token > 0xc9) return -1;
  const width = 1 << (token - 0xc7);
  if (position + width >= length) return length + 1;
  const type = bytes[position + width];
  const size = readUint(bytes, position, width);
  if (type === Extension.BIGINT ? size < 9 : type !== Extension.UTF16 || size % 2 !== 0) return -1;
  return skipSized(bytes, position, width) + 1;
}

/** Behind a value whose length stands in `width` bytes at `position`. */
function skipSized(bytes: Uint8Array, position: number, width: number): number {
  return position + width + readUint(bytes, position, width);
}

/** Big-endian; 0 for what lies behind the array. */
function readUint(bytes: Uint8Array, position: number, width: number): number {
  let value = 0;
  for (let index = 0; index < width; index++) value = value * 256 + (bytes[position + index] ?? 0);
  return value;
}
