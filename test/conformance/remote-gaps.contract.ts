/**
 * Goal: what Spark's suites leave open about connections is settled here.
 * Method: the wire is a relay that can be cut; an address where nobody listens is that of a server that was closed.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type RpcAddress, type RpcDeadLetter, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { Gate } from "../fixtures/gate.js";
import type { SparkRef } from "../fixtures/spark-behaviour.js";
import { WireTap } from "../fixtures/wire-tap.js";
import { failureOf, type NetworkForm, notesUntil } from "./form.js";

const HOST = "127.0.0.1";

/** Nobody listens there. */
async function deserted(): Promise<RpcAddress> {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return { host: HOST, port };
}

export function remoteGapsSuite(form: NetworkForm): void {
  const { place, security } = form;

  describe(`what Spark's suites leave open, connections, ${form.name}`, () => {
    test("[gap FIFO across reconnect] what is sent before and after a connection is lost is handled in its order, and once", async () => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ numThreads: 2, ...security, host: HOST });
      await place.setUp(env, "spark", { gate: gate.name });
      await using tap = await WireTap.to(env.address as RpcAddress);
      await using other = await RpcEnv.create(security);
      const ref = (await other.setupEndpointRef(tap.address, "spark")) as SparkRef;
      let n = 0;
      for (let round = 0; round < 5; round++) {
        const lost = new Promise<void>((resolve) => other.on("disconnected", () => resolve()));
        for (let k = 0; k < 100; k++) ref.send({ op: "note", value: n++ });
        tap.cut();
        for (let k = 0; k < 100; k++) ref.send({ op: "note", value: n++ });
        await lost;
        for (let k = 0; k < 100; k++) ref.send({ op: "note", value: n++ });
        await ref.ask({ op: "echo" });
      }
      ref.send({ op: "note", value: "last" });
      const handled = (await notesUntil(gate, (note) => note === "last")).filter((note) => typeof note === "number");
      expect(handled).toEqual([...new Set(handled)].sort((a, b) => a - b));
      // At least what was sent when the loss was known.
      expect(handled.length).toBeGreaterThanOrEqual(500);
    });

    test("[gap outbox failure] whatever waits for a peer that cannot be reached is told: asks fail, sends are dead letters", async () => {
      await using env = await RpcEnv.create(security);
      const address = await deserted();
      const letters: RpcDeadLetter[] = [];
      env.on("deadLetter", (letter) => letters.push(letter));
      const ref = (await env.setupEndpointRef(address, "spark", { verify: false })) as SparkRef;
      const asks = Array.from({ length: 100 }, (_, n) => {
        expect(ref.send({ op: "note", value: n })).toBe(true);
        return failureOf(ref.ask({ op: "echo", value: n }));
      });
      for (const error of await Promise.all(asks)) {
        expect([error.code, error.maybeExecuted, error.retryable]).toEqual(["ERR_RPC_CONNECT", false, true]);
        expect(error.message).toContain(`${HOST}:${address.port}`);
      }
      expect(letters.map(({ reason, count }) => [reason, count])).toEqual(asks.map(() => ["ERR_RPC_CONNECT", 1]));
      expect(letters.map((letter) => letter.message())).toEqual(asks.map((_, n) => ({ op: "note", value: n })));
      expect(env.stats().peers).toEqual([]);
    });
  });
}
