/**
 * Goal: a value arrives as the table of values promises, or its sender is told which part of it cannot travel.
 * Method: encode with one codec, copy the payload into other memory as a ring would, decode with another.
 */
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { RpcError } from "../../../dist/src/common/errors.js";
import { MessageCodec, PayloadCodec } from "../../../dist/src/rpc/codec.js";

const sender = new MessageCodec();
const receiver = new MessageCodec();

/** Memory with something else in it, and behind the payload. */
function carry(codec: MessageCodec): Uint8Array {
  const source = new Uint8Array(codec.length + 100).fill(0xc1);
  source.set(codec.bytes.subarray(0, codec.length));
  return source;
}

function roundTrip(value: unknown): unknown {
  sender.encode(value);
  return receiver.decode(sender.payloadCodec, carry(sender), sender.length);
}

function nest(levels: number, leaf: unknown = 0): unknown {
  let value = leaf;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { in: value };
  return value;
}

function errorOf(run: () => unknown): RpcError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(RpcError);
    return error as RpcError;
  }
  throw new Error("nothing was thrown");
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

  test("an invalid date stays invalid, minus zero becomes zero", () => {
    expect((roundTrip({ at: new Date(Number.NaN) }) as { at: Date }).at.getTime()).toBeNaN();
    expect(Object.is(roundTrip(-0), 0)).toBe(true);
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
    ["a Uint32Array of 1 MiB", new Uint32Array(1 << 18).fill(0xfeedbeef)],
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

  test("a key __proto__ changes no prototype, of no object", () => {
    const arrived = roundTrip(JSON.parse('{"a": {"__proto__": {"polluted": true}}}')) as { a: object };
    expect(Object.getPrototypeOf(arrived.a)).toBe(Object.prototype);
    expect("polluted" in arrived.a).toBe(false);
    expect("polluted" in {}).toBe(false);
  });
});

describe("errors", () => {
  const travel = (error: unknown): Error & Record<string, unknown> => roundTrip(error) as never;

  test.each([
    new Error("e"),
    new TypeError("t"),
    new RangeError("r"),
    new SyntaxError("s"),
    new ReferenceError("f"),
    new EvalError("v"),
    new URIError("u"),
  ])("$name keeps its class, message and stack", (error) => {
    const arrived = travel(error);
    expect(Object.getPrototypeOf(arrived)).toBe(Object.getPrototypeOf(error));
    expect(arrived.message).toBe(error.message);
    expect(arrived.stack).toBe(error.stack);
    expect(Object.keys(arrived)).toEqual([]);
  });

  test("of a class of one's own keeps its name and fields, code among them", () => {
    class PaymentError extends Error {
      override name = "PaymentError";
      readonly code = "E_PAY";
      readonly detail = { amount: 5n, at: new Date(7) };
    }
    const arrived = travel(new PaymentError("declined"));
    expect(arrived).toBeInstanceOf(Error);
    expect(arrived).toMatchObject({ name: "PaymentError", code: "E_PAY", detail: { amount: 5n, at: new Date(7) } });
    expect(Object.keys(arrived).sort()).toEqual(["code", "detail"]);
  });

  test("keeps its cause, of any kind, undefined too", () => {
    expect(travel(new Error("a", { cause: { n: 1 } })).cause).toEqual({ n: 1 });
    expect(Object.hasOwn(travel(new Error("a", { cause: undefined })), "cause")).toBe(true);
    expect(Object.hasOwn(travel(new Error("a")), "cause")).toBe(false);
  });

  test("keeps eight causes of causes and no more", () => {
    let error = new Error("0");
    for (let depth = 1; depth <= 12; depth++) error = new Error(String(depth), { cause: error });
    const messages: string[] = [];
    for (let at: unknown = travel(error); at instanceof Error; at = at.cause) messages.push(at.message);
    expect(messages).toEqual(["12", "11", "10", "9", "8", "7", "6", "5", "4"]);
  });

  test("that is its own cause, or in its own field, arrives once", () => {
    const error = new Error("loop") as Error & Record<string, unknown>;
    error.cause = error;
    error["request"] = { error };
    const arrived = travel(error);
    expect((arrived.cause as Error).message).toBe("loop");
    expect((arrived.cause as Error).cause).toBeUndefined();
    expect((arrived["request"] as { error: Error }).error.message).toBe("loop");
  });

  test("leaves behind what cannot travel, and nothing else", () => {
    const error = Object.assign(new Error("socket"), {
      code: "ECONNRESET",
      retry: () => {},
      socket: { server: { on() {} } },
      bytes: new Uint8Array([1]),
      symbol: Symbol("s"),
    });
    Object.defineProperty(error, "broken", {
      enumerable: true,
      get: () => {
        throw new Error("getter");
      },
    });
    const arrived = travel({ error })["error"] as Error;
    expect(Object.fromEntries(Object.entries(arrived))).toEqual({ code: "ECONNRESET", bytes: new Uint8Array([1]) });
  });

  test("an encoding that fails inside of one does not count against the next", () => {
    const small = new MessageCodec({ messageBytesMax: 5_000 });
    const large = Object.assign(new Error("large"), { items: new Array(100_000).fill(1) });
    for (let n = 0; n < 20; n++) expect(errorOf(() => small.encode(large)).code).toBe("ERR_RPC_MESSAGE_TOO_LARGE");
    expect(travel(new Error("a", { cause: "b" })).cause).toBe("b");
  });

  test("an AggregateError keeps its errors", () => {
    const arrived = travel(new AggregateError([new TypeError("a"), "b"], "both")) as unknown as AggregateError;
    expect(arrived).toBeInstanceOf(AggregateError);
    expect(arrived.errors[0]).toBeInstanceOf(TypeError);
    expect(arrived.errors[1]).toBe("b");
    expect(Object.keys(arrived)).toEqual([]);
  });

  test("a DOMException keeps its name and code", () => {
    expect(travel(new DOMException("stop", "AbortError"))).toMatchObject({
      name: "AbortError",
      message: "stop",
      code: 20,
    });
  });

  test("an RpcError is one again", () => {
    const arrived = travel(new RpcError("ERR_RPC_INBOX_FULL", "full", { endpoint: "e", cause: new TypeError("c") }));
    expect(arrived).toBeInstanceOf(RpcError);
    expect(arrived).toMatchObject({ code: "ERR_RPC_INBOX_FULL", message: "full", endpoint: "e", retryable: true });
    expect(arrived.cause).toBeInstanceOf(TypeError);
  });
});

describe("what cannot travel is refused by path", () => {
  const cycle: { items: unknown[] } = { items: [1] };
  cycle.items.push({ back: cycle });
  const cases: [name: string, value: unknown, path: string, what: string][] = [
    ["a function", { items: [1, 2, 3, { callback() {} }] }, "message.items[3].callback", "a function"],
    ["a function as the message", () => 1, "message", "a function"],
    ["a class", { type: class A {} }, "message.type", "a function"],
    ["a symbol", { "odd key": Symbol("s") }, 'message["odd key"]', "a symbol"],
    ["a cycle", cycle, "message.items[1].back", "a cycle"],
    ["a Promise", [Promise.resolve(1)], "message[0]", "a Promise"],
    ["a SharedArrayBuffer", { memory: new SharedArrayBuffer(8) }, "message.memory", "a SharedArrayBuffer"],
    ["a MessagePort", { port: new MessageChannel().port1 }, "message.port", "a MessagePort"],
    ["a WeakMap", new Map([["k", [new WeakMap()]]]), 'message.get("k")[0]', "a WeakMap"],
    ["a key of a Map", new Map([[new WeakSet(), 1]]), "message.keys()[0]", "a WeakSet"],
    ["an item of a Set", { set: new Set([1, new WeakRef({})]) }, "message.set.values()[1]", "a WeakRef"],
    ["a RegExp", { pattern: /x/ }, "message.pattern", "a RegExp"],
    ["a generator", { rows: (function* () {})() }, "message.rows", "a generator"],
    ["a boxed primitive", { n: Object(1) }, "message.n", "a boxed primitive"],
    ["a URL", { at: new URL("http://a/") }, "message.at", "a URL"],
    ["an AbortSignal", { signal: new AbortController().signal }, "message.signal", "an AbortSignal"],
    ["65 levels", nest(65), "message[0].in[0].in", "nested deeper than 64 levels"],
    ["5,000 levels", nest(5_000), "message.in[0].in[0]", "nested deeper than 64 levels"],
    ["100,000 levels", nest(100_000), "message.in[0].in[0]", "nested deeper than 64 levels"],
  ];

  test.each(cases)("%s", (_name, value, path, what) => {
    const error = errorOf(() => sender.encode(value));
    expect(error.code).toBe("ERR_RPC_SERIALIZATION");
    expect(error.message.startsWith(path)).toBe(true);
    expect(error.message).toContain(what);
    // The codec is as good as before.
    expect(roundTrip({ next: [1] })).toStrictEqual({ next: [1] });
  });

  test("64 levels travel", () => {
    expect(roundTrip(nest(64))).toStrictEqual(nest(64));
    expect(roundTrip(nest(63, new Set([1])))).toStrictEqual(nest(63, new Set([1])));
    expect(roundTrip(nest(63, new Date(1)))).toStrictEqual(nest(63, new Date(1)));
  });

  test("the same object in many places is no cycle", () => {
    const part = { a: [1] };
    expect(roundTrip([part, { part }, part])).toStrictEqual([part, { part }, part]);
  });

  test("a large cycle is found before it fills the memory", () => {
    const large: Record<string, unknown> = { text: "x".repeat(1 << 20) };
    large["self"] = large;
    const before = process.memoryUsage().arrayBuffers;
    expect(errorOf(() => sender.encode(large)).message).toContain("message.self cannot travel: it is a cycle");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(256 << 20);
  });

  test("a getter that throws is named by its error", () => {
    const value = {
      get broken(): never {
        throw new RangeError("from the getter");
      },
    };
    const error = errorOf(() => sender.encode(value));
    expect(error).toMatchObject({ code: "ERR_RPC_SERIALIZATION", cause: { message: "from the getter" } });
    expect(roundTrip([1])).toStrictEqual([1]);
  });
});

describe("size", () => {
  const small = new MessageCodec({ messageBytesMax: 1_000 });

  test.each<[string, unknown]>([
    ["a string", "x".repeat(1_001)],
    ["bytes", new Uint8Array(1_001)],
    ["many small things", new Array(1_001).fill(1)],
    ["a message far larger", { text: "x".repeat(1 << 22) }],
  ])("%s beyond the limit is refused with both sizes", (_name, value) => {
    const error = errorOf(() => small.encode(value));
    expect(error.code).toBe("ERR_RPC_MESSAGE_TOO_LARGE");
    expect(error.message).toMatch(/lengthBytes=\d+, maxBytes=1000/);
  });

  test("a message of exactly the limit travels", () => {
    small.encode(new Uint8Array(1_000));
    expect(small.length).toBe(1_000);
    small.encode("x".repeat(997));
    expect(small.length).toBe(1_000);
  });

  test("a message that outgrows the scratch leaves it, and the next one is back", () => {
    const large = { text: "y".repeat(300_000), map: new Map([[1, "z".repeat(100_000)]]) };
    sender.encode(large);
    const { bytes, length, payloadCodec } = sender;
    expect(bytes).not.toBe(sender.scratch);
    sender.encode({ next: 1 });
    expect(sender.bytes).toBe(sender.scratch);
    expect(receiver.decode(payloadCodec, bytes, length)).toStrictEqual(large);
  });

  test("slices of the payload are copies, wherever it lies", () => {
    for (const value of [{ a: 1 }, { a: "x".repeat(100_000) }, Buffer.alloc(10), Buffer.alloc(10_000), undefined]) {
      sender.encode(value);
      const copy = sender.bytes.slice(0, sender.length);
      expect(copy.buffer).not.toBe(sender.bytes.buffer);
      expect(copy.buffer.byteLength).toBe(sender.length);
    }
  });
});
