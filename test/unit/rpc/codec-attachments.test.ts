/**
 * Goal: large bytes travel beside the payload, each in a buffer of its own, copied or moved once; nothing of the caller
 * is touched before `takeAttachments`.
 * Method: encode, look at what is attached, decode with what was taken.
 */
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { ATTACHMENT_BYTES_MIN, DECODE_DEPTH_MAX } from "../../../dist/src/common/limits.js";
import { MessageCodec, PayloadCodec } from "../../../dist/src/rpc/codec.js";

const sender = new MessageCodec();
const receiver = new MessageCodec();
const LARGE = ATTACHMENT_BYTES_MIN;

function roundTrip(value: unknown, transfer?: readonly ArrayBuffer[]): unknown {
  sender.encode(value, transfer);
  const { payloadCodec, length } = sender;
  const { bytes, attachments } = sender.takeBody();
  return receiver.decode(payloadCodec, bytes, length, attachments, true);
}

function numbered(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => index);
}

describe("attachments", () => {
  test("begin at a limit; below it bytes stand in the payload", () => {
    sender.encode({ a: numbered(LARGE - 1) });
    expect([sender.attachmentBytes, sender.length > LARGE]).toEqual([0, true]);
    sender.encode({ a: numbered(LARGE), b: new Float64Array(LARGE), c: 1 });
    expect([sender.attachmentBytes, sender.length < 100]).toEqual([9 * LARGE, true]);
    sender.encode(1);
    expect(sender.attachmentBytes).toBe(0);
  });

  test.each<[string, unknown]>([
    ["a Uint8Array inside", { bytes: numbered(LARGE) }],
    ["an ArrayBuffer", numbered(LARGE).buffer],
    ["a DataView", [new DataView(numbered(LARGE).buffer)]],
    ["a Float64Array", new Float64Array(LARGE).fill(1.5)],
    ["a BigInt64Array in a Map", new Map([["k", new BigInt64Array(LARGE).fill(-1n)]])],
    [
      "several, and small ones between them",
      [numbered(LARGE), numbered(5), numbered(LARGE + 1), new Int16Array(LARGE)],
    ],
    ["in an error's field", Object.assign(new Error("e"), { bytes: numbered(LARGE) })],
  ])("%s arrives as it was", (_name, value) => {
    expect(roundTrip(value)).toStrictEqual(value);
  });

  test("a view brings its own bytes only, and changes afterwards do not reach the receiver", () => {
    const around = numbered(4 * LARGE);
    const view = around.subarray(LARGE, 2 * LARGE);
    const shared = new Uint8Array(new SharedArrayBuffer(LARGE)).fill(3);
    const [arrived, private_] = roundTrip([view, shared]) as [Uint8Array, Uint8Array];
    around.fill(0);
    expect(arrived).toStrictEqual(numbered(4 * LARGE).slice(LARGE, 2 * LARGE));
    expect(arrived.buffer.byteLength).toBe(LARGE);
    expect(private_.buffer).toBeInstanceOf(ArrayBuffer);
    expect(private_).toStrictEqual(new Uint8Array(LARGE).fill(3));
  });

  test("a bare Uint8Array is copied once by its sender and not by its receiver", () => {
    const value = numbered(100_000);
    sender.encode(value);
    expect([sender.payloadCodec, sender.attachmentBytes]).toEqual([PayloadCodec.BYTES, 0]);
    const { bytes } = sender.takeBody();
    const arrived = receiver.decode(PayloadCodec.BYTES, bytes, bytes.length, [], true) as Uint8Array;
    expect(arrived.buffer).toBe(bytes.buffer);
    expect(arrived).toStrictEqual(value);
  });

  test("payload and attachments together keep to the size limit", () => {
    const small = new MessageCodec({ messageBytesMax: 2 * LARGE });
    small.encode([numbered(LARGE)]);
    expect(() => small.encode([numbered(LARGE), numbered(LARGE)])).toThrow("message too large");
  });

  test("a getter that sends bytes takes nothing from the message around it", () => {
    const inner: unknown[] = [];
    const message = {
      before: numbered(LARGE),
      get sent(): number {
        inner.push(roundTrip({ inside: numbered(LARGE + 7) }));
        return inner.length;
      },
      after: numbered(LARGE + 1),
    };
    expect(roundTrip(message)).toStrictEqual({ before: numbered(LARGE), sent: 1, after: numbered(LARGE + 1) });
    expect(inner).toStrictEqual([{ inside: numbered(LARGE + 7) }]);
  });
});

describe("transfer", () => {
  test.each([1, 100, LARGE, 100_000])("moves a buffer of %i bytes: detached here, whole there", (length) => {
    const bare = numbered(length);
    expect(roundTrip(bare, [bare.buffer])).toStrictEqual(numbered(length));
    expect(bare.length).toBe(0);
    const inside = numbered(length);
    expect(roundTrip({ inside, other: [1] }, [inside.buffer])).toStrictEqual({ inside: numbered(length), other: [1] });
    expect(inside.buffer.byteLength).toBe(0);
  });

  test("views of one moved buffer share it again, each at its place", () => {
    const { buffer } = numbered(64);
    const message = { whole: buffer, part: new Uint16Array(buffer, 8, 4), view: new DataView(buffer, 5, 3) };
    const arrived = roundTrip(message, [buffer]) as typeof message;
    expect(arrived.whole).toStrictEqual(numbered(64).buffer);
    expect([arrived.part.buffer, arrived.view.buffer]).toEqual([arrived.whole, arrived.whole]);
    expect(arrived.part).toStrictEqual(new Uint16Array(arrived.whole, 8, 4));
    expect([arrived.view.byteOffset, arrived.view.byteLength]).toEqual([5, 3]);
  });

  test("nothing is moved before it is taken, and nothing by a message that cannot travel or is too large", () => {
    const bytes = numbered(LARGE);
    sender.encode({ bytes }, [bytes.buffer]);
    expect(bytes.length).toBe(LARGE);
    expect(() => sender.encode({ bytes, run() {} }, [bytes.buffer])).toThrow("message.run cannot travel");
    const small = new MessageCodec({ messageBytesMax: 1_000 });
    expect(() => small.encode({ bytes }, [bytes.buffer])).toThrow("message too large");
    expect(bytes).toStrictEqual(numbered(LARGE));
    expect(roundTrip({ bytes })).toStrictEqual({ bytes: numbered(LARGE) });
  });

  test("an empty buffer may be moved", () => {
    const bytes = new Uint8Array(0);
    sender.encode({ bytes }, [bytes.buffer]);
    expect(sender.attachmentBytes).toBe(0);
    expect(roundTrip({ bytes }, [bytes.buffer])).toStrictEqual({ bytes: new Uint8Array(0) });
  });

  const gone = new ArrayBuffer(8);
  structuredClone(gone, { transfer: [gone] });
  const used = numbered(8);
  test.each<[string, unknown, string]>([
    ["no list", used.buffer, "must be an array"],
    ["a view", [used], "transfer[0] is no ArrayBuffer"],
    ["shared memory", [new SharedArrayBuffer(8)], "transfer[0] is no ArrayBuffer"],
    ["nothing", [used.buffer, null], "transfer[1] is no ArrayBuffer"],
    ["a buffer twice", [used.buffer, used.buffer], "transfer[1] is named twice"],
    ["a detached buffer", [gone], "transfer[0] is detached"],
    ["a buffer that is not in the message", [used.buffer, new ArrayBuffer(8)], "transfer[1] occurs nowhere"],
  ])("a list with %s is refused, and moves nothing", (_name, transfer, text) => {
    for (const message of [used, { used }, [1, used.buffer]]) {
      try {
        sender.encode(message, transfer as ArrayBuffer[]);
      } catch (error) {
        expect(isRpcError(error, "ERR_RPC_INVALID_ARGUMENT")).toBe(true);
        expect((error as Error).message).toContain(text);
        continue;
      }
      throw new Error("nothing was thrown");
    }
    expect(used).toStrictEqual(numbered(8));
  });
});

test("large bytes travel on the deepest level, too", () => {
  const codec = new MessageCodec();
  for (const length of [10, 100_000]) {
    let message: unknown = new Uint8Array(length).fill(7);
    for (let level = 0; level < DECODE_DEPTH_MAX; level++) message = [message];
    codec.encode(message);
    const { bytes, attachments } = codec.takeBody();
    expect(codec.decode(codec.payloadCodec, bytes, bytes.length, attachments)).toEqual(message);
  }
});
