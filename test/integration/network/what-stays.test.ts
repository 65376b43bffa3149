/**
 * Goal: a connection that lives for long makes nothing grow: not the endpoints that came and went, not the chunks that its
 * messages came in, not the asks that were given up before its peer had shown who it is.
 * Method: the collector is called by the test; what it must be able to take is held weakly, or counted in bytes.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type RpcDeadLetter, RpcEnv, type RpcPeer } from "ringpost";
import { expect, test } from "vitest";
import { REQUESTS_PER_CONNECTION_MAX } from "../../../dist/src/common/limits.js";
import { RequestReader } from "../../../dist/src/env/envelope.js";
import { PeerConnection } from "../../../dist/src/env/peer-connection.js";
import { RecordKind } from "../../../dist/src/inbox/record.js";
import type { TransportClient } from "../../../dist/src/network/transport-client.js";
import { envelope, oneWayFrame } from "../../fixtures/envelopes.js";
import { type FaultService, serving, until } from "../../fixtures/faults.js";
import { fixtureUrl } from "../../fixtures/fixture-url.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const MIB = 1_048_576;

test("what `allow` has said of an endpoint goes with it, while the connection stays", async () => {
  await using server = await serving();
  await using client = await RpcEnv.create({ numThreads: 1 });
  /** Nothing of a round is left on the stack of the test. */
  const round = async (): Promise<WeakRef<object>> => {
    const allow = (_peer: RpcPeer): boolean => true;
    const ref = await server.env.setupEndpoint("guarded", fixtureUrl("fault-service"), { allow });
    const there = await client.setupEndpointRef<FaultService>(server.address, "guarded");
    expect(await there.call.echo(1)).toBe(1);
    await server.env.stop(ref);
    return new WeakRef(allow);
  };
  const rounds = [await round(), await round(), await round()];
  // The last one may still be held by what was done with it last.
  await until(() => {
    collect();
    return rounds.slice(0, 2).every((gone) => gone.deref() === undefined);
  });
  expect(client.stats().peers).toHaveLength(1);
});

test("a dead letter that is kept holds its own bytes, not the chunk that they came in", async () => {
  await using server = await serving();
  const letters: RpcDeadLetter[] = [];
  server.env.on("deadLetter", (letter) => letters.push(letter));
  const socket = connect({ port: server.port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  const lost = oneWayFrame(envelope("nobody", ["see", 1], { kind: RecordKind.CAST }));
  const large = oneWayFrame(envelope("service", ["echo", new Uint8Array(60_000)], { kind: RecordKind.CAST }));
  const both = Buffer.concat([lost, large]);
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 1; i <= 400; i++) {
    socket.write(both);
    await until(() => letters.length === i);
  }
  socket.destroy();
  await until(() => {
    collect();
    return process.memoryUsage().arrayBuffers - before < 8 * MIB;
  });
  expect(letters[399]?.message()).toEqual(["see", 1]);
});

test("an address of an envelope that is remembered holds its own bytes", () => {
  const body = envelope("service", ["echo", 1]);
  const chunk = Buffer.alloc(64 * 1024);
  chunk.set(body, 1_000);
  const reader = new RequestReader();
  reader.read(chunk, 1_000, 1_000 + body.length, false);
  expect(reader.address.name).toBe("service");
  expect(reader.address.bytes.buffer.byteLength).toBe(reader.address.bytes.length);
});

test("asks given up before a peer has shown its version are remembered as far as it can have them unanswered", () => {
  const client = { identity: null, remoteAddress: { host: "127.0.0.1", port: 1 } } as TransportClient;
  const connection = new PeerConnection(client, () => {});
  for (let handle = 0; handle < 2 * REQUESTS_PER_CONNECTION_MAX; handle++) connection.keepCancel(handle);
  expect(connection.unsentCancelCount).toBe(REQUESTS_PER_CONNECTION_MAX);
  expect(connection.takeCancels()).toEqual(Array.from({ length: REQUESTS_PER_CONNECTION_MAX }, (_, handle) => handle));
  expect(connection.unsentCancelCount).toBe(0);
});
