/**
 * Goal: an environment that has dialled and shuts down takes nothing with it that a connection has accepted, though its process
 * exits at once; and a peer who reads nothing holds it up until its timeout, no longer.
 * Method: a process that sends many megabytes through a passage that does not read until they were accepted, or never does.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { defineService, RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { Child } from "../../fixtures/child-process.js";
import { until } from "../../fixtures/faults.js";

/** Passes connections on to `port`. What it has read is passed on; `pause` lets it read no more. */
async function passage(port: number) {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect({ port, host: "127.0.0.1" });
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on("error", () => {});
    near.on("data", (bytes) => far.write(bytes)).on("end", () => far.end());
    far.pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    /** Those that the child has dialled. */
    get near(): Socket[] {
      return sockets.filter((_socket, index) => index % 2 === 0);
    },
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function serving() {
  const env = await RpcEnv.create({ port: 0, numThreads: 1 });
  for (const event of ["disconnected", "networkError"] as const) env.on(event, () => {});
  let bytes = 0;
  const service = defineService({
    see: (body: Uint8Array) => {
      bytes += body.length;
    },
  });
  await env.setupEndpoint("service", service);
  return { env, port: env.address.port, seenBytes: () => bytes };
}

/** The child, which has sent and been accepted what nobody has read, and shuts down now. */
async function leaving(way: { readonly port: number; readonly near: readonly Socket[] }, timeoutMs: number) {
  const child = new Child("leaving-main", [way.port, timeoutMs]);
  expect(await child.says()).toBe("ready");
  way.near[0]?.pause();
  child.tell("send");
  const accepted = (await child.says()) as number;
  expect(accepted).toBeGreaterThan(8);
  return { child, accepted };
}

test("what was accepted is written before shutdown resolves, by who has dialled as well", async () => {
  const server = await serving();
  await using _env = server.env;
  using way = await passage(server.port);
  const { child, accepted } = await leaving(way, 30_000);
  await using _child = child;
  way.near[0]?.resume();
  expect(await child.exited).toBe(0);
  await until(() => server.seenBytes() >= accepted * 1_000_000);
  expect(server.seenBytes()).toBe(accepted * 1_000_000);
});

test("a peer who reads nothing holds shutdown up until its timeout", async () => {
  const server = await serving();
  await using _env = server.env;
  using way = await passage(server.port);
  const { child } = await leaving(way, 500);
  await using _child = child;
  const tookMs = (await child.says()) as number;
  expect(await child.exited).toBe(0);
  expect(tookMs).toBeGreaterThanOrEqual(499);
  expect(tookMs).toBeLessThan(5_000);
});
