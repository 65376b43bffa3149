/**
 * Goal: who is slow but steady is served for as long as it takes, who gives or takes next to nothing loses his connection, and
 * what waits for anybody is bounded, in memory or not.
 * Method: real sockets; peers by hand whose bytes come and go as the test says, while a manual clock passes seconds.
 */
import { describe, expect, test } from "vitest";
import {
  PEER_BYTES_PER_SECOND_MIN,
  WRITE_QUEUE_BYTES_MAX,
  WRITE_QUEUE_PAUSE_BYTES,
  WRITE_TURN_BYTES,
} from "../../../dist/src/common/limits.js";
import {
  MessageType,
  NioManagedBuffer,
  OneForOneStreamManager,
  type RpcReply,
  StreamManager,
  type TransportServer,
} from "../../../dist/src/network/index.js";
import { ask, fetchChunk, type RawPeer, ScriptedHandler, Transports, until } from "../../fixtures/transport.js";

const MIB = 1_048_576;
const SECOND = 1_000;

const rpc = (requestId: bigint, bytes: number) =>
  ({ type: MessageType.RPC_REQUEST, requestId, body: new NioManagedBuffer(Buffer.alloc(bytes, "x")) }) as const;

/** Chunks of some size, made when they are asked for. */
class MadeChunks extends StreamManager {
  readonly #bytes: number;
  made = 0;

  constructor(bytes: number) {
    super();
    this.#bytes = bytes;
  }

  getChunk(): NioManagedBuffer {
    this.made++;
    return new NioManagedBuffer(Buffer.alloc(this.#bytes, 1));
  }
}

function echo(): ScriptedHandler {
  return new ScriptedHandler({
    receive: (_client, message, reply) => reply.onSuccess(Buffer.from(`${message.length}`)),
  });
}

/** A handler that keeps its replies. */
function keeping() {
  const replies: RpcReply[] = [];
  return { replies, handler: new ScriptedHandler({ receive: (_client, _message, reply) => void replies.push(reply) }) };
}

function queueOf(server: TransportServer) {
  const [channel] = server.channels;
  return channel!.queue;
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets the peer take so much more, and then no more. */
async function takes(peer: RawPeer, bytes: number): Promise<void> {
  const wanted = peer.socket.bytesRead + bytes;
  peer.socket.resume();
  await until(() => peer.socket.bytesRead >= wanted);
  peer.socket.pause();
}

describe("answers in memory", () => {
  test("count with their bytes: who asks for 300 MiB of chunks in one go is served in its own pace", async () => {
    await using transports = new Transports();
    const streams = new MadeChunks(MIB);
    const server = await transports.serve(new ScriptedHandler({ streams }));
    const peer = await transports.peer(server);
    peer.socket.pause();
    for (let chunkIndex = 0; chunkIndex < 300; chunkIndex++) {
      await peer.send({ type: MessageType.CHUNK_FETCH_REQUEST, streamId: 1n, chunkIndex });
    }
    await until(() => streams.made > 16);
    await turns();
    // 16 MiB wait, one is the last straw, and the rest is what the system and the window take.
    expect(queueOf(server).queuedReplyBytes).toBeLessThan(WRITE_QUEUE_PAUSE_BYTES + 2 * MIB);
    expect(streams.made).toBeLessThan(40);
    expect(queueOf(server).queuedBytes).toBeLessThan(WRITE_QUEUE_PAUSE_BYTES + 2 * MIB);
    peer.socket.resume();
    expect(await peer.received(300)).toHaveLength(300);
    expect(streams.made).toBe(300);
  });

  test("may be longer than every limit: the limit counts what waits behind", async () => {
    await using transports = new Transports();
    const server = await transports.serve(new ScriptedHandler({ streams: new MadeChunks(80 * MIB) }));
    const settings = { frameBytesMax: 100 * MIB };
    const client = await transports.client(server, transports.context({ settings }));
    const chunks = await Promise.all([0, 1, 2].map((index) => fetchChunk(client, 1n, index)));
    expect(chunks.map(({ length }) => length)).toEqual([80 * MIB, 80 * MIB, 80 * MIB]);
  });

  test("of every kind become failures where they find no room; the connection goes on, and so do others", async () => {
    for (const answer of [
      (reply: RpcReply) => reply.onMergedBlockMeta(1, new NioManagedBuffer(Buffer.alloc(4 * MIB))),
      (reply: RpcReply) => reply.onFailure("x".repeat(4 * MIB)),
      (reply: RpcReply) => reply.onSuccess(Buffer.alloc(4 * MIB)),
    ]) {
      await using transports = new Transports();
      const { replies, handler } = keeping();
      const server = await transports.serve(handler);
      const peer = await transports.peer(server);
      peer.socket.pause();
      for (let id = 0n; id < 40n; id++) await peer.send(rpc(id, 10));
      await until(() => replies.length === 40);
      for (const reply of replies) answer(reply);
      await turns();
      expect(queueOf(server).queuedReplyBytes).toBeLessThan(WRITE_QUEUE_BYTES_MAX + 5 * MIB);
      peer.socket.resume();
      const answers = await peer.received(40);
      const refused = answers.filter((one) => "errorText" in one && /an answer finds no room: /.test(one.errorText));
      // 64 MiB wait, and what the system and the window take.
      expect(refused.length).toBeGreaterThan(10);
      expect(refused.length).toBeLessThan(25);
      await peer.send(rpc(40n, 10));
      await until(() => replies.length === 41);
      replies[40]!.onSuccess(Buffer.from("healthy"));
      expect((await peer.received(41)).at(-1)).toMatchObject({ type: MessageType.RPC_RESPONSE, requestId: 40n });
    }
  });

  test("are written a turn's worth at a time, however much the system would take at once", async () => {
    await using transports = new Transports();
    const server = await transports.serve(new ScriptedHandler({ streams: new MadeChunks(32 * MIB) }));
    const peer = await transports.peer(server);
    peer.socket.pause();
    await peer.send({ type: MessageType.CHUNK_FETCH_REQUEST, streamId: 1n, chunkIndex: 0 });
    const queue = queueOf(server);
    let before = queue.takenBytes;
    let most = 0;
    for (let turn = 0; turn < 200; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, queue.takenBytes - before);
      before = queue.takenBytes;
    }
    expect(before).toBeGreaterThan(0);
    // And a header.
    expect(most).toBeLessThan(WRITE_TURN_BYTES + 100);
  });

  test("after our own end are dropped and counted; the peer still gets what was sent before", async () => {
    await using transports = new Transports();
    const { replies, handler } = keeping();
    const server = await transports.serve(handler);
    const peer = await transports.peer(server);
    peer.socket.allowHalfOpen = true;
    await peer.send(rpc(1n, 10));
    await peer.send(rpc(2n, 10));
    await until(() => replies.length === 2);
    const [channel] = server.channels;
    replies[0]!.onSuccess(Buffer.from("in time"));
    channel!.close();
    await peer.closed();
    replies[1]!.onSuccess(Buffer.from("too late"));
    await turns();
    expect(channel!.queue.droppedCount).toBe(1);
    expect(peer.messages).toHaveLength(1);
    expect(handler.events).toEqual(["active"]);
    // It waits for the peer's own end; a socket that was written to behind its end would be gone.
    expect(server.connectionCount).toBe(1);
  });
});

describe("a peer that reads", () => {
  /** 40 MiB of answers, in one write after the other; the peer has not begun to read. */
  async function waiting(transports: Transports, settings = {}) {
    const { replies, handler } = keeping();
    const context = transports.context({ rpcHandler: handler, settings });
    const server = await transports.server(context);
    const peer = await transports.peer(server);
    peer.socket.pause();
    for (let id = 0n; id < 40n; id++) await peer.send(rpc(id, 10));
    await until(() => replies.length === 40);
    return { replies, handler, server, peer };
  }

  test("slowly, but at more than the least rate, gets all it has asked for, overflow or not", async () => {
    await using transports = new Transports();
    const { replies, handler, server, peer } = await waiting(transports);
    for (const reply of replies) reply.onSuccess(Buffer.alloc(MIB));
    const queue = queueOf(server);
    for (let step = 0; step < 8; step++) {
      await until(() => queue.waitsForPeer);
      const before = queue.takenBytes;
      // So much that the system makes room on this side as well: it does in steps of a MiB and more.
      await takes(peer, 3 * MIB);
      await until(() => queue.takenBytes > before + 30 * PEER_BYTES_PER_SECOND_MIN);
      transports.clock.advance(25 * SECOND);
      expect(server.connectionCount).toBe(1);
    }
    peer.socket.resume();
    expect(await peer.received(40)).toHaveLength(40);
    expect(handler.events).toEqual(["active"]);
  });

  test("nothing any more ends with the reason, whatever it took before", async () => {
    await using transports = new Transports();
    const { replies, handler, server, peer } = await waiting(transports);
    for (const reply of replies) reply.onSuccess(Buffer.alloc(MIB));
    const queue = queueOf(server);
    const before = queue.takenBytes;
    await takes(peer, 3 * MIB);
    await until(() => queue.takenBytes > before);
    transports.clock.advance(20 * SECOND);
    await turns();
    expect(server.connectionCount).toBe(1);
    transports.clock.advance(33 * SECOND);
    expect(handler.events.at(-1)).toMatch(/the peer took \d+ bytes in 30000 ms, where 122880 are the least/);
  });
});

describe("a peer that writes a frame", () => {
  /** Sends the frame of a request in steps, a second each. */
  async function slowly(transports: Transports, bytesPerSecond: number, seconds: number) {
    const handler = echo();
    const context = transports.context({ rpcHandler: handler });
    const server = await transports.server(context);
    const peer = await transports.peer(server);
    const frame = Buffer.alloc(21 + bytesPerSecond * seconds, "x");
    frame.writeUInt32BE(0, 0);
    frame.writeUInt32BE(frame.length, 4);
    frame[8] = MessageType.RPC_REQUEST;
    frame.writeBigInt64BE(7n, 9);
    frame.writeInt32BE(frame.length - 21, 17);
    let at = 0;
    const step = async (): Promise<void> => {
      const end = Math.min(frame.length, at + bytesPerSecond);
      const { bytesRead } = peerSocketOf(server);
      peer.socket.write(frame.subarray(at, end));
      const came = end - at;
      at = end;
      // The last step ends the frame, and nothing is unfinished any more.
      if (end === frame.length) return;
      await until(() => peer.ended || peerSocketOf(server).bytesRead >= bytesRead + came);
      transports.clock.advance(SECOND);
    };
    return { handler, server, peer, step, isOut: () => at === frame.length };
  }

  /** What the server has read, by what it holds: frames of the test are larger than a chunk. */
  function peerSocketOf(server: TransportServer) {
    const [channel] = server.channels;
    return { bytesRead: channel?.unfinishedBytes ?? Number.MAX_SAFE_INTEGER };
  }

  test("slowly, but at more than the least rate, may take minutes", async () => {
    await using transports = new Transports();
    const { step, peer, isOut } = await slowly(transports, PEER_BYTES_PER_SECOND_MIN + 100, 120);
    while (!isOut()) await step();
    expect(await peer.received(1)).toMatchObject([{ type: MessageType.RPC_RESPONSE, requestId: 7n }]);
  });

  test("below the least rate ends after 30 s, however much came", async () => {
    await using transports = new Transports();
    const { step, peer, handler } = await slowly(transports, PEER_BYTES_PER_SECOND_MIN - 200, 120);
    let seconds = 0;
    while (!handler.events.some((event) => event.startsWith("exception"))) {
      await step();
      seconds++;
    }
    await peer.closed();
    expect(seconds).toBeGreaterThanOrEqual(30);
    expect(seconds).toBeLessThan(33);
    expect(handler.events).toContainEqual(expect.stringMatching(/of the 122880 bytes that are the least .* came/));
  });

  test("of which the rest is not read because answers wait has the time that it was not listened to", async () => {
    await using transports = new Transports();
    const { replies, handler } = keeping();
    // Answers may wait for ever here, so that the frame's clock is the only one.
    const settings = { writeTimeoutMs: Number.POSITIVE_INFINITY };
    const server = await transports.server(transports.context({ rpcHandler: handler, settings }));
    const peer = await transports.peer(server);
    peer.socket.pause();
    for (let id = 0n; id < 40n; id++) await peer.send(rpc(id, 10));
    await until(() => replies.length === 40);
    peer.socket.write(Buffer.from("000000000000001f03", "hex"));
    const [channel] = server.channels;
    await until(() => channel!.unfinishedBytes > 0);
    for (const reply of replies) reply.onSuccess(Buffer.alloc(MIB));
    await until(() => queueOf(server).queuedReplyBytes > WRITE_QUEUE_PAUSE_BYTES);
    peer.socket.write(Buffer.alloc(12));
    transports.clock.advance(200 * SECOND);
    peer.socket.resume();
    await peer.received(40);
    expect(handler.events).toEqual(["active"]);
    transports.clock.advance(20 * SECOND);
    expect(server.connectionCount).toBe(1);
    transports.clock.advance(33 * SECOND);
    await peer.closed();
    expect(handler.events).toContainEqual(expect.stringContaining("did not end within 30000 ms"));
  });
});

describe("a connection that is being closed", () => {
  test("gives all that was accepted to a peer that takes it slowly, and ends one that takes next to nothing", async () => {
    for (const isSteady of [true, false]) {
      await using transports = new Transports();
      const { client, peer } = await transports.pair();
      peer.socket.pause();
      const bytes = 24 * MIB;
      for (let n = 0; n < 6; n++) client.send(Buffer.alloc(bytes / 6));
      await turns();
      client.close();
      let taken = 0;
      for (let tens = 0; tens < 5; tens++) {
        if (isSteady) await takes(peer, 3 * MIB);
        await turns();
        transports.clock.advance(10 * SECOND + 1);
        taken = peer.socket.bytesRead;
      }
      peer.socket.resume();
      await peer.closed();
      expect(peer.socket.bytesRead > bytes).toBe(isSteady);
      expect(taken).toBeLessThan(bytes);
    }
  });
});

describe("unfinished frames of all connections", () => {
  function begun(bytes: number, ofBytes = 1_000_000): Buffer {
    const start = Buffer.alloc(bytes);
    start.writeUInt32BE(ofBytes, 4);
    return start;
  }

  test("beyond their bound end the connection that holds most, whoever passed it", async () => {
    await using transports = new Transports();
    const handler = echo();
    const context = transports.context({ rpcHandler: handler, settings: { unfinishedFrameBytesMax: 600 * 1_024 } });
    const server = await transports.server(context);
    const large = await transports.peer(server);
    large.socket.write(begun(500_008));
    await until(() => context.unfinishedFrameBytes >= 500_000);
    const small = await transports.peer(server);
    const healthy = await transports.client(server);
    const held = context.unfinishedFrameBytes;
    small.socket.write(begun(60_008));
    await until(() => context.unfinishedFrameBytes >= held + 60_000);
    const third = await transports.peer(server);
    third.socket.write(begun(60_008));
    await large.closed();
    await until(() => context.unfinishedFrameBytes >= 120_000);
    expect(context.unfinishedFrameBytes).toBeLessThan(3 * 65_536);
    expect([small.ended, third.ended]).toEqual([false, false]);
    expect(handler.events).toContainEqual(expect.stringMatching(/\d{6} bytes of it here: unfinishedBytes=/));
    expect(await ask(healthy, "healthy")).toBe("7");
  });

  test("do not count what comes over connections that were dialled: it was asked for", async () => {
    await using transports = new Transports();
    const streams = new OneForOneStreamManager(() => 0);
    const server = await transports.serve(new ScriptedHandler({ streams }));
    const chunk = Buffer.alloc(8 * MIB, 3);
    const streamId = streams.registerStream({ buffers: [new NioManagedBuffer(chunk)] });
    const settings = { unfinishedFrameBytesMax: 100 * 1_024 };
    const context = transports.context({ settings });
    const client = await transports.client(server, context);
    expect((await fetchChunk(client, streamId, 0)).equals(chunk)).toBe(true);
  });
});
