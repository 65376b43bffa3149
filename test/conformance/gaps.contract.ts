/**
 * Goal: what Spark's suites leave open is settled here, wherever the endpoint runs.
 * Method: one test for each gap that needs one process, under the name it has in spark-entries.ts.
 */
import type { RpcDeadLetter, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import type { SparkRef } from "../fixtures/spark-behaviour.js";
import { type Form, failureOf, notesUntil, notesUntilStopped, type SparkKind, settlesWithin } from "./form.js";

type Isolated = typeof import("../fixtures/isolated-service.js");

export function gapsSuite(form: Form): void {
  /** Why there is no way to an endpoint whose environment has ended. */
  const gone = form.remote ? "ERR_RPC_CONNECT" : "ERR_RPC_ENV_STOPPED";

  /** Ends an environment, and waits until the caller knows. */
  async function ended(env: RpcEnv, end: () => Promise<void>): Promise<void> {
    const known = new Promise<void>((resolve) => form.caller(env).on("disconnected", () => resolve()));
    await end();
    if (form.remote) await known;
  }

  /** One env, one endpoint that has said that it started. */
  async function withEndpoint(
    run: (ref: SparkRef, gate: Gate, env: RpcEnv) => Promise<void>,
    kind: SparkKind = "serial",
  ): Promise<void> {
    using gate = new Gate();
    await using env = await form.createEnv({ numThreads: 2 });
    const ref = await form.setUp(env, "spark", { gate: gate.name }, kind);
    await notesUntil(gate, (note: object) => "started" in note);
    try {
      await run(ref, gate, env);
    } finally {
      gate.open();
    }
  }

  describe(`what Spark's suites leave open, answers, ${form.name}`, () => {
    test("[gap reply twice] a second answer throws in the handler and never reaches the asker", () =>
      withEndpoint(async (ref, gate) => {
        expect(await ref.ask({ op: "replyTwice" })).toBe("first");
        expect(await gate.note()).toEqual(["ERR_RPC_ALREADY_REPLIED", "ERR_RPC_ALREADY_REPLIED"]);
        expect(await ref.ask({ op: "replyThenThrow" })).toBe("replied");
        expect(await gate.note()).toEqual({ onError: "after the reply" });
      }));

    test("[gap late reply] an answer to an ask that was aborted is dropped, without an error in the handler", () =>
      withEndpoint(async (ref, gate) => {
        const { promise, abort } = ref.askAbortable({ op: "replyLate" });
        expect(await gate.note()).toBe("running");
        abort("enough");
        await expect(promise).rejects.toBe("enough");
        expect(await gate.note()).toBe("replied late");
        expect(await ref.ask({ op: "echo", value: 1 })).toBe(1);
      }));

    test("[gap reply after asker timeout] an answer after the asker's timeout is dropped, without an error in the handler", () =>
      withEndpoint(async (ref, gate) => {
        const error = await failureOf(ref.ask({ op: "replyLate" }, { timeoutMs: 100 }));
        expect([error.code, error.maybeExecuted]).toEqual(["ERR_RPC_TIMEOUT", true]);
        expect(await notesUntil(gate, (note) => note !== "running")).toEqual(["running", "replied late"]);
        expect(await ref.ask({ op: "echo", value: 1 })).toBe(1);
      }));

    test("[gap deferred reply from elsewhere] a deferred ask is answered by another handler, or by none at all", () =>
      withEndpoint(async (ref) => {
        const deferred = ref.ask({ op: "defer" });
        expect(await ref.ask({ op: "echo", value: "meanwhile" })).toBe("meanwhile");
        await ref.ask({ op: "answerDeferred", value: "later" });
        expect(await deferred).toBe("later");
        expect(await ref.ask({ op: "deferElsewhere" })).toBe("from elsewhere");
      }));

    test("[gap unmatched message] a message that no handler knows is refused to the asker, or is a dead letter", () =>
      withEndpoint(async (ref, _gate, env) => {
        const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
        const error = await failureOf(ref.ask({ op: "dance" }));
        expect(error.code).toBe("ERR_RPC_UNSUPPORTED_MESSAGE");
        expect(error.message).toContain("dance");
        expect(ref.send({ op: "sing" })).toBe(true);
        expect(await letter).toMatchObject({ endpoint: "spark", count: 1, reason: "ERR_RPC_UNSUPPORTED_MESSAGE" });
        expect(await ref.ask({ op: "echo", value: 1 })).toBe(1);
      }));

    test("[gap per-sender FIFO] asks and sends of one sender are handled in their order, through ring and spill", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const ref = await form.setUp(env, "spark", { gate: gate.name }, "serial", { inboxBytes: 4_096 });
      let last: Promise<unknown> = Promise.resolve();
      for (let n = 0; n < 5_000; n++) {
        const message = { op: "order", sender: 1, value: n };
        if (n % 3 === 0 || !ref.send(message)) last = ref.ask(message);
      }
      await last;
      expect(await ref.ask({ op: "report" })).toMatchObject({ count: 5_000, outOfOrder: 0 });
    });

    test("[gap relayed refs] a reference that went through other endpoints still leads to its own", () =>
      withEndpoint(async (ref, gate, env) => {
        const other = await form.setUp(env, "other", { gate: gate.name });
        const relay = await env.setupEndpoint<Isolated>("relay", fixtureUrl("isolated-service"));
        expect(await relay.call.relay(ref, { op: "echo", value: "by a worker" })).toBe("by a worker");
        // To the other one, in a message to it, which asks what it finds there for its own reference.
        const own = (await other.ask({ op: "ask", ref, message: { op: "self" } })) as SparkRef;
        expect([own.name, own.equals(ref), own.equals(other)]).toEqual(["spark", true, false]);
        const further = { op: "ask", ref: other, message: { op: "self" } };
        expect(((await relay.call.relay(own, further)) as SparkRef).name).toBe("other");
      }));
  });

  describe(`what Spark's suites leave open, lives, ${form.name}`, () => {
    test("[gap ask to a stopped name] is refused as never executed; a send is false and a dead letter, ready rejects", () =>
      withEndpoint(async (ref, _gate, env) => {
        await env.stop(ref);
        const error = await failureOf(ref.ask({ op: "echo" }));
        expect([error.code, error.maybeExecuted]).toEqual(["ERR_RPC_ENDPOINT_NOT_FOUND", false]);
        const letter = new Promise<RpcDeadLetter>((resolve) => env.on("deadLetter", resolve));
        // Whether it is there, only its own environment knows.
        expect(ref.send({ op: "note", value: "lost" })).toBe(form.remote);
        expect((await letter).reason).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
        if (!form.remote) expect((await failureOf(ref.ready())).code).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
        const found = await failureOf(env.setupEndpointRef(null, "spark"));
        expect(found.code).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
      }));

    test("[gap name reuse while draining] a name is taken until its endpoint has stopped, and free then", () =>
      withEndpoint(async (ref, gate, env) => {
        const running = ref.ask({ op: "wait" });
        await gate.reached();
        const queued = ref.ask({ op: "echo", value: "backlog" });
        await expect.poll(() => env.stats().endpoints[0]?.depth).toBe(1);
        const stopping = env.stop(ref);
        const early = await failureOf(form.setUp(env, "spark", { gate: gate.name }));
        expect(early.code).toBe("ERR_RPC_ENDPOINT_EXISTS");
        gate.open();
        await running;
        expect(await queued).toBe("backlog");
        await stopping;
        const again = await form.setUp(env, "spark", { gate: gate.name });
        expect(await again.ask({ op: "echo", value: "again" })).toBe("again");
        expect(await ref.ask({ op: "echo", value: "by the old reference" })).toBe("by the old reference");
      }));

    test("[gap duplicate name] a second endpoint of one name is refused, and the first lives on", () =>
      withEndpoint(async (ref, gate, env) => {
        const error = await failureOf(form.setUp(env, "spark", { gate: gate.name }));
        expect(error.code).toBe("ERR_RPC_ENDPOINT_EXISTS");
        expect(error.message).toContain("spark");
        expect(await ref.ask({ op: "echo", value: 1 })).toBe(1);
      }));

    test("[gap onStart throwing] the endpoint is not there, its name is free, and what it sent itself is not handled", () =>
      withEndpoint(async (_ref, gate, env) => {
        const args = { gate: gate.name, fail: "onStart", sendsInOnStart: true } as const;
        expect((await failureOf(form.setUp(env, "broken", args))).code).toBe("ERR_RPC_ENDPOINT_START");
        expect(env.endpointRef("broken")).toBe(null);
        const mended = await form.setUp(env, "broken", { gate: gate.name });
        mended.send({ op: "note", value: "mended" });
        const notes = await notesUntil(gate, (note) => note === "mended");
        expect(notes).not.toContain("sent in onStart");
      }));

    test("[gap concurrent] handlers of a concurrent endpoint overlap, and onStop comes when all of them have ended", async () => {
      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 2 });
      const ref = await form.setUp(env, "spark", { gate: gate.name }, "concurrent");
      const waiting = Array.from({ length: 20 }, () => ref.ask({ op: "wait" }));
      await gate.reached(20);
      const stopping = env.stop(ref);
      expect(gate.notes).not.toContainEqual(expect.objectContaining({ stopped: 0 }));
      gate.open();
      await Promise.all(waiting);
      await stopping;
      let stopped = 0;
      const all = (note: object): boolean => "stopped" in note && ++stopped === form.replicas;
      const notes = await notesUntil(gate, all);
      expect(notes.slice(form.replicas)).toEqual(
        Array.from({ length: form.replicas }, () => ({ stopped: 0, running: 0 })),
      );
    });
  });

  describe(`what Spark's suites leave open, the end of an env, ${form.name}`, () => {
    test("[gap setup after shutdown] is refused", () =>
      withEndpoint(async (_ref, gate, env) => {
        await env.shutdown();
        const error = await failureOf(form.setUp(env, "late", { gate: gate.name }));
        expect(error.code).toBe("ERR_RPC_ENV_STOPPED");
      }));

    test("[gap send/ask after shutdown] are refused at once, as never executed", () =>
      withEndpoint(async (ref, _gate, env) => {
        await ended(env, () => env.shutdown());
        const ask = failureOf(ref.ask({ op: "echo" }));
        await settlesWithin(5_000, ask);
        expect([(await ask).code, (await ask).maybeExecuted]).toEqual([gone, false]);
        const letter = new Promise<RpcDeadLetter>((resolve) => form.caller(env).on("deadLetter", resolve));
        expect(ref.send({ op: "note" })).toBe(form.remote);
        expect((await letter).reason).toBe(gone);
        if (!form.remote) expect((await failureOf(ref.ready())).code).toBe(gone);
      }));

    test("[gap pending asks at shutdown] all settle: the backlog is answered, what never ends fails at the timeout", () =>
      withEndpoint(async (ref, gate, env) => {
        const deferred = failureOf(ref.ask({ op: "defer" }));
        const backlog = Array.from({ length: 1_000 }, (_, n) => ref.ask({ op: "echo", value: n }));
        const stuck = failureOf(ref.ask({ op: "wait" }));
        const behind = failureOf(ref.ask({ op: "echo" }));
        await gate.reached();
        await env.shutdown({ timeoutMs: 200 });
        expect(await Promise.all(backlog)).toEqual(backlog.map((_, n) => n));
        expect((await deferred).code).toBe("ERR_RPC_NO_REPLY");
        for (const error of [await stuck, await behind])
          expect(["ERR_RPC_NO_REPLY", "ERR_RPC_ENV_STOPPED"]).toContain(error.code);
      }));

    test("[gap shutdown from inside a handler] ends the env, and the handler's own ask is answered", () =>
      withEndpoint(async (ref, gate, env) => {
        await ended(env, async () => {
          expect(await ref.ask({ op: "shutdown", value: 10_000 })).toBe(undefined);
          await env.awaitTermination();
        });
        expect(await notesUntilStopped(gate)).toEqual([{ stopped: 0, running: 0 }]);
        expect((await failureOf(ref.ask({ op: "echo" }))).code).toBe(gone);
      }));
  });
}
