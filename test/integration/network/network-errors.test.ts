/**
 * Goal: an endpoint that has `onNetworkError` is told what is wrong with a connection, once, with the address that its peer's
 * messages come from; nobody who has not said who he is brings it about.
 * Method: a peer by hand on a bare socket, which speaks properly first and then something else.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { RecordKind } from "../../../dist/src/inbox/record.js";
import { notesUntil, onLoopZero, onMessageLoops } from "../../conformance/form.js";
import { envelope, oneWayFrame } from "../../fixtures/envelopes.js";
import { Gate } from "../../fixtures/gate.js";

async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

const kinds = ["serial", "concurrent"] as const;

describe.each([onMessageLoops, onLoopZero])("onNetworkError of an endpoint $name", (form) => {
  test.each(kinds)(
    "%s: is called on every instance, once, between its onConnected and onDisconnected",
    async (kind) => {
      using gate = new Gate();
      await using env = await RpcEnv.create({ host: "127.0.0.1", numThreads: 2 });
      const told: unknown[] = [];
      env.on("networkError", (error, address) => told.push([error.code, address]));
      await form.setUp(env, "spark", { gate: gate.name }, kind);
      const { port = 0 } = env.address ?? {};
      // A stranger is nobody's peer: his noise is none of theirs.
      const stranger = await dial(port);
      stranger.end(Buffer.alloc(64, 0xa5));
      await once(stranger, "close");
      const socket = await dial(port);
      const address = { host: "127.0.0.1", port: socket.localPort };
      socket.write(oneWayFrame(envelope("spark", { op: "note", value: "hello" }, { kind: RecordKind.SEND })));
      await notesUntil(gate, (note) => note === "hello");
      socket.write(Buffer.alloc(64, 0xa5));
      const instances = kind === "concurrent" ? form.replicas : 1;
      const notes: unknown[] = [];
      let gone = 0;
      notes.push(...(await notesUntil(gate, (note: object) => "disconnected" in note && ++gone === instances)));
      const errors = notes.filter((note) => "networkError" in (note as object));
      const expected = { networkError: expect.stringMatching(/^(Too large frame|Frame length)/), address };
      expect(errors).toEqual(Array(instances).fill(expected));
      expect(told).toEqual([["ERR_RPC_PROTOCOL", address]]);
      // Of each instance the error comes before the end.
      expect(notes.findIndex((note) => "networkError" in (note as object))).toBe(
        notes.findIndex((note) => !("connected" in (note as object))),
      );
    },
  );
});
