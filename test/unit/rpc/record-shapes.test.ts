/**
 * Goal: objects of a shape that both ends know travel as records, and arrive as if they had travelled as maps.
 * Method: two codecs over one list of shapes; what becomes a record is seen from the payload's codec and length.
 */
import { describe, expect, test } from "vitest";
import { MessageCodec, PayloadCodec } from "../../../dist/src/rpc/codec.js";
import { MemoryShapeList } from "../../fixtures/shape-list.js";

function pair() {
  const list = new MemoryShapeList();
  const sender = new MessageCodec({ shapes: list.view(), trusted: true });
  const receiver = new MessageCodec({ shapes: list.view(), trusted: true });
  const carry = (value: unknown): unknown => {
    sender.encode(value);
    const { payloadCodec, length } = sender;
    return receiver.decode(payloadCodec, sender.bytes.slice(0, length), length);
  };
  return { list, sender, receiver, carry };
}

describe("a shape", () => {
  test("is suggested once it was met often, and then its keys travel no more", () => {
    const { list, sender, carry } = pair();
    for (let id = 0; id < 100; id++) expect(carry({ id, name: "n" })).toStrictEqual({ id, name: "n" });
    expect(list.shapes).toEqual([["id", "name"]]);
    sender.encode({ id: 1, name: "n" });
    expect([sender.payloadCodec, sender.length]).toEqual([PayloadCodec.RECORDS, 4]);
    // The same keys in another order, or one more, are another shape.
    for (const other of [{ name: "n", id: 1 }, { id: 1, name: "n", more: 1 }, { id: 1 }]) {
      sender.encode(other);
      expect(sender.payloadCodec).toBe(PayloadCodec.MSGPACK);
      expect(carry(other)).toStrictEqual(other);
    }
  });

  test("is known to a codec that was made later, and to one that has not looked for long", () => {
    const { list, sender, receiver } = pair();
    const values = Array.from({ length: 200 }, (_, n) => ({ [`a${n}`]: n, [`b${n}`]: n + 1 }));
    for (const value of values) list.adopt(Object.keys(value));
    // The sender learns of them at its next look.
    for (let n = 0; n < 8; n++) sender.encode({ unknown: n });
    const late = new MessageCodec({ shapes: list.view(), trusted: true });
    for (const value of values.toReversed()) {
      sender.encode(value);
      expect(sender.payloadCodec).toBe(PayloadCodec.RECORDS);
      const bytes = sender.bytes.slice(0, sender.length);
      for (const codec of [receiver, late]) {
        expect(codec.decode(PayloadCodec.RECORDS, bytes, bytes.length)).toStrictEqual(value);
      }
    }
  });

  test("stands beside integers, which are the same bytes elsewhere", () => {
    const { list, carry, sender } = pair();
    for (let n = 0; n < 256; n++) list.adopt([`k${n}`]);
    for (let n = 0; n < 8; n++) carry({ unknown: n });
    const integers = Array.from({ length: 300 }, (_, n) => n - 50);
    const message = integers.map((n) => ({ [`k${(n + 50) % 256}`]: n, [n]: n })).concat({ k64: 64 } as never);
    expect(carry([integers, message, { k0: { k1: { k255: 127 } } }])).toStrictEqual([
      integers,
      message,
      { k0: { k1: { k255: 127 } } },
    ]);
    expect(sender.payloadCodec).toBe(PayloadCodec.RECORDS);
  });

  test("with a getter that changes its object is written as a map instead", () => {
    const { list, carry } = pair();
    list.adopt(["a", "b", "c"]);
    for (let n = 0; n < 8; n++) carry({ unknown: n });
    const value = {
      get a(): number {
        delete (this as { b?: unknown }).b;
        return 1;
      },
      b: 2,
      c: 3,
    };
    expect(carry({ value, after: 1 })).toStrictEqual({ value: { a: 1, c: 3 }, after: 1 });
  });

  test("of too many keys, with an index, or with a key that no reader may assign is none", () => {
    const { list } = pair();
    const many = Array.from({ length: 33 }, (_, n) => `k${n}`);
    for (const keys of [[], many, ["a", "1"], ["__proto__"], ["\ud800"], ["x".repeat(600)]]) list.adopt(keys);
    expect(list.shapes).toEqual([]);
  });
});

test("objects used as dictionaries do not fill the list", () => {
  const { list, carry } = pair();
  for (let n = 0; n < 20_000; n++) {
    const value = { [`user-${n}`]: n };
    if (n % 100 === 0) expect(carry(value)).toStrictEqual(value);
    else carry(value);
  }
  expect(list.shapes).toEqual([]);
});

test("a full list takes no more, and what is not in it travels as before", () => {
  const { list, carry } = pair();
  for (let n = 0; n < 300; n++) list.adopt([`k${n}`]);
  expect(list.shapes).toHaveLength(256);
  for (let n = 0; n < 300; n++) expect(carry({ [`k${n}`]: n })).toStrictEqual({ [`k${n}`]: n });
});

test("records are refused by a codec without shapes", () => {
  const { list, sender } = pair();
  list.adopt(["a"]);
  for (let n = 0; n < 8; n++) sender.encode({ unknown: n });
  sender.encode({ a: 1 });
  const bytes = sender.bytes.slice(0, sender.length);
  expect(() => new MessageCodec().decode(PayloadCodec.RECORDS, bytes, bytes.length)).toThrow("cannot be read");
});
