/**
 * Goal: an error arrives as an error, with all that can travel of it, and is never lost for what cannot.
 * Method: encode with one codec, decode with another.
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
    error.request = { error };
    const arrived = travel(error);
    expect((arrived.cause as Error).message).toBe("loop");
    expect((arrived.cause as Error).cause).toBeUndefined();
    expect((arrived.request as { error: Error }).error.message).toBe("loop");
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
    const arrived = travel({ error }).error as Error;
    expect(Object.fromEntries(Object.entries(arrived))).toEqual({ code: "ECONNRESET", bytes: new Uint8Array([1]) });
  });

  test("an encoding that fails inside of one does not count against the next", () => {
    const small = new MessageCodec({ messageBytesMax: 5_000 });
    const large = Object.assign(new Error("large"), { items: new Array(100_000).fill(1) });
    for (let n = 0; n < 20; n++) expect(() => small.encode(large)).toThrow("message too large");
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

test("a field that is too deep where its error stands is left out, and the error is not lost", () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 0;
    for (let level = 0; level < levels; level++) value = [value];
    return value;
  };
  for (const depth of [0, 1, 10]) {
    let message: unknown = Object.assign(new Error("deep"), { fits: nested(63 - depth), deeper: nested(64 - depth) });
    for (let level = 0; level < depth; level++) message = [message];
    let arrived = roundTrip(message);
    for (let level = 0; level < depth; level++) arrived = (arrived as unknown[])[0];
    expect(arrived).toMatchObject({ message: "deep", fits: nested(63 - depth) });
    expect(arrived).not.toHaveProperty("deeper");
  }
});
