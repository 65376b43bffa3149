/**
 * Goal: who receives a stream or an upload and cannot keep up holds up its connection, and nothing else; what it fails with
 * later counts as if it had thrown.
 * Method: real sockets. Receivers whose promises the test settles; a peer by hand where the order on the wire matters. That
 * something does not happen is looked at for fifty turns of the loop, in which it would have. Seconds pass by a manual clock.
 */
import { describe, expect, test } from "vitest";
import { REQUESTS_PER_CONNECTION_MAX } from "../../../dist/src/common/limits.js";
import {
  BlockPushNonFatalFailure,
  encodeMessage,
  MessageType,
  NioManagedBuffer,
  type RpcReply,
  type StreamCallbackWithID,
  StreamManager,
} from "../../../dist/src/network/index.js";
import { Receiver } from "../../fixtures/stream-receiver.js";
import {
  ask,
  failureOf,
  ScriptedHandler,
  stream,
  Transports,
  textOf,
  until,
  upload,
} from "../../fixtures/transport.js";

const SILENT = { debug() {}, info() {}, error() {} };
const buffer = (bytes: number, fill = "x"): NioManagedBuffer => new NioManagedBuffer(Buffer.alloc(bytes, fill));

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A server whose uploads go to the receivers of the map, by their meta; requests are noted and echoed. */
async function receiving(transports: Transports, receivers: Record<string, StreamCallbackWithID>, settings = {}) {
  const requests: string[] = [];
  const warnings: string[] = [];
  const handler = new ScriptedHandler({
    receive(_client, message, reply) {
      requests.push(message);
      reply.onSuccess(Buffer.from(message));
    },
    receiveStream: (_client, meta) => receivers[meta] ?? null,
  });
  const logger = { ...SILENT, warn: (_object: object, text: string) => void warnings.push(text) };
  const server = await transports.serve(handler, { settings, logger, closeIdleConnections: true });
  return { handler, server, requests, warnings };
}

class OneStream extends StreamManager {
  readonly #bytes: number;

  constructor(bytes: number) {
    super();
    this.#bytes = bytes;
  }

  getChunk(): null {
    return null;
  }

  override openStream(): NioManagedBuffer {
    return buffer(this.#bytes);
  }
}

describe("an upload", () => {
  test("is given in the pace of its receiver, and what stands behind it waits in order", async () => {
    await using transports = new Transports();
    const receiver = new Receiver();
    const { server, requests } = await receiving(transports, { slow: receiver });
    const client = await transports.client(server);
    const bytes = 3_000_000;
    const stored = upload(client, "slow", buffer(bytes));
    const behind = [ask(client, "first"), ask(client, "second")];
    await until(() => receiver.data.count === 1);
    const given = receiver.received;
    expect(given).toBeLessThanOrEqual(65_536);
    await turns();
    expect(receiver.received).toBe(given);
    expect(receiver.events).toEqual([`start ${bytes}`]);
    await receiver.takeAll(bytes);
    await receiver.completion.open();
    expect(await stored).toBe("stored");
    expect(await Promise.all(behind)).toEqual(["first", "second"]);
    expect(requests).toEqual(["first", "second"]);
    expect(receiver.received).toBe(bytes);
  });

  test("of which no byte comes any more fails with its connection, after the timeout; a slow one goes on", async () => {
    await using transports = new Transports();
    const { clock } = transports;
    const receiver = new Receiver();
    const settings = { connectionTimeoutMs: 10_000 };
    const server = await transports.serve(new ScriptedHandler({ receiveStream: () => receiver }), { settings });
    const idle = await transports.peer(server);
    const peer = await transports.peer(server);
    const body = buffer(1_000);
    const meta = Buffer.from("it");
    const message = { type: MessageType.UPLOAD_STREAM, requestId: 1n, meta, byteCount: body.size, body } as const;
    const { header } = await encodeMessage(message);
    peer.socket.write(header);
    for (let second = 0; second < 30; second += 9) {
      const received = receiver.received;
      peer.socket.write(Buffer.alloc(100));
      await until(() => receiver.received > received);
      await receiver.data.open();
      await turns();
      clock.advance(9_000);
    }
    expect([receiver.events, peer.ended]).toEqual([["start 1000"], false]);
    clock.advance(3_000);
    await peer.closed();
    expect(receiver.events).toEqual(["start 1000", expect.stringMatching(/^failure .* in the middle of a body$/)]);
    expect(idle.ended).toBe(false);
  });

  test("that is given whole is complete when its receiver is done, not before", async () => {
    await using transports = new Transports();
    const receiver = new Receiver();
    const { server, requests } = await receiving(transports, { one: receiver });
    const client = await transports.client(server);
    const stored = upload(client, "one", buffer(10));
    const behind = ask(client, "behind");
    await until(() => receiver.data.count === 1);
    await turns();
    expect([receiver.events, requests]).toEqual([["start 10"], []]);
    await receiver.data.open();
    expect(await behind).toBe("behind");
    expect(receiver.events).toEqual(["start 10", "complete"]);
    await receiver.completion.open();
    expect(await stored).toBe("stored");
  });

  test.each([10, 0])(
    "of %i bytes is answered when onComplete's promise resolves; others are served meanwhile",
    async (bytes) => {
      await using transports = new Transports();
      const receiver = new Receiver();
      const { server } = await receiving(transports, { kept: receiver });
      const client = await transports.client(server);
      let answer = "";
      const stored = upload(client, "kept", buffer(bytes)).then((text) => {
        answer = text;
      });
      if (bytes > 0) await receiver.data.open();
      await until(() => receiver.completion.count === 1);
      expect(await ask(client, "meanwhile")).toBe("meanwhile");
      expect(answer).toBe("");
      await receiver.completion.open();
      await stored;
      expect(answer).toBe("stored");
    },
  );

  test("whose onComplete rejects fails, its receiver is told, and the connection goes on", async () => {
    await using transports = new Transports();
    const receiver = new Receiver();
    const other = new Receiver();
    const { server } = await receiving(transports, { bad: receiver, good: other });
    const client = await transports.client(server);
    const failed = failureOf(upload(client, "bad", buffer(10)));
    await receiver.data.open();
    await receiver.completion.fail("the disk is full");
    expect((await failed).message).toContain("java.io.IOException: Failure post-processing complete stream");
    expect((await failed).message).toContain("the disk is full");
    await until(() => receiver.events.length === 3);
    expect(receiver.events).toEqual(["start 10", "complete", "failure the disk is full"]);
    const stored = upload(client, "good", buffer(0));
    await other.completion.open();
    expect(await stored).toBe("stored");
  });

  test("whose onComplete rejects with BlockPushNonFatalFailure is answered with what that says", async () => {
    await using transports = new Transports();
    const receiver = new Receiver();
    receiver.onComplete = () => Promise.reject(new BlockPushNonFatalFailure(Buffer.from("too late"), "late"));
    const { server } = await receiving(transports, { late: receiver });
    expect(await upload(await transports.client(server), "late", buffer(0))).toBe("too late");
    expect(receiver.events).toEqual(["failure late"]);
  });

  test("whose onData rejects fails with its connection, once", async () => {
    await using transports = new Transports();
    const receiver = new Receiver();
    const { server, warnings } = await receiving(transports, { bad: receiver });
    const client = await transports.client(server);
    const failed = failureOf(upload(client, "bad", buffer(1_000_000)));
    const behind = failureOf(ask(client, "behind"));
    await receiver.data.fail("no room");
    expect((await failed).message).toContain("java.io.IOException: Destination failed while reading stream");
    expect((await failed).message).toContain("no room");
    expect(await behind).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    await until(() => server.connectionCount === 0);
    expect(receiver.events).toEqual(["start 1000000", expect.stringMatching(/^failure .*no room$/)]);
    expect(warnings).toEqual([]);
  });

  test.each(["resolves", "rejects"])(
    "whose connection ends while its receiver is busy fails when that %s, once",
    async (how) => {
      await using transports = new Transports();
      const receiver = new Receiver();
      const { server, handler, warnings } = await receiving(transports, { lost: receiver });
      const failed = failureOf(upload(await transports.client(server), "lost", buffer(1_000_000)));
      await until(() => receiver.data.count === 1);
      handler.clients[0]!.connection.fail(new Error("it was cut"));
      await failed;
      await until(() => server.connectionCount === 0);
      await turns();
      expect(receiver.events).toEqual(["start 1000000"]);
      if (how === "resolves") await receiver.data.open();
      else await receiver.data.fail("too late");
      await until(() => receiver.events.length === 2);
      await turns();
      expect(receiver.events).toEqual(["start 1000000", expect.stringMatching(/^failure .*it was cut$/)]);
      expect(warnings).toEqual(how === "resolves" ? [] : ["onData of a stream failed, after its connection had ended"]);
    },
  );

  test("without a name of its own, or to nobody, fails with its reason, and with its connection", async () => {
    await using transports = new Transports();
    const nameless = new Receiver();
    nameless.getID = () => {
      throw new Error("no name");
    };
    const { server } = await receiving(transports, { nameless });
    for (const [meta, text] of [
      ["nameless", "no name"],
      ["unknown", "receiveStream returned null"],
    ] as const) {
      const client = await transports.client(server);
      expect((await failureOf(upload(client, meta, buffer(100)))).message).toContain(text);
      await until(() => !client.isActive);
    }
  });

  test("beyond the limit of unanswered requests is refused by itself: its bytes are dropped, the connection goes on", async () => {
    await using transports = new Transports();
    const replies: RpcReply[] = [];
    const receivers: string[] = [];
    const handler = new ScriptedHandler({
      receive: (_client, _message, reply) => void replies.push(reply),
      receiveStream(_client, meta) {
        receivers.push(meta);
        return null;
      },
    });
    const client = await transports.client(await transports.serve(handler));
    const callback = { onSuccess: () => {}, onFailure: () => {} };
    for (let sent = 0; sent < REQUESTS_PER_CONNECTION_MAX; sent++) client.sendRpc(Buffer.from("x"), callback);
    for (const bytes of [0, 1_000_000]) {
      const refused = await failureOf(upload(client, "one more", buffer(bytes)));
      expect(refused.message).toContain(`are unanswered: max=${REQUESTS_PER_CONNECTION_MAX}`);
    }
    replies[0]!.discard();
    const answered = ask(client, "again");
    await until(() => replies.length === REQUESTS_PER_CONNECTION_MAX + 1);
    replies.at(-1)!.onSuccess(Buffer.from("yes"));
    expect(await answered).toBe("yes");
    expect(receivers).toEqual([]);
  });
});

describe("a stream", () => {
  async function asked(transports: Transports, bytes: number, settings = {}) {
    const receiver = new Receiver();
    const warnings: string[] = [];
    const streams = new OneStream(bytes);
    const handler = new ScriptedHandler({
      streams,
      receive: (_client, message, reply) => reply.onSuccess(Buffer.from(message)),
    });
    const server = await transports.serve(handler, { settings: { writeTimeoutMs: Number.POSITIVE_INFINITY } });
    const logger = { ...SILENT, warn: (_object: object, text: string) => void warnings.push(text) };
    const context = transports.context({ logger, settings, closeIdleConnections: true });
    const client = await transports.client(server, context);
    client.stream("it", receiver);
    return { client, receiver, warnings };
  }

  test("is given in the pace of its receiver; answers and other streams wait behind it", async () => {
    await using transports = new Transports();
    const { client, receiver } = await asked(transports, 1_000_000);
    const behind = [ask(client, "behind"), stream(client, "next").then(({ length }) => String(length))];
    await until(() => receiver.data.count === 1);
    const given = receiver.received;
    await turns();
    expect(receiver.received).toBe(given);
    expect(client.outstandingCount).toBe(3);
    await receiver.takeAll(1_000_000);
    expect(await Promise.all(behind)).toEqual(["behind", "1000000"]);
    expect(receiver.events).toEqual(["start 1000000", "complete"]);
  });

  test("whose receiver is busy is not quiet, however long that takes; afterwards its time begins anew", async () => {
    await using transports = new Transports();
    const { clock } = transports;
    const { client, receiver } = await asked(transports, 1_000_000, {
      connectionTimeoutMs: 10_000,
      frameTimeoutMs: 10_000,
    });
    await until(() => receiver.data.count === 1);
    for (let minute = 0; minute < 10; minute++) {
      const heardMs = client.connection.lastReadMs;
      clock.advance(60_000);
      // What asks whether the peer is alive takes it for heard: its silence says nothing.
      expect(client.connection.lastReadMs).toBe(heardMs + 60_000);
    }
    expect(client.isActive).toBe(true);
    await receiver.takeAll(1_000_000);
    await until(() => receiver.events.length === 2);
    expect(await ask(client, "still there")).toBe("still there");
    clock.advance(9_000);
    expect(client.isActive).toBe(true);
    clock.advance(3_000);
    expect(client.isActive).toBe(false);
  });

  test("whose receiver fails later is logged, in onComplete; it ends the connection, in onData", async () => {
    await using transports = new Transports();
    const first = await asked(transports, 10);
    await first.receiver.data.open();
    await first.receiver.completion.fail("not stored");
    await until(() => first.warnings.length === 1);
    expect(first.warnings).toEqual(["onComplete of a stream failed"]);
    expect(await ask(first.client, "goes on")).toBe("goes on");
    const second = await asked(transports, 10);
    const behind = failureOf(ask(second.client, "behind"));
    await second.receiver.data.fail("no room");
    expect(await behind).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(second.receiver.events).toEqual(["start 10", expect.stringMatching(/^failure .*no room$/)]);
  });

  test("without bytes is complete without a start, and what it fails with then is logged", async () => {
    await using transports = new Transports();
    const { client, receiver, warnings } = await asked(transports, 0);
    await receiver.completion.fail("not stored");
    await until(() => warnings.length === 1);
    expect(receiver.events).toEqual(["complete"]);
    expect(await ask(client, "goes on")).toBe("goes on");
  });

  test("goes on when its receiver cannot be told of the start, and is logged", async () => {
    await using transports = new Transports();
    const { client, receiver, warnings } = await asked(transports, 10);
    await receiver.data.open();
    const pieces: string[] = [];
    await new Promise<void>((resolve) => {
      client.stream("it", {
        onStart() {
          throw new Error("what start?");
        },
        onData: (_id, bytes) => void pieces.push(textOf(bytes)),
        onComplete: () => resolve(),
        onFailure: () => {},
      });
    });
    expect([pieces, warnings]).toEqual([["xxxxxxxxxx"], ["onStart of a stream failed"]]);
  });
});

test("frames behind an upload that wait with it are handled in their order, whatever one read brought", async () => {
  await using transports = new Transports();
  const receivers = { a: new Receiver(), b: new Receiver() };
  const { server, requests } = await receiving(transports, receivers);
  const peer = await transports.peer(server);
  peer.socket.cork();
  const rpc = (text: string) =>
    peer.send({ type: MessageType.RPC_REQUEST, requestId: 1n, body: new NioManagedBuffer(Buffer.from(text)) });
  for (const name of ["a", "b"]) {
    const body = buffer(5, name);
    await peer.send({ type: MessageType.UPLOAD_STREAM, requestId: 7n, meta: Buffer.from(name), byteCount: 5, body });
    await rpc(`behind ${name}`);
  }
  peer.socket.uncork();
  await until(() => receivers.a.data.count === 1);
  await turns();
  expect([requests, receivers.b.received]).toEqual([[], 0]);
  await receivers.a.data.open();
  await until(() => receivers.b.data.count === 1);
  expect([requests, receivers.a.events]).toEqual([["behind a"], ["start 5", "complete"]]);
  await receivers.b.data.open();
  await until(() => requests.length === 2);
  expect(requests).toEqual(["behind a", "behind b"]);
});
