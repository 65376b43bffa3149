/**
 * Goal: every call of the control plane ends, and leaves nothing behind: a port lives as long as its loop.
 * Method: calls that this thread answers itself; a weak reference to what one of them gave back.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MessageChannel } from "node:worker_threads";
import { expect, test } from "vitest";
import { LoopControlClient } from "../../../dist/src/dispatcher/control-plane.js";

test("what a call has given back is not kept by its port; a call without an answer ends with the port", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { port1 } = new MessageChannel();
  const client = new LoopControlClient(1, port1);
  const given = await client.call(() => Promise.resolve(new WeakRef({ some: "result" })));
  const kept = new WeakRef(await client.call(() => Promise.resolve({ another: "result" })));
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect([given.deref(), kept.deref()]).toEqual([undefined, undefined]);
  const unanswered = client.call(() => new Promise(() => {}));
  client.close();
  await expect(unanswered).rejects.toMatchObject({ code: "ERR_RPC_WORKER_CRASHED" });
  await expect(client.call(() => Promise.resolve())).rejects.toMatchObject({ code: "ERR_RPC_WORKER_CRASHED" });
});
