/** Checksums: the published check values, and that pieces give what the whole gives. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createChecksum } from "../../../dist/src/blocks/checksums.js";

function sum(algorithm: string, ...pieces: Uint8Array[]): bigint {
  const checksum = createChecksum(algorithm);
  if (checksum === null) throw new Error(`no ${algorithm}`);
  for (const piece of pieces) checksum.update(piece);
  return checksum.value;
}

describe("checksums", () => {
  it.each([
    ["ADLER32", "123456789", 0x091e01den],
    ["CRC32", "123456789", 0xcbf43926n],
    ["CRC32C", "123456789", 0xe3069283n],
    ["ADLER32", "", 1n],
    ["CRC32", "", 0n],
    ["CRC32C", "", 0n],
  ])("%s of %j", (algorithm, text, value) => {
    expect(sum(algorithm, Buffer.from(text))).toBe(value);
  });

  it("Adler-32 does not overflow on a long run of the largest bytes", () => {
    // Computed by definition: low = 1 + 255 n, high = n + 255 n (n + 1) / 2, each modulo 65521.
    const n = 1_000_000n;
    const low = (1n + 255n * n) % 65521n;
    const high = (n + (255n * n * (n + 1n)) / 2n) % 65521n;
    expect(sum("ADLER32", Buffer.alloc(Number(n), 255))).toBe((high << 16n) | low);
  });

  it("pieces give what the whole gives", () => {
    fc.assert(
      fc.property(fc.constantFrom("ADLER32", "CRC32", "CRC32C"), fc.uint8Array(), fc.uint8Array(), (name, a, b) => {
        expect(sum(name, a, b)).toBe(sum(name, Buffer.concat([a, b])));
      }),
    );
  });

  it("knows no others", () => {
    for (const name of ["MD5", "crc32", "", "toString"]) expect(createChecksum(name)).toBeNull();
  });
});
