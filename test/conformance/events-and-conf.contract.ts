/**
 * Goal: network events and configured timeouts reach endpoints and asks as Spark's InboxSuite and RpcEnvSuite demand,
 * wherever the endpoint runs.
 * Method: as in rpc-env.contract.ts; loop 0 posts the events as its network will.
 */
import { RpcError } from "ringpost";
import { describe, expect, test } from "vitest";
import { RpcConf, type RpcConfValues } from "../../dist/src/common/rpc-conf.js";
import { postNetworkEvent } from "../../dist/src/internal.js";
import { Gate } from "../fixtures/gate.js";
import { type Form, failureOf } from "./form.js";

type NetworkEvent = Parameters<typeof postNetworkEvent>[1];

const setBy = (key: string) => ({ ms: 150, setBy: key });
const ADDRESS = { host: "127.0.0.1", port: 12_345 };

export function eventsAndConfSuite(form: Form): void {
  /** Posts an event between two messages; resolves to what the endpoint noted between them. */
  async function notesOf(event: NetworkEvent): Promise<unknown[]> {
    using gate = new Gate();
    await using env = await form.createEnv({ numThreads: 2 });
    const ref = await form.setUp(env, "spark", { gate: gate.name });
    expect(await gate.note()).toEqual({ started: "spark", restarts: 0 });
    ref.send({ op: "note", value: "before" });
    // Over a connection it has to be there first.
    if (form.remote) await ref.ask({ op: "echo" });
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
    test("[spark 32] a timeout comes from its key, else from the next in the list, else from the default, and knows which", async () => {
      const keys = ["rpc.askTimeout", "network.timeout"] as const;
      const timeoutOf = (values: RpcConfValues): unknown => new RpcConf(values).getTimeout(keys);
      expect(timeoutOf({ "rpc.askTimeout": "150ms", "network.timeout": "1h" })).toEqual(setBy("rpc.askTimeout"));
      expect(timeoutOf({ "spark.rpc.askTimeout": "150ms" })).toEqual(setBy("spark.rpc.askTimeout"));
      expect(timeoutOf({ "spark.network.timeout": "150ms" })).toEqual(setBy("spark.network.timeout"));
      expect(timeoutOf({ "rpc.askTimeout": "150ms", "spark.rpc.askTimeout": "1h" })).toEqual(setBy("rpc.askTimeout"));
      expect(timeoutOf({})).toEqual({ ms: 120_000, setBy: "rpc.askTimeout" });
      expect(() => timeoutOf({ "rpc.askTimeout": "soon" })).toThrow(/rpc\.askTimeout.*soon/);

      using gate = new Gate();
      await using env = await form.createEnv({ numThreads: 1, conf: { "rpc.askTimeout": 1 } });
      const ref = await form.setUp(env, "spark", { gate: gate.name });
      const error = await failureOf(ref.ask({ op: "wait" }));
      expect(error.code).toBe("ERR_RPC_TIMEOUT");
      expect(error.message).toContain("1000 ms");
      gate.open();
    });
  });
}
