/** Goal: the uri of a reference can be read back, whatever its endpoint is called, and nothing else passes for one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatEndpointUri, parseEndpointUri } from "../../../dist/src/rpc/endpoint-uri.js";

test("is Spark's, with our scheme", () => {
  const address = { host: "10.0.0.1", port: 7077 };
  expect(formatEndpointUri("Master", address)).toBe("ringpost://Master@10.0.0.1:7077");
  expect(formatEndpointUri("block-manager_1.x", null)).toBe("ringpost://block-manager_1.x");
  expect(formatEndpointUri("a", { host: "::1", port: 1 })).toBe("ringpost://a@[::1]:1");
  expect(parseEndpointUri("spark://Master@10.0.0.1:7077")).toEqual({ name: "Master", address });
  expect(parseEndpointUri("spark-client://Master")).toEqual({ name: "Master", address: null });
});

test("holds any name", () => {
  const address = fc.option(
    fc.record({ host: fc.constantFrom("a.b", "::1"), port: fc.integer({ min: 1, max: 65_535 }) }),
  );
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1 }), address, (name, at) => {
      expect(parseEndpointUri(formatEndpointUri(name, at))).toEqual({ name, address: at });
    }),
  );
});

describe("is not", () => {
  test.each([
    "ringpost://",
    "ringpost://@host:1",
    "ringpost://a@host",
    "ringpost://a@host:0",
    "ringpost://a@host:65536",
    "ringpost://a@b@host:1",
    "ringpost://a@host:1/path",
    "ringpost://a@host:1?q",
    "ringpost://100%@host:1",
    "http://a@host:1",
    " ringpost://a@host:1",
    "a@host:1",
    "",
  ])("%j", (uri) => {
    expect(() => parseEndpointUri(uri)).toThrow(expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" }));
  });
});
