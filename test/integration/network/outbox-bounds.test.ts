/**
 * Goal: what waits for connections and answers is bounded over all peers, and waits for nothing that has ended.
 * Method: peers that accept connections and never say a word, so that no handshake ends; a service that never answers.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { defineService, RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { REQUESTS_PER_CONNECTION_MAX } from "../../../dist/src/common/limits.js";
import { endings } from "../../fixtures/faults.js";

test("rpc.outbox.maxBytes bounds what waits for all peers together, the first message for each included", async () => {
  const deaf = createServer((socket) => socket.on("error", () => {}));
  deaf.listen(0, "0.0.0.0");
  await once(deaf, "listening");
  const { port } = deaf.address() as AddressInfo;
  const env = await RpcEnv.create({ numThreads: 1, secret: "s".repeat(32), conf: { "rpc.outbox.maxBytes": "1m" } });
  env.on("networkError", () => {});
  const refs = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      env.setupEndpointRef({ host: `127.0.0.${i + 1}`, port }, "e", { verify: false }),
    ),
  );
  const waiting = (): number => env.stats().peers.reduce((sum, { outboxMessages }) => sum + outboxMessages, 0);
  const asks = refs.map((ref) => ref.ask(new Uint8Array(300_000)));
  expect(waiting()).toBe(3);
  const ended = endings(asks);
  expect(await endings(asks.slice(3))).toEqual(Array(5).fill(["ERR_RPC_OUTBOX_FULL", false]));
  expect(refs[4]?.send(new Uint8Array(300_000))).toBe(false);
  await env.shutdown({ timeoutMs: 100 });
  expect((await ended).slice(0, 3)).toEqual(Array(3).fill(["ERR_RPC_ENV_STOPPED", false]));
  // A message that is larger than the bound goes where nothing else waits.
  const other = await RpcEnv.create({ numThreads: 1, secret: "s".repeat(32), conf: { "rpc.outbox.maxBytes": "1m" } });
  const [first, second] = await Promise.all(
    [1, 2].map((i) => other.setupEndpointRef({ host: `127.0.0.${i}`, port }, "e", { verify: false })),
  );
  other.on("deadLetter", () => {});
  expect([first?.send(new Uint8Array(4_000_000)), second?.send(1)]).toEqual([true, false]);
  await other.shutdown({ timeoutMs: 100 });
  deaf.close();
});

test("one-way messages behind an ask that is held back and given up go out", async () => {
  let over = (): void => {};
  const end = new Promise<void>((resolve) => {
    over = resolve;
  });
  await using server = await RpcEnv.create({ port: 0, numThreads: 1 });
  const seen: number[] = [];
  const hangs = defineService({ hang: () => end });
  const sees = defineService({ see: (value: number) => void seen.push(value) });
  await server.setupEndpoint("hangs", hangs);
  await server.setupEndpoint("sees", sees);
  await using client = await RpcEnv.create({ numThreads: 1 });
  const ref = await client.setupEndpointRef<typeof hangs>(server.address, "hangs");
  const other = await client.setupEndpointRef<typeof sees>(server.address, "sees");
  const asks = Array.from({ length: REQUESTS_PER_CONNECTION_MAX }, () => ref.call.hang());
  const controller = new AbortController();
  const held = ref.with({ signal: controller.signal }).call.hang();
  const late = ref.with({ timeoutMs: 500 }).call.hang();
  expect([other.cast.see(1), other.cast.see(2)]).toEqual([true, true]);
  expect(client.stats().peers[0]).toMatchObject({ outboxMessages: 4 });
  controller.abort("enough");
  expect(await endings([held, late])).toEqual([
    ["enough", undefined],
    ["ERR_RPC_TIMEOUT", false],
  ]);
  expect(client.stats().peers[0]).toMatchObject({ outboxMessages: 0 });
  await expect.poll(() => seen, { timeout: 30_000 }).toEqual([1, 2]);
  await other.ready();
  expect([other.cast.see(3), client.stats().peers[0]?.outboxMessages]).toEqual([true, 0]);
  over();
  await Promise.all(asks);
});
