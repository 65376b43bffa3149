/**
 * Goal: a turn of a message loop is bounded in time, its clock is fresh for every message, and what holds a thread shows.
 * Method: handlers that compute for some milliseconds, many of them waiting at once.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Spread = typeof import("../fixtures/spread-service.js");
type Turns = typeof import("../fixtures/turn-service-serial.js");
const turnModule = fixtureUrl("turn-service-serial");

test("timers and sockets of a loop wait for a message or two, however many are queued", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const ref = await env.setupEndpoint<Turns>("turns", turnModule);
  await Promise.all(Array.from({ length: 100 }, () => ref.call.work(2)));
  expect((await ref.call.report()).most).toBeLessThanOrEqual(2);
});

test("an ask whose deadline passes behind another message of the same burst is not run", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const ref = await env.setupEndpoint<Turns>("turns", turnModule);
  await ref.call.report();
  const held = ref.call.work(40);
  await expect(ref.with({ timeoutMs: 10 }).call.mark()).rejects.toMatchObject({ code: "ERR_RPC_TIMEOUT" });
  await held;
  expect((await ref.call.report()).marked).toBe(0);
});

test("code that blocks the main thread stops all traffic meanwhile, and stats say for how long", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const ref = await env.setupEndpoint<Turns>("turns", turnModule);
  const asked = ref.call.work(1);
  const until = performance.now() + 400;
  while (performance.now() < until);
  let answered = false;
  void asked.then(() => {
    answered = true;
  });
  await Promise.resolve();
  expect(answered).toBe(false);
  await asked;
  await expect.poll(() => env.stats().mainLoop.delayMsMax).toBeGreaterThan(200);
});

test("stats tell what waits and what every thread does while all of them compute", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Spread>("spread", fixtureUrl("spread-service"));
  const held = [ref.call.hold(gate.name), ref.call.hold(gate.name)];
  await gate.reached(2);
  const waiting = [1, 2, 3].map((n) => ref.call.echo(n));
  await expect.poll(() => env.stats().endpoints[0]?.oldestAgeMs).toBeGreaterThan(0);
  const { endpoints, loops } = env.stats();
  expect(endpoints).toMatchObject([{ name: "spread", depth: 3, asks: { sent: 5, replied: 0 } }]);
  expect(loops).toMatchObject([1, 2].map((index) => ({ index, state: "busy", endpoint: "spread", inFlight: 1 })));
  gate.open();
  await Promise.all([...held, ...waiting]);
});
