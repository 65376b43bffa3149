/**
 * Goal: a codec shares msgpackr, whose state is global to its module, without harm to itself or to others.
 * Method: pack with msgpackr directly before, after and inside of encoding, and compare with what it does on its own.
 */
import { addExtension, Packr, pack, unpack } from "msgpackr";
import { expect, test } from "vitest";
import { MessageCodec } from "../../../dist/src/rpc/codec.js";

const codec = new MessageCodec();

function arrived(): unknown {
  return codec.decode(codec.payloadCodec, codec.bytes.slice(0, codec.length), codec.length);
}

test("what others pack is not overwritten by later messages", () => {
  codec.encode({ first: "message" });
  const theirs: Uint8Array[] = [];
  for (let n = 0; n < 10; n++) {
    theirs.push(pack({ n, text: "x".repeat(100) }), pack([n]));
    codec.encode({ text: "y".repeat(1_000 * n) });
  }
  for (let n = 0; n < 10; n++) {
    expect(unpack(theirs[2 * n]!)).toEqual({ n, text: "x".repeat(100) });
    expect(unpack(theirs[2 * n + 1]!)).toEqual([n]);
  }
});

test("a message is not overwritten by what others pack before it is copied", () => {
  codec.encode({ ours: "z".repeat(50) });
  for (let n = 0; n < 50; n++) pack({ theirs: "x".repeat(200) });
  expect(arrived()).toEqual({ ours: "z".repeat(50) });
});

test("others go on packing Map, Set, Date, Error and classes as they are used to", () => {
  class Theirs {
    toJSON(): unknown {
      return { json: true };
    }
  }
  const values = [new Map([["a", 1]]), new Set([1]), new Date(5), new Error("e"), new Float32Array([1]), new Theirs()];
  const packr = new Packr({ moreTypes: true });
  const own = values.map((value) => packr.pack(value).toString("hex"));
  // Bytes that msgpackr 2.1.3 makes in a process without this package.
  expect(own).toEqual([
    "81a16101",
    "d473009101",
    "d7ff0131_2d00_00000000".replaceAll("_", ""),
    "d4650093a54572726f72a165d40000",
    "c70574070000803f",
    "d4724091a46a736f6ec3",
  ]);
});

test("a message that others fail to unpack, or unpack, leaves nothing behind for ours", () => {
  codec.encode({ map: new Map([["a", 1]]), text: "\ud800" });
  const bytes = Buffer.from(codec.bytes.subarray(0, codec.length));
  expect(() => unpack(bytes.subarray(0, 9))).toThrow();
  unpack(bytes);
  codec.encode({ plain: 1 });
  expect(arrived()).toEqual({ plain: 1 });
});

test("an extension of others for a class does not reach what they never send", () => {
  class Foreign {
    a = 1;
  }
  addExtension({
    Class: Foreign,
    type: 11,
    pack: () => Buffer.from("f"),
    unpack: () => new Foreign(),
  });
  codec.encode({ plain: { a: [new Set([1])] } });
  expect(arrived()).toEqual({ plain: { a: [new Set([1])] } });
});

test("a getter of a message may encode another message", () => {
  const inner: unknown[] = [];
  const sendAnother = (value: unknown): number => {
    codec.encode(value);
    inner.push(arrived());
    return inner.length;
  };
  const others = [{ small: 1 }, new Uint8Array([1, 2]), undefined, "t".repeat(100_000), { map: new Map([[1, 2]]) }];
  const message = {
    before: "b".repeat(20),
    get first(): number {
      return others.map(sendAnother).length;
    },
    set: new Set([
      {
        get second(): number {
          return sendAnother({ deeper: [1n] });
        },
      },
    ]),
    after: "a".repeat(20),
  };
  codec.encode(message);
  expect(arrived()).toEqual({ before: "b".repeat(20), first: 5, set: new Set([{ second: 6 }]), after: "a".repeat(20) });
  expect(inner).toEqual([...others, { deeper: [1n] }]);
});

test("a getter whose own message cannot travel fails the outer one, and the codec goes on", () => {
  const message = {
    get bad(): number {
      codec.encode({ callback() {} });
      return 1;
    },
  };
  expect(() => codec.encode(message)).toThrow("message.callback cannot travel");
  codec.encode({ good: 1 });
  expect(arrived()).toEqual({ good: 1 });
});
