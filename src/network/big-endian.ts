/** Integers of the wire: big-endian, two's complement. Without a view, because a view per chunk costs more than the bytes. */

export function i32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** @param value Taken modulo 2^32. */
export function putI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function i64At(bytes: Uint8Array, at: number): bigint {
  return (BigInt(i32At(bytes, at)) << 32n) | BigInt(i32At(bytes, at + 4) >>> 0);
}

/** @param value Taken modulo 2^64. */
export function putI64(bytes: Uint8Array, at: number, value: bigint): void {
  putI32(bytes, at, Number(BigInt.asIntN(32, value >> 32n)));
  putI32(bytes, at + 4, Number(BigInt.asIntN(32, value)));
}
