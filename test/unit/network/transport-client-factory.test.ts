/**
 * Goal: clients are pooled, given up and timed out as Spark's TransportClientFactorySuite and RequestTimeoutIntegrationSuite
 * demand.
 * Method: real sockets, and a clock that the test moves: what takes ten seconds takes none.
 */
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import {
  type DialOptions,
  type ManagedBuffer,
  NioManagedBuffer,
  PlaintextSecurity,
  StreamManager,
  type TransportClient,
} from "../../../dist/src/network/index.js";
import { ask, failureOf, fetchChunk, ScriptedHandler, Transports, until } from "../../fixtures/transport.js";

const echo = (): ScriptedHandler =>
  new ScriptedHandler({ receive: (_client, message, reply) => reply.onSuccess(Buffer.from(message)) });

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function distinctClients(
  isSecure: boolean,
  connections: number,
  concurrent: boolean,
): Promise<Set<TransportClient>> {
  await using transports = new Transports(isSecure);
  const server = await transports.serve(echo());
  const factory = transports.factory(transports.context({ settings: { numConnectionsPerPeer: connections } }));
  const clients = new Set<TransportClient>();
  const attempts = Array.from({ length: connections * 10 }, () => async () => {
    const client = await factory.createClient("127.0.0.1", server.port);
    expect(client.isActive).toBe(true);
    clients.add(client);
  });
  if (concurrent) await Promise.all(attempts.map((attempt) => attempt()));
  else for (const attempt of attempts) await attempt();
  return clients;
}

describe.each([
  ["TransportClientFactorySuite", false],
  ["SslTransportClientFactorySuite", true],
] as const)("%s", (suite, isSecure) => {
  test(`[net ${suite}.reuseClientsUpToConfigVariable] no more clients than configured`, async () => {
    expect((await distinctClients(isSecure, 1, false)).size).toBe(1);
    for (const connections of [2, 3, 4])
      expect((await distinctClients(isSecure, connections, false)).size).toBeLessThanOrEqual(connections);
  });

  test(`[net ${suite}.reuseClientsUpToConfigVariableConcurrent] also when all want one at once`, async () => {
    expect((await distinctClients(isSecure, 1, true)).size).toBe(1);
    for (const connections of [2, 3, 4])
      expect((await distinctClients(isSecure, connections, true)).size).toBeLessThanOrEqual(connections);
  });

  test(`[net ${suite}.returnDifferentClientsForDifferentServers] each server has its own`, async () => {
    await using transports = new Transports(isSecure);
    const [one, two] = [await transports.serve(echo()), await transports.serve(echo())];
    const factory = transports.factory();
    const clients = [
      await factory.createClient("127.0.0.1", one.port),
      await factory.createClient("127.0.0.1", two.port),
    ];
    expect(clients.map((client) => client.isActive)).toEqual([true, true]);
    expect(clients[0]).not.toBe(clients[1]);
  });

  test(`[net ${suite}.neverReturnInactiveClients] a closed client is not handed out again`, async () => {
    await using transports = new Transports(isSecure);
    const server = await transports.serve(echo());
    const factory = transports.factory();
    const first = await factory.createClient("127.0.0.1", server.port);
    first.close();
    expect(first.isActive).toBe(false);
    const second = await factory.createClient("127.0.0.1", server.port);
    expect(second).not.toBe(first);
    expect(second.isActive).toBe(true);
  });

  test(`[net ${suite}.closeBlockClientsWithFactory] a factory closes its clients, pooled or not`, async () => {
    await using transports = new Transports(isSecure);
    const [one, two] = [await transports.serve(echo()), await transports.serve(echo())];
    const factory = transports.factory();
    const clients = [
      await factory.createClient("127.0.0.1", one.port),
      await factory.createClient("127.0.0.1", two.port),
      await factory.createUnmanagedClient("127.0.0.1", two.port),
    ];
    factory.close();
    expect(clients.map((client) => client.isActive)).toEqual([false, false, false]);
    await until(() => factory.connectionCount === 0);
  });

  test(`[net ${suite}.closeIdleConnectionForRequestTimeOut] an idle connection ends where that is wanted`, async () => {
    await using transports = new Transports(isSecure);
    const server = await transports.serve(echo());
    const settings = { connectionTimeoutMs: 1_000 };
    const client = await transports.client(server, transports.context({ settings, closeIdleConnections: true }));
    const kept = await transports.client(server, transports.context({ settings }));
    transports.clock.advance(900);
    expect(client.isActive).toBe(true);
    transports.clock.advance(2_000);
    expect(client.isActive).toBe(false);
    expect(kept.isActive).toBe(true);
  });

  test(`[net ${suite}.closeFactoryBeforeCreateClient] a closed factory makes no clients`, async () => {
    await using transports = new Transports(isSecure);
    const server = await transports.serve(echo());
    const factory = transports.factory();
    factory.close();
    expect(await failureOf(factory.createClient("127.0.0.1", server.port))).toMatchObject({ code: "ERR_RPC_CONNECT" });
  });

  test(`[net ${suite}.fastFailConnectionInTimeWindow] a failure is remembered for who is in a hurry`, async () => {
    await using transports = new Transports(isSecure);
    const factory = transports.factory(transports.context({ settings: { retryWaitMs: 5_000 } }));
    const port = await freePort();
    const attempt = (fastFail: boolean) => failureOf(factory.createClient("127.0.0.1", port, { fastFail }));
    expect(await attempt(true)).toMatchObject({
      code: "ERR_RPC_CONNECT",
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
    const fast = await attempt(true);
    expect(fast.message).toContain("fail this connection directly: ");
    expect(fast.cause).toMatchObject({ code: "ERR_RPC_CONNECT", cause: { code: "ECONNREFUSED" } });
    expect((await attempt(false)).message).not.toContain("fail this connection directly");
    transports.clock.advance(4_800);
    expect((await attempt(true)).message).not.toContain("fail this connection directly");
  });

  test(`[net ${suite}.unlimitedConnectionAndCreationTimeouts] without limits a quiet client lives`, async () => {
    await using transports = new Transports(isSecure);
    const settings = {
      connectionTimeoutMs: Number.POSITIVE_INFINITY,
      connectionCreationTimeoutMs: Number.POSITIVE_INFINITY,
    };
    let asked = 0;
    const handler = new ScriptedHandler({ receive: () => void asked++ });
    const server = await transports.serve(handler, { settings });
    const context = transports.context({ settings, closeIdleConnections: true });
    const client = await transports.client(server, context);
    const unanswered = failureOf(ask(client, "never answered"));
    await until(() => asked === 1);
    for (let hour = 0; hour < 24; hour++) transports.clock.advance(3_600_000);
    expect(client.isActive).toBe(true);
    client.close();
    await unanswered;
    const error = await failureOf(transports.factory(context).createClient("127.0.0.1", await freePort()));
    expect(error).toMatchObject({ code: "ERR_RPC_CONNECT", cause: { code: "ECONNREFUSED" } });
  });

  test("the application of a peer is known after the bootstraps, which may say another one", async () => {
    await using transports = new Transports(isSecure);
    const server = await transports.serve(echo());
    const plain = await transports.factory().createClient("127.0.0.1", server.port);
    expect(plain.clientId).toBe(isSecure ? "app" : null);
    const bootstrap = { doBootstrap: (client: TransportClient) => client.setClientId("another") };
    const said = await transports.context().createClientFactory([bootstrap]).createClient("127.0.0.1", server.port);
    expect(said.clientId).toBe("another");
    said.close();
  });

  test("a bootstrap that fails closes the client, and does not count as a failed connect", async () => {
    await using transports = new Transports(isSecure);
    const server = await transports.serve(echo());
    let attempts = 0;
    let made: TransportClient | null = null;
    const factory = transports.context().createClientFactory([
      {
        doBootstrap(client) {
          made = client;
          if (++attempts === 1) throw new Error("not yet");
        },
      },
    ]);
    expect((await failureOf(factory.createClient("127.0.0.1", server.port, { fastFail: true }))).message).toBe(
      "not yet",
    );
    expect((made as unknown as TransportClient).isActive).toBe(false);
    const client = await factory.createClient("127.0.0.1", server.port, { fastFail: true });
    expect(await ask(client, "after")).toBe("after");
    factory.close();
  });
});

describe("RequestTimeoutIntegrationSuite", () => {
  const SETTINGS = { connectionTimeoutMs: 10_000 };

  test("[net RequestTimeoutIntegrationSuite.timeoutInactiveRequests] an unanswered request fails when all has been quiet", async () => {
    await using transports = new Transports();
    let asked = 0;
    const handler = new ScriptedHandler({
      receive: (_client, message, reply) => void (asked++ === 0 && reply.onSuccess(Buffer.from(message))),
    });
    const client = await transports.client(await transports.serve(handler), transports.context({ settings: SETTINGS }));
    expect(await ask(client, "first")).toBe("first");
    const second = failureOf(ask(client, "second"));
    transports.clock.advance(9_000);
    expect(client.isActive).toBe(true);
    transports.clock.advance(5_000);
    expect(await second).toMatchObject({
      code: "ERR_RPC_CONNECTION_LOST",
      message: expect.stringContaining("quiet for 10000 ms"),
    });
  });

  test("[net RequestTimeoutIntegrationSuite.timeoutCleanlyClosesClient] the factory then makes a new one that works", async () => {
    await using transports = new Transports();
    let asked = 0;
    const handler = new ScriptedHandler({
      receive: (_client, message, reply) => void (asked++ > 0 && reply.onSuccess(Buffer.from(message))),
    });
    const server = await transports.serve(handler);
    const factory = transports.factory(transports.context({ settings: SETTINGS }));
    const first = await factory.createClient("127.0.0.1", server.port);
    const unanswered = failureOf(ask(first, "first"));
    await until(() => asked === 1);
    transports.clock.advance(15_000);
    expect(await unanswered).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(first.isActive).toBe(false);
    const second = await factory.createClient("127.0.0.1", server.port);
    expect(second).not.toBe(first);
    expect(await ask(second, "second")).toBe("second");
  });

  test("[net RequestTimeoutIntegrationSuite.furtherRequestsDelay] the last request is what the quiet is counted from", async () => {
    await using transports = new Transports();
    class NeverReady extends NioManagedBuffer {
      override toBody(): never {
        return new Promise(() => {}) as never;
      }
    }
    class NoAnswers extends StreamManager {
      getChunk(): ManagedBuffer {
        return new NeverReady(Buffer.alloc(10));
      }
    }
    const server = await transports.serve(new ScriptedHandler({ streams: new NoAnswers() }));
    const client = await transports.client(server, transports.context({ settings: SETTINGS }));
    const first = failureOf(fetchChunk(client, 0n, 0));
    transports.clock.advance(6_000);
    const second = failureOf(fetchChunk(client, 0n, 1));
    transports.clock.advance(9_000);
    expect(client.isActive).toBe(true);
    transports.clock.advance(5_000);
    for (const error of [await first, await second]) expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
  });
});

describe("the pools of a factory", () => {
  test("hold no client that has ended, and no address of which nothing is left", async () => {
    await using transports = new Transports();
    const servers = await Promise.all(Array.from({ length: 5 }, () => transports.serve(echo())));
    const settings = { numConnectionsPerPeer: 2 };
    const factory = transports.factory(transports.context({ settings }));
    for (const server of servers) {
      const client = await factory.createClient("127.0.0.1", server.port);
      expect(await ask(client, "hello")).toBe("hello");
      client.close();
      await until(() => factory.connectionCount === 0);
      expect(factory.poolCount).toBe(1);
    }
    const last = await factory.createClient("127.0.0.1", servers[0]!.port);
    const other = await factory.createClient("127.0.0.1", servers[1]!.port);
    expect([factory.poolCount, factory.connectionCount]).toEqual([2, 2]);
    expect([last.isActive, other.isActive]).toEqual([true, true]);
  });

  test("remember an address that failed as long as that makes callers fail fast", async () => {
    await using transports = new Transports();
    const server = await transports.serve(echo());
    const factory = transports.factory(transports.context({ settings: { retryWaitMs: 1_000 } }));
    const dead = [await freePort(), await freePort()] as const;
    for (const port of dead) await failureOf(factory.createClient("127.0.0.1", port));
    expect(factory.poolCount).toBe(2);
    transports.clock.advance(500);
    await factory.createClient("127.0.0.1", server.port);
    const fast = await failureOf(factory.createClient("127.0.0.1", dead[0], { fastFail: true }));
    expect(fast.message).toContain("fail this connection directly");
    expect(factory.poolCount).toBe(3);
    transports.clock.advance(500);
    await failureOf(factory.createClient("127.0.0.1", await freePort()));
    expect(factory.poolCount).toBe(2);
  });

  test("count no connection that had ended before it was handed over", async () => {
    await using transports = new Transports();
    const server = await transports.serve(echo());
    class EndsAtOnce extends PlaintextSecurity {
      override async connect(options: DialOptions) {
        const connection = await super.connect(options);
        const closed = once(connection.socket, "close");
        connection.socket.destroy();
        await closed;
        return connection;
      }
    }
    const factory = transports.factory(transports.context({ security: new EndsAtOnce(transports.clock) }));
    const client = await factory.createClient("127.0.0.1", server.port);
    expect([client.isActive, factory.connectionCount]).toEqual([false, 0]);
  });

  test("do not keep a client whose connection ended while it was being set up", async () => {
    await using transports = new Transports();
    const server = await transports.serve(echo());
    let ended = 0;
    const factory = transports.context().createClientFactory([
      {
        async doBootstrap(client) {
          if (ended++ > 0) return;
          client.connection.fail(new Error("cut"));
          await until(() => factory.connectionCount === 0);
        },
      },
    ]);
    const first = await factory.createClient("127.0.0.1", server.port);
    expect(first.isActive).toBe(false);
    const other = await transports.serve(echo());
    const second = await factory.createClient("127.0.0.1", other.port);
    expect([second.isActive, factory.poolCount, factory.connectionCount]).toEqual([true, 1, 1]);
    factory.close();
  });
});

test("many connections at once are no leak: Node.js warns of nothing", async () => {
  await using transports = new Transports();
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", onWarning);
  const factory = transports.factory();
  const { port } = await transports.serve(echo());
  await Promise.all(Array.from({ length: 20 }, () => factory.createUnmanagedClient("127.0.0.1", port)));
  process.off("warning", onWarning);
  expect(warnings).toEqual([]);
});
