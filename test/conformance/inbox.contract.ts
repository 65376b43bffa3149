/**
 * Goal: what Spark's InboxSuite and NettyRpcEnvSuite demand of an Inbox and its dispatcher holds here, wherever the
 * endpoint runs.
 * Method: as in rpc-env.contract.ts; where the original looks into an Inbox, this one looks at `env.stats()`.
 */
import type { RpcDeadLetter } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { type Form, failureOf, notesUntilStopped } from "./form.js";

type Sender = typeof import("../fixtures/spark-sender.js");

export function inboxSuite(form: Form): void {
  describe(`InboxSuite, ${form.name}`, () => {
    test("[spark 43] a posted message is handled, the Inbox is empty then, and a stop is seen as onStop", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const ref = await form.setUp(env, "spark", { gate: gate.name });
      ref.send({ op: "increment" });
      await ref.ask({ op: "echo" });
      expect(env.stats().endpoints).toMatchObject([{ name: "spark", state: "running", depth: 0, failed: 0 }]);
      await env.stop(ref);
      expect(await notesUntilStopped(gate)).toEqual([
        { started: "spark", restarts: 0 },
        { stopped: 1, running: 0 },
      ]);
      expect(env.stats().endpoints).toEqual([]);
    });

    test("[spark 44] an ask goes to receiveAndReply, a one-way message does not", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const ref = await form.setUp(env, "spark", { gate: gate.name });
      const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
      expect(await ref.ask({ op: "echo", value: "asked" })).toBe("asked");
      ref.send({ op: "echo", value: "sent" });
      expect((await letter).error.message).toContain("sent");
    });

    test("[spark 45] ten threads post while the endpoint stops: handled and dropped are all that was posted", {
      timeout: 120_000,
    }, async () => {
      await using env = await form.createEnv({ numThreads: 2 });
      const senders = await form.caller(env).setupEndpoint<Sender>("senders", fixtureUrl("spark-sender"));
      let dropped = 0;
      env.on("deadLetter", ({ endpoint, count }) => {
        if (endpoint === "spark") dropped += count;
      });
      for (let round = 0; round < 5; round++) {
        using gate = new Gate();
        dropped = 0;
        const ref = await form.setUp(env, "spark", { gate: gate.name });
        const floods = Array.from({ length: 10 }, (_, n) => senders.call.flood(ref, n, 100));
        for (let n = 0; n < round * 20; n++) await ref.ask({ op: "echo" }).catch(() => {});
        await env.stop(ref);
        const reports = await Promise.all(floods);
        const accepted = reports.reduce((sum, report) => sum + report.accepted, 0);
        const [started, stopped, ...more] = await notesUntilStopped(gate);
        expect([started, more]).toEqual([{ started: "spark", restarts: 0 }, []]);
        const handled = (stopped as { stopped: number }).stopped;
        await expect.poll(() => handled + dropped).toBe(accepted);
      }
    });

    test("[spark 49] a fatal error in receive leaves nothing in flight: the endpoint goes on, and can be stopped", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const ref = await form.setUp(env, "spark", { gate: gate.name });
      ref.send({ op: "overflow" });
      expect(await ref.ask({ op: "echo", value: "still here" })).toBe("still here");
      expect(env.stats().endpoints).toMatchObject([{ depth: 0, failed: 1 }]);
      await expect.poll(() => env.stats().loops.every(({ inFlight }) => inFlight === 0)).toBe(true);
      await env.stop(ref);
      expect((await notesUntilStopped(gate)).at(-1)).toEqual({ stopped: 0, running: 0 });
    });
  });

  describe(`NettyRpcEnvSuite, ${form.name}`, () => {
    test("[spark 40] stack overflows are sent back, as many as there are loops and more, and the dispatcher survives", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const ref = await form.setUp(env, "spark", { gate: gate.name }, "concurrent");
      const asks = Array.from({ length: 10 }, () => failureOf(ref.ask({ op: "overflow" })));
      for (const error of await Promise.all(asks)) {
        expect(error.code).toBe("ERR_RPC_HANDLER");
        expect(error.cause).toMatchObject({ name: "RangeError" });
      }
      expect(await ref.ask({ op: "echo", value: "still here" }, { timeoutMs: 10_000 })).toBe("still here");
    });
  });
}
