/**
 * Goal: what becomes of messages in an Outbox at the moment when there is a connection.
 * Method: an Outbox over a connection that only keeps what is written.
 */
import { expect, test } from "vitest";
import type { RpcError } from "../../../dist/src/common/errors.js";
import { TIMEOUT_MS_MIN } from "../../../dist/src/common/limits.js";
import { Outbox, OutboxState } from "../../../dist/src/env/outbox.js";
import type { OutgoingMessage } from "../../../dist/src/env/outgoing-message.js";
import { PeerConnection } from "../../../dist/src/env/peer-connection.js";
import { RecordKind } from "../../../dist/src/inbox/record.js";
import type { TransportClient } from "../../../dist/src/network/transport-client.js";
import { PayloadCodec } from "../../../dist/src/rpc/codec.js";
import { RecordingAsk, RecordingClient } from "../../fixtures/recording-client.js";

const PAST = 1;
const ADDRESS = new Uint8Array(4);

function outboxFor() {
  const host = {
    envId: Buffer.from("id"),
    remainingMs: (deadline: number) => (deadline === PAST ? TIMEOUT_MS_MIN : Number.POSITIVE_INFINITY),
    waitingBytes: 0,
    waitingBytesMax: 1_000_000,
  };
  const client = new RecordingClient();
  const connection = new PeerConnection(client as unknown as TransportClient, () => {});
  return { outbox: new Outbox("127.0.0.1:4000", host), client, connection, host };
}

function message(id: number, ask: RecordingAsk | null, lost: OutgoingMessage["lost"] = () => {}): OutgoingMessage {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, id);
  const kind = ask === null ? RecordKind.SEND : RecordKind.ASK;
  const remainingMs = Number.POSITIVE_INFINITY;
  return { kind, payloadCodec: PayloadCodec.BYTES, bytes, length: 4, deadline: 0, remainingMs, ask, lost };
}

test("a connection that has ended when it is told of loses what waits with it, as not executed", async () => {
  const { outbox, client, connection, host } = outboxFor();
  const told: RpcError[] = [];
  const ask = new RecordingAsk(2);
  outbox.post(
    ADDRESS,
    message(1, null, (error) => told.push(error)),
  );
  outbox.post(ADDRESS, message(2, ask));
  client.isActive = false;
  outbox.connected(connection);
  await Promise.resolve();
  for (const error of [...told, ...ask.failures]) {
    expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST", retryable: true });
  }
  expect([told.length, ask.failures.length, outbox.state, host.waitingBytes]).toEqual([1, 1, OutboxState.CLOSED, 0]);
  expect(ask.failures[0]?.maybeExecuted).toBe(false);
});

test("what is posted by whoever hears of a lost message comes behind what waits", () => {
  const { outbox, client, connection } = outboxFor();
  const lost = (): void => void outbox.post(ADDRESS, message(9, null));
  outbox.post(ADDRESS, message(1, null, lost));
  for (const id of [2, 3, 4]) outbox.post(ADDRESS, message(id, null));
  client.refusals = 1;
  outbox.connected(connection);
  expect(client.written).toEqual([2, 3, 4, 9]);
  expect([outbox.waitingCount, outbox.waitingBytes]).toEqual([0, 0]);
});

test("an ask whose time is over when there is a connection is not sent any more", () => {
  const { outbox, client, connection } = outboxFor();
  const late = new RecordingAsk(1);
  outbox.post(ADDRESS, { ...message(1, late), deadline: PAST });
  outbox.post(ADDRESS, message(2, new RecordingAsk(2)));
  outbox.connected(connection);
  expect(client.written).toEqual([2]);
  expect([late.ended, late.connection]).toEqual([false, null]);
});

test("what is posted while the connection has much to write waits for that, and goes then, in order", () => {
  const { outbox, client, connection } = outboxFor();
  for (const id of [1, 2]) outbox.post(ADDRESS, message(id, null));
  client.queuedBytes = 2 ** 30;
  outbox.connected(connection);
  expect(outbox.post(ADDRESS, message(3, new RecordingAsk(3)))).toBe(true);
  expect([client.written, outbox.waitingCount]).toEqual([[], 3]);
  client.writeAll();
  expect([client.written, outbox.waitingCount]).toEqual([[1, 2, 3], 0]);
});
