/**
 * Goal: a handler past its `handlerTimeoutMs` ends for its asker at once, and costs its endpoint one slot, or a serial
 * one its instance; a handler that keeps its thread from turning costs the thread, and only that.
 * Method: handlers wait or spin at gates that open only after the timeout has done its work.
 */
import { type RpcDeadLetter, type RpcEndpointRef, RpcEnv, type RpcLoopCrash, ThreadSafeRpcEndpoint } from "ringpost";
import { expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate, passGate } from "../fixtures/gate.js";

type Slow = typeof import("../fixtures/timeout-endpoint.js");
type SlowSerial = typeof import("../fixtures/timeout-endpoint-serial.js");
type SlowRef = RpcEndpointRef<Slow["default"]["prototype"]>;

test("a concurrent endpoint has its slot back at once, and a late result is ignored", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const options = { concurrency: 1, handlerTimeoutMs: 100 };
  const ref = await env.setupEndpoint<Slow>("slow", fixtureUrl("timeout-endpoint"), options);
  const hanging = ref.ask({ op: "wait", gate: gate.name });
  const next = ref.ask({ op: "echo", value: 1 });
  const error = await failureOf(hanging);
  expect(error).toMatchObject({ code: "ERR_RPC_HANDLER_TIMEOUT", maybeExecuted: true, endpoint: "slow" });
  expect(error.message).toContain("100 ms");
  expect(await gate.note()).toBe("aborted");
  expect(await next).toEqual({ value: 1, started: { restarts: 0, reason: null } });
  gate.open();
  expect(await ref.ask({ op: "echo", value: 2 })).toMatchObject({ value: 2 });
  expect(env.stats().endpoints[0]?.asks).toMatchObject({ sent: 3, replied: 2, failed: 1 });
});

test("a serial endpoint goes on with a new instance, in order; one-ways are dead letters", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const url = fixtureUrl("timeout-endpoint-serial");
  const ref = await env.setupEndpoint<SlowSerial>("serial", url, { handlerTimeoutMs: 100 });
  const letters: RpcDeadLetter[] = [];
  env.on("deadLetter", (letter) => letters.push(letter));
  expect(ref.send({ op: "wait", gate: gate.name })).toBe(true);
  const next = ref.ask({ op: "echo", value: 1 });
  expect(await next).toEqual({ value: 1, started: { restarts: 1, reason: "ERR_RPC_HANDLER_TIMEOUT" } });
  expect(letters).toMatchObject([{ endpoint: "serial", reason: "ERR_RPC_HANDLER_TIMEOUT", count: 1 }]);
  expect((await failureOf(ref.ask({ op: "wait", gate: gate.name }))).code).toBe("ERR_RPC_HANDLER_TIMEOUT");
  expect(await ref.ask({ op: "echo", value: 2 })).toMatchObject({ started: { restarts: 2 } });
  gate.open();
  expect(await ref.ask({ op: "echo", value: 3 })).toMatchObject({ value: 3, started: { restarts: 2 } });
  const { asks, oneWays } = env.stats().endpoints[0] as ReturnType<RpcEnv["stats"]>["endpoints"][number];
  expect(asks).toMatchObject({ sent: 4, replied: 3, failed: 1 });
  expect(oneWays).toEqual({ accepted: 1, handled: 0, failed: 1, deadLettered: 0 });
});

test("a loop that does not turn is ended, blamed on the endpoint; its neighbours go on", {
  timeout: 30_000,
}, async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const url = fixtureUrl("timeout-endpoint-serial");
  const spinning = await env.setupEndpoint<SlowSerial>("spinning", url, { handlerTimeoutMs: 100 });
  const neighbour = await env.setupEndpoint<SlowSerial>("neighbour", url);
  const crashed = new Promise<RpcLoopCrash>((resolve) => env.on("loopCrashed", resolve));
  const hanging = spinning.ask({ op: "spin", gate: gate.name });
  await gate.reached();
  const waiting = [spinning, neighbour].map((ref) => (ref as unknown as SlowRef).ask({ op: "echo", value: 1 }));
  expect((await failureOf(hanging)).code).toBe("ERR_RPC_HANDLER_TIMEOUT");
  const crash = await crashed;
  expect(crash).toMatchObject({ loop: 1, blamed: "spinning", stuck: false });
  expect([...crash.restarted].sort()).toEqual(["neighbour", "spinning"]);
  expect(crash.error).toMatchObject({ code: "ERR_RPC_HANDLER_TIMEOUT" });
  expect(await Promise.all(waiting)).toMatchObject([
    { value: 1, started: { restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" } },
    { value: 1, started: { restarts: 1, reason: "ERR_RPC_WORKER_CRASHED" } },
  ]);
});

test("an instance on the main thread cannot be replaced: its endpoint is out of service until it is stopped", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  class Here extends ThreadSafeRpcEndpoint {
    override receiveAndReply(): Promise<void> {
      return passGate(gate.name);
    }
  }
  const failed = new Promise<{ endpoint: string }>((resolve) => env.on("endpointFailed", resolve));
  const ref = await env.setupEndpoint("here", new Here(), { handlerTimeoutMs: 100 });
  expect((await failureOf(ref.ask({} as never))).code).toBe("ERR_RPC_HANDLER_TIMEOUT");
  expect(await failed).toMatchObject({ endpoint: "here", error: { code: "ERR_RPC_ENDPOINT_FAILED" } });
  expect((await failureOf(ref.ask({} as never))).code).toBe("ERR_RPC_ENDPOINT_FAILED");
  await env.stop(ref);
  const again = await env.setupEndpoint("here", new Here());
  expect(again.equals(ref)).toBe(true);
});
