/**
 * Goal: what comes back finds whoever asked, as Spark's TransportResponseHandlerSuite demands.
 * Method: a real client asks a peer by hand, which sees the ids on the wire and answers what the test says.
 */
import { describe, expect, test } from "vitest";
import { type Message, MessageType, NioManagedBuffer } from "../../../dist/src/network/index.js";
import { ask, failureOf, fetchChunk, stream, Transports, textOf, until } from "../../fixtures/transport.js";

const body = (text: string): NioManagedBuffer => new NioManagedBuffer(Buffer.from(text));
const idOf = (message: Message | undefined): bigint => (message as { requestId: bigint }).requestId;

describe("TransportResponseHandlerSuite", () => {
  test("[net TransportResponseHandlerSuite.handleSuccessfulFetch] a chunk reaches who fetched it", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const chunk = fetchChunk(client, 1n, 0);
    expect(client.outstandingCount).toBe(1);
    await peer.received(1);
    await peer.send({ type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 0, body: body("bytes") });
    expect(textOf(await chunk)).toBe("bytes");
    expect(client.outstandingCount).toBe(0);
    end();
  });

  test("[net TransportResponseHandlerSuite.handleFailedFetch] a failed chunk, too", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const chunk = failureOf(fetchChunk(client, 1n, 0));
    await peer.received(1);
    await peer.send({
      type: MessageType.CHUNK_FETCH_FAILURE,
      streamId: 1n,
      chunkIndex: 0,
      errorText: "some error msg",
    });
    expect((await chunk).message).toContain("some error msg");
    expect(client.outstandingCount).toBe(0);
    end();
  });

  test("[net TransportResponseHandlerSuite.clearAllOutstandingRequests] the end of a connection fails what is left", async () => {
    await using transports = new Transports();
    const { client, peer } = await transports.pair();
    const chunks = [0, 1, 2].map((index) => fetchChunk(client, 1n, index));
    const left = chunks.slice(1).map(failureOf);
    const failure = failureOf(ask(client, "never answered"));
    expect(client.outstandingCount).toBe(4);
    await peer.received(4);
    await peer.send({ type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 0, body: body("first") });
    expect(textOf(await (chunks[0] as Promise<Buffer>))).toBe("first");
    peer.socket.resetAndDestroy();
    const address = `127.0.0.1:${client.remoteAddress.port}`;
    for (const error of await Promise.all([...left, failure])) {
      expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST", maybeExecuted: true });
      expect(error.message).toContain(`Connection from ${address} closed`);
    }
    expect(client.outstandingCount).toBe(0);
  });

  test("[net TransportResponseHandlerSuite.handleSuccessfulRPC] an answer to nothing is ignored, the right one is not", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const answer = ask(client, "ping");
    const requestId = idOf((await peer.received(1))[0]);
    for (const other of [54_321n, requestId ^ 1n, requestId ^ (1n << 40n), -requestId - 1n]) {
      await peer.send({ type: MessageType.RPC_RESPONSE, requestId: other, body: body("not this") });
    }
    await peer.send({ type: MessageType.RPC_RESPONSE, requestId, body: body("pong") });
    expect(await answer).toBe("pong");
    expect(client.outstandingCount).toBe(0);
    await peer.send({ type: MessageType.RPC_RESPONSE, requestId, body: body("late") });
    const next = ask(client, "next");
    expect(idOf((await peer.received(2))[1])).not.toBe(requestId);
    await peer.send({ type: MessageType.RPC_RESPONSE, requestId: idOf(peer.messages[1]), body: body("answered") });
    expect(await next).toBe("answered");
    end();
  });

  test("[net TransportResponseHandlerSuite.handleFailedRPC] a failure of nothing is ignored, the right one is not", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const failure = failureOf(ask(client, "ping"));
    const requestId = idOf((await peer.received(1))[0]);
    await peer.send({ type: MessageType.RPC_FAILURE, requestId: 54_321n, errorText: "uh-oh!" });
    await peer.send({ type: MessageType.RPC_FAILURE, requestId, errorText: "oh no" });
    expect(await failure).toMatchObject({ code: "ERR_RPC_HANDLER", message: "oh no" });
    expect(client.outstandingCount).toBe(0);
    end();
  });

  test("[net TransportResponseHandlerSuite.testActiveStreams] a stream counts as outstanding until its last byte", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const arriving = stream(client, "stream-1");
    expect(client.outstandingCount).toBe(1);
    await peer.received(1);
    await peer.send({ type: MessageType.STREAM_RESPONSE, streamId: "stream-1", byteCount: 6, body: null });
    peer.socket.write("abc");
    const failing = failureOf(stream(client, "stream-2"));
    await peer.received(2);
    expect(client.outstandingCount).toBe(2);
    peer.socket.write("def");
    expect(textOf(await arriving)).toBe("abcdef");
    expect(client.outstandingCount).toBe(1);
    await peer.send({ type: MessageType.STREAM_FAILURE, streamId: "stream-2", errorText: "it failed" });
    expect((await failing).message).toBe("it failed");
    expect(client.outstandingCount).toBe(0);
    end();
  });

  test("[net TransportResponseHandlerSuite.failOutstandingStreamCallbackOnClose] a stream that was not begun fails with the end", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const failure = failureOf(stream(client, "stream-1"));
    await peer.received(1);
    end();
    expect(await failure).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
  });

  test("[net TransportResponseHandlerSuite.failOutstandingStreamCallbackOnException] one under way fails with what went wrong", async () => {
    await using transports = new Transports();
    const { client, peer } = await transports.pair();
    const [begun, waiting] = [failureOf(stream(client, "stream-1")), failureOf(stream(client, "stream-2"))];
    await peer.received(2);
    await peer.send({ type: MessageType.STREAM_RESPONSE, streamId: "stream-1", byteCount: 100, body: null });
    peer.socket.write("abc");
    await until(() => client.connection.isActive);
    peer.socket.resetAndDestroy();
    for (const error of await Promise.all([begun, waiting]))
      expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
  });

  async function mergedBlockMeta(succeeds: boolean): Promise<void> {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    const told = new Promise<string>((resolve) => {
      client.sendMergedBlockMetaReq("app", 0, 1, 2, {
        onSuccess: (count, bitmaps) => resolve(`${count} ${textOf(bitmaps.bytes() as Uint8Array)}`),
        onFailure: (error) => resolve(error.message),
      });
    });
    const requestId = idOf((await peer.received(1))[0]);
    const type = MessageType.MERGED_BLOCK_META_SUCCESS;
    await peer.send({ type, requestId: 22_345n, chunkCount: 2, body: body("strange") });
    // An answer of another kind does not fit, either.
    await peer.send({ type: MessageType.RPC_RESPONSE, requestId, body: body("wrong") });
    if (succeeds) await peer.send({ type, requestId, chunkCount: 2, body: body("bitmaps") });
    else await peer.send({ type: MessageType.RPC_FAILURE, requestId, errorText: "failed" });
    expect(await told).toBe(succeeds ? "2 bitmaps" : "failed");
    expect(client.outstandingCount).toBe(0);
    end();
  }

  test("[net TransportResponseHandlerSuite.handleSuccessfulMergedBlockMeta] meta of merged blocks reaches who asked", () =>
    mergedBlockMeta(true));

  test("[net TransportResponseHandlerSuite.handleFailedMergedBlockMeta] and its failure", () => mergedBlockMeta(false));

  test("the callback of one answer that throws does not keep the others from theirs", async () => {
    await using transports = new Transports();
    const { client, peer, end } = await transports.pair();
    client.sendRpc(Buffer.from("throws"), {
      onSuccess: () => {
        throw new Error("a bug in a callback");
      },
      onFailure: () => {},
    });
    const answer = ask(client, "ping");
    for (const message of await peer.received(2)) {
      await peer.send({ type: MessageType.RPC_RESPONSE, requestId: idOf(message), body: body("pong") });
    }
    expect(await answer).toBe("pong");
    end();
  });
});
