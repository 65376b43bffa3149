/** Goal: an address is read strictly and written so that it can be read again. */
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { RpcAddress } from "../../../dist/src/rpc/rpc-address.js";

describe("parse", () => {
  test.each<[string, RpcAddress]>([
    ["ringpost://localhost:7077", { host: "localhost", port: 7077 }],
    ["spark://Node-A.example.org:1", { host: "node-a.example.org", port: 1 }],
    ["ringpost://127.0.0.1:65535", { host: "127.0.0.1", port: 65535 }],
    ["ringpost://[::1]:80", { host: "::1", port: 80 }],
    ["ringpost://[2001:DB8::1.2.3.4]:80", { host: "2001:db8::102:304", port: 80 }],
    ["ringpost://my_service:80", { host: "my_service", port: 80 }],
  ])("reads %s", (uri, address) => {
    expect(RpcAddress.parse(uri)).toEqual(address);
    expect(RpcAddress.parse(RpcAddress.format(address))).toEqual(address);
  });

  test.each([
    "",
    "localhost:7077",
    "ringpost://localhost",
    "ringpost://localhost:",
    "ringpost://:80",
    "ringpost://localhost:0",
    "ringpost://localhost:080",
    "ringpost://localhost:65536",
    "ringpost://localhost:99999999999",
    "ringpost://localhost:80/",
    "ringpost://localhost:80/path",
    "ringpost://name@localhost:80",
    "ringpost://::1:80",
    "ringpost://[:::]:80",
    "ringpost://[localhost]:80",
    "ringpost://-a:80",
    "ringpost://a b:80",
    " ringpost://a:80",
    "ringpost://a:80\n",
    "http://a:80",
  ])("refuses %j and says what it expects", (uri) => {
    try {
      RpcAddress.parse(uri);
    } catch (error) {
      expect(isRpcError(error, "ERR_RPC_INVALID_ARGUMENT")).toBe(true);
      expect((error as Error).message).toContain(JSON.stringify(uri));
      return;
    }
    expect.unreachable();
  });
});

test("equals compares host, letter case aside, and port; null is this process", () => {
  const a = { host: "a", port: 1 };
  expect(RpcAddress.equals(a, { host: "A", port: 1 })).toBe(true);
  expect(RpcAddress.equals(a, { host: "a", port: 2 })).toBe(false);
  expect(RpcAddress.equals(a, { host: "b", port: 1 })).toBe(false);
  expect(RpcAddress.equals(a, null)).toBe(false);
  expect(RpcAddress.equals({ host: "[FE80::0:1]", port: 1 }, { host: "fe80::1", port: 1 })).toBe(true);
  expect(RpcAddress.equals({ host: "fe80::1%eth0", port: 1 }, { host: "fe80::1", port: 1 })).toBe(false);
  expect(RpcAddress.equals(null, null)).toBe(true);
});
