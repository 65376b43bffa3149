/**
 * Goal: whatever code of a user runs where a message ends, the message ends once, its endpoint is blamed for its own
 * crashes, and every one-way message has one outcome.
 * Method: endpoints on loop 0 with thenables and listeners of their own; endpoints on loops that die at chosen messages.
 */
import { type RpcCallContext, type RpcDeferred, RpcEnv, ThreadSafeRpcEndpoint } from "ringpost";
import { expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { CRASHED, outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Serial = typeof import("../fixtures/crash-serial.js");

/** Written so that no linter takes it for a mistake. */
const THEN = "then";

class BadThenable extends ThreadSafeRpcEndpoint {
  override receiveAndReply(message: string): unknown {
    if (message === "echo") return message;
    return Object.defineProperty({}, THEN, {
      value: () => {
        throw new RangeError("not even a promise");
      },
    });
  }
}

test("a thenable whose `then` throws fails its ask, and nothing else", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const ref = await env.setupEndpoint("thenable", new BadThenable());
  const error = await failureOf(ref.ask("thenable", { timeoutMs: 5_000 }));
  expect(error).toMatchObject({ code: "ERR_RPC_HANDLER", cause: { message: "not even a promise" } });
  expect(await ref.ask("echo", { timeoutMs: 5_000 })).toBe("echo");
});

class AnswersWhenAborted extends ThreadSafeRpcEndpoint {
  readonly errors: unknown[] = [];

  override receiveAndReply(message: string, context: RpcCallContext<unknown>): RpcDeferred | unknown {
    if (message === "echo") return message;
    context.signal.addEventListener("abort", () => context.reply("as it was stopped"), { once: true });
    return context.defer();
  }

  override onError(error: unknown): void {
    this.errors.push(error);
  }
}

test("a deferred ask that is answered by a listener of its signal when its endpoint stops has ended", async () => {
  await using env = await RpcEnv.create({ numThreads: 1 });
  const instance = new AnswersWhenAborted();
  const ref = await env.setupEndpoint("deferring", instance);
  const deferred = ref.ask("defer");
  expect(await ref.ask("echo")).toBe("echo");
  await env.stop(ref);
  expect(await deferred).toBe("as it was stopped");
  expect(instance.errors).toEqual([]);
});

test("a crash in the handler of a large message is blamed on its endpoint", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const reports = new Reports(env);
  const ref = await env.setupEndpoint<Serial>("large", fixtureUrl("crash-serial"), { args: { gate: gate.name } });
  const padding = new Uint8Array(1 << 20);
  expect(await outcome(ref.ask({ op: "exit", code: 1, padding }))).toBe(CRASHED);
  expect(await reports.crash()).toMatchObject({ blamed: "large", restarted: ["large"] });
});

test("a message that dies with its loop is not taken for one of another endpoint that had failed before", async () => {
  using gate = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1 });
  const reports = new Reports(env);
  const args = { gate: gate.name };
  const failing = await env.setupEndpoint<Serial>("failing", fixtureUrl("crash-serial"), { args });
  const dying = await env.setupEndpoint<Serial>("dying", fixtureUrl("crash-serial"), { args });
  // Each the first message in its Inbox, and in the same entry.
  failing.send({ op: "throw" });
  await reports.letter();
  dying.send({ op: "exit", code: 1 });
  expect(await reports.letter(2)).toMatchObject({ endpoint: "dying", reason: "ERR_RPC_WORKER_CRASHED", count: 1 });
  expect(env.stats().endpoints.map(({ oneWays }) => oneWays)).toEqual([
    { accepted: 1, handled: 0, failed: 1, deadLettered: 0 },
    { accepted: 1, handled: 0, failed: 0, deadLettered: 1 },
  ]);
});
