/**
 * Goal: our bytes are Spark's, and docs/protocol.md shows them.
 * Method: the fixture holds what the encode() methods of Spark 4.0.0 printed.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  ONE_WAY_HEADER_BYTES,
  RPC_HEADER_BYTES,
  writeOneWayMessageHeader,
  writeRpcRequestHeader,
  writeRpcResponseHeader,
} from "../../../dist/src/network/encode.js";
import {
  decodeMessage,
  encodeMessage,
  type Message,
  MessageType,
  TransportFrameDecoder,
} from "../../../dist/src/network/index.js";
import { goldenFrames, hex, plain, pushAll, RecordingSink, wireBytes } from "./frames.js";

const golden = goldenFrames();

test("the fixture has a frame of every message type", () => {
  expect(new Set(golden.map(({ message }) => message.type))).toEqual(new Set(Object.values(MessageType)));
});

describe.each(golden)("$name", ({ message, header, body, inFrame }) => {
  test("encodes to Spark's bytes", async () => {
    const encoded = await encodeMessage(message);
    expect(hex(encoded.header)).toBe(hex(header));
    expect(encoded.size).toBe(header.length + body.length);
    expect(hex(await wireBytes(message))).toBe(hex(Buffer.concat([header, body])));
  });

  test("decodes from them, behind the decoder of frames", () => {
    const sink = new RecordingSink();
    let decoded: Message | null = null;
    const decoder = new TransportFrameDecoder(sink);
    sink.onFrame = (payload) => {
      decoded = decodeMessage(payload);
      if (!inFrame && body.length > 0) decoder.expectBody(body.length);
    };
    pushAll(decoder, Buffer.concat([header, body]));
    const expected = plain(message);
    // What follows a frame is not part of its message.
    if (!inFrame && "body" in message) expected.body = null;
    expect(plain(decoded as unknown as Message)).toEqual(expected);
    if (!inFrame && body.length > 0) expect(sink.told.slice(1)).toEqual([["body", hex(body)], ["bodyEnd"]]);
    expect(decoder.bufferedBytes).toBe(0);
  });
});

describe("headers without objects", () => {
  // Whatever stood there before: batches are written again and again.
  const target = Buffer.alloc(64, 0xff);

  test.each([
    ["RpcRequest(12345,'ping')", writeRpcRequestHeader],
    ["RpcResponse(12345,'pong')", writeRpcResponseHeader],
    ["RpcResponse(12345,'')", writeRpcResponseHeader],
  ] as const)("%s", (name, write) => {
    const { header, body } = golden.find((one) => one.name === name)!;
    const end = write(target, 5, 0, 12345, body.length);
    expect(end).toBe(5 + RPC_HEADER_BYTES);
    expect(hex(target.subarray(5, end))).toBe(hex(header));
  });

  test("OneWayMessage('hi')", () => {
    const { header } = golden.find((one) => one.name === "OneWayMessage('hi')")!;
    const end = writeOneWayMessageHeader(target, 3, 2);
    expect(end).toBe(3 + ONE_WAY_HEADER_BYTES);
    expect(hex(target.subarray(3, end))).toBe(hex(header));
  });

  test("ids keep all of their 64 bits", () => {
    writeRpcRequestHeader(target, 0, -2, 0x8000_0001 | 0, 0);
    const { requestId } = decodeMessage(target, 8, RPC_HEADER_BYTES) as { requestId: bigint };
    expect(BigInt.asUintN(64, requestId)).toBe(0xffff_fffe_8000_0001n);
  });

  test("a body that no frame can carry is refused before a byte is written", () => {
    target.fill(0xff);
    expect(() => writeRpcRequestHeader(target, 0, 0, 0, 2 ** 31)).toThrow("frame too long: bytes=2147483669");
    expect(() => writeOneWayMessageHeader(target, 0, 2 ** 31)).toThrow("maxBytes=2147483654");
    expect(target.every((byte) => byte === 0xff)).toBe(true);
  });
});

describe("docs/protocol.md", () => {
  const document = readFileSync(fileURLToPath(new URL("../../../docs/protocol.md", import.meta.url)), "utf8");

  test("shows these frames and no others", () => {
    const shown = [...document.matchAll(/^ {4}((?:[0-9a-f]{2} ?)+)$/gm)].map(([, bytes = ""]) =>
      bytes.replaceAll(" ", ""),
    );
    expect(shown).toEqual(golden.map(({ header, body }) => hex(header) + hex(body)));
  });

  test("has every type with its number, in order", () => {
    const rows = [...document.matchAll(/^\| (\d+) \| (\w+) \|/gm)].map(([, type, name]) => [name, Number(type)]);
    const types = Object.entries(MessageType).map(([key, type]) => [spelled(key), type]);
    expect(rows).toEqual(types);
  });
});

/** CHUNK_FETCH_REQUEST: ChunkFetchRequest. */
function spelled(key: string): string {
  return key.toLowerCase().replace(/(?:^|_)([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}
