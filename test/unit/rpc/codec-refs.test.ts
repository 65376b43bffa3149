/**
 * Goal: a reference travels at any depth of a message as a handle, and arrives as what the receiver's codec makes of it.
 * Method: references of a made-up class, packed and unpacked by codecs that keep account of it.
 */
import { describe, expect, test } from "vitest";
import { RpcError } from "../../../dist/src/common/errors.js";
import { MessageCodec } from "../../../dist/src/rpc/codec.js";
import { REF_BRAND } from "../../../dist/src/rpc/ref-brand.js";
import { REF_HANDLE, type RefHandle, type RefPacking } from "../../../dist/src/rpc/ref-handle.js";

class Ref {
  readonly secret = (): void => {};
  readonly [REF_HANDLE]: RefHandle;
  constructor(handle: RefHandle) {
    this[REF_HANDLE] = handle;
  }
  get [REF_BRAND](): true {
    return true;
  }
}

class Arrived {
  readonly handle: RefHandle;
  constructor(handle: RefHandle) {
    this.handle = handle;
  }
}

const packing: RefPacking = {
  pack: (ref) => (ref as Ref)[REF_HANDLE],
  unpack: (handle) => new Arrived(handle),
};
const sender = new MessageCodec({ refs: packing });
const receiver = new MessageCodec({ refs: packing });
const bare = new MessageCodec();

const local: RefHandle = { env: "a", name: "counter", address: null, id: 3, generation: 70_000, replicas: 2 };
const remote: RefHandle = { ...local, name: "ünï", address: { host: "::1", port: 7077 }, generation: -(2 ** 31) };

function roundTrip(value: unknown): unknown {
  sender.encode(value);
  return receiver.decode(sender.payloadCodec, sender.bytes.slice(0, sender.length), sender.length);
}

describe("a reference", () => {
  test.each([
    ["without an address", local],
    ["with one", remote],
  ])("%s arrives with every part of its handle", (_name, handle) => {
    expect(roundTrip(new Ref(handle))).toStrictEqual(new Arrived(handle));
  });

  test("travels in objects, arrays, Maps (keys too), Sets, instances of classes, error fields and causes", () => {
    class Holder {
      readonly ref = new Ref(local);
    }
    const error = Object.assign(new Error("e", { cause: { replyTo: new Ref(remote) } }), { from: new Ref(local) });
    const message = {
      list: [1, [new Ref(local)]],
      map: new Map<unknown, unknown>([[new Ref(local), { to: new Ref(remote) }]]),
      set: new Set([new Ref(remote)]),
      holder: new Holder(),
      error,
    };
    const arrived = roundTrip(message) as typeof message;
    expect(arrived.list).toStrictEqual([1, [new Arrived(local)]]);
    expect([...arrived.map]).toStrictEqual([[new Arrived(local), { to: new Arrived(remote) }]]);
    expect([...arrived.set]).toStrictEqual([new Arrived(remote)]);
    expect(arrived.holder).toStrictEqual({ ref: new Arrived(local) });
    expect(arrived.error.from).toStrictEqual(new Arrived(local));
    expect(arrived.error.cause).toStrictEqual({ replyTo: new Arrived(remote) });
  });

  test("counts as two levels of nesting, never as a cycle", () => {
    const ref = new Ref(local);
    expect(roundTrip([ref, { ref }])).toStrictEqual([new Arrived(local), { ref: new Arrived(local) }]);
  });

  test("is recognised by its handle alone", () => {
    class Foreign {
      readonly [REF_HANDLE] = remote;
      readonly socket = { write() {} };
    }
    expect(roundTrip({ to: new Foreign() })).toStrictEqual({ to: new Arrived(remote) });
  });

  test("that its packer refuses fails the message with that error", () => {
    const refusal = new RpcError("ERR_RPC_SERIALIZATION", "it belongs to a stopped env");
    const strict = new MessageCodec({
      refs: {
        ...packing,
        pack() {
          throw refusal;
        },
      },
    });
    expect(() => strict.encode([new Ref(local)])).toThrow(refusal);
    strict.encode([1]);
    expect(receiver.decode(strict.payloadCodec, strict.bytes.slice(0, strict.length), strict.length)).toEqual([1]);
  });

  test("is packed by the codec that encodes, also while a getter sends with another", () => {
    const message = {
      get inner(): number {
        expect(() => bare.encode([new Ref(remote)])).toThrow("message[0] cannot travel: it is an RpcEndpointRef");
        return 1;
      },
      ref: new Ref(local),
    };
    expect(roundTrip(message)).toStrictEqual({ inner: 1, ref: new Arrived(local) });
  });
});

describe("without packing", () => {
  test("a reference is refused by path, and left out of an error", () => {
    expect(() => bare.encode({ items: [{ to: new Ref(local) }] })).toThrow(
      "message.items[0].to cannot travel: it is an RpcEndpointRef",
    );
    bare.encode(Object.assign(new Error("e"), { from: new Ref(local), code: "E" }));
    const arrived = bare.decode(bare.payloadCodec, bare.bytes.slice(0, bare.length), bare.length);
    expect(Object.keys(arrived as object)).toEqual(["code"]);
  });

  test("one that arrives is an error", () => {
    sender.encode([new Ref(local)]);
    const bytes = sender.bytes.slice(0, sender.length);
    expect(() => bare.decode(sender.payloadCodec, bytes, bytes.length)).toThrow("no environment");
  });
});

test.each<[string, number[]]>([
  ["too few parts", [0x93, 6, 0xa1, 0x61, 0xa1, 0x62]],
  ["a number as its name", [0x98, 6, 0xa1, 0x61, 1, 0xc0, 0, 1, 1, 1]],
  ["a hint that is no integer", [0x98, 6, 0xa1, 0x61, 0xa1, 0x62, 0xc0, 0, 1, 1, 0xc0]],
  ["a host that is a number", [0x98, 6, 0xa1, 0x61, 0xa1, 0x62, 5, 0, 1, 1, 1]],
  ["a part too many", [0x99, 6, 0xa1, 0x61, 0xa1, 0x62, 0xc0, 0, 1, 1, 1, 1]],
])("a handle with %s is refused", (_name, parts) => {
  const bytes = Uint8Array.from([0xd4, 0x76, 0x00, ...parts]);
  expect(() => receiver.decode(1, bytes, bytes.length)).toThrow("a reference is incomplete");
});
