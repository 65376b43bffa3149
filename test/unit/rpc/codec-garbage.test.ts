/**
 * Goal: bytes that no codec has made are an error, whatever they are: never a wrong value, never a hang.
 * Method: payloads cut at every byte, MessagePack that we do not write, and lengths that lie.
 */
import { Packr } from "msgpackr";
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { MessageCodec, PayloadCodec } from "../../../dist/src/rpc/codec.js";

const codec = new MessageCodec();

function encoded(value: unknown): Uint8Array {
  codec.encode(value);
  return codec.bytes.slice(0, codec.length);
}

function decode(bytes: Uint8Array, length = bytes.length, payloadCodec: number = PayloadCodec.MSGPACK): unknown {
  return codec.decode(payloadCodec, bytes, length);
}

function expectRefused(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(isRpcError(error, "ERR_RPC_SERIALIZATION")).toBe(true);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

const SAMPLE = {
  id: 300,
  text: "é".repeat(40),
  when: new Date(5),
  map: new Map<unknown, unknown>([[{ k: 1 }, new Set([1n, 2n ** 90n])]]),
  error: Object.assign(new TypeError("t", { cause: [1] }), { code: "E" }),
  floats: new Float64Array([1, 2]),
  bytes: new Uint8Array(300),
  nothing: undefined,
  numbers: [-1, -200, 70_000, 1.5, 2 ** 40],
};

test("a payload cut at any byte is refused, with other bytes behind it or none", () => {
  const whole = encoded(SAMPLE);
  for (let length = 0; length < whole.length; length++) {
    expectRefused(() => decode(whole.slice(0, length)));
    expectRefused(() => decode(whole, length));
  }
  expect((decode(whole) as { id: number }).id).toBe(300);
});

test("bytes behind the end are refused", () => {
  expect(expectRefused(() => decode(Uint8Array.of(1, 2)))).toContain("bytes follow its end");
});

describe("MessagePack that we do not write is refused", () => {
  const foreign = new Packr({ moreTypes: true, structuredClone: true });
  const bundled = new Packr({ bundleStrings: true });
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  test.each<[string, Uint8Array]>([
    ["a record definition", foreign.pack({ a: 1 })],
    ["msgpackr's Set", foreign.pack(new Set([1]))],
    ["msgpackr's Error", foreign.pack(new Error("e"))],
    ["msgpackr's RegExp", foreign.pack(/x/)],
    ["msgpackr's typed array", foreign.pack(new Float32Array([1]))],
    ["a timestamp", foreign.pack(new Date(5))],
    ["a back reference", foreign.pack(cycle)],
    ["a string bundle", bundled.pack({ text: "a long enough text" })],
    ["the token that is never used", Uint8Array.of(0xc1)],
    ["an unknown extension", Uint8Array.of(0xd4, 0x05, 0x00)],
    ["undefined with data", Uint8Array.of(0xd4, 0x00, 0x01)],
    ["an object with a number as key", Uint8Array.of(0x81, 0x01, 0x01)],
    ["an object with an object as key", Uint8Array.of(0x81, 0x80, 0x01)],
    ["a value tag before a tag", Uint8Array.of(0xd4, 0x76, 0x00, 0xd4, 0x76, 0x00, 0x91, 1)],
    ["a Map whose last key has no value", Uint8Array.of(0xd4, 0x76, 0x00, 0x92, 7, 1)],
    ["entries with a number as key", Uint8Array.of(0xd4, 0x76, 0x00, 0x93, 8, 1, 1)],
    ["half a code unit", Uint8Array.of(0xc7, 0x01, 0x53, 0x00)],
    ["an attachment that is not there", Uint8Array.of(0xd4, 0x76, 0x00, 0x95, 9, 0, 0, 0, 0)],
    ["an attachment called length", Uint8Array.of(0xd4, 0x76, 0x00, 0x95, 9, 0, 0xa6, ...Buffer.from("length"), 0, 0)],
    ["bytes as a tagged value", Uint8Array.of(0xd4, 0x76, 0x00, 0x92, 0, 0xc4, 0x00)],
    ["a value tag before a map", Uint8Array.of(0xd4, 0x76, 0x00, 0x80)],
    ["a value tag before a number", Uint8Array.of(0xd4, 0x76, 0x00, 0x01)],
    ["a value without a kind", Uint8Array.of(0xd4, 0x76, 0x00, 0x90)],
    ["a value of an unknown kind", Uint8Array.of(0xd4, 0x76, 0x00, 0x92, 0x7f, 0xc4, 0x00)],
    ["a kind that is a string", Uint8Array.of(0xd4, 0x76, 0x00, 0x92, 0xa1, 0x31, 0xc4, 0x00)],
    ["a Date that is no number", Uint8Array.of(0xd4, 0x76, 0x00, 0x92, 0x02, 0xa1, 0x31)],
    ["a Float64Array of 3 bytes", Uint8Array.of(0xd4, 0x76, 0x00, 0x92, 23, 0xc4, 0x03, 1, 2, 3)],
    ["an Error of two parts", Uint8Array.of(0xd4, 0x76, 0x00, 0x93, 0x03, 0xa1, 0x41, 0xa1, 0x42)],
    ["a bigint without digits", Uint8Array.of(0xc7, 0x00, 0x42)],
  ])("%s", (_name, bytes) => {
    expectRefused(() => decode(Uint8Array.from(bytes)));
    expect(decode(encoded({ next: [1] }))).toEqual({ next: [1] });
  });
});

describe("lengths that lie", () => {
  test.each<[string, number[]]>([
    ["an array of 4 billion", [0xdd, 0xff, 0xff, 0xff, 0xff, 1]],
    ["an array of 65,535", [0xdc, 0xff, 0xff, 1]],
    ["a map of 4 billion", [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x41]],
    ["a string of 4 GiB", [0xdb, 0xff, 0xff, 0xff, 0xff, 0x41]],
    ["bytes of 4 GiB", [0xc6, 0xff, 0xff, 0xff, 0xff, 0x41]],
    ["a bigint of 4 GiB", [0xc9, 0xff, 0xff, 0xff, 0xff, 0x42, 1]],
    ["a key of 255 bytes", [0x81, 0xd9, 0xff, 0x41]],
    ["a tagged list of 4 billion", [0xd4, 0x76, 0x00, 0xdd, 0xff, 0xff, 0xff, 0xff]],
  ])("%s is refused before anything is made for it", (_name, bytes) => {
    const before = process.memoryUsage().rss;
    expectRefused(() => decode(Uint8Array.from(bytes)));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  test("nested arrays that each claim the rest are refused", () => {
    const bytes: number[] = [];
    for (let level = 0; level < 60; level++) bytes.push(0xdd, 0x00, 0x0f, 0xff, 0xff);
    expectRefused(() => decode(Uint8Array.from([...bytes, ...new Array(1_048_575 - 300).fill(1)])));
  });

  test("65 levels are refused without recursion, 64 are read", () => {
    const levels = (count: number): Uint8Array => Uint8Array.from([...new Array(count).fill(0x91), 0xc0]);
    let expected: unknown = null;
    for (let level = 0; level < 64; level++) expected = [expected];
    expect(decode(levels(64))).toEqual(expected);
    expect(expectRefused(() => decode(levels(65)))).toContain("nested deeper than 64 levels");
    expectRefused(() => decode(levels(1_000_000)));
  });

  test("a length beyond the source is refused", () => {
    for (const payloadCodec of [PayloadCodec.MSGPACK, PayloadCodec.BYTES]) {
      expectRefused(() => decode(new Uint8Array(10), 11, payloadCodec));
    }
  });
});

test("an unknown payload codec, and an empty one with bytes, are refused", () => {
  expectRefused(() => decode(new Uint8Array(10), 10, 9));
  expectRefused(() => decode(new Uint8Array(10), 10, PayloadCodec.EMPTY));
  expect(decode(new Uint8Array(10), 0, PayloadCodec.EMPTY)).toBeUndefined();
});

test("shared memory is never decoded from", () => {
  expect(() => decode(new Uint8Array(new SharedArrayBuffer(8)), 1)).toThrow("private memory");
});
