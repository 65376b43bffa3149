/**
 * Goal: network events and configured timeouts reach endpoints and asks as Spark's InboxSuite and RpcEnvSuite demand,
 * wherever the endpoint runs.
 * Method: as in rpc-env.contract.ts; loop 0 posts the events as its network will.
 */
import { RpcConf, type RpcConfValues, RpcEnv, RpcError } from "ringpost";
import { describe, expect, test } from "vitest";
import { postNetworkEvent } from "../../dist/src/internal.js";
import { Gate } from "../fixtures/gate.js";
import { type Form, failureOf } from "./form.js";

type NetworkEvent = Parameters<typeof postNetworkEvent>[1];

const ADDRESS = { host: "127.0.0.1", port: 12_345 };

export function eventsAndConfSuite(form: Form): void {
  /** Posts an event between two messages; resolves to what the endpoint noted between them. */
  async function notesOf(event: NetworkEvent): Promise<unknown[]> {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const ref = await form.setUp(env, "spark", { gate: gate.name });
    expect(await gate.note()).toEqual({ started: "spark", restarts: 0 });
    ref.send({ op: "note", value: "before" });
    postNetworkEvent(env, event);
    ref.send({ op: "note", value: "after" });
    expect(await gate.note()).toBe("before");
    const notes: unknown[] = [];
    for (let note = await gate.note(); note !== "after"; note = await gate.note()) notes.push(note);
    return notes;
  }

  describe(`InboxSuite, network events, ${form.name}`, () => {
    test("[spark 46] a connection is seen as one onConnected with its address, in order with the messages", async () => {
      expect(await notesOf(["onConnected", ADDRESS, null])).toEqual([{ connected: ADDRESS }]);
    });

    test("[spark 47] its end is seen as one onDisconnected with its address, in order with the messages", async () => {
      expect(await notesOf(["onDisconnected", ADDRESS, null])).toEqual([{ disconnected: ADDRESS }]);
    });

    test("[spark 48] its failure is seen as one onNetworkError with cause and address, in order with the messages", async () => {
      const error = new RpcError("ERR_RPC_CONNECTION_LOST", "Oops");
      const notes = await notesOf(["onNetworkError", ADDRESS, error]);
      expect(notes).toEqual([{ networkError: "Oops", address: ADDRESS }]);
    });
  });

  describe(`RpcEnvSuite, timeouts, ${form.name}`, () => {
    const CONFS: readonly [conf: RpcConfValues, setBy: string][] = [
      [{ "rpc.askTimeout": "150ms" }, "rpc.askTimeout"],
      [{ "spark.rpc.askTimeout": "150ms", "spark.network.timeout": "1h" }, "spark.rpc.askTimeout"],
      [{ "spark.network.timeout": "150ms" }, "spark.network.timeout"],
      [{ "rpc.askTimeout": "150ms", "spark.rpc.askTimeout": "1h" }, "rpc.askTimeout"],
    ];
    test("[spark 32] a timeout comes from its key, else from the next in the list, else from the default, and knows which", async () => {
      using gate = new Gate();
      for (const [values, setBy] of CONFS) {
        const conf = new RpcConf(values);
        expect(conf.getTimeout(["rpc.askTimeout", "network.timeout"])).toEqual({ ms: 150, setBy });
        await using env = await RpcEnv.create({ numThreads: 1, conf });
        const ref = await form.setUp(env, "spark", { gate: gate.name });
        const error = await failureOf(ref.ask({ op: "wait" }));
        expect(error.code).toBe("ERR_RPC_TIMEOUT");
        expect(error.message).toContain("150 ms");
      }
      gate.open();
      expect(new RpcConf().getTimeout("rpc.askTimeout")).toEqual({ ms: 120_000, setBy: "rpc.askTimeout" });
      const error = await failureOf(RpcEnv.create({ conf: { "rpc.askTimeout": "soon" } }));
      expect(error.code).toBe("ERR_RPC_INVALID_ARGUMENT");
      expect(error.message).toMatch(/rpc\.askTimeout.*soon/);
    });
  });
}
