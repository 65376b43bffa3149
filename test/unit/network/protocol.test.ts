/**
 * Goal: a message that is encoded, framed and decoded is the message it was; what is no message is refused by name; what
 * cannot be sent fails the way Spark's encoder lets it fail.
 */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import {
  type BodyReader,
  decodeMessage,
  encodeMessage,
  type ManagedBuffer,
  type Message,
  type MessageBody,
  MessageType,
  type MessageWithHeader,
  NioManagedBuffer,
  TransportFrameDecoder,
} from "../../../dist/src/network/index.js";
import { hex, memory, plain, RecordingSink, wireBytes } from "./frames.js";

/** Encoded, framed, decoded. What follows a frame is not part of what comes back. */
async function carried(message: Message): Promise<Record<string, unknown>> {
  const decoded: Message[] = [];
  const sink = new RecordingSink();
  const decoder = new TransportFrameDecoder(sink);
  sink.onFrame = (payload) => decoded.push(decodeMessage(payload));
  decoder.push(await wireBytes(message));
  expect(decoded.length).toBe(1);
  return plain(decoded[0] as Message);
}

const ten = new NioManagedBuffer(Buffer.alloc(10, 3));
const hundred = new NioManagedBuffer(Buffer.alloc(100, 4));

describe("Spark's suite", () => {
  test("[net ProtocolSuite.requests] requests arrive as they were", async () => {
    const requests: Message[] = [
      { type: MessageType.CHUNK_FETCH_REQUEST, streamId: 1n, chunkIndex: 2 },
      { type: MessageType.RPC_REQUEST, requestId: 12345n, body: memory("") },
      { type: MessageType.RPC_REQUEST, requestId: 12345n, body: ten },
      { type: MessageType.STREAM_REQUEST, streamId: "abcde" },
      { type: MessageType.ONE_WAY_MESSAGE, body: ten },
    ];
    for (const request of requests) expect(await carried(request)).toEqual(plain(request));
  });

  test("[net ProtocolSuite.responses] responses arrive as they were", async () => {
    const errorText = "this is an error";
    const responses: Message[] = [
      { type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 2, body: ten },
      { type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 2, body: memory("") },
      { type: MessageType.CHUNK_FETCH_FAILURE, streamId: 1n, chunkIndex: 2, errorText },
      { type: MessageType.CHUNK_FETCH_FAILURE, streamId: 1n, chunkIndex: 2, errorText: "" },
      { type: MessageType.RPC_RESPONSE, requestId: 12345n, body: memory("") },
      { type: MessageType.RPC_RESPONSE, requestId: 12345n, body: hundred },
      { type: MessageType.RPC_FAILURE, requestId: 0n, errorText },
      { type: MessageType.RPC_FAILURE, requestId: 0n, errorText: "" },
      { type: MessageType.STREAM_RESPONSE, streamId: "anId", byteCount: 12345, body: null },
      { type: MessageType.STREAM_FAILURE, streamId: "anId", errorText },
    ];
    for (const response of responses) expect(await carried(response)).toEqual(plain(response));
  });
});

describe("decoding", () => {
  const request = Buffer.from("0300000000000030390000000470696e67", "hex");

  test.each([
    ["fewer", 2],
    ["more", 0x7fffffff],
    ["a negative number of", -1],
  ])("a body length that says %s bytes is ignored, as Spark ignores it", (_says, bodyLength) => {
    const lying = Buffer.from(request);
    lying.writeInt32BE(bodyLength, 9);
    expect(plain(decodeMessage(lying))).toEqual(plain(decodeMessage(request)));
  });

  test("bytes behind the last field are ignored", () => {
    const trailing = Buffer.from("000000000000000001000000026162", "hex");
    expect(decodeMessage(trailing)).toEqual({
      type: MessageType.CHUNK_FETCH_REQUEST,
      streamId: 1n,
      chunkIndex: 2,
    });
  });

  test("ids are 64 bits with a sign, byte counts are exact", () => {
    const negative = Buffer.from("05ffffffffffffffff00000000", "hex");
    expect(decodeMessage(negative)).toEqual({ type: MessageType.RPC_FAILURE, requestId: -1n, errorText: "" });
    const most = Buffer.from("0700000000001fffffffffffff", "hex");
    expect(decodeMessage(most)).toMatchObject({ byteCount: Number.MAX_SAFE_INTEGER });
    const more = Buffer.from("07000000000020000000000000", "hex");
    expect(() => decodeMessage(more)).toThrow("StreamResponse: byteCount: 9007199254740992 bytes");
    const less = Buffer.from("0700000000ffffffffffffffff", "hex");
    expect(() => decodeMessage(less)).toThrow("StreamResponse: byteCount: -1 bytes, 0 to 9007199254740991");
  });

  test.each([
    ["Unknown message type: 13", "0d"],
    ["Unknown message type: -1", "ff00000000000000000000"],
    ["empty frame", ""],
    ["RpcRequest: 12 bytes, at least 13", "030000000000003039000000"],
    ["MergedBlockMetaRequest: 10 bytes, at least 25", "0b000000000000000900"],
    ["StreamRequest: streamId: a length of 3, 2 bytes are left", "06000000037331"],
    ["StreamRequest: streamId: a length of -1, 2 bytes are left", "06ffffffff7331"],
    ["RpcFailure: errorText: a length of 2147483647, 3 bytes are left", "0500000000000030397fffffff657272"],
    ["UploadStream: byteCount: 8 bytes wanted, 7 are left", "0a0000000000000007000000016d00000000000000"],
  ])("%s", (says, bytes) => {
    expect(() => decodeMessage(Buffer.from(bytes, "hex"))).toThrow(says);
    expect(() => decodeMessage(Buffer.from(bytes, "hex"))).toThrow(
      expect.objectContaining({ code: "ERR_RPC_PROTOCOL" }),
    );
  });
});

/** A body that is `ready` when it is asked for, and says what became of it. */
class TestBuffer implements ManagedBuffer {
  readonly size: number;
  releases = 0;
  readonly #ready: () => MessageBody | Promise<MessageBody>;

  constructor(size: number, ready: () => MessageBody | Promise<MessageBody>) {
    this.size = size;
    this.#ready = ready;
  }

  bytes(): Uint8Array {
    throw new Error("not read here");
  }

  createInputStream(): Readable {
    return Readable.from([]);
  }

  toBody(): MessageBody | Promise<MessageBody> {
    return this.#ready();
  }

  retain(): this {
    return this;
  }

  release(): this {
    this.releases++;
    return this;
  }
}

describe("a body that cannot be got ready", () => {
  const ways: readonly [string, (error: unknown) => () => Promise<MessageBody>][] = [
    [
      "at once",
      (error) => () => {
        throw error;
      },
    ],
    ["later", (error) => () => Promise.reject(error)],
  ];

  describe.each(ways)("%s", (_when, failWith) => {
    const responses: readonly [string, (body: ManagedBuffer) => Message, Message][] = [
      [
        "ChunkFetchSuccess",
        (body) => ({ type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 5n, chunkIndex: 6, body }),
        { type: MessageType.CHUNK_FETCH_FAILURE, streamId: 5n, chunkIndex: 6, errorText: "no file" },
      ],
      [
        "StreamResponse",
        (body) => ({ type: MessageType.STREAM_RESPONSE, streamId: "s", byteCount: body.size, body }),
        { type: MessageType.STREAM_FAILURE, streamId: "s", errorText: "no file" },
      ],
      [
        "RpcResponse",
        (body) => ({ type: MessageType.RPC_RESPONSE, requestId: -7n, body }),
        { type: MessageType.RPC_FAILURE, requestId: -7n, errorText: "no file" },
      ],
      [
        "MergedBlockMetaSuccess",
        (body) => ({ type: MessageType.MERGED_BLOCK_META_SUCCESS, requestId: 8n, chunkCount: 1, body }),
        { type: MessageType.RPC_FAILURE, requestId: 8n, errorText: "no file" },
      ],
    ];

    test.each(responses)("turns a %s into its failure", async (_name, messageOf, failure) => {
      const buffer = new TestBuffer(3, failWith(new Error("no file")));
      expect(hex(await wireBytes(messageOf(buffer)))).toBe(hex(await wireBytes(failure)));
      expect(buffer.releases).toBe(1);
    });

    test("is the word null where there is no text", async () => {
      const buffer = new TestBuffer(3, failWith(Object.assign(new Error("taken away"), { message: "" })));
      const bytes = await wireBytes({ type: MessageType.RPC_RESPONSE, requestId: 1n, body: buffer });
      expect(decodeMessage(bytes, 8)).toEqual({ type: MessageType.RPC_FAILURE, requestId: 1n, errorText: "null" });
    });

    test("fails a request with what it failed with", async () => {
      const buffer = new TestBuffer(3, failWith(new RangeError("mine")));
      await expect(wireBytes({ type: MessageType.RPC_REQUEST, requestId: 1n, body: buffer })).rejects.toThrow(
        RangeError,
      );
      expect(buffer.releases).toBe(1);
    });
  });
});

describe("a message that cannot be sent", () => {
  const reader = (): BodyReader & { closes: number } => ({
    closes: 0,
    read: async () => null,
    close() {
      this.closes++;
    },
  });

  /** Of the failure that is sent instead: its asker would wait for ever. */
  const textOf = (encoded: ReturnType<typeof encodeMessage>): string =>
    Buffer.from((encoded as MessageWithHeader).header).toString("latin1");

  test("is too long for a frame: its body is given back, and the text says what to do", async () => {
    const opened = reader();
    const buffer = new TestBuffer(2 ** 31, () => opened);
    const message: Message = { type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 0, body: buffer };
    expect(textOf(encodeMessage(message))).toContain(
      "frame too long: bytes=2147483669, maxBytes=2147483654; send it as",
    );
    expect(buffer.releases).toBe(1);
    expect(opened.closes).toBe(1);
  });

  test("announces other bytes than it has", () => {
    const body = memory("abc");
    const message: Message = { type: MessageType.STREAM_RESPONSE, streamId: "s", byteCount: 4, body };
    expect(textOf(encodeMessage(message))).toContain("byteCount: got 4, must be what the body has: 3");
    expect(() => encodeMessage({ ...message, byteCount: -1, body: null })).toThrow(
      "byteCount: got -1, must be a whole",
    );
  });
});
