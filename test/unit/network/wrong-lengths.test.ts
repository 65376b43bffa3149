/**
 * Goal: a length that no frame may have ends the connection at its header, says which it was, and costs no memory; another
 * protocol on the port is called by its name.
 */
import { describe, expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { FRAME_BYTES_MAX } from "../../../dist/src/common/limits.js";
import { TransportFrameDecoder, type TransportFrameDecoderOptions } from "../../../dist/src/network/index.js";
import { bytesOf, frame, RecordingSink, withLength } from "./frames.js";

const KIB = 1024;
const LIMIT = 16 * KIB * KIB + 4 * KIB;
const TLS_HELLO = Buffer.from("16030100a5010000a103037ffe", "hex");

/** What a decoder says to these bytes, pushed at once and one by one; its state afterwards is looked at, too. */
function refusal(stream: Uint8Array, options: TransportFrameDecoderOptions = {}): string {
  const texts = [[stream], Array.from(stream, (byte) => Uint8Array.of(byte))].map((chunks) => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink, options);
    let text = "not refused";
    let bufferedBytes = 0;
    try {
      for (const chunk of chunks) {
        bufferedBytes = Math.max(bufferedBytes, decoder.bufferedBytes);
        decoder.push(chunk);
      }
    } catch (error) {
      text = (error as Error).message;
      expect(isRpcError(error, text.includes("a TLS alert") ? "ERR_RPC_AUTH" : "ERR_RPC_PROTOCOL")).toBe(true);
    }
    expect(bufferedBytes).toBeLessThanOrEqual(64 * KIB);
    expect(decoder.bufferedBytes).toBe(0);
    // Nothing behind it is looked at.
    decoder.push(frame(bytesOf("behind")));
    expect(sink.told).toEqual([]);
    return text;
  });
  // Byte by byte another protocol is known before eight bytes are there; what is said of it is the same.
  if (!texts[0]?.includes("look like")) expect(new Set(texts).size).toBe(1);
  return texts[0] as string;
}

describe("lengths", () => {
  test("[net TransportFrameDecoderSuite.testNegativeFrameSize] -1 is refused", () => {
    expect(refusal(withLength(-1))).toContain("Frame length should be positive: -9; its length field says -1,");
  });

  test("[net TransportFrameDecoderSuite.testEmptyFrame] 8, a frame of nothing, is refused", () => {
    expect(refusal(withLength(8))).toBe("Frame length should be positive: 0; its length field says 8, the least is 9");
  });

  test.each([
    [0, "Frame length should be positive: -8; its length field says 0, the least is 9"],
    [7, "Frame length should be positive: -1; its length field says 7, the least is 9"],
    [
      -(2n ** 63n),
      "Frame length should be positive: -9223372036854775816; its length field says -9223372036854775808,",
    ],
    [LIMIT + 1, `Too large frame: 16781305; its length field says 16781313, at most 16781312 are allowed`],
    [2n ** 31n, "Too large frame: 2147483640; its length field says 2147483648, at most 16781312 are allowed"],
    [2n ** 32n + 20n, "Too large frame: 4294967308; its length field says 4294967316, at most"],
    [2n ** 53n + 1n, "Too large frame: 9007199254740985; its length field says 9007199254740993, at most"],
    [2n ** 63n - 1n, "Too large frame: 9223372036854775799; its length field says 9223372036854775807, at most"],
  ] as const)("%d is refused by its name", (length, says) => {
    expect(refusal(withLength(length, Buffer.alloc(20)))).toContain(says);
  });

  test("the protocol's own limit holds whatever the option says", () => {
    const options = { frameBytesMax: Number.MAX_SAFE_INTEGER };
    const decoder = new TransportFrameDecoder(new RecordingSink(), options);
    decoder.push(withLength(FRAME_BYTES_MAX));
    expect(decoder.bufferedBytes).toBeLessThanOrEqual(64 * KIB);
    expect(refusal(withLength(FRAME_BYTES_MAX + 1), options)).toContain("at most 2147483654 are allowed");
  });

  test("frames before a wrong length are delivered, and it is not taken for another protocol", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    expect(() => decoder.push(Buffer.concat([frame(bytesOf("good")), bytesOf("GET / HTTP/1.1")]))).toThrow(
      /^Too large frame: 5135603447292250188; its length field says 5135603447292250196, at most 16781312 are allowed$/,
    );
    expect(sink.frames).toEqual([bytesOf("good").toString("hex")]);
  });
});

describe("other protocols", () => {
  test.each([
    ["HTTP", bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["HTTP", bytesOf("POST /x HTTP/1.1\r\n")],
    ["HTTP", bytesOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
    ["HTTP", bytesOf("HTTP/1.1 400 Bad Request\r\n")],
    ["a TLS hello", TLS_HELLO],
    ["SSH", bytesOf("SSH-2.0-OpenSSH_9.2\r\n")],
    ["no frame of this protocol", Buffer.from("9f3c7b11e04428d17a", "hex")],
    ["no frame of this protocol", Buffer.from("1f3c7b11e04428d17a", "hex")],
  ])("look like %s", (says, bytes) => {
    const text = refusal(bytes);
    expect(text).toContain(`The first bytes of the connection look like ${says}: ${spaced(bytes.subarray(0, 8))}`);
    expect(text).toMatch(/^(Too large frame|Frame length should be positive): -?\d+/);
  });

  test("who waits for an answer before it has sent eight bytes is told, too", () => {
    const alert = Buffer.from("15030100020250", "hex");
    expect(refusal(alert)).toBe(
      "No frame of this protocol. The first bytes of the connection look like a TLS alert: 15 03 01 00 02 02 50, " +
        "so the peer wants `secret` or `tls`, which this side has not",
    );
    expect(refusal(bytesOf("GET \n"))).toContain("look like HTTP");
  });

  test("a megabyte of noise is refused at its first eight bytes", () => {
    const noise = Buffer.alloc(1024 * KIB, 0xa5);
    expect(refusal(noise.subarray(0, 64))).toContain("look like no frame of this protocol: a5 a5 a5 a5 a5 a5 a5 a5");
    const decoder = new TransportFrameDecoder(new RecordingSink());
    expect(() => decoder.push(noise)).toThrow("look like no frame of this protocol");
  });
});

function spaced(bytes: Buffer): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
