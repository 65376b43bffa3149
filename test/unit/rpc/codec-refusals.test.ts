/**
 * Goal: the sender is told which part of a message cannot travel, or that it is too large, and can go on.
 * Method: encode what is forbidden, look at the error, then encode what is allowed.
 */
import { describe, expect, test } from "vitest";
import { RpcError } from "../../../dist/src/common/errors.js";
import { MessageCodec } from "../../../dist/src/rpc/codec.js";

const sender = new MessageCodec();
const receiver = new MessageCodec();

function roundTrip(value: unknown): unknown {
  sender.encode(value);
  return receiver.decode(sender.payloadCodec, sender.bytes.slice(0, sender.length), sender.length);
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

function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

describe("what cannot travel is refused by path", () => {
  const cycle: { items: unknown[] } = { items: [1] };
  cycle.items.push({ back: cycle });
  const cases: [name: string, value: unknown, path: string, what: string][] = [
    ["a function", { items: [1, 2, 3, { callback() {} }] }, "message.items[3].callback", "a function"],
    ["a function as the message", () => 1, "message", "a function"],
    ["a constructor that is Array", { a: { constructor: Array } }, "message.a.constructor", "a function"],
    ["a constructor that is Map", { a: { constructor: Map } }, "message.a.constructor", "a function"],
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
    ["a detached buffer", { a: [detached().buffer] }, "message.a[0]", "detached, because it was transferred before"],
    ["a detached view", { a: detached() }, "message.a", "detached, because it was transferred before"],
    ["a detached view as the message", detached(), "message", "detached, because it was transferred before"],
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

  test("an input of a service call is named as its caller knows it", () => {
    expect(errorOf(() => sender.encode(["sum", 1, { each() {} }], undefined, "inputs")).message).toMatch(
      /^input 1\.each /,
    );
    expect(errorOf(() => sender.encode(["sum", Symbol("s")], undefined, "inputs")).message).toMatch(/^input 0 cannot/);
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
    large.self = large;
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

test("a message is measured by what it is, not by what its strings could have been", () => {
  const codec = new MessageCodec({ messageBytesMax: 66_000 });
  for (const length of [60, 64, 4_000, 4_096]) {
    const message = Array.from({ length: Math.floor(64_000 / (length + 3)) }, () => "x".repeat(length));
    codec.encode(message);
    expect(codec.length).toBeLessThanOrEqual(66_000);
    expect(errorOf(() => codec.encode([...message, "ü".repeat(3_500)])).code).toBe("ERR_RPC_MESSAGE_TOO_LARGE");
  }
});

test("bytes whose buffer is detached are refused, bare or inside", () => {
  const bytes = new Uint8Array(10);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  for (const message of [bytes, [bytes], { bytes }]) {
    const error = errorOf(() => sender.encode(message));
    expect(error.code).toBe("ERR_RPC_SERIALIZATION");
    expect(error.message).toMatch("detached");
  }
  expect(roundTrip(new Uint8Array(0))).toEqual(new Uint8Array(0));
});
