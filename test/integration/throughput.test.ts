/**
 * Goal: `throughput` of a serial endpoint bounds how many of its messages its loop takes before it looks after others.
 * Method: the one loop is held while two endpoints get their backlog; the order in which they are handled is noted.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Service = typeof import("../fixtures/call-service.js");

/** The longest run while both have something left: a turn that ends early makes runs shorter, never longer. */
function longestRun(order: string): number {
  const bothLeft = order.slice(0, 1 + Math.min(order.lastIndexOf("a"), order.lastIndexOf("b")));
  return Math.max(...(bothLeft.match(/a+|b+/g) ?? []).map(({ length }) => length));
}

test.each([1, 2, 5])("of %i: no more in a row while the other waits", async (throughput) => {
  using gate = new Gate();
  using notes = new Gate();
  await using env = await RpcEnv.create({ numThreads: 1, conf: { "rpc.dispatcher.throughput": 4_096 } });
  const url = fixtureUrl("call-service-serial");
  const holder = await env.setupEndpoint<Service>("holder", url);
  const a = await env.setupEndpoint<Service>("a", url, { throughput });
  const b = await env.setupEndpoint<Service>("b", url, { throughput });
  const held = holder.call.spin(gate.name);
  await gate.reached();
  for (let n = 0; n < 10; n++) a.cast.note(notes.name, "a");
  for (let n = 0; n < 10; n++) b.cast.note(notes.name, "b");
  gate.open();
  await held;
  let order = "";
  while (order.length < 20) order += await notes.note();
  expect(longestRun(order)).toBeLessThanOrEqual(throughput);
  expect(order.replaceAll("b", "")).toBe("aaaaaaaaaa");
});
