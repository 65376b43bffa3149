/**
 * Goal: addresses and uris are read and written as Spark's RpcAddressSuite and NettyRpcAddressSuite demand, with our scheme,
 * and Spark's is read as well.
 * Method: an address has no place to run, so both forms run the same; the uri of a reference is that of the form's endpoint.
 */
import { isRpcError, RpcAddress, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { formatEndpointUri, parseEndpointUri } from "../../dist/src/rpc/endpoint-uri.js";
import { Gate } from "../fixtures/gate.js";
import type { Form } from "./form.js";

/** The text of the refusal. */
function refusal(uri: string): string {
  try {
    RpcAddress.parse(uri);
  } catch (error) {
    if (isRpcError(error, "ERR_RPC_INVALID_ARGUMENT")) return error.message;
    throw error;
  }
  throw new Error(`${uri} was read`);
}

export function addressesSuite(form: Form): void {
  describe(`NettyRpcAddressSuite, ${form.name}`, () => {
    test("[spark 52] an endpoint at an address is name@host:port, and Spark's way to write it is read", () => {
      const place = { name: "test", address: { host: "localhost", port: 12_345 } };
      expect(formatEndpointUri(place.name, place.address)).toBe("ringpost://test@localhost:12345");
      expect(parseEndpointUri("spark://test@localhost:12345")).toEqual(place);
    });

    test("[spark 53] an endpoint that does not listen has its name alone, and Spark's way to write it is read", async () => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ numThreads: 2 });
      const ref = await form.setUp(env, "test", { gate: gate.name });
      expect([ref.uri, String(ref)]).toEqual(["ringpost://test", "ringpost://test"]);
      expect(parseEndpointUri("spark-client://test")).toEqual({ name: "test", address: null });
    });
  });

  describe(`RpcAddressSuite, ${form.name}`, () => {
    test("[spark 54] an address is a host and a port, written host:port", () => {
      expect(RpcAddress.hostPort({ host: "1.2.3.4", port: 1_234 })).toBe("1.2.3.4:1234");
    });

    test("[spark 55] an address is read from its uri, Spark's scheme or ours", () => {
      for (const scheme of ["spark", "ringpost"]) {
        expect(RpcAddress.parse(`${scheme}://1.2.3.4:1234`)).toEqual({ host: "1.2.3.4", port: 1_234 });
      }
    });

    test("[spark 56] a uri with a blank in its host is refused, and stands in the text", () => {
      expect(refusal("spark://1.2. 3.4:1234")).toContain("spark://1.2. 3.4:1234");
    });

    test("[spark 57] a uri of another scheme is refused, and stands in the text", () => {
      expect(refusal("invalid://1.2.3.4:1234")).toContain("invalid://1.2.3.4:1234");
    });

    test("[spark 58] an address is written as a uri", () => {
      expect(RpcAddress.format({ host: "1.2.3.4", port: 1_234 })).toBe("ringpost://1.2.3.4:1234");
    });

    test("[spark 59] the brackets of an IPv6 host are in its text, and not in the data", () => {
      expect(RpcAddress.hostPort({ host: "::1", port: 1_234 })).toBe("[::1]:1234");
      expect(RpcAddress.hostPort({ host: "[::1]", port: 1_234 })).toBe("[::1]:1234");
    });

    test("[spark 60] an IPv6 host is read from its brackets", () => {
      expect(RpcAddress.parse("spark://[::1]:1234")).toEqual({ host: "::1", port: 1_234 });
      expect(refusal("spark://::1:1234")).toContain("spark://::1:1234");
    });

    test("[spark 61] an IPv6 host is written in brackets", () => {
      expect(RpcAddress.format({ host: "::1", port: 1_234 })).toBe("ringpost://[::1]:1234");
    });

    test("[spark 62] an IPv6 host with zeros has one text, and is one address", () => {
      const written = { host: "::0:1", port: 1_234 };
      expect(RpcAddress.hostPort(written)).toBe("[::1]:1234");
      expect(RpcAddress.parse("spark://[::0:1]:1234")).toEqual({ host: "::1", port: 1_234 });
      expect(RpcAddress.equals(written, { host: "::1", port: 1_234 })).toBe(true);
    });

    test("[spark 63] an IPv6 host that ends in zeros has one text, and is one address", () => {
      const written = { host: "2600:0:0:0:0:0:0:0", port: 1_234 };
      expect(RpcAddress.hostPort(written)).toBe("[2600::]:1234");
      expect(RpcAddress.hostPort({ host: "2600::", port: 1_234 })).toBe("[2600::]:1234");
      expect(RpcAddress.equals(written, { host: "2600::", port: 1_234 })).toBe(true);
    });
  });
}
