/**
 * Goal: what Spark's shuffle client and service say to each other is understood, and our service answers it as Spark's does.
 * Method: exchanges that `npm run test:spark` has recorded, replayed without a JVM: every message through our codec and back, and
 * the client's requests, one after the other, to our service with the same files. Only what chance and the machine chose is put
 * in anew: the executor's directories and the ids of streams.
 */
import { ExternalShuffleService } from "ringpost/blocks";
import { type TransportClient, TransportContext } from "ringpost/network";
import { describe, expect, test } from "vitest";
import {
  type BlockTransferMessage,
  BlockTransferMessageType,
  decodeBlockTransferMessage,
  encodeBlockTransferMessage,
} from "../../../dist/src/blocks/index.js";
import { type Message, MessageType, NoOpRpcHandler } from "../../../dist/src/network/index.js";
import { capturedBlocks } from "../../fixtures/spark-captured-blocks.js";
import { captureNames, Listener, type Piece, readCaptures } from "../../fixtures/spark-captures.js";

const CAPTURES = captureNames("blocks").map((name) => [name, readCaptures(name)[0]?.pieces ?? []] as const);

test("both lines of Spark have been recorded, with either message that asks for blocks", () => {
  expect(CAPTURES.map(([name]) => name).sort()).toEqual(
    ["3.5", "4.0"].flatMap((line) => ["FetchShuffleBlocks", "OpenBlocks"].map((by) => `blocks/spark-${line}-${by}`)),
  );
});

describe.each(CAPTURES)("%s", (_name, pieces) => {
  test("every message is read, and written again it is the same bytes", () => {
    const bodies = [...said(pieces, "client"), ...said(pieces, "server")].map(bodyOf).filter((body) => body !== "");
    expect(bodies.length).toBeGreaterThan(10);
    for (const body of bodies) {
      const message = decodeBlockTransferMessage(Buffer.from(body, "hex"));
      expect(Buffer.from(encodeBlockTransferMessage(message)).toString("hex")).toBe(body);
    }
  });

  test("our service answers Spark's client as Spark's has", async () => {
    const answers = new Map(said(pieces, "server").map((message) => [askedBy(message), message]));
    await using data = await capturedBlocks();
    await using service = await ExternalShuffleService.start({ port: 0 });
    const factory = new TransportContext({ rpcHandler: new NoOpRpcHandler() }).createClientFactory();
    const client = await factory.createClient("127.0.0.1", service.port);
    const streams = new Map<bigint, bigint>();
    let compared = 0;
    for (const request of said(pieces, "client")) {
      const expected = answers.get(askedBy(request)) as Message;
      const told = await answerOf(client, request, data.localDirs, streams);
      if ("errorText" in expected) expect(told).toContain(textIn(expected.errorText));
      else if (expected.type === MessageType.RPC_RESPONSE) {
        expect(withoutChance(told, streams, expected)).toEqual(withoutChance(bodyOf(expected), streams, expected));
      } else expect(told).toBe(bytesOf(expected));
      compared++;
    }
    expect(compared).toBe(answers.size);
    factory.close();
  });
});

function said(pieces: readonly Piece[], from: Piece["from"]): Message[] {
  return Listener.all(pieces, from).map(({ message }) => message);
}

/** What a request and its answer have in common. */
function askedBy(message: Message): string {
  if ("requestId" in message) return String(message.requestId);
  return "chunkIndex" in message ? `${message.streamId} ${message.chunkIndex}` : "";
}

function bytesOf(message: Message): string {
  const body = "body" in message ? message.body : null;
  return Buffer.from((body?.bytes() as Uint8Array | undefined) ?? []).toString("hex");
}

/** Of an RPC; empty where it is a failure, or answers nothing. */
function bodyOf(message: Message): string {
  const { type } = message;
  return type === MessageType.RPC_REQUEST || type === MessageType.RPC_RESPONSE ? bytesOf(message) : "";
}

/** The bytes with which our service answers, in hexadecimal; of a failure its text. */
function answerOf(
  client: TransportClient,
  request: Message,
  localDirs: readonly string[],
  streams: ReadonlyMap<bigint, bigint>,
): Promise<string> {
  return new Promise((resolve) => {
    const failed = ({ message }: Error): void => resolve(message);
    if (request.type === MessageType.CHUNK_FETCH_REQUEST) {
      client.fetchChunk(streams.get(request.streamId) as bigint, request.chunkIndex, {
        onSuccess: (_index, buffer) => resolve(Buffer.from(buffer.bytes() as Uint8Array).toString("hex")),
        onFailure: (_index, error) => failed(error),
      });
      return;
    }
    const message = decodeBlockTransferMessage(Buffer.from(bodyOf(request), "hex"));
    const isRegister = message.type === BlockTransferMessageType.REGISTER_EXECUTOR;
    const sent = isRegister ? { ...message, executorInfo: { ...message.executorInfo, localDirs } } : message;
    client.sendRpc(encodeBlockTransferMessage(sent), {
      onSuccess: (answer) => resolve(Buffer.from(answer).toString("hex")),
      onFailure: failed,
    });
  });
}

/** An answer without directories and ids of streams; of a stream it is kept which of theirs is which of ours. */
function withoutChance(answer: string, streams: Map<bigint, bigint>, expected: Message): unknown {
  if (answer === "") return null;
  const message: BlockTransferMessage = decodeBlockTransferMessage(Buffer.from(answer, "hex"));
  if (message.type === BlockTransferMessageType.LOCAL_DIRS_FOR_EXECUTORS) {
    return [...message.localDirsByExec].map(([executor, dirs]) => [executor, dirs.length]);
  }
  if (message.type !== BlockTransferMessageType.STREAM_HANDLE) return message;
  const theirs = decodeBlockTransferMessage(Buffer.from(bodyOf(expected), "hex"));
  if ("streamId" in theirs && !streams.has(theirs.streamId)) streams.set(theirs.streamId, message.streamId);
  return { ...message, streamId: null };
}

/** The first line of a failure's text, behind the name of Java's class. */
function textIn(errorText: string): string {
  return (errorText.split("\n", 1)[0] as string).replace(/^[\w.]+: /, "");
}
