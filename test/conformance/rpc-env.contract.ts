/**
 * Goal: what Spark's RpcEnvSuite demands of every RpcEnv holds here, wherever the endpoint runs.
 * Method: one test for each entry of the suite that needs one process, under the number it has in spark-entries.ts; the
 * endpoint tells a gate what happens to it.
 */
import { isRpcEndpointRef, type RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import type { SparkArgs, SparkRef } from "../fixtures/spark-behaviour.js";
import { type Form, failureOf, notesUntil, notesUntilStopped, settlesWithin } from "./form.js";

type Sender = typeof import("../fixtures/spark-sender.js");
type Isolated = typeof import("../fixtures/isolated-service.js");

export function rpcEnvSuite(form: Form): void {
  /** One env, one serial endpoint. */
  async function withEndpoint(
    run: (ref: SparkRef, gate: Gate, env: RpcEnv) => Promise<void>,
    args: Omit<SparkArgs, "gate"> = {},
  ): Promise<void> {
    using gate = new Gate();
    await using env = await form.createEnv({ numThreads: 2 });
    const ref = await form.setUp(env, "spark", { gate: gate.name, ...args });
    expect(await gate.note()).toEqual({ started: "spark", restarts: 0 });
    try {
      await run(ref, gate, env);
    } finally {
      gate.open();
    }
  }

  describe(`RpcEnvSuite, ${form.name}`, () => {
    test("[spark 1] a one-way message reaches receive", () =>
      withEndpoint(async (ref, gate) => {
        expect(ref.send({ op: "note", value: "hello" })).toBe(true);
        expect(await gate.note()).toBe("hello");
      }));

    test("[spark 3] an endpoint replies with its own reference, and the asker uses that for a second ask", () =>
      withEndpoint(async (ref) => {
        const own = (await ref.ask({ op: "self" })) as SparkRef;
        expect(isRpcEndpointRef(own)).toBe(true);
        expect(own.equals(ref)).toBe(true);
        expect(await own.ask({ op: "echo", value: "hello" })).toBe("hello");
      }));

    test("[spark 4] an ask is answered", () =>
      withEndpoint(async (ref) => {
        expect(await ref.ask({ op: "echo", value: "hello" })).toBe("hello");
      }));

    test("[spark 6] an ask whose handler takes longer than its timeout fails, naming the limit", () =>
      withEndpoint(async (ref) => {
        const error = await failureOf(ref.ask({ op: "wait" }, { timeoutMs: 100 }));
        expect(error.code).toBe("ERR_RPC_TIMEOUT");
        expect(error.message).toContain("100 ms");
      }));

    test("[spark 7] an aborted ask fails with the abort's own error, long before its timeout", () =>
      withEndpoint(async (ref, gate) => {
        const { promise, abort } = ref.askAbortable({ op: "wait" }, { timeoutMs: 60_000 });
        await gate.reached();
        const reason = new Error("no longer needed");
        abort(reason);
        await settlesWithin(5_000, promise);
        await expect(promise).rejects.toBe(reason);
      }));

    test("[spark 8] set up and stopped, an endpoint sees onStart and onStop, in this order and once each", () =>
      withEndpoint(async (ref, gate, env) => {
        await env.stop(ref);
        expect(await notesUntilStopped(gate)).toEqual([{ stopped: 0, running: 0 }]);
        await env.stop(ref);
        expect(gate.notes).toEqual([]);
      }));

    test("[spark 9] an error in onStart reaches onError, and whoever sets the endpoint up", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const error = await failureOf(form.setUp(env, "spark", { gate: gate.name, fail: "onStart" }));
      expect(error.code).toBe("ERR_RPC_ENDPOINT_START");
      expect(error.cause).toMatchObject({ message: "Oops in onStart", code: "E_START" });
      expect(await notesUntil(gate, (note: object) => "onError" in note)).toEqual([
        { started: "spark", restarts: 0 },
        { onError: "Oops in onStart" },
      ]);
    });

    test("[spark 10] an error in onStop reaches onError, and the endpoint is stopped all the same", () =>
      withEndpoint(
        async (ref, gate, env) => {
          await env.stop(ref);
          expect(await notesUntil(gate, (note: object) => "onError" in note)).toEqual([
            { stopped: 0, running: 0 },
            { onError: "Oops in onStop" },
          ]);
          expect(env.endpointRef("spark")).toBe(null);
        },
        { fail: "onStop" },
      ));

    test("[spark 11] an error in receive reaches onError, and the endpoint lives on", () =>
      withEndpoint(async (ref, gate) => {
        ref.send({ op: "fail", value: "Oops" });
        expect(await gate.note()).toEqual({ onError: "Oops" });
        expect(await ref.ask({ op: "echo", value: 1 })).toBe(1);
      }));

    test("[spark 12] self is known in onStart, and what is kept of it there leads to the endpoint", () =>
      withEndpoint(async (ref) => {
        const kept = (await ref.ask({ op: "selfInOnStart" })) as SparkRef;
        expect([kept.name, kept.equals(ref)]).toEqual(["spark", true]);
        expect(await kept.ask({ op: "echo", value: "hello" })).toBe("hello");
      }));

    test("[spark 13] self is known in receive", () =>
      withEndpoint(async (ref, gate) => {
        ref.send({ op: "noteSelf" });
        expect(await gate.note()).toBe("spark");
      }));

    test("[spark 14] self leads nowhere in onStop: what an endpoint asks itself there is refused", () =>
      withEndpoint(
        async (ref, gate, env) => {
          await env.stop(ref);
          expect(await notesUntilStopped(gate)).toEqual([
            { onStop: "spark", asked: "ERR_RPC_ENDPOINT_NOT_FOUND" },
            { stopped: 0, running: 0 },
          ]);
        },
        { asksInOnStop: true },
      ));

    test(
      "[spark 15] ten threads send a hundred messages each to a serial endpoint: all are counted, each thread's in order",
      {
        timeout: 120_000,
      },
      () =>
        withEndpoint(async (ref, _gate, env) => {
          const senders = await form.caller(env).setupEndpoint<Sender>("senders", fixtureUrl("spark-sender"));
          const threads = new Set<number>();
          for (let round = 0; round < 20; round++) {
            const floods = Array.from({ length: 10 }, (_, n) => senders.call.flood(ref, round * 10 + n, 100));
            for (const { thread, accepted } of await Promise.all(floods)) {
              expect(accepted).toBe(100);
              threads.add(thread);
            }
          }
          expect(threads.size).toBeGreaterThan(1);
          await expect.poll(() => ref.ask({ op: "report" })).toEqual({ count: 20_000, runningMax: 1, outOfOrder: 0 });
        }),
    );

    test("[spark 16] stopped twice, from outside and from inside, an endpoint sees onStop once", () =>
      withEndpoint(async (ref, gate, env) => {
        await ref.ask({ op: "stopTwice" });
        await Promise.all([env.stop(ref), env.stop(ref)]);
        await env.stop(ref);
        await env.shutdown();
        expect(await notesUntilStopped(gate)).toEqual([{ stopped: 0, running: 0 }]);
        expect(gate.notes).toEqual([]);
      }));

    test("[spark 17] a reply given through the context answers the ask", () =>
      withEndpoint(async (ref) => {
        expect(await ref.ask({ op: "reply", value: { ack: true } })).toEqual({ ack: true });
      }));

    test("[spark 19] a failure given through the context rejects the ask, with it as the cause", () =>
      withEndpoint(async (ref) => {
        const error = await failureOf(ref.ask({ op: "sendFailure", value: "Oops" }));
        expect(error.code).toBe("ERR_RPC_HANDLER");
        expect(error.cause).toMatchObject({ name: "Error", message: "Oops" });
      }));

    test("[spark 24] a failure that cannot be encoded still rejects the ask, at once", () =>
      withEndpoint(async (ref) => {
        const ask = failureOf(ref.ask({ op: "sendUnserializable" }, { timeoutMs: 60_000 }));
        await settlesWithin(5_000, ask);
        const error = await ask;
        expect(["ERR_RPC_HANDLER", "ERR_RPC_SERIALIZATION"]).toContain(error.code);
        expect(error.message).toContain("not serializable");
        expect(await ref.ask({ op: "echo", value: 1 })).toBe(1);
      }));

    test("[spark 33] a timeout names itself once, whether it was given with the ask, by `with` or by the environment", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2, askTimeoutMs: 111 });
      const ref = await form.setUp(env, "spark", { gate: gate.name }, "concurrent");
      expect(await ref.ask({ op: "echo", value: "in time" }, { timeoutMs: 60_000 })).toBe("in time");
      const asks: [asked: Promise<unknown>, text: string][] = [
        [ref.ask({ op: "wait" }), "111 ms"],
        [ref.with({ timeoutMs: 123 }).ask({ op: "wait" }), "123 ms"],
        [ref.ask({ op: "wait" }, { timeoutMs: 134 }), "134 ms"],
      ];
      for (const [asked, text] of asks) {
        const error = await failureOf(asked);
        expect(error.code).toBe("ERR_RPC_TIMEOUT");
        expect(error.message.split(text)).toHaveLength(2);
      }
      gate.open();
    });

    test("[spark 36] a blocked isolated endpoint delays no other, and answers once it is free", async () => {
      using hold = new Gate();
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 1 });
      const isolated = await env.setupEndpoint<Isolated>("isolated", fixtureUrl("isolated-service"));
      const ref = await form.setUp(env, "spark", { gate: gate.name });
      const blocked = isolated.call.hold(hold.name);
      await hold.reached();
      for (let n = 0; n < 100; n++) expect(await ref.ask({ op: "echo", value: n })).toBe(n);
      hold.open();
      expect(await blocked).toBe(await isolated.call.thread());
    });
  });
}
