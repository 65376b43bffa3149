/**
 * Goal: strangers, slow peers and broken streams cost their own connection and nothing else; everything is bounded.
 * Method: real sockets; beside each bad peer a healthy client goes on asking. Seconds pass by a clock that the test moves.
 */
import { describe, expect, test } from "vitest";
import { REQUESTS_PER_CONNECTION_MAX, WRITE_QUEUE_PAUSE_BYTES } from "../../../dist/src/common/limits.js";
import { MessageType, NioManagedBuffer, type RpcReply } from "../../../dist/src/network/index.js";
import { ask, callbackOf, failureOf, ScriptedHandler, Transports, until } from "../../fixtures/transport.js";

const echo = (): ScriptedHandler =>
  new ScriptedHandler({ receive: (_client, message, reply) => reply.onSuccess(Buffer.from(message)) });
const rpc = (requestId: bigint, text: string) =>
  ({ type: MessageType.RPC_REQUEST, requestId, body: new NioManagedBuffer(Buffer.from(text)) }) as const;

describe("connections", () => {
  test("so many of one address and so many in all are taken, others are turned away and counted", async () => {
    await using transports = new Transports();
    const settings = { connectionsMax: 3, connectionsPerAddressMax: 2 };
    const refusals: string[] = [];
    const context = transports.context({ rpcHandler: echo(), settings });
    const server = await context.createServer({ onRefused: (reason) => void refusals.push(reason.message) });
    const [first, second] = [await transports.peer(server), await transports.peer(server)];
    await until(() => server.connectionCount === 2);
    const third = await transports.peer(server);
    await third.closed();
    expect(refusals).toEqual(["too many connections from 127.0.0.1: max=2"]);
    expect(server.refusedCount).toBe(1);
    first!.socket.destroy();
    await until(() => server.connectionCount === 1);
    const fourth = await transports.peer(server);
    await fourth.send(rpc(1n, "taken again"));
    expect(await fourth.received(1)).toHaveLength(1);
    expect(context.registeredConnections).toBe(2);
    second!.socket.destroy();
    fourth.socket.destroy();
    await server.close();
  });

  test("bytes that are no frame end their connection after what came before them was answered", async () => {
    await using transports = new Transports();
    const handler = echo();
    const server = await transports.serve(handler);
    const healthy = await transports.client(server);
    const peer = await transports.peer(server);
    await peer.send(rpc(7n, "before"));
    peer.socket.write(Buffer.from("ffffffffffffffff00", "hex"));
    await peer.closed();
    expect(peer.messages).toMatchObject([{ type: MessageType.RPC_RESPONSE, requestId: 7n }]);
    expect(handler.events).toContainEqual(expect.stringContaining("exception Frame length should be positive"));
    const http = await transports.peer(server);
    http.socket.write("GET / HTTP/1.1\r\n\r\n");
    await http.closed();
    expect(handler.events).toContainEqual(expect.stringContaining("HTTP"));
    expect(await ask(healthy, "still here")).toBe("still here");
  });

  test("a frame must end 30 s after its first byte", async () => {
    await using transports = new Transports();
    const handler = echo();
    const context = transports.context({ rpcHandler: handler });
    const server = await transports.server(context);
    const healthy = await transports.client(server);
    const peer = await transports.peer(server);
    peer.socket.write(Buffer.from("0000000000", "hex"));
    await until(() => context.unfinishedFrameBytes > 0);
    expect(await ask(healthy, "one")).toBe("one");
    transports.clock.advance(29_000);
    expect(server.connectionCount).toBe(2);
    transports.clock.advance(2_000);
    await peer.closed();
    expect(handler.events).toContainEqual(expect.stringContaining("did not end within 30000 ms"));
    expect(await ask(healthy, "two")).toBe("two");
  });

  test("unfinished frames of all connections are bounded together", async () => {
    await using transports = new Transports();
    const handler = echo();
    const context = transports.context({ rpcHandler: handler, settings: { unfinishedFrameBytesMax: 100 * 1_024 } });
    const server = await transports.server(context);
    const [first, second] = [await transports.peer(server), await transports.peer(server)];
    const start = Buffer.alloc(60 * 1_024);
    start.writeUInt32BE(1_024 * 1_024, 4);
    first!.socket.write(start);
    await until(() => context.unfinishedFrameBytes > 0);
    second!.socket.write(start);
    await second!.closed();
    expect(handler.events).toContainEqual(expect.stringContaining("unfinished frames of all connections"));
    expect(first!.ended).toBe(false);
    first!.socket.destroy();
    await until(() => context.unfinishedFrameBytes === 0);
  });

  test("a peer that has ended its side gets the answers that were given, then the connection ends", async () => {
    await using transports = new Transports();
    const replies: RpcReply[] = [];
    const handler = new ScriptedHandler({
      receive(_client, message, reply) {
        if (message === "later") replies.push(reply);
        else reply.onSuccess(Buffer.alloc(1_024 * 1_024, message));
      },
    });
    const peer = await transports.peer(await transports.serve(handler));
    peer.socket.pause();
    await peer.send(rpc(1n, "later"));
    for (let requestId = 2n; requestId < 10n; requestId++) await peer.send(rpc(requestId, "now"));
    peer.socket.end();
    await until(() => handler.clients[0]?.isActive === false);
    replies[0]!.onSuccess(Buffer.from("too late"));
    peer.socket.resume();
    await peer.closed();
    expect(peer.messages.filter((message) => "requestId" in message && message.requestId > 1n)).toHaveLength(8);
    await until(() => handler.events.includes("inactive"));
  });

  test("closing writes what is queued, and fails what is outstanding", async () => {
    await using transports = new Transports();
    const oneWays: string[] = [];
    const handler = new ScriptedHandler({
      receive: () => {},
      receiveOneWay: (_client, text) => void oneWays.push(text),
    });
    const client = await transports.client(await transports.serve(handler));
    const unanswered = failureOf(ask(client, "never answered"));
    client.send(Buffer.from("last words"));
    client.close();
    expect(client.isActive).toBe(false);
    expect(await unanswered).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(client.send(Buffer.from("too late"))).toBe(false);
    const late = await failureOf(ask(client, "too late"));
    expect(late).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST", maybeExecuted: false });
    expect(late.message).toContain("Failed to send RPC");
    await until(() => oneWays.length === 1);
    expect(oneWays).toEqual(["last words"]);
    await until(() => handler.events.includes("inactive"));
  });
});

describe("peers that do not read", () => {
  const ANSWER = Buffer.alloc(1_024 * 1_024, "x");

  /** A peer whose answers fill the write queue: it reads nothing more. */
  async function overflowing(transports: Transports) {
    let asked = 0;
    const handler = new ScriptedHandler({
      receive(_client, message, reply) {
        if (message !== "healthy") asked++;
        reply.onSuccess(message === "healthy" ? Buffer.from(message) : ANSWER);
      },
    });
    const server = await transports.serve(handler);
    const healthy = await transports.client(server);
    const peer = await transports.peer(server);
    peer.socket.pause();
    let sent = 0;
    await until(() => handler.clients.length === 2);
    const { queue } = handler.clients[1]!.connection;
    while (queue.queuedReplyBytes <= WRITE_QUEUE_PAUSE_BYTES) {
      await peer.send(rpc(BigInt(sent++), "more"));
      await until(() => asked === sent);
    }
    const more = (): Promise<void> => peer.send(rpc(BigInt(sent++), "more"));
    return { server, handler, healthy, peer, sent: () => sent, asked: () => asked, more };
  }

  test("are not read from until they do", async () => {
    await using transports = new Transports();
    const { healthy, peer, sent, asked, more } = await overflowing(transports);
    const askedBefore = asked();
    await more();
    expect(await ask(healthy, "healthy")).toBe("healthy");
    expect(asked()).toBe(askedBefore);
    peer.socket.resume();
    await peer.received(sent());
    expect(asked()).toBe(sent());
    expect(peer.messages).toHaveLength(sent());
  });

  test("lose their connection after 30 s, and nobody else's", async () => {
    await using transports = new Transports();
    const { server, handler, healthy, peer } = await overflowing(transports);
    transports.clock.advance(29_000);
    expect(server.connectionCount).toBe(2);
    transports.clock.advance(3_000);
    peer.socket.resume();
    await peer.closed();
    expect(handler.events).toContainEqual(expect.stringContaining("in 30000 ms"));
    expect(await ask(healthy, "healthy")).toBe("healthy");
  });

  test("get no more requests than the queue holds: what is beyond is refused, retryable, not sent", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    peer.socket.pause();
    const body = Buffer.alloc(8 * 1_024 * 1_024);
    const ends: Promise<Error>[] = [];
    for (let sent = 0; sent < 12; sent++) {
      ends.push(failureOf(new Promise((resolve, reject) => client.sendRpc(body, callbackOf(resolve, reject)))));
    }
    const refused = await ends.at(-1);
    expect(refused).toMatchObject({ code: "ERR_RPC_OUTBOX_FULL", retryable: true, maybeExecuted: false });
    expect(client.send(body)).toBe(false);
    expect(client.queuedBytes).toBeLessThan(80 * 1_024 * 1_024);
    end();
    const first = await ends[0];
    expect(first).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    // Requests of which not all bytes had left cannot have been run.
    expect((await ends[7]) as unknown).toMatchObject({
      maybeExecuted: false,
      message: expect.stringContaining("Failed to send RPC"),
    });
  });

  test("requests of one connection that nobody answers are bounded", async () => {
    await using transports = new Transports();
    const replies: RpcReply[] = [];
    const handler = new ScriptedHandler({ receive: (_client, _message, reply) => void replies.push(reply) });
    const client = await transports.client(await transports.serve(handler));
    let failed = 0;
    const callback = { onSuccess: () => {}, onFailure: () => void failed++ };
    for (let sent = 0; sent < REQUESTS_PER_CONNECTION_MAX; sent++) client.sendRpc(Buffer.from("x"), callback);
    const refused = await failureOf(ask(client, "one more"));
    expect(refused.message).toContain("too many requests of one connection are unanswered");
    expect(replies).toHaveLength(REQUESTS_PER_CONNECTION_MAX);
    replies[0]!.discard();
    const answered = ask(client, "again");
    await until(() => replies.length === REQUESTS_PER_CONNECTION_MAX + 1);
    replies.at(-1)!.onSuccess(Buffer.from("yes"));
    expect(await answered).toBe("yes");
    expect(failed).toBe(0);
  });
});

describe("the write queue", () => {
  test("keeps the order of everything, whatever way it is sent", async () => {
    await using transports = new Transports();
    const arrived: string[] = [];
    const handler = new ScriptedHandler({
      receive: (_client, message, reply) => reply.onSuccess(Buffer.from(message)),
      receiveOneWay: (_client, message) => void arrived.push(`${message.length}`),
      receiveStream: (_client, meta) => ({
        getID: () => meta,
        onData: () => {},
        onComplete: () => void arrived.push(meta),
        onFailure: () => {},
      }),
    });
    const client = await transports.client(await transports.serve(handler));
    const expected: string[] = [];
    let random = 7;
    for (let index = 0; index < 400; index++) {
      random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
      if (random % 7 === 0) {
        const length = random % 200_000;
        client.uploadStream(
          Buffer.from(`upload ${index}`),
          new NioManagedBuffer(Buffer.alloc(length)),
          callbackOf(
            () => {},
            () => {},
          ),
        );
        expected.push(`upload ${index}`);
      } else {
        const length = random % (random % 5 === 0 ? 100_000 : 300);
        client.send(Buffer.alloc(length, "x"));
        expected.push(`${length}`);
      }
      if (random % 50 === 0) client.flush();
    }
    expect(await ask(client, "end")).toBe("end");
    expect(arrived).toEqual(expected);
  });
});

test("a loop that was blocked blames nobody: the look that comes late is left out", async () => {
  await using transports = new Transports();
  let isBlocked = false;
  const clock = transports.clock;
  const server = await transports.serve(echo());
  const context = transports.context({
    settings: { connectionTimeoutMs: 10_000 },
    closeIdleConnections: true,
    clock: {
      now: () => clock.now() + (isBlocked ? 60_000 : 0),
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      clearTimeout: (timer) => clock.clearTimeout(timer),
      setImmediate: (callback) => clock.setImmediate(callback),
      random: () => clock.random(),
    },
  });
  const client = await transports.client(server, context);
  isBlocked = true;
  clock.advance(1_000);
  expect(client.isActive).toBe(true);
  expect(await ask(client, "what was waiting")).toBe("what was waiting");
  clock.advance(5_000);
  expect(client.isActive).toBe(true);
});
