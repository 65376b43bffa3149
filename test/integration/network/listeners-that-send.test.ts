/**
 * Goal: a message goes out once and with its own bytes, whatever listeners of its environment send at that moment.
 * Method: asks fill a connection, so that one-way messages wait behind them. The connection ends, and the first asker that hears
 * of it sends again: his message finds an Outbox that is dead, and what waited there is told to a listener that sends, too.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { defineService, RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { REQUESTS_PER_CONNECTION_MAX } from "../../../dist/src/common/limits.js";

const WAITING = 5;

/** Passes connections on to `port`; `end` ends those there are. */
async function passage(port: number) {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: "127.0.0.1" });
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on("error", () => {});
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    end: () => {
      for (const socket of sockets.splice(0)) socket.end();
    },
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

test.each([
  ["an ask, while a listener sends", "call", "cast"],
  ["an ask, while a listener asks", "call", "call"],
  ["a one-way message, while a listener sends", "cast", "cast"],
  ["a one-way message, while a listener asks", "cast", "call"],
] as const)("%s", async (_what, outer, inner) => {
  await using server = await RpcEnv.create({ port: 0, numThreads: 1 });
  for (const event of ["disconnected", "networkError"] as const) server.on(event, () => {});
  const seen: unknown[] = [];
  const see = (value: unknown): unknown => {
    seen.push(value);
    return value;
  };
  let over = (): void => {};
  const end = new Promise<void>((resolve) => {
    over = resolve;
  });
  const service = defineService({ hang: () => end, see });
  const other = defineService({ see });
  await server.setupEndpoint("service", service);
  await server.setupEndpoint("other", other);
  using way = await passage(server.address.port);
  await using client = await RpcEnv.create({ numThreads: 1 });
  for (const event of ["disconnected", "networkError"] as const) client.on(event, () => {});
  const ref = await client.setupEndpointRef<typeof service>(way.address, "service");
  const otherRef = await client.setupEndpointRef<typeof other>(way.address, "other");
  const answers: unknown[] = [];
  const sent: unknown[] = [];
  const say = (how: "call" | "cast", to: typeof ref | typeof otherRef, value: unknown): void => {
    sent.push(value);
    const said = to[how].see(value);
    if (how === "call") answers.push(expect(said).resolves.toEqual(value));
    else expect(said).toBe(true);
  };
  let deadLetters = 0;
  client.on("deadLetter", () => say(inner, ref, { inner: deadLetters++, filler: "i".repeat(100) }));
  const asks: Promise<unknown>[] = Array.from({ length: REQUESTS_PER_CONNECTION_MAX }, () => ref.call.hang());
  asks.push(otherRef.call.see("never sent"));
  for (let i = 0; i < WAITING; i++) otherRef.cast.see(`waits ${i}`);
  expect(client.stats().peers[0]?.outboxMessages).toBe(WAITING + 1);
  const again = asks[0]?.catch(() => say(outer, otherRef, { outer: true }));
  // What was asked has come there: the end is seen by whoever has nothing to write.
  way.end();
  const ends = await Promise.allSettled(asks);
  expect(ends.every(({ status }) => status === "rejected")).toBe(true);
  await again;
  await Promise.all(answers);
  // Behind all of them on the same connection, for each endpoint.
  await Promise.all([ref.call.see("end"), otherRef.call.see("end")]);
  over();
  expect(deadLetters).toBe(WAITING);
  expect(seen).toEqual(expect.arrayContaining(sent));
  expect(seen).toHaveLength(sent.length + 2);
});
