/**
 * Goal: whatever a peer does with its socket - falls silent, resets it in the middle of a frame, reads or writes a byte now
 * and then - ends that connection, in time and with a bounded memory, and nobody else's.
 * Method: peers by hand on bare sockets; a healthy client asks all the time. Times are a fiftieth of the contract's, set by
 * conf; `RINGPOST_FULL_FAULTS=1` takes the contract's own.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { call } from "../../fixtures/envelopes.js";
import {
  DEAD_MS,
  endings,
  expectSettled,
  type FaultService,
  HANDSHAKE_MS,
  HealthyClient,
  QUICK_CONF,
  residentMib,
  SLACK,
  serving,
  Told,
  until,
} from "../../fixtures/faults.js";
import { Gate } from "../../fixtures/gate.js";

const MIB = 1_048_576;
const LOST = ["ERR_RPC_CONNECTION_LOST", true];

async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** At once, without the end of what was written: the system's own reset. Node's is an orderly end before it. */
function reset(socket: Socket): void {
  (socket as unknown as { _handle: { reset(done: () => void): void } })._handle.reset(() => socket.destroy());
}

/** Resolves when the other side has ended the connection, in order or by a reset, to the milliseconds since. */
async function ended(socket: Socket, sinceMs: number): Promise<number> {
  // Not events.once: it would fail with the reset that a byte on its way to a closed connection brings.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return performance.now() - sinceMs;
}

/** A server that takes connections and reads what comes, and does nothing of its own. */
async function deafServer(onConnection: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    port,
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe("a half-open connection: the socket is there, and nobody behind it", () => {
  test("an asker is dead after 30 s; its handlers are cancelled, and it is told of once", async () => {
    using gate = new Gate();
    await using server = await serving();
    await using healthy = await HealthyClient.of(server);
    const socket = await dial(server.port);
    const startedMs = performance.now();
    socket.write(call(1, "signal", gate.name));
    socket.pause();
    await gate.reached();
    expect(await gate.note()).toMatchObject({ cancelled: true });
    const deadMs = performance.now() - startedMs;
    console.log(`half-open: dead after ${deadMs.toFixed(0)} ms of ${DEAD_MS}`);
    expect(deadMs).toBeGreaterThan(DEAD_MS / 2);
    expect(deadMs).toBeLessThan(DEAD_MS * SLACK);
    await server.told.times("disconnected", 1);
    await healthy.goesOn();
    expect(server.told.count("networkError")).toBe(1);
    await until(() => server.env.stats().endpoints[0]?.asks.aborted === 1);
    socket.destroy();
  }, 70_000);

  test("asks of one that never answers fail when it is dead", async () => {
    using deaf = await deafServer((socket) => socket.pause());
    await using other = await serving();
    await using healthy = await HealthyClient.of(other);
    await using env = await RpcEnv.create({ numThreads: 1, conf: QUICK_CONF });
    const told = new Told(env);
    const ref = await env.setupEndpointRef<FaultService>({ host: "127.0.0.1", port: deaf.port }, "x", {
      verify: false,
    });
    const startedMs = performance.now();
    expect(await endings([ref.call.echo(1), ref.call.echo(2)])).toEqual([LOST, LOST]);
    expect(performance.now() - startedMs).toBeLessThan(DEAD_MS * SLACK);
    await told.times("disconnected", 1);
    await healthy.goesOn();
    expect(env.stats().peers).toEqual([]);
    expectSettled(env);
  }, 70_000);
});

describe("a reset in the middle of a frame", () => {
  test("of an asker: what came whole was run and is cancelled, nothing of the rest", async () => {
    using gate = new Gate();
    await using server = await serving();
    await using healthy = await HealthyClient.of(server);
    for (let i = 1; i <= 10; i++) {
      const socket = await dial(server.port);
      socket.write(call(1, "signal", gate.name));
      const second = call(2, "make", 1, "x".repeat(100));
      socket.write(second.subarray(0, Math.floor((second.length * i) / 11)));
      await gate.reached(i);
      reset(socket);
      expect(await gate.note()).toMatchObject({ cancelled: true });
      await server.told.times("disconnected", i);
    }
    await healthy.goesOn();
    const resets = server.told.events.filter(({ event }) => event === "networkError");
    expect(resets).toHaveLength(10);
    expect(resets[0]?.values[0]).toMatchObject({
      code: "ERR_RPC_CONNECTION_LOST",
      cause: expect.objectContaining({ code: "ECONNRESET" }),
    });
    await until(() => server.env.stats().endpoints[0]?.asks.aborted === 10);
  });

  test("of one that answers: its asks fail", async () => {
    using cutting = await deafServer((socket) => {
      socket.once("data", () => {
        // The length of an answer, its type, and a part of its id.
        socket.write(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 40, 4, 0, 0), () => reset(socket));
      });
    });
    await using env = await RpcEnv.create({ numThreads: 1, conf: QUICK_CONF });
    const told = new Told(env);
    const ref = await env.setupEndpointRef<FaultService>({ host: "127.0.0.1", port: cutting.port }, "x", {
      verify: false,
    });
    const asks = [ref.call.echo(1), ref.call.echo(2)];
    expect(await endings(asks)).toEqual([LOST, LOST]);
    // As the side that answers is told when it is the asker that resets.
    await expect(asks[0]).rejects.toMatchObject({ cause: { cause: expect.objectContaining({ code: "ECONNRESET" }) } });
    expectSettled(env);
    await told.times("disconnected", 1);
  });
});

describe("a peer that reads its answers slowly", () => {
  const ANSWER = MIB;

  test("is not read from any more beyond 16 MiB, and ends after 30 s", async () => {
    await using server = await serving();
    await using healthy = await HealthyClient.of(server);
    const before = residentMib();
    const socket = await dial(server.port);
    socket.pause();
    const startedMs = performance.now();
    // 48 MiB: more than the pause, even with what the system holds, and less than the end.
    for (let id = 0; id < 48; id++) socket.write(call(id, "make", ANSWER));
    await until(() => sentOf(server) >= healthy.replies + 48 && openAsks(server) <= 4);
    // Whatever is asked from here on is not read.
    const unread = 5;
    for (let id = 0; id < unread; id++) socket.write(call(1_000 + id, "see", 1));
    // 1 KB a second. It does not see that it was ended, as long as there is something left to read.
    socket.on("readable", () => {});
    const trickle = setInterval(() => socket.read(102), 100);
    await server.told.times("networkError", 1);
    clearInterval(trickle);
    const deadMs = performance.now() - startedMs;
    socket.destroy();
    console.log(`slow reader, 48 MiB: ended after ${deadMs.toFixed(0)} ms of ${DEAD_MS}`);
    expect(deadMs).toBeGreaterThan(DEAD_MS / 2);
    expect(deadMs).toBeLessThan(DEAD_MS * SLACK);
    const [slow] = server.told.events.find(({ event }) => event === "networkError")?.values ?? [];
    expect(slow).toMatchObject({
      code: "ERR_RPC_CONNECTION_LOST",
      message: expect.stringContaining("the peer took"),
    });
    await healthy.goesOn();
    const grown = residentMib() - before;
    console.log(`slow reader, 48 MiB: RSS +${grown.toFixed(0)} MiB afterwards`);
    expect(grown).toBeLessThan(200);
    expect(await server.ref.call.seen()).toEqual([]);
  }, 70_000);

  test("has no room for answers beyond 64 MiB, which take no more memory, and ends as any other", async () => {
    await using server = await serving();
    await using healthy = await HealthyClient.of(server);
    const before = residentMib();
    const socket = await dial(server.port);
    socket.pause();
    const startedMs = performance.now();
    for (let id = 0; id < 300; id++) socket.write(call(id, "make", ANSWER));
    await server.told.times("networkError", 1);
    const deadMs = performance.now() - startedMs;
    const during = residentMib() - before;
    const [error] = server.told.events.find(({ event }) => event === "networkError")?.values ?? [];
    expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST", message: expect.stringContaining("the peer took") });
    await healthy.goesOn();
    console.log(`reader of nothing, 300 MiB asked: ended after ${deadMs.toFixed(0)} ms, RSS +${during.toFixed(0)} MiB`);
    // 64 MiB in the queue, as much on its way from the threads, and the client's own.
    expect(during).toBeLessThan(400);
    socket.destroy();
    await until(() => openAsks(server) <= 4);
  }, 70_000);
});

describe("a peer that writes a byte now and then", () => {
  test("inside a frame: it must end within 30 s of its first byte", async () => {
    await using server = await serving();
    await using healthy = await HealthyClient.of(server);
    const socket = await dial(server.port);
    socket.resume();
    const frame = call(1, "echo", "x".repeat(500));
    let at = 0;
    const startedMs = performance.now();
    socket.write(frame.subarray(0, ++at));
    const trickle = setInterval(() => socket.write(frame.subarray(at, ++at)), DEAD_MS / 10);
    try {
      const deadMs = await ended(socket, startedMs);
      console.log(`slowloris in a frame: ended after ${deadMs.toFixed(0)} ms of ${DEAD_MS}, ${at} bytes`);
      // The sweep looks once a second.
      expect(deadMs).toBeGreaterThan(DEAD_MS);
      expect(deadMs).toBeLessThan(DEAD_MS * SLACK);
    } finally {
      clearInterval(trickle);
    }
    await healthy.goesOn();
    // Who has never said who it is is no peer: nobody is told.
    expect(server.told.events.map(({ event }) => event)).toEqual(["connected"]);
  }, 70_000);

  test("before the handshake: it must end within 5 s", async () => {
    const secret = "a secret of thirty-two bytes or more";
    await using server = await serving({ secret });
    await using healthy = await HealthyClient.of(server, { secret });
    const hello = Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3);
    const sockets = await Promise.all(Array.from({ length: 20 }, () => dial(server.port)));
    const startedMs = performance.now();
    const ends = sockets.map((socket, i) => {
      let at = 0;
      const trickle = setInterval(() => socket.write(hello.subarray(at, ++at)), HANDSHAKE_MS / 5);
      // Every other one says nothing at all.
      if (i % 2 === 0) clearInterval(trickle);
      socket.resume();
      return ended(socket, startedMs).finally(() => clearInterval(trickle));
    });
    const latest = Math.max(...(await Promise.all(ends)));
    console.log(`slowloris before the handshake: ended after ${latest.toFixed(0)} ms of ${HANDSHAKE_MS}`);
    expect(latest).toBeLessThan(HANDSHAKE_MS * SLACK);
    await healthy.goesOn();
    expect(server.told.events.map(({ event }) => event)).toEqual(["connected"]);
  }, 70_000);
});

function sentOf({ env }: { readonly env: RpcEnv }): number {
  return env.stats().endpoints[0]?.asks.sent ?? 0;
}

function openAsks({ env }: { readonly env: RpcEnv }): number {
  const { sent, replied, failed, timedOut, aborted, rejected } = env.stats().endpoints[0]!.asks;
  return sent - replied - failed - timedOut - aborted - rejected;
}
