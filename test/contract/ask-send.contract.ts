/**
 * Goal: an ask and a send mean the same, whatever form the endpoint has.
 * Method: one suite, run for each form. The endpoint runs on one loop with one message at a time, so that what waits in
 * the queue is known; handlers and tests meet at gates.
 */
import { isRpcError, type RpcAskOptions, type RpcEnv, type RpcError } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Gate } from "../fixtures/gate.js";

/** The endpoint under test, by the names of its methods. */
export interface CallHarness {
  /** Of the endpoint. */
  readonly env: RpcEnv;
  /** The caller is in another one. */
  readonly remote?: true;
  ask(method: string, inputs?: readonly unknown[], options?: RpcAskOptions): Promise<unknown>;
  send(method: string, inputs?: readonly unknown[]): boolean | Promise<boolean>;
  close(): Promise<void>;
}

/** The error of a promise that must reject. */
export async function failureOf(promise: Promise<unknown>): Promise<RpcError> {
  const error = await promise.then(
    (value) => expect.fail(`resolved to ${String(value)}`),
    (reason: unknown) => reason,
  );
  if (!isRpcError(error)) throw error;
  return error;
}

export function askSendContract(form: string, create: () => Promise<CallHarness>): void {
  describe(`ask and send: ${form}`, () => {
    let harness: CallHarness;
    beforeAll(async () => {
      harness = await create();
    });
    afterAll(() => harness.close());

    const abortedCount = (): number =>
      harness.env.stats().endpoints.find(({ name }) => name === "calls")?.asks.aborted ?? Number.NaN;

    test("the return value is the reply, undefined included", async () => {
      expect(await harness.ask("echo", [{ id: 7, tags: ["a", new Map([[1, new Date(5)]])] }])).toEqual({
        id: 7,
        tags: ["a", new Map([[1, new Date(5)]])],
      });
      expect(await harness.ask("nothing")).toBe(undefined);
      expect(await harness.ask("later", ["x"])).toBe("x");
    });

    test.each([0, 1, 480, 512, 4_096, 31_000, 32_768, 262_144, 5_000_000])(
      "a body of %i bytes goes and comes",
      async (length) => {
        const bytes = Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 255);
        const back = (await harness.ask("echo", [bytes])) as Uint8Array;
        expect(Buffer.compare(Buffer.from(back), Buffer.from(bytes))).toBe(0);
        expect(back.buffer).toBeInstanceOf(ArrayBuffer);
        expect(await harness.ask("describe", [bytes])).toBe("[object Uint8Array] ArrayBuffer");
      },
    );

    test("a message is captured when ask returns: what happens to it later has no effect", async () => {
      const small = { text: "before", bytes: new Uint8Array([1, 2, 3]) };
      const large = new Uint8Array(1_000_000).fill(1);
      const asks = [harness.ask("echo", [small]), harness.ask("echo", [large])];
      small.text = "after";
      small.bytes.fill(9);
      large.fill(9);
      expect(await asks[0]).toEqual({ text: "before", bytes: new Uint8Array([1, 2, 3]) });
      expect(((await asks[1]) as Uint8Array).every((byte) => byte === 1)).toBe(true);
    });

    test("ten thousand asks at once each get their own reply", async () => {
      const asks = Array.from({ length: 10_000 }, (_, n) => harness.ask("echo", [n]));
      expect(await Promise.all(asks)).toEqual(asks.map((_, n) => n));
    });

    test.each(["fail", "failLater"])(
      "the error of a handler keeps name, message, code, fields and cause: %s",
      async (method) => {
        const error = await failureOf(harness.ask(method));
        expect(error.code).toBe("ERR_RPC_HANDLER");
        expect(error.maybeExecuted).toBe(true);
        expect(error.endpoint).toBe("calls");
        expect(error.message).toContain("TeapotError: I'm a teapot");
        const cause = error.cause as Error & {
          readonly code: string;
          readonly status: number;
          readonly tags: string[];
        };
        expect(cause).toBeInstanceOf(Error);
        expect([cause.name, cause.message, cause.code, cause.status, cause.tags]).toEqual([
          "TeapotError",
          "I'm a teapot",
          "E_TEAPOT",
          418,
          ["tea"],
        ]);
        expect(cause.stack).toContain("call-methods");
        expect(cause.cause).toBeInstanceOf(TypeError);
        expect((cause.cause as Error).message).toBe("no tea");
        expect(error.remote).toMatchObject({
          name: "TeapotError",
          message: "I'm a teapot",
          code: "E_TEAPOT",
          fields: { status: 418, tags: ["tea"] },
        });
      },
    );

    test.each([["a string"], [null], [{ reason: "an object" }], [42]])(
      "a handler may throw what is no error: %j",
      async (thrown) => {
        const error = await failureOf(harness.ask("failWith", [thrown]));
        expect(error.code).toBe("ERR_RPC_HANDLER");
        expect(error.cause ?? null).toEqual(thrown);
      },
    );

    test("a reply that cannot be encoded is the asker's error, and says where", async () => {
      const error = await failureOf(harness.ask("unencodable"));
      expect([error.code, error.maybeExecuted]).toEqual(["ERR_RPC_SERIALIZATION", true]);
      expect(error.message).toContain("answer.callback");
      expect(await harness.ask("echo", [1])).toBe(1);
    });

    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    test.each([
      ["function", { list: [{ run: () => {} }] }, "list[0].run"],
      ["symbol", { key: Symbol("s") }, "key"],
      ["cycle", cycle, "self"],
    ])("a %s in a message is refused with its path, before anything is sent", async (_what, message, path) => {
      const error = await failureOf(harness.ask("echo", [message]));
      expect(error.code).toBe("ERR_RPC_SERIALIZATION");
      expect(error.message).toContain(path);
      await expect(async () => harness.send("echo", [message])).rejects.toThrow(path);
    });

    test.each([0, -1, Number.NaN, 2 ** 31, "5"])("a timeout of %s is refused", async (timeoutMs) => {
      const error = await failureOf(harness.ask("echo", [1], { timeoutMs: timeoutMs as number }));
      expect(error.code).toBe("ERR_RPC_INVALID_ARGUMENT");
      expect(error.message).toContain(
        `timeoutMs=${typeof timeoutMs === "string" ? JSON.stringify(timeoutMs) : timeoutMs}`,
      );
    });

    test("a handler sees how long its asker still waits", async () => {
      const remaining = (await harness.ask("remainingMs", [], { timeoutMs: 50_000 })) as number;
      expect(remaining).toBeGreaterThan(0);
      expect(remaining).toBeLessThanOrEqual(50_000);
      expect(await harness.ask("remainingMs", [], { timeoutMs: Number.POSITIVE_INFINITY })).toBe(
        Number.POSITIVE_INFINITY,
      );
      expect(await harness.ask("oneWay")).toBe(false);
    });

    test("an ask whose handler does not answer in time ends, and the handler is told", async () => {
      using gate = new Gate();
      const ask = harness.ask("signal", [gate.name], { timeoutMs: 100 });
      const error = await failureOf(ask);
      expect([error.code, error.maybeExecuted, error.retryable]).toEqual(["ERR_RPC_TIMEOUT", true, true]);
      expect(error.message).toContain("100 ms");
      expect(await gate.note()).toEqual({ name: "AbortError", cancelled: true });
    });

    test.each([
      ["small", 10],
      ["large", 300_000],
    ])("an ask that times out in the queue never runs: a %s one", async (_what, length) => {
      using gate = new Gate();
      const running = harness.ask("gate", [gate.name]);
      await gate.reached();
      const queued = harness.ask("note", [gate.name, new Uint8Array(length)], { timeoutMs: 100 });
      const error = await failureOf(queued);
      expect(error.code).toBe("ERR_RPC_TIMEOUT");
      gate.open();
      expect(await running).toBe("passed");
      await harness.ask("note", [gate.name, "fence"]);
      expect(await gate.note()).toBe("fence");
      expect(gate.notes).toEqual([]);
    });

    test("an ask aborted before it is made rejects with the signal's reason and sends nothing", async () => {
      using gate = new Gate();
      const reason = new Error("changed my mind");
      await expect(harness.ask("note", [gate.name, "ran"], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await harness.ask("note", [gate.name, "fence"]);
      expect(await gate.note()).toBe("fence");
    });

    test.each([
      ["small", 10],
      ["large", 300_000],
    ])("an ask aborted in the queue never runs: a %s one", async (_what, length) => {
      using gate = new Gate();
      const running = harness.ask("gate", [gate.name]);
      await gate.reached();
      const before = abortedCount();
      const controllers = Array.from({ length: 20 }, () => new AbortController());
      const queued = controllers.map(({ signal }, n) =>
        harness.ask("note", [gate.name, n, new Uint8Array(length)], { signal }),
      );
      const settled = Promise.allSettled(queued);
      // Every second one, in an order of their own.
      for (let n = 18; n >= 0; n -= 2) controllers[n]?.abort(n);
      await Promise.allSettled(queued.filter((_, n) => n % 2 === 0));
      // Over a connection it takes its time until the endpoint's side knows.
      if (harness.remote) await expect.poll(() => abortedCount() - before).toBe(10);
      gate.open();
      expect(await running).toBe("passed");
      const outcomes = await settled;
      expect(outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason : "ran"))).toEqual(
        outcomes.map((_, n) => (n % 2 === 0 ? n : "ran")),
      );
      await harness.ask("note", [gate.name, "fence"]);
      const ran: unknown[] = [];
      for (let note = await gate.note(); note !== "fence"; note = await gate.note()) ran.push(note);
      expect(ran).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    });

    test("an ask aborted while its handler waits: the handler's signal fires", async () => {
      using gate = new Gate();
      const controller = new AbortController();
      const ask = harness.ask("signal", [gate.name], { signal: controller.signal });
      await gate.reached();
      const reason = new Error("enough");
      controller.abort(reason);
      await expect(ask).rejects.toBe(reason);
      expect(await gate.note()).toEqual({ name: "AbortError", cancelled: true });
    });

    test("an ask aborted while its handler computes: context.cancelled becomes true", async () => {
      using gate = new Gate();
      const controller = new AbortController();
      const ask = harness.ask("spin", [gate.name], { signal: controller.signal });
      await gate.reached();
      controller.abort();
      await expect(ask).rejects.toBe(controller.signal.reason);
      expect(await gate.note()).toBe("until");
    });

    test("an abort after the reply changes nothing", async () => {
      const controller = new AbortController();
      expect(await harness.ask("echo", [1], { signal: controller.signal })).toBe(1);
      controller.abort();
      expect(await harness.ask("echo", [2])).toBe(2);
    });

    test("a send is accepted at once, and handled in its order", async () => {
      using gate = new Gate();
      for (let n = 0; n < 100; n++) expect(await harness.send("note", [gate.name, n])).toBe(true);
      for (let n = 0; n < 100; n++) expect(await gate.note()).toBe(n);
    });

    test("what a send's handler throws is a dead letter", async () => {
      const letter = new Promise<unknown>((resolve) => {
        harness.env.on("deadLetter", function listener(dead) {
          harness.env.off("deadLetter", listener);
          resolve(dead);
        });
      });
      expect(await harness.send("fail")).toBe(true);
      expect(await letter).toMatchObject({ endpoint: "calls", reason: "ERR_RPC_HANDLER", count: 1 });
    });
  });
}
