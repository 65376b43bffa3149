/**
 * Goal: more asks than a connection may have unanswered are no error: they are held back, in order with what is sent behind
 * them, and leave when they have ended; who is refused all the same is told that he may try again.
 * Method: two environments on loopback, a serial service that stands at a gate; a client of the bare transport.
 */
import { type RpcAddress, RpcEnv } from "ringpost";
import { NoOpRpcHandler, TransportContext } from "ringpost/network";
import { describe, expect, test } from "vitest";
import { REQUESTS_PER_CONNECTION_MAX } from "../../../dist/src/common/limits.js";
import { askFailure } from "../../../dist/src/env/outgoing-ask.js";
import { envelope } from "../../fixtures/envelopes.js";
import { endings, type FaultService, Told, until } from "../../fixtures/faults.js";
import { fixtureUrl } from "../../fixtures/fixture-url.js";
import { Gate } from "../../fixtures/gate.js";
import type service from "../../fixtures/peer-service.js";
import { WireTap } from "../../fixtures/wire-tap.js";

const MAX = REQUESTS_PER_CONNECTION_MAX;
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** A service that takes one message at a time, on a thread of its own, and a client of it. */
async function pair() {
  const server = await RpcEnv.create({ port: 0, numThreads: 1 });
  await server.setupEndpoint("service", fixtureUrl("fault-service-serial"));
  const client = await RpcEnv.create({ numThreads: 1 });
  const told = new Told(client);
  const ref = await client.setupEndpointRef<FaultService>(server.address, "service");
  return {
    server,
    client,
    told,
    ref,
    get peer() {
      return client.stats().peers[0];
    },
    get asks() {
      return server.stats().endpoints.find(({ name }) => name === "service")?.asks;
    },
    async [Symbol.asyncDispose]() {
      await client.shutdown({ timeoutMs: 1_000 });
      await server.shutdown({ timeoutMs: 1_000 });
    },
  };
}

describe("more asks at once than a connection may have unanswered", () => {
  test("are all answered, and handled in the order in which they were made, with one-ways between them", async () => {
    using gate = new Gate();
    await using pairOf = await pair();
    const { ref } = pairOf;
    const held = ref.call.spin(gate.name);
    await gate.reached();
    const asks: Promise<unknown>[] = [];
    for (const i of range(50_000)) {
      if (i % 7 === 3) expect(ref.cast.see(i)).toBe(true);
      else asks.push(ref.call.see(i));
    }
    // The one that holds the thread counts, too.
    expect(pairOf.peer).toMatchObject({ state: "connected", asksInFlight: MAX });
    expect(pairOf.peer?.outboxMessages).toBeGreaterThan(30_000);
    gate.open();
    expect(await held).toBe("opened");
    expect(new Set(await Promise.all(asks))).toEqual(new Set([undefined]));
    expect(await ref.call.seen()).toEqual(range(50_000));
    expect(pairOf.peer).toMatchObject({ asksInFlight: 0, outboxMessages: 0, outboxBytes: 0 });
  });

  test("of a handler on a message loop are answered as well", async () => {
    await using pairOf = await pair();
    const { client, ref } = pairOf;
    const peer = await client.setupEndpoint<typeof service>("peer", fixtureUrl("peer-service"));
    const shape = { count: 30_000, bytes: 1, timeoutMs: 100_000 };
    expect(await peer.call.burst(ref as never, shape, "echo")).toEqual({ replies: 30_000, codes: {} });
  });

  test("end like others: what is held and given up never runs, and what is asked then is answered", async () => {
    using gate = new Gate();
    await using pairOf = await pair();
    const { ref } = pairOf;
    const held = ref.call.spin(gate.name);
    await gate.reached();
    const controller = new AbortController();
    const aborted = endings(range(20_000).map((i) => ref.with({ signal: controller.signal }).call.see(i)));
    const expired = endings(range(5_000).map((i) => ref.with({ timeoutMs: 200 }).call.see(i)));
    const kept = ref.call.see(-1);
    const before = pairOf.peer?.outboxMessages;
    expect(before).toBe(20_000 + 5_000 + 1 - (MAX - 1));
    expect(new Set((await expired).flat())).toEqual(new Set(["ERR_RPC_TIMEOUT", false]));
    expect(pairOf.peer?.outboxMessages).toBe(20_000 + 1 - (MAX - 1));
    controller.abort();
    await aborted;
    // As many again, while the peer has been told of all those only just now: none of them is refused.
    const again = range(MAX - 2).map((i) => ref.call.see(i));
    await until(() => pairOf.asks?.aborted === MAX - 1);
    gate.open();
    await Promise.all([held, kept, ...again]);
    expect(await ref.call.seen()).toEqual([-1, ...range(MAX - 2)]);
    expect(pairOf.asks).toMatchObject({ aborted: MAX - 1, rejected: 0 });
  });

  test("take the places of asks that are given up, though a peer hears of both at once", async () => {
    using gate = new Gate();
    await using pairOf = await pair();
    const { ref } = pairOf;
    const held = ref.call.spin(gate.name);
    await gate.reached();
    const stay = range(MAX - 11).map((i) => ref.call.see(i));
    const controller = new AbortController();
    const aborted = endings(range(10).map((i) => ref.with({ signal: controller.signal }).call.see(-i)));
    const next = range(10).map((i) => ref.call.see(MAX + i));
    await until(() => pairOf.asks?.sent === MAX);
    expect(pairOf.peer).toMatchObject({ asksInFlight: MAX, outboxMessages: 10 });
    controller.abort();
    await aborted;
    await until(() => pairOf.asks?.sent === MAX + 10);
    gate.open();
    await Promise.all([held, ...stay, ...next]);
    expect(await ref.call.seen()).toEqual([...range(MAX - 11), ...range(10).map((i) => MAX + i)]);
  });

  test("fail as not executed with their connection, and one-ways behind them are dead letters", async () => {
    using gate = new Gate();
    await using pairOf = await pair();
    const { client, server, told } = pairOf;
    await using tap = await WireTap.to(server.address as RpcAddress);
    const ref = await client.setupEndpointRef<FaultService>(tap.address, "service");
    void ref.call.spin(gate.name).catch(() => {});
    await gate.reached();
    const asks = endings(range(MAX + 99).map((i) => ref.call.see(i)));
    for (const i of range(50)) expect(ref.cast.see(i)).toBe(true);
    // They wait, too: there is no room before some are sent.
    expect(client.stats().peers[1]?.outboxMessages).toBe(150);
    tap.cut();
    const outcomes = (await asks) as [string, boolean][];
    const unsent = outcomes.slice(MAX - 1);
    expect(unsent).toHaveLength(100);
    expect(new Set(unsent.flat())).toEqual(new Set(["ERR_RPC_CONNECTION_LOST", false]));
    await told.times("deadLetter", 50);
    const codes = told.events.filter(({ event }) => event === "deadLetter").map(({ values }) => values[0]);
    expect(codes).toEqual(
      Array(50).fill(expect.objectContaining({ error: expect.objectContaining({ code: "ERR_RPC_CONNECTION_LOST" }) })),
    );
  });

  test("are bounded in bytes: half of what all peers may keep, then ERR_RPC_OUTBOX_FULL and false; ready() tells of room", async () => {
    using gate = new Gate();
    const server = await RpcEnv.create({ port: 0, numThreads: 1 });
    await server.setupEndpoint("service", fixtureUrl("fault-service-serial"));
    const client = await RpcEnv.create({ numThreads: 1, conf: { "rpc.outbox.maxBytes": "1m" } });
    const ref = await client.setupEndpointRef<FaultService>(server.address, "service");
    const held = ref.call.spin(gate.name);
    await gate.reached();
    const sent = range(MAX - 1).map((i) => ref.call.see(i));
    const asks = range(8).map(() => ref.call.echo(new Uint8Array(100_000)).then(() => "answered"));
    expect(await endings(asks.slice(5))).toEqual(Array(3).fill(["ERR_RPC_OUTBOX_FULL", false]));
    // Without what is still on its way to the socket.
    await until(() => (client.stats().peers[0]?.outboxBytes ?? 0) <= 524_288);
    expect(client.stats().peers[0]).toMatchObject({ outboxMessages: 5 });
    expect(client.stats().peers[0]?.outboxBytes).toBeGreaterThan(500_000);
    let refused = 0;
    const fill = range(100).filter((i) => ref.cast.see(i) || refused++ < 0);
    expect([fill.length + refused, refused > 0]).toEqual([100, true]);
    let isReady = false;
    const ready = ref.ready().then(() => {
      isReady = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isReady).toBe(false);
    gate.open();
    await ready;
    expect(ref.cast.see(100)).toBe(true);
    expect(await Promise.all(asks.slice(0, 5))).toEqual(Array(5).fill("answered"));
    await Promise.all([held, ...sent]);
    expect((await ref.call.seen()).slice(MAX - 1)).toEqual([...fill, 100]);
    await client.shutdown();
    await server.shutdown();
  });
});

test("a request that a peer refuses, because too many of its connection are unanswered, may be tried again", async () => {
  using gate = new Gate();
  await using server = await RpcEnv.create({ port: 0, numThreads: 1 });
  const { port = 0 } = server.address ?? {};
  await server.setupEndpoint("service", fixtureUrl("fault-service"));
  const context = new TransportContext({ rpcHandler: new NoOpRpcHandler() });
  const factory = context.createClientFactory();
  const client = await factory.createClient("127.0.0.1", port);
  const body = envelope("service", ["gate", gate.name]);
  const failures: Error[] = [];
  const asks = range(MAX + 1).map(
    () =>
      new Promise<void>((resolve) => {
        const onFailure = (error: Error): void => {
          failures.push(error);
          resolve();
        };
        client.sendRpc(body, { onSuccess: () => resolve(), onFailure });
      }),
  );
  await until(() => failures.length > 0);
  gate.open();
  await Promise.all(asks);
  expect(failures).toHaveLength(1);
  const error = askFailure(failures[0] as Error, "service", { host: "127.0.0.1", port });
  expect(error).toMatchObject({ code: "ERR_RPC_INBOX_FULL", retryable: true, maybeExecuted: false });
  expect(error.message).toContain(`max=${MAX}`);
  factory.close();
});
