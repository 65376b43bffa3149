/**
 * Goal: a value arrives as the table of values promises.
 * Method: encode with one codec, copy the payload into other memory as a ring would, decode with another. Every value
 * goes a second way, as records of shapes that both ends share, and must arrive as the same.
 */
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { MessageCodec, PayloadCodec } from "../../../dist/src/rpc/codec.js";
import { MemoryShapeList } from "../../fixtures/shape-list.js";

const sender = new MessageCodec();
const receiver = new MessageCodec();

/** Memory with something else in it, and behind the payload. */
function carry(codec: MessageCodec): Uint8Array {
  const source = new Uint8Array(codec.length + 100).fill(0xc1);
  source.set(codec.bytes.subarray(0, codec.length));
  return source;
}

function send(value: unknown, from: MessageCodec, to: MessageCodec): unknown {
  from.encode(value);
  const bytes = carry(from);
  return to.decode(from.payloadCodec, bytes, from.length, from.takeAttachments());
}

function roundTrip(value: unknown): unknown {
  const arrived = send(value, sender, receiver);
  const list = new MemoryShapeList();
  list.adoptAll(value);
  const [from, to] = [1, 2].map(() => new MessageCodec({ shapes: list.view(), trusted: true }));
  expect(send(value, from as MessageCodec, to as MessageCodec)).toStrictEqual(arrived);
  return arrived;
}

describe("values arrive as themselves", () => {
  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["booleans", [true, false]],
    ["integers of each size", [0, 31, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]],
    ["negative integers of each size", [-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1]],
    ["fractions and the ends of the scale", [0.1, -1.5, 5e-324, 1.7976931348623157e308]],
    ["NaN and the infinities", [Number.NaN, Infinity, -Infinity]],
    ["strings", ["", "a", "é", "漢字", "😀", "x".repeat(40), "é".repeat(300), "😀".repeat(70_000)]],
    ["strings of each header", [31, 32, 255, 256, 65_535, 65_536].map((length) => "s".repeat(length))],
    ["bigints of 64 bits", [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n - 1n]],
    ["bigints of any size", [2n ** 64n, -(2n ** 63n) - 1n, 2n ** 127n, -(2n ** 127n), 3n ** 400n, -(3n ** 400n)]],
    ["huge bigints", [2n ** 65_535n, -(2n ** 65_536n), 2n ** 65_537n - 1n, -(7n ** 30_000n)]],
    ["objects", { a: 1, "b c": { d: [] }, "": {}, 5: "five", é: null }],
    ["undefined inside", { a: undefined, b: [undefined, 1] }],
    ["arrays", [[], [1, [2, [3]]], new Array(20).fill("x"), new Array(70_000).fill(7)]],
    ["dates", [new Date(0), new Date(-1), new Date(1_700_000_000_123), new Date(8.64e15), new Date(-8.64e15)]],
    ["an empty Map", new Map()],
    [
      "a Map with keys of any kind",
      new Map<unknown, unknown>([
        [1, "a"],
        [null, 1n],
        [{ k: [1] }, new Map([["x", {}]])],
      ]),
    ],
    ["a Map among objects", { before: { a: 1 }, map: new Map([["o", { p: new Map() }]]), after: { b: 2 } }],
    ["Maps of each header", [15, 16, 300, 70_000].map((n) => new Map(Array.from({ length: n }, (_, i) => [i, {}])))],
    ["Sets", [new Set(), new Set([1, "a", { b: new Set([2]) }]), new Set(Array.from({ length: 300 }, (_, i) => i))]],
    ["an object with the keys of our own machinery", { constructor: "x", hasOwnProperty: 1, toString: 2, length: 3 }],
  ])("%s", (_name, value) => {
    expect(roundTrip(value)).toStrictEqual(value);
  });

  test("an invalid date stays invalid, minus zero becomes zero at any depth", () => {
    expect((roundTrip({ at: new Date(Number.NaN) }) as { at: Date }).at.getTime()).toBeNaN();
    expect(Object.is(roundTrip(-0), 0)).toBe(true);
    expect(Object.is((roundTrip({ n: [-0] }) as { n: number[] }).n[0], 0)).toBe(true);
  });

  test.each<[string, string]>([
    ["a high half alone", "\ud83d"],
    ["a low half alone", "a\udc00b"],
    ["halves in the wrong order", "\udc00\ud800"],
    ["a high half at the end of a long text", `${"ä".repeat(5_000)}\ud800`],
    ["200,000 halves", "\ud800".repeat(200_000)],
  ])("a string with %s of a surrogate pair keeps every code unit", (_name, text) => {
    expect(roundTrip(text)).toBe(text);
    const message = { text, after: ["é", { [text]: 1, b: 2 }, new Map([[text, text]])] };
    expect(roundTrip(message)).toStrictEqual(message);
  });

  test("holes of an array become undefined", () => {
    // biome-ignore lint/suspicious/noSparseArray: the subject of the test
    expect(roundTrip([1, , 3])).toStrictEqual([1, undefined, 3]);
  });

  test("an object may have more keys than msgpackr's short header counts", () => {
    const wide = Object.fromEntries(Array.from({ length: 65_536 }, (_, index) => [`k${index}`, index]));
    expect(roundTrip({ wide })).toStrictEqual({ wide });
    expect(roundTrip({ a: 1 })).toStrictEqual({ a: 1 });
  });

  test("a short string of each length and alphabet", () => {
    for (let length = 0; length < 200; length++) {
      for (const letter of ["x", "é", "漢", "😀"]) {
        const value = { text: letter.repeat(length), behind: "ä" };
        expect(roundTrip(value)).toStrictEqual(value);
      }
    }
  });

  test("values of another realm count as what they are", () => {
    const foreign = runInNewContext(
      "({ o: { a: [1] }, m: new Map([[1, new Set([2])]]), d: new Date(5), u: new Uint8Array([1, 2]), n: null })",
    );
    expect(roundTrip(foreign)).toStrictEqual({
      o: { a: [1] },
      m: new Map([[1, new Set([2])]]),
      d: new Date(5),
      u: new Uint8Array([1, 2]),
      n: null,
    });
  });
});

describe("bytes", () => {
  const numbers = [1, 2, 250, 4];
  test.each<[string, ArrayBufferView | ArrayBuffer]>([
    ["Int8Array", Int8Array.from(numbers)],
    ["Uint8ClampedArray", Uint8ClampedArray.from(numbers)],
    ["Int16Array", Int16Array.from(numbers)],
    ["Uint16Array", Uint16Array.from(numbers)],
    ["Int32Array", Int32Array.from(numbers)],
    ["Uint32Array", Uint32Array.from(numbers)],
    ["Float32Array", Float32Array.from([1.5, -0, Number.NaN])],
    ["Float64Array", Float64Array.from([1.5, -0, Number.NaN])],
    ["BigInt64Array", BigInt64Array.from([1n, -1n])],
    ["BigUint64Array", BigUint64Array.from([1n, 2n ** 64n - 1n])],
    ["DataView", new DataView(Uint8Array.from(numbers).buffer)],
    ["ArrayBuffer", Uint8Array.from(numbers).buffer],
    ["an empty Float64Array", new Float64Array(0)],
    ["a Uint32Array of 64 KiB", new Uint32Array(1 << 14).fill(0xfeedbeef)],
  ])("%s, alone and inside", (_name, value) => {
    expect(roundTrip(value)).toStrictEqual(value);
    expect(roundTrip({ odd: "x", value })).toStrictEqual({ odd: "x", value });
  });

  test("a view brings its own bytes, not those around it", () => {
    const around = new Uint8Array([9, 9, 1, 2, 3, 4, 9, 9]);
    const view = new Uint16Array(around.buffer, 2, 2);
    const arrived = roundTrip([view]) as [Uint16Array];
    expect(arrived[0]).toStrictEqual(Uint16Array.from(view));
    expect(arrived[0].buffer.byteLength).toBe(4);
    expect(roundTrip(around.subarray(2, 4))).toStrictEqual(Uint8Array.from([1, 2]));
  });

  test.each([0, 1, 7, 64, 4_096, 4_097, 100_000])("a bare Uint8Array of %i bytes is not packed", (length) => {
    const value = Uint8Array.from({ length }, (_, index) => index);
    sender.encode(value);
    expect(sender.payloadCodec).toBe(PayloadCodec.BYTES);
    expect(sender.length).toBe(length);
    expect(roundTrip(value)).toStrictEqual(value);
  });

  test("a Buffer arrives as a plain Uint8Array, whatever it was decoded from", () => {
    for (const value of [Buffer.from("small"), Buffer.alloc(5_000, 7)]) {
      for (const message of [value, { value }]) {
        sender.encode(message);
        for (const source of [carry(sender), Buffer.from(carry(sender))]) {
          const arrived = receiver.decode(sender.payloadCodec, source, sender.length);
          const bytes = (message === value ? arrived : (arrived as { value: unknown }).value) as Uint8Array;
          expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
          expect(bytes).toStrictEqual(new Uint8Array(value));
        }
      }
    }
  });

  test("bytes in shared memory arrive as private ones", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(6_000)).fill(5);
    for (const value of [shared, shared.subarray(0, 10)]) {
      const arrived = [roundTrip(value), (roundTrip({ value }) as { value: Uint8Array }).value] as Uint8Array[];
      for (const bytes of arrived) {
        expect(bytes.buffer).toBeInstanceOf(ArrayBuffer);
        expect(bytes).toStrictEqual(new Uint8Array(value));
      }
    }
  });

  test("nothing decoded lies in the memory it was decoded from", () => {
    const value = { bytes: new Uint8Array([1, 2, 3]), floats: new Float64Array([1.5]), text: "abc" };
    for (const message of [value, value.bytes]) {
      sender.encode(message);
      const source = carry(sender);
      const arrived = receiver.decode(sender.payloadCodec, source, sender.length);
      source.fill(0xff);
      expect(arrived).toStrictEqual(message);
    }
  });
});

describe("instances of classes", () => {
  class Point {
    readonly x: number;
    #secret = 1;
    constructor(x: number) {
      this.x = x;
    }
    get double(): number {
      return this.x * 2 * this.#secret;
    }
    toJSON(): string {
      return "not asked";
    }
  }
  class Tagged extends Map<string, number> {}
  class List extends Array<number> {}

  test("become plain objects of their own fields; toJSON is not called", () => {
    const arrived = roundTrip({ point: new Point(2), plain: { toJSON: 1 } });
    expect(arrived).toStrictEqual({ point: { x: 2 }, plain: { toJSON: 1 } });
  });

  test("of built-in collections become those collections", () => {
    expect(roundTrip([new Tagged([["a", 1]]), List.of(1, 2)])).toStrictEqual([new Map([["a", 1]]), [1, 2]]);
  });

  test("an object without a prototype gets one", () => {
    expect(roundTrip(Object.assign(Object.create(null), { a: { b: 1 } }))).toStrictEqual({ a: { b: 1 } });
  });

  test("inherited and symbol-keyed properties stay behind", () => {
    const value = Object.assign(Object.create({ inherited: 1 }), { own: 2, [Symbol("s")]: 3 });
    expect(roundTrip(value)).toStrictEqual({ own: 2 });
  });

  test("a key __proto__ arrives as an own key, and changes no prototype of no object", () => {
    const sent = JSON.parse('{"a": {"before": [1], "__proto__": {"polluted": true}, "after": {"__proto__": 1}}}');
    const arrived = roundTrip(sent) as { a: object };
    expect(Object.getPrototypeOf(arrived.a)).toBe(Object.prototype);
    expect(Object.entries(arrived.a).slice(0, 2)).toStrictEqual([
      ["before", [1]],
      ["__proto__", { polluted: true }],
    ]);
    expect(JSON.stringify(arrived)).toBe(JSON.stringify(sent));
    expect("polluted" in arrived.a).toBe(false);
    expect("polluted" in {}).toBe(false);
    const error = roundTrip(Object.defineProperty(new Error("e"), "__proto__", { value: [1], enumerable: true }));
    expect(error).toBeInstanceOf(Error);
    expect(Object.entries(error as Error)).toStrictEqual([["__proto__", [1]]]);
  });

  test("what only looks like an array or a class instance is its own fields", () => {
    expect(roundTrip({ constructor: "Array", length: 2 })).toStrictEqual({ constructor: "Array", length: 2 });
    expect(roundTrip(Object.assign(Object.create(Array.prototype), { 0: "a" }))).toStrictEqual({ 0: "a" });
  });
});
