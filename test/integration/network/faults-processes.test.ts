/**
 * Goal: a peer that is killed, stopped or started again costs its own asks, with the error that says so, and nobody else's.
 * Method: peers are processes of their own (test/fixtures/fault-main.ts); a healthy client asks all the time. Bounds of
 * time are ten times the contract's. `RINGPOST_FULL_FAULTS=1`: with the contract's own times.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { RpcAddress, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { Child } from "../../fixtures/child-process.js";
import { call } from "../../fixtures/envelopes.js";
import {
  DEAD_MS,
  endings,
  expectConserved,
  expectSettled,
  type FaultService,
  FULL,
  HealthyClient,
  QUICK_CONF,
  SLACK,
  serving,
  Told,
  until,
} from "../../fixtures/faults.js";
import { Gate } from "../../fixtures/gate.js";

const ASKS = 20;
/** How long a stopped process stays so, at least: until it is dead for others. */
const STOPPED_MS = FULL ? 60_000 : 0;
const LOST = ["ERR_RPC_CONNECTION_LOST", true];

async function portOf(child: Child): Promise<number> {
  return ((await child.says()) as { port: number }).port;
}

function clientEnv(conf: object = {}) {
  return RpcEnv.create({ numThreads: 1, conf: { ...QUICK_CONF, ...conf } });
}

describe("a peer that is killed", () => {
  test("fails the asks of it at once, and is told of once", async () => {
    await using other = await serving();
    await using healthy = await HealthyClient.of(other);
    await using child = new Child("fault-main", ["serve", { port: 0 }]);
    await using env = await clientEnv();
    const told = new Told(env);
    const address = RpcAddress.parse(`ringpost://127.0.0.1:${await portOf(child)}`);
    const ref = await env.setupEndpointRef<FaultService>(address, "service");
    const asks = endings(Array.from({ length: ASKS }, () => ref.call.gate("nobody opens it")));
    // Behind the others: they have left.
    expect(await ref.call.echo(1)).toBe(1);
    const killedMs = performance.now();
    child.signal("SIGKILL");
    expect(await asks).toEqual(Array(ASKS).fill(LOST));
    expectSettled(env);
    // Contract: 1 s.
    expect(performance.now() - killedMs).toBeLessThan(10_000);
    console.log(`SIGKILL: ${ASKS} asks failed after ${(performance.now() - killedMs).toFixed(0)} ms`);
    await told.times("disconnected", 1);
    const later = await ref.call.echo(2).catch((error: unknown) => error);
    expect(later).toMatchObject({ code: "ERR_RPC_CONNECT", address });
    await healthy.goesOn();
    expect(told.events.map(({ event }) => event).filter((event) => event !== "networkError")).toEqual([
      "connected",
      "disconnected",
    ]);
  });

  test("has the handlers of its asks cancelled", async () => {
    using gate = new Gate();
    // Not because of its silence.
    await using server = await serving({ conf: { "rpc.liveness.interval": "60s" } });
    await using healthy = await HealthyClient.of(server);
    await using child = new Child("fault-main", ["ask", {}, RpcAddress.hostPort(server.address), ASKS]);
    expect(await child.says()).toEqual({ echo: "here" });
    child.tell({ gate: gate.name });
    await gate.reached(ASKS);
    child.signal("SIGKILL");
    for (let i = 0; i < ASKS; i++) expect(await gate.note()).toMatchObject({ cancelled: true });
    await server.told.times("disconnected", 1);
    await healthy.goesOn();
    await healthy[Symbol.asyncDispose]();
    await server.told.times("disconnected", 2);
    expect([server.told.count("connected"), server.told.count("disconnected")]).toEqual([2, 2]);
    expect(server.env.stats().endpoints[0]?.asks).toMatchObject({ aborted: ASKS, failed: 0, rejected: 0 });
    expectConserved(server.env);
  });

  test("is asked again by the same ref once it is back on its port; asks in between fail typed", async () => {
    await using first = new Child("fault-main", ["serve", { port: 0 }]);
    const port = await portOf(first);
    await using env = await clientEnv({ "rpc.io.retryWait": "0s" });
    const told = new Told(env);
    const ref = await env.setupEndpointRef<FaultService>({ host: "127.0.0.1", port }, "service");
    const asks = endings([ref.call.gate("nobody opens it")]);
    expect(await ref.call.echo(1)).toBe(1);
    await first[Symbol.asyncDispose]();
    expect(await asks).toEqual([LOST]);
    for (let i = 0; i < 10; i++) {
      expect(await ref.call.echo(i).catch((error) => error)).toMatchObject({
        code: "ERR_RPC_CONNECT",
        maybeExecuted: false,
        message: expect.stringContaining(`127.0.0.1:${port}`),
      });
      expect(ref.cast.see(i)).toBeTypeOf("boolean");
    }
    await using second = new Child("fault-main", ["serve", { port }]);
    expect(await portOf(second)).toBe(port);
    expect(await ref.call.echo("back")).toBe("back");
    expect(await ref.call.seen()).toEqual([]);
    await told.times("deadLetter", 10);
    expectSettled(env);
    expect([told.count("connected"), told.count("disconnected"), told.count("deadLetter")]).toEqual([2, 1, 10]);
  });
});

describe("a peer that is stopped and goes on", () => {
  test("is dead after 30 s of silence; what it answers when it goes on is nobody's", async () => {
    await using other = await serving();
    await using healthy = await HealthyClient.of(other);
    await using child = new Child("fault-main", ["serve", { port: 0 }]);
    await using env = await clientEnv();
    const told = new Told(env);
    const ref = await env.setupEndpointRef<FaultService>({ host: "127.0.0.1", port: await portOf(child) }, "service");
    expect(await ref.call.echo(0)).toBe(0);
    child.signal("SIGSTOP");
    const stoppedMs = performance.now();
    const stale = await endings(Array.from({ length: ASKS }, (_, i) => ref.call.echo(`stale ${i}`)));
    const deadMs = performance.now() - stoppedMs;
    console.log(`SIGSTOP: dead after ${deadMs.toFixed(0)} ms of ${DEAD_MS}`);
    expect(stale).toEqual(Array(ASKS).fill(LOST));
    expect(deadMs).toBeGreaterThan(DEAD_MS / 2);
    expect(deadMs).toBeLessThan(DEAD_MS * SLACK);
    await told.times("disconnected", 1);
    do await healthy.goesOn();
    while (performance.now() - stoppedMs < STOPPED_MS);
    child.signal("SIGCONT");
    const fresh = await endings(Array.from({ length: ASKS }, (_, i) => ref.call.echo(`fresh ${i}`)));
    expect(fresh).toEqual(Array.from({ length: ASKS }, (_, i) => `fresh ${i}`));
    expect([told.count("connected"), told.count("disconnected")]).toEqual([2, 1]);
  }, 150_000);

  test("as an asker: its handlers are cancelled, its asks fail when it goes on, and new ones succeed", async () => {
    using gate = new Gate();
    await using server = await serving();
    await using healthy = await HealthyClient.of(server);
    await using child = new Child("fault-main", ["ask", {}, RpcAddress.hostPort(server.address), ASKS]);
    await child.says();
    child.tell({ gate: gate.name });
    await gate.reached(ASKS);
    child.signal("SIGSTOP");
    const stoppedMs = performance.now();
    for (let i = 0; i < ASKS; i++) expect(await gate.note()).toMatchObject({ cancelled: true });
    await server.told.times("disconnected", 1);
    do await healthy.goesOn();
    while (performance.now() - stoppedMs < STOPPED_MS);
    child.signal("SIGCONT");
    expect(await child.says()).toEqual({ outcomes: Array(ASKS).fill(LOST) });
    child.tell({ again: 7 });
    expect(await child.says()).toEqual({ again: 7 });
    await until(() => server.env.stats().endpoints[0]?.asks.aborted === ASKS);
  }, 150_000);
});

describe("an environment that is shut down", () => {
  test("with peers that read nothing and peers that say nothing ends in time, and so does its process", async () => {
    await using child = new Child("fault-main", ["serve", { port: 0 }]);
    const port = await portOf(child);
    const sockets = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const socket = connect({ port, host: "127.0.0.1" }).on("error", () => {});
        await once(socket, "connect");
        socket.pause();
        // Half of them have 20 MiB to read, and do not; the others are waited for by a handler.
        if (i % 2 === 0) for (let id = 0; id < 20; id++) socket.write(call(id, "make", 1_048_576));
        else socket.write(call(1, "gate", "nobody opens it"));
        return socket;
      }),
    );
    await using env = await clientEnv();
    const ref = await env.setupEndpointRef<FaultService>({ host: "127.0.0.1", port }, "service");
    // Behind what the others have asked, as far as it matters.
    for (let i = 0; i < 20; i++) expect(await ref.call.echo(i)).toBe(i);
    const hanging = endings([ref.call.gate("nobody opens it")]);
    expect(await ref.call.echo("sent")).toBe("sent");
    const startedMs = performance.now();
    const code = await child.end();
    const tookMs = performance.now() - startedMs;
    const { down } = (await child.says()) as { down: number };
    console.log(
      `shutdown with slow peers: resolved after ${down.toFixed(0)} ms, process ended after ${tookMs.toFixed(0)} ms`,
    );
    expect(code).toBe(0);
    // 1 s for the backlog, 5 s of grace for handlers that do not end, 1 s for what peers have not read.
    expect(down).toBeLessThan(8_000);
    expect(tookMs).toBeLessThan(10_000);
    expect((await hanging).flat()[0]).toMatch(/ERR_RPC_(ENV_STOPPED|NO_REPLY|CONNECTION_LOST)/);
    for (const socket of sockets) socket.destroy();
  });
});
