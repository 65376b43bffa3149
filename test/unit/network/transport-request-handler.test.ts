/**
 * Goal: what a connection is asked is answered as Spark's TransportRequestHandlerSuite and ChunkFetchRequestHandlerSuite
 * demand, on the wire.
 * Method: a peer by hand asks a real server. Bodies that end only when the test says so keep chunks in transfer.
 */
import { describe, expect, test } from "vitest";
import {
  type BodyReader,
  type ManagedBuffer,
  MessageType,
  NioManagedBuffer,
  OneForOneStreamManager,
} from "../../../dist/src/network/index.js";
import { type RawPeer, ScriptedHandler, Transports, textOf, until } from "../../fixtures/transport.js";

/** A body whose bytes come when it is opened. */
class Held extends NioManagedBuffer {
  readonly #bytes: Buffer;
  #open: () => void = () => {};
  readonly #opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });
  released = 0;

  constructor(text: string) {
    super(Buffer.from(text));
    this.#bytes = Buffer.from(text);
  }

  open(): void {
    this.#open();
  }

  override toBody(): BodyReader {
    return { read: () => this.#opened.then(() => this.#bytes), close: () => {} };
  }

  override release(): this {
    this.released++;
    return this;
  }
}

async function serving(transports: Transports, buffers: (ManagedBuffer | null)[]) {
  const streams = new OneForOneStreamManager(() => 0);
  const handler = new ScriptedHandler({ streams });
  const server = await transports.serve(handler, { settings: { maxChunksBeingTransferred: 2 } });
  const peer = await transports.peer(server);
  await until(() => handler.clients.length === 1);
  const connection = handler.clients[0]!.connection;
  return { streams, handler, peer, streamId: streams.registerStream({ appId: "app", buffers, connection }) };
}

const fetch = (peer: RawPeer, streamId: bigint, chunkIndex: number) =>
  peer.send({ type: MessageType.CHUNK_FETCH_REQUEST, streamId, chunkIndex });
const openStream = (peer: RawPeer, streamId: string) => peer.send({ type: MessageType.STREAM_REQUEST, streamId });

describe("ChunkFetchRequestHandlerSuite", () => {
  test("[net ChunkFetchRequestHandlerSuite.handleChunkFetchRequest] chunks are sent until too many are under way", async () => {
    await using transports = new Transports();
    const [c0, c1, c3, c4, c5] = ["0", "1", "3", "4", "5"].map((text) => new Held(text)) as [
      Held,
      Held,
      Held,
      Held,
      Held,
    ];
    const { streams, handler, peer, streamId } = await serving(transports, [c0, c1, null, c3, c4, c5]);
    await fetch(peer, streamId, 0);
    await fetch(peer, streamId, 1);
    await until(() => streams.chunksBeingTransferred() === 2);
    expect(peer.messages).toEqual([]);
    c0.open();
    expect(await peer.received(1)).toMatchObject([{ type: MessageType.CHUNK_FETCH_SUCCESS, streamId, chunkIndex: 0 }]);
    await until(() => streams.chunksBeingTransferred() === 1);
    await fetch(peer, streamId, 2);
    c1.open();
    expect((await peer.received(3)).slice(1)).toMatchObject([
      { type: MessageType.CHUNK_FETCH_SUCCESS, chunkIndex: 1 },
      {
        type: MessageType.CHUNK_FETCH_FAILURE,
        chunkIndex: 2,
        errorText: "java.lang.IllegalStateException: Chunk was not found",
      },
    ]);
    await until(() => streams.chunksBeingTransferred() === 0);
    await fetch(peer, streamId, 3);
    await fetch(peer, streamId, 4);
    await fetch(peer, streamId, 5);
    await until(() => !handler.clients[0]!.isActive);
    c3.open();
    c4.open();
    await peer.closed();
    expect(peer.messages.map((message) => ("chunkIndex" in message ? message.chunkIndex : -1))).not.toContain(5);
    await until(() => streams.streamCount === 0);
    expect([c0.released, c1.released, c5.released]).toEqual([1, 1, 1]);
  });
});

describe("TransportRequestHandlerSuite", () => {
  test("[net TransportRequestHandlerSuite.handleStreamRequest] streams are sent until too many are under way", async () => {
    await using transports = new Transports();
    const [s0, s1, s3, s4] = ["0", "1", "3", "4"].map((text) => new Held(text)) as [Held, Held, Held, Held];
    const { streams, handler, peer, streamId } = await serving(transports, [s0, s1, null, s3, s4, new Held("5")]);
    await openStream(peer, `${streamId}_0`);
    await openStream(peer, `${streamId}_1`);
    await until(() => streams.chunksBeingTransferred() === 2);
    s0.open();
    s1.open();
    expect(await peer.received(2)).toMatchObject([
      { type: MessageType.STREAM_RESPONSE, streamId: `${streamId}_0`, byteCount: 1 },
      { type: MessageType.STREAM_RESPONSE, streamId: `${streamId}_1`, byteCount: 1 },
    ]);
    await until(() => streams.chunksBeingTransferred() === 0);
    await openStream(peer, `${streamId}_2`);
    expect((await peer.received(3))[2]).toMatchObject({
      type: MessageType.STREAM_FAILURE,
      errorText: `Stream '${streamId}_2' was not found.`,
    });
    await openStream(peer, `${streamId}_3`);
    await openStream(peer, `${streamId}_4`);
    await until(() => streams.chunksBeingTransferred() === 2);
    await openStream(peer, `${streamId}_5`);
    await until(() => !handler.clients[0]!.isActive);
    s3.open();
    s4.open();
    await peer.closed();
    await until(() => streams.streamCount === 0);
    expect(peer.bodies.slice(0, 2)).toEqual(["0", "1"]);
    expect(peer.messages.length).toBeLessThanOrEqual(5);
  });

  test("[net TransportRequestHandlerSuite.handleMergedBlockMetaRequest] meta of merged blocks, or a failure", async () => {
    await using transports = new Transports();
    const handler = new ScriptedHandler();
    handler.getMergedBlockMetaReqHandler = () => ({
      receiveMergeBlockMetaReq(_client, request, reply) {
        if (request.appId === "throws") throw new Error("no such app");
        if (request.appId === "fails") reply.onFailure(new Error("not merged"));
        else reply.onMergedBlockMeta(2, new NioManagedBuffer(Buffer.from("bitmaps")));
      },
    });
    const peer = await transports.peer(await transports.serve(handler));
    const ids = { shuffleId: 0, shuffleMergeId: 1, reduceId: 2 };
    for (const [requestId, appId] of [
      [1n, "app"],
      [-2n, "fails"],
      [2n ** 62n + 3n, "throws"],
    ] as const) {
      await peer.send({ type: MessageType.MERGED_BLOCK_META_REQUEST, requestId, appId, ...ids });
    }
    const [success, ...failures] = await peer.received(3);
    // A body without a file goes behind the failures in no case: answers keep the order of the requests.
    expect(success).toMatchObject({ type: MessageType.MERGED_BLOCK_META_SUCCESS, requestId: 1n, chunkCount: 2 });
    expect(textOf((success as { body: ManagedBuffer }).body.bytes() as Uint8Array)).toBe("bitmaps");
    expect(failures).toMatchObject([
      { type: MessageType.RPC_FAILURE, requestId: -2n, errorText: "java.lang.RuntimeException: not merged" },
      {
        type: MessageType.RPC_FAILURE,
        requestId: 2n ** 62n + 3n,
        errorText: "java.lang.RuntimeException: no such app",
      },
    ]);
  });

  test("request ids come back bit by bit, in whatever order the answers are given", async () => {
    await using transports = new Transports();
    const replies: (() => void)[] = [];
    const handler = new ScriptedHandler({
      receive: (_client, message, reply) => void replies.push(() => reply.onSuccess(Buffer.from(`${message}!`))),
    });
    const peer = await transports.peer(await transports.serve(handler));
    const ids = [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 0x8000_0000n, 2n ** 53n + 1n];
    for (const requestId of ids) {
      await peer.send({ type: MessageType.RPC_REQUEST, requestId, body: new NioManagedBuffer(Buffer.from("x")) });
    }
    await until(() => replies.length === ids.length);
    for (const answer of replies.reverse()) answer();
    const answers = await peer.received(ids.length);
    expect(answers.map((message) => "requestId" in message && message.requestId)).toEqual(ids.reverse());
  });

  test("only the first answer to a request counts", async () => {
    await using transports = new Transports();
    const handler = new ScriptedHandler({
      receive(_client, _message, reply) {
        reply.onSuccess(Buffer.from("first"));
        reply.onSuccess(Buffer.from("second"));
        reply.onFailure(new Error("third"));
        expect(reply.reserve(10)).toBe(false);
        expect(reply.isOpen).toBe(false);
      },
    });
    const peer = await transports.peer(await transports.serve(handler));
    for (const requestId of [1n, 2n]) {
      await peer.send({ type: MessageType.RPC_REQUEST, requestId, body: new NioManagedBuffer(Buffer.from("x")) });
    }
    expect((await peer.received(2)).map((message) => "requestId" in message && message.requestId)).toEqual([1n, 2n]);
  });
});
