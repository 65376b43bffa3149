/**
 * The checksums that Spark writes beside shuffle data. CRC-32 is Node's own. Adler-32 and CRC-32C are a loop each, shorter
 * than the description of a package that has them; they only run when a reader has found a block corrupt.
 */
import { crc32 } from "node:zlib";

/** One that has seen some bytes. */
export interface Checksum {
  update(bytes: Uint8Array): void;
  /** Of all bytes until now: 32 bits without a sign, in a number as Java's `long` has it. */
  readonly value: bigint;
}

const ADLER_MODULUS = 65_521;
/** So many bytes may be added up before the sums pass 2³²: the number that zlib found. */
const ADLER_RUN_BYTES = 5_552;
/** Castagnoli's polynomial, reflected. */
const CRC32C_POLYNOMIAL = 0x82f63b78;

const CRC32C_TABLE = new Uint32Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ CRC32C_POLYNOMIAL : value >>> 1;
  return value;
});

class Adler32 implements Checksum {
  #low = 1;
  #high = 0;

  update(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(at + ADLER_RUN_BYTES, bytes.length);
      for (; at < end; at++) {
        low += bytes[at] as number;
        high += low;
      }
      low %= ADLER_MODULUS;
      high %= ADLER_MODULUS;
    }
    this.#low = low;
    this.#high = high;
  }

  get value(): bigint {
    return BigInt(this.#high * 2 ** 16 + this.#low);
  }
}

class Crc32 implements Checksum {
  #crc = 0;

  update(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc);
  }

  get value(): bigint {
    return BigInt(this.#crc);
  }
}

class Crc32C implements Checksum {
  #crc = 0xffffffff;

  update(bytes: Uint8Array): void {
    let crc = this.#crc;
    for (let at = 0; at < bytes.length; at++) {
      crc = (CRC32C_TABLE[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
    }
    this.#crc = crc;
  }

  get value(): bigint {
    return BigInt((this.#crc ^ 0xffffffff) >>> 0);
  }
}

/** A new checksum; null for an algorithm that nobody writes. */
export function createChecksum(algorithm: string): Checksum | null {
  switch (algorithm) {
    case "ADLER32":
      return new Adler32();
    case "CRC32":
      return new Crc32();
    case "CRC32C":
      return new Crc32C();
    default:
      return null;
  }
}
