/** Goal: a server listens where it was told to, on the next free port where one is taken, and never in the open by accident. */
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { afterEach, describe, expect, test } from "vitest";
import { RpcError } from "../../../dist/src/common/errors.js";
import { type BindOptions, bind, isLoopback, portOfRetry } from "../../../dist/src/network/bind.js";

const LOCAL: BindOptions = { host: "127.0.0.1", port: 0, maxRetries: 0, backlog: -1, authenticates: false };

let servers: Server[] = [];
afterEach(async () => {
  for (const server of servers) {
    if (!server.listening) continue;
    server.close();
    await once(server, "close");
  }
  servers = [];
});

function server(): Server {
  const made = createServer();
  servers.push(made);
  return made;
}

/** A port that is taken, with the one behind it as free as any. */
async function takenPort(): Promise<number> {
  return (await bind(server(), LOCAL)).port;
}

async function refusal(options: Partial<BindOptions>): Promise<RpcError> {
  try {
    await bind(server(), { ...LOCAL, ...options });
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
  throw new Error("it was bound");
}

describe("a port", () => {
  test("of 0 becomes one that is free, and the host an address", async () => {
    const made = server();
    const bound = await bind(made, { ...LOCAL, host: "localhost" });
    expect(isLoopback(bound.host)).toBe(true);
    expect(bound).toEqual({
      host: (made.address() as AddressInfo).address,
      port: (made.address() as AddressInfo).port,
    });
  });

  test("that is taken is followed by the next, and the caller hears of it", async () => {
    const port = await takenPort();
    const retries: unknown[] = [];
    const onRetry: BindOptions["onRetry"] = (taken, next) => retries.push([taken, next]);
    const bound = await bind(server(), { ...LOCAL, port, maxRetries: 16, onRetry });
    expect(bound.port).toBeGreaterThan(port);
    expect(retries[0]).toEqual([{ host: "127.0.0.1", port }, port + 1]);
    expect(retries).toHaveLength(bound.port - port);
  });

  test("that is taken, with no retry left, is an error that says what to do", async () => {
    const port = await takenPort();
    const error = await refusal({ port });
    expect(error).toMatchObject({ code: "ERR_RPC_BIND", address: { host: "127.0.0.1", port } });
    expect(error.message).toBe(
      `no free port: 1 tried from 127.0.0.1:${port} on, the last was ${port}; ` +
        "choose another port, or raise port.maxRetries=0",
    );
    expect(error.cause).toMatchObject({ code: "EADDRINUSE" });
  });

  test.each([-1, 1, 1_023, 65_536, 1.5, Number.NaN])("of %d is refused", async (port) => {
    expect(await refusal({ port })).toMatchObject({
      code: "ERR_RPC_INVALID_ARGUMENT",
      message: `port must be 0 or 1024 to 65535: port=${port}`,
    });
  });

  test("comes after 65535 to 1024, as in Spark, and 0 stays 0", () => {
    expect([0, 1, 2, 3].map((retry) => portOfRetry(65_534, retry))).toEqual([65_534, 65_535, 1_024, 1_025]);
    expect(portOfRetry(0, 5)).toBe(0);
  });
});

describe("a host", () => {
  test.each(["0.0.0.0", "::", "192.0.2.1", "::ffff:10.0.0.1", "2001:db8::1"])(
    "beyond loopback, %s, is refused without secret or tls",
    async (host) => {
      const error = await refusal({ host });
      expect(error).toMatchObject({ code: "ERR_RPC_INSECURE_BIND", address: { host, port: 0 } });
      expect(error.message).toContain(`${host} can be reached from other machines`);
      expect(error.message).toContain("give `secret` or `tls`, or bind to 127.0.0.1");
    },
  );

  test("whose name leads beyond loopback is refused, and the text says where it leads", async () => {
    const addresses = await lookup(hostname(), { all: true }).catch(() => []);
    const beyond = addresses.find(({ address }) => !isLoopback(address));
    if (beyond === undefined) {
      // Of a machine without a network its name is all loopback, and may be bound.
      expect(addresses.every(({ address }) => isLoopback(address))).toBe(true);
      return;
    }
    const error = await refusal({ host: hostname() });
    expect(error.code).toBe("ERR_RPC_INSECURE_BIND");
    expect(error.message).toContain(`${hostname()} (${beyond.address})`);
  });

  test("beyond loopback is bound when peers prove who they are", async () => {
    const bound = await bind(server(), { ...LOCAL, host: "0.0.0.0", authenticates: true });
    expect(bound.host).toBe("0.0.0.0");
  });

  test("that this machine does not have is an error with the cause, at once", async () => {
    const retried: number[] = [];
    const onRetry: BindOptions["onRetry"] = (_, port) => retried.push(port);
    const error = await refusal({ host: "192.0.2.1", authenticates: true, maxRetries: 16, onRetry });
    expect(error).toMatchObject({ code: "ERR_RPC_BIND", cause: { code: "EADDRNOTAVAIL" } });
    expect(error.message).toContain("192.0.2.1:0");
    expect(retried).toEqual([]);
  });

  test("that no one knows is an error that names it", async () => {
    const error = await refusal({ host: "no-such-host.invalid" });
    expect(error.code).toBe("ERR_RPC_BIND");
    expect(error.message).toContain("cannot bind to no-such-host.invalid:0: ");
  });

  test("must be given", async () => {
    expect((await refusal({ host: "" })).code).toBe("ERR_RPC_INVALID_ARGUMENT");
  });

  test("of IPv6 loopback is bound where there is IPv6", async () => {
    const has = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));
    const bound = await bind(server(), { ...LOCAL, host: "::1" }).catch((error: unknown) => error);
    if (has) expect(bound).toMatchObject({ host: "::1" });
    else expect(bound).toMatchObject({ code: "ERR_RPC_BIND" });
  });
});

test.each([
  ["127.0.0.1", true],
  ["127.255.0.9", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["0.0.0.0", false],
  ["::", false],
  ["128.0.0.1", false],
  ["::ffff:10.0.0.1", false],
  ["localhost", false],
])("isLoopback(%j) is %j", (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});
