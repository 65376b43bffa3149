/**
 * Goal: whatever can be encoded arrives as itself, and whatever cannot be decoded is an error.
 * Method: fast-check. The seed stands in the tests' names; SEED=<n> runs it again.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../dist/src/common/errors.js";
import { MessageCodec } from "../../dist/src/rpc/codec.js";
import { MemoryShapeList } from "../fixtures/shape-list.js";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const sender = new MessageCodec();
const receiver = new MessageCodec();
/** Reused, as a loop reuses its own: what the message before has left behind the end must not matter. */
const source = new Uint8Array(1 << 20);

function carryBetween(from: MessageCodec, to: MessageCodec, value: unknown): unknown {
  from.encode(value);
  source.set(from.bytes.subarray(0, from.length));
  return to.decode(from.payloadCodec, source, from.length, from.takeAttachments());
}

const ways: Readonly<Record<string, (value: unknown) => unknown>> = {
  maps: (value) => carryBetween(sender, receiver, value),
  records: (value) => {
    const list = new MemoryShapeList();
    list.adoptAll(value);
    const [from, to] = [1, 2].map(() => new MessageCodec({ shapes: list.view(), trusted: true }));
    return carryBetween(from as MessageCodec, to as MessageCodec, value);
  },
};

/** Any code units, halves of surrogate pairs among them. */
const units = fc.array(fc.integer({ min: 0xd700, max: 0xe100 }), { maxLength: 100 });
const illFormed = units.map((codes) => String.fromCharCode(...codes));
const key = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), illFormed, fc.constant("__proto__"));
const leaf = fc.oneof(
  illFormed,
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.string({ maxLength: 80 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double().map((value) => (Object.is(value, -0) ? 0 : value)),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 600n), max: 2n ** 600n }),
  fc.boolean(),
  fc.constantFrom(null, undefined),
  fc.date({ noInvalidDate: false }),
  fc.uint8Array({ maxLength: 600 }),
  fc.float64Array({ maxLength: 20 }),
  fc.int16Array({ maxLength: 20 }),
  fc.bigUint64Array({ maxLength: 20 }),
);
const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", maxDepth: 5 },
    leaf,
    fc.array(tie("value"), { maxLength: 8 }),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 8 }).map((entries) => Object.fromEntries(entries)),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 8 }).map((entries) => new Map(entries)),
    fc.array(tie("value"), { maxLength: 8 }).map((items) => new Set(items)),
  ),
}));

/** In order, as Maps and Sets keep it: comparing them as unordered takes forever once they are nested. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof Map) return sameItems([...a].flat(1), [...(b as typeof a)].flat(1));
  if (a instanceof Set) return sameItems([...a], [...(b as typeof a)]);
  if (Array.isArray(a) || ArrayBuffer.isView(a)) return sameItems(a as unknown[], b as unknown[]);
  return sameItems(Object.entries(a).flat(1), Object.entries(b).flat(1));
}

function sameItems(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (!same(a[index], b[index])) return false;
  return true;
}

describe.each(Object.keys(ways))(`by %s, seed ${seed}`, (way) => {
  const carry = ways[way] as (value: unknown) => unknown;

  test("any value arrives as itself", () => {
    fc.assert(
      fc.property(anyValue, (value) => same(carry(value), value)),
      { seed, numRuns: 1_500 },
    );
  });

  test("errors keep name, message, stack, fields and cause", () => {
    const fields = fc.array(fc.tuple(key, leaf), { maxLength: 5 }).map((entries) => Object.fromEntries(entries));
    fc.assert(
      fc.property(fc.string(), key, fields, anyValue, (message, name, own, cause) => {
        for (const part of ["name", "message", "stack", "cause"]) delete own[part];
        const error = Object.defineProperties(new Error(message, { cause }), Object.getOwnPropertyDescriptors(own));
        error.name = name;
        const arrived = carry(error) as Error;
        expect([arrived.name, arrived.message, arrived.stack]).toEqual([name, message, error.stack]);
        expect(same(arrived.cause, cause)).toBe(true);
        expect(same({ ...arrived }, own)).toBe(true);
      }),
      { seed, numRuns: 300 },
    );
  });
});

describe(`garbage, seed ${seed}`, () => {
  test("bytes changed at random are read as some value or refused with a typed error", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(anyValue, changes, (value, changed) => {
        sender.encode([value]);
        const bytes = sender.bytes.slice(0, sender.length);
        for (const [at, byte] of changed) bytes[at % bytes.length] = byte;
        expectValueOrRefusal(bytes);
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test("bytes at random are read as some value or refused with a typed error", () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), expectValueOrRefusal), {
      seed,
      numRuns: 3_000,
    });
  });
});

/** What was read is a value of ours: it can be encoded again. */
function expectValueOrRefusal(bytes: Uint8Array): void {
  let value: unknown;
  try {
    value = receiver.decode(1, bytes, bytes.length);
  } catch (error) {
    expect(isRpcError(error, "ERR_RPC_SERIALIZATION")).toBe(true);
    return;
  }
  sender.encode(value);
}
