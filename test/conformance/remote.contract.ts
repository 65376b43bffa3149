/**
 * Goal: what Spark's RpcEnvSuite and NettyRpcEnvSuite demand of two environments holds here, wherever the endpoint runs and
 * however the two prove who they are.
 * Method: real sockets on loopback, both environments in this process; the tests of one environment are run over a
 * connection as well, see network-suites.ts.
 */
import { RpcAddress, RpcEnv, type RpcEnvOptions } from "ringpost";
import { describe, expect, test } from "vitest";
import { RequestReader, requestAddress, requestBytes, writeRequest } from "../../dist/src/env/envelope.js";
import { RecordKind } from "../../dist/src/inbox/record.js";
import { PayloadCodec } from "../../dist/src/rpc/codec.js";
import { Gate } from "../fixtures/gate.js";
import type { SparkRef } from "../fixtures/spark-behaviour.js";
import { failureOf, type NetworkForm, notesUntil, notesUntilStopped } from "./form.js";

const HOST = "127.0.0.1";

export function remoteSuite(form: NetworkForm): void {
  const { place, security } = form;
  const server = (options: RpcEnvOptions = {}) => RpcEnv.create({ numThreads: 2, ...security, host: HOST, ...options });
  const client = (options: RpcEnvOptions = {}) => RpcEnv.create({ numThreads: 2, ...security, ...options });

  /** A serial endpoint in an environment that listens, and its reference in one that does not. */
  async function withEndpoint(run: (ref: SparkRef, gate: Gate, env: RpcEnv) => Promise<void>): Promise<void> {
    using gate = new Gate();
    await using env = await form.createEnv({ numThreads: 2 });
    const ref = await form.setUp(env, "spark", { gate: gate.name });
    expect(await gate.note()).toEqual({ started: "spark", restarts: 0 });
    try {
      await run(ref, gate, env);
    } finally {
      gate.open();
    }
  }

  describe(`RpcEnvSuite, between two, ${form.name}`, () => {
    test("[spark 2] an environment that does not listen finds an endpoint by address and name, and sends to it", async () => {
      using gate = new Gate();
      await using env = await server();
      await using other = await client();
      await place.setUp(env, "spark", { gate: gate.name });
      const ref = (await other.setupEndpointRef(env.address, "spark")) as SparkRef;
      expect([ref.name, ref.address, other.address]).toEqual(["spark", env.address, null]);
      expect(ref.send({ op: "note", value: "hello" })).toBe(true);
      await notesUntil(gate, (note) => note === "hello");
    });

    test("[spark 5] an ask is answered from elsewhere", () =>
      withEndpoint(async (ref) => {
        expect(await ref.ask({ op: "echo", value: "hello" })).toBe("hello");
      }));

    test("[spark 18] a reply given through the context answers an ask from elsewhere", () =>
      withEndpoint(async (ref) => {
        expect(await ref.ask({ op: "reply", value: { ack: true } })).toEqual({ ack: true });
      }));

    test("[spark 20] a failure given through the context rejects an ask from elsewhere, without the handler's stack", () =>
      withEndpoint(async (ref) => {
        const error = await failureOf(ref.ask({ op: "sendFailure", value: "Oops" }));
        expect(error.code).toBe("ERR_RPC_HANDLER");
        expect(error.cause).toMatchObject({ name: "Error", message: "Oops" });
        expect((error.cause as Error).stack ?? "").not.toContain("spark-behaviour");
      }));
  });

  describe(`network events, ${form.name}`, () => {
    /** What an endpoint in `env` is told of connections while `during` runs, until it is told of an end. */
    async function eventsIn(env: RpcEnv, during: () => Promise<void>): Promise<unknown[]> {
      using gate = new Gate();
      await place.setUp(env, "watching", { gate: gate.name });
      await gate.note();
      await during();
      return await notesUntil(gate, (note: object) => "disconnected" in note);
    }

    /** Connects to `env`, and ends. */
    async function visit(env: RpcEnv, visitor: RpcEnv): Promise<void> {
      await visitor.setupEndpointRef(env.address, "watching");
      await visitor.shutdown();
    }

    test("[spark 21] a server sees another come and go, once each, by the address where that listens", async () => {
      await using env = await server();
      const other = await server();
      const events = await eventsIn(env, () => visit(env, other));
      expect(events).toEqual([{ connected: other.address }, { disconnected: other.address }]);
    });

    test("[spark 22] a server sees a client come and go, once each, by the address of its socket", async () => {
      await using env = await server();
      const events = await eventsIn(env, async () => visit(env, await client()));
      const address = { host: HOST, port: expect.any(Number) };
      expect(events).toEqual([{ connected: address }, { disconnected: address }]);
      expect((events[0] as { connected: unknown }).connected).toEqual(
        (events[1] as { disconnected: unknown }).disconnected,
      );
    });

    test("[spark 23] a client sees a server come and go, once each, by its address", async () => {
      await using env = await client();
      const other = await server();
      const events = await eventsIn(env, async () => {
        await env.setupEndpointRef(other.address, "endpoint-verifier");
        await other.shutdown();
      });
      expect(events).toEqual([{ connected: other.address }, { disconnected: other.address }]);
    });

    test("[spark 35] whoever shuts down is told of no end: onStop is the last that its endpoints see", async () => {
      using gate = new Gate();
      const env = await server();
      await using other = await server();
      const told: string[] = [];
      env.on("disconnected", () => told.push("disconnected")).on("networkError", () => told.push("networkError"));
      await place.setUp(env, "spark", { gate: gate.name });
      await other.setupEndpointRef(env.address, "spark");
      await env.shutdown();
      expect(await notesUntilStopped(gate)).toEqual([
        { started: "spark", restarts: 0 },
        { connected: other.address },
        { stopped: 0, running: 0 },
      ]);
      await expect.poll(() => other.stats().peers).toEqual([]);
      expect([gate.notes, told]).toEqual([[], []]);
    });

    test("[spark 50] a connection is one event for every endpoint, with the address that its messages come from", async () => {
      using gate = new Gate();
      using another = new Gate();
      await using env = await server();
      await using other = await client();
      const watching = [gate, another];
      for (const [index, { name }] of watching.entries()) await place.setUp(env, `spark-${index}`, { gate: name });
      for (const each of watching) await each.note();
      const connected = new Promise<RpcAddress>((resolve) => env.on("connected", resolve));
      const ref = (await other.setupEndpointRef(env.address, "spark-0")) as SparkRef;
      const address = await connected;
      expect(await ref.ask({ op: "sender" })).toEqual(address);
      for (const each of watching) expect([await each.note(), each.notes]).toEqual([{ connected: address }, []]);
    });

    test("[spark 51] a connection that ends is one event more, with the same address", async () => {
      await using env = await server();
      const told: unknown[] = [];
      env.on("connected", (address) => told.push(["connected", address]));
      env.on("disconnected", (address) => told.push(["disconnected", address]));
      const events = await eventsIn(env, async () => visit(env, await client()));
      const { connected } = events[0] as { connected: RpcAddress };
      expect(events).toEqual([{ connected }, { disconnected: connected }]);
      expect(told).toEqual([
        ["connected", connected],
        ["disconnected", connected],
      ]);
    });
  });

  describe(`NettyRpcEnvSuite, between two, ${form.name}`, () => {
    test("[spark 25] a port that is taken is followed by another", async () => {
      await using first = await server();
      const { port } = first.address as RpcAddress;
      await using second = await server({ port });
      expect(second.address?.port).not.toBe(port);
      await using other = await client();
      for (const env of [first, second]) await other.setupEndpointRef(env.address, "endpoint-verifier");
    });

    test("[spark 37] the look-up of an endpoint that is not there fails, and names its uri", async () => {
      await using env = await server();
      await using other = await client();
      const uri = `ringpost://nonexistent@${RpcAddress.hostPort(env.address as RpcAddress)}`;
      for (const lookUp of [
        other.setupEndpointRefByURI(uri),
        other.setupEndpointRef(env.address, "nonexistent"),
        other.setupEndpointRefByURI(uri.replace("ringpost", "spark")),
      ]) {
        const error = await failureOf(lookUp);
        expect(error.code).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
        expect(error.message).toContain(uri);
      }
    });

    test("[spark 38] what is advertised may be another name than what is bound, and references carry it", async () => {
      using gate = new Gate();
      await using env = await server({ advertiseHost: "localhost" });
      expect(env.address).toEqual({ host: "localhost", port: expect.any(Number) });
      const own = await place.setUp(env, "spark", { gate: gate.name });
      expect(own.address).toEqual(env.address);
      await using other = await client();
      const found = (await other.setupEndpointRef({ host: HOST, port: own.address?.port ?? 0 }, "spark")) as SparkRef;
      const self = (await found.ask({ op: "self" })) as SparkRef;
      expect(self.uri).toBe(`ringpost://spark@localhost:${env.address?.port}`);
    });

    test("[spark 39] who sends, to whom and what are read as they were written, also without a sender and without a message", () => {
      const address = { host: "localhost", port: 12_345 };
      const reader = new RequestReader();
      for (const [sender, payload] of [
        [address, [1, 2, 3]],
        [null, [1, 2, 3]],
        [null, []],
      ] as const) {
        const to = requestAddress(sender, { host: "::1", port: 1 }, "spark");
        const payloadCodec = payload.length === 0 ? PayloadCodec.EMPTY : PayloadCodec.MSGPACK;
        const envId = new TextEncoder().encode("an env");
        const bytes = new Uint8Array(requestBytes(to, envId, payload.length) + 7);
        const start = writeRequest(bytes, 7, to, RecordKind.ASK, payloadCodec, 99.5, envId);
        bytes.set(payload, start);
        reader.read(bytes, 7, bytes.length, false);
        expect([reader.address.sender, reader.address.name]).toEqual([sender, "spark"]);
        expect([reader.envId, reader.kind, reader.remainingMs]).toEqual(["an env", RecordKind.ASK, 100]);
        expect([...bytes.subarray(reader.payloadStart)]).toEqual(payload);
      }
    });

    test("[spark 41] an ask of an endpoint whose environment does not listen times out with the address of its socket", async () => {
      using gate = new Gate();
      await using env = await server();
      await using other = await client();
      const asking = await place.setUp(env, "asking", { gate: gate.name });
      const silent = await place.setUp(other, "silent", { gate: gate.name });
      const there = (await other.setupEndpointRef(env.address, "asking")) as SparkRef;
      const ref = (await there.ask({ op: "echo", value: silent })) as SparkRef;
      expect(ref.equals(silent)).toBe(true);
      await there.ask({ op: "keep", ref: silent });
      const kept = (await asking.ask({ op: "kept" })) as SparkRef;
      const { port } = (await there.ask({ op: "sender" })) as RpcAddress;
      const error = await failureOf(kept.ask({ op: "wait" }, { timeoutMs: 100 }));
      expect(error.code).toBe("ERR_RPC_TIMEOUT");
      expect(error.message).toContain(`${HOST}:${port}`);
      gate.open();
    });
  });
}
