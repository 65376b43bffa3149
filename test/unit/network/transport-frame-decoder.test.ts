/**
 * Goal: frames come out as they went in, whatever the chunks; nobody makes the decoder hold more than he sent.
 * Method: chunks by hand. That any chunking gives the same is a property, see test/property/frame-decoder.test.ts; what a
 * wrong length says stands in wrong-lengths.test.ts.
 */
import { describe, expect, test } from "vitest";
import { FRAME_BYTES_MAX } from "../../../dist/src/common/limits.js";
import { type FrameSink, TransportFrameDecoder } from "../../../dist/src/network/index.js";
import { bytesOf, frame, goldenFrames, hex, pushAll, RecordingSink, type Told, withLength } from "./frames.js";

const MIB = 1024 * 1024;

function random(below: number): number {
  return Math.floor(Math.random() * below);
}

/** Told only of frames. */
function onFrame(frame: FrameSink["frame"]): FrameSink {
  return { frame, bodyBytes: () => undefined, bodyEnd: () => undefined };
}

/** Of random length and content. */
function payloadOf(minBytes: number, maxBytes: number): Buffer {
  const payload = Buffer.alloc(minBytes + random(maxBytes - minBytes));
  for (let at = 0; at < payload.length; at++) payload[at] = random(256);
  return payload;
}

describe("Spark's suite", () => {
  test("[net TransportFrameDecoderSuite.testFrameDecoding] 100 random frames in random slices are 100 frames", () => {
    const payloads = Array.from({ length: 100 }, () => payloadOf(1024, 31 * 1024));
    const stream = Buffer.concat(payloads.map(frame));
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + 256 + random(4 * 1024));
      decoder.push(stream.subarray(at, end));
      at = end;
    }
    expect(sink.frames).toEqual(payloads.map(hex));
    expect(decoder.bufferedBytes).toBe(0);
    expect(decoder.unfinishedSinceMs).toBeNull();
  });

  test("[net TransportFrameDecoderSuite.testConsolidationPerf] three frames of 300 MiB come whole in pieces of 32 KiB", () => {
    const frameBytes = 300 * MIB;
    const sizes: number[] = [];
    const decoder = new TransportFrameDecoder(
      onFrame((_bytes, start, end) => sizes.push(end - start)),
      { frameBytesMax: FRAME_BYTES_MAX },
    );
    const piece = Buffer.alloc(32 * 1024, 7);
    for (let round = 0; round < 3; round++) {
      decoder.push(withLength(frameBytes));
      let left = frameBytes - 8;
      for (; left > piece.length; left -= piece.length) decoder.push(piece);
      expect(decoder.bufferedBytes).toBeLessThanOrEqual(frameBytes);
      decoder.push(piece.subarray(0, left));
      expect(decoder.bufferedBytes).toBe(0);
    }
    expect(sizes).toEqual([frameBytes - 8, frameBytes - 8, frameBytes - 8]);
  });

  test("[net TransportFrameDecoderSuite.testConsolidationForDecodingNonFullyWrittenByteBuf] a frame holds at most four times what came of it", () => {
    const decoder = new TransportFrameDecoder(new RecordingSink(), { frameBytesMax: 64 * MIB });
    decoder.push(withLength(64 * MIB));
    // Views into large receive buffers that are mostly empty.
    const receiveBuffer = Buffer.alloc(MIB);
    for (let came = 1_000; came < 3 * MIB; came += 1_000) {
      decoder.push(receiveBuffer.subarray(5, 1_005));
      expect(decoder.bufferedBytes).toBeLessThanOrEqual(Math.max(64 * 1024, 4 * came));
    }
  });

  test("[net TransportFrameDecoderSuite.testInterception] a body before any frame takes what it announced, then a frame is decoded", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    decoder.expectBody(6);
    for (const part of ["ab", "cd", "ef"]) decoder.push(bytesOf(part));
    expect(decoder.expectsBody).toBe(false);
    decoder.push(frame(bytesOf("frame")));
    expect(sink.told).toEqual([["body", hex(bytesOf("abcdef"))], ["bodyEnd"], ["frame", hex(bytesOf("frame"))]]);
  });

  test("[net TransportFrameDecoderSuite.testRetainedFrames] frames that a sink keeps stay as they were", () => {
    const payloads = Array.from({ length: 100 }, () => payloadOf(1024, 31 * 1024));
    const kept: Buffer[] = [];
    const sink = onFrame((bytes: Uint8Array, start: number, end: number) =>
      kept.push(bytes.subarray(start, end) as Buffer),
    );
    const decoder = new TransportFrameDecoder(sink);
    const stream = Buffer.concat(payloads.map(frame));
    // Chunks of their own, as a socket makes them.
    for (let at = 0; at < stream.length; at += 4096) decoder.push(Buffer.from(stream.subarray(at, at + 4096)));
    decoder.close();
    expect(kept.map(hex)).toEqual(payloads.map(hex));
  });

  test("[net TransportFrameDecoderSuite.testSplitLengthField] a length may be cut anywhere inside", () => {
    const payload = payloadOf(1024, 31 * 1024);
    const bytes = frame(payload);
    for (let cut = 0; cut <= 8; cut++) {
      const sink = new RecordingSink();
      const decoder = new TransportFrameDecoder(sink);
      decoder.push(bytes.subarray(0, cut));
      expect(decoder.bufferedBytes).toBeLessThanOrEqual(64 * 1024);
      expect(sink.told).toEqual([]);
      decoder.push(bytes.subarray(cut));
      expect(sink.frames).toEqual([hex(payload)]);
    }
  });
});

describe("chunks", () => {
  const golden = goldenFrames();
  const stream = Buffer.concat(golden.flatMap(({ header, body }) => [header, body]));
  const expected = goldenTold();

  /** A decoder that reads the golden stream: some of its frames are followed by bodies. */
  function goldenDecoder(): { sink: RecordingSink; decoder: TransportFrameDecoder } {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    let index = 0;
    sink.onFrame = () => {
      const { inFrame, body } = golden[index++]!;
      if (!inFrame && body.length > 0) decoder.expectBody(body.length);
    };
    return { sink, decoder };
  }

  function goldenTold(): Told[] {
    return golden.flatMap(({ header, body, inFrame }): Told[] => {
      if (inFrame) return [["frame", hex(Buffer.concat([header, body]).subarray(8))]];
      const told: Told[] = [["frame", hex(header.subarray(8))]];
      return body.length === 0 ? told : [...told, ["body", hex(body)], ["bodyEnd"]];
    });
  }

  test("one chunk, every cut into two, and byte by byte are the same", () => {
    for (let cut = 0; cut < stream.length; cut++) {
      const { sink, decoder } = goldenDecoder();
      pushAll(decoder, stream.subarray(0, cut));
      pushAll(decoder, stream.subarray(cut));
      expect(sink.told, `cut at ${cut}`).toEqual(expected);
    }
    const { sink, decoder } = goldenDecoder();
    for (const byte of stream) decoder.push(Uint8Array.of(byte));
    expect(sink.told).toEqual(expected);
  });

  test("a frame that lies whole in a chunk is given where it lies", () => {
    const chunk = frame(bytesOf("here"));
    let given: Uint8Array | null = null;
    const sink = onFrame((bytes: Uint8Array) => (given = bytes));
    new TransportFrameDecoder(sink).push(chunk);
    expect(given).toBe(chunk);
  });

  test("the longest frame is taken, and told whole", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink, { frameBytesMax: 100 });
    decoder.push(frame(Buffer.alloc(92, 1)));
    expect(sink.frames).toEqual([hex(Buffer.alloc(92, 1))]);
  });

  test("an unfinished frame has an age, from its first byte on", () => {
    let nowMs = 10;
    const decoder = new TransportFrameDecoder(new RecordingSink(), { now: () => nowMs });
    expect(decoder.unfinishedSinceMs).toBeNull();
    const bytes = frame(Buffer.alloc(100));
    decoder.push(bytes.subarray(0, 3));
    nowMs = 20;
    decoder.push(bytes.subarray(3, 50));
    expect(decoder.unfinishedSinceMs).toBe(10);
    decoder.push(Buffer.concat([bytes.subarray(50), bytes.subarray(0, 20)]));
    expect(decoder.unfinishedSinceMs).toBe(20);
    decoder.push(bytes.subarray(20));
    expect(decoder.unfinishedSinceMs).toBeNull();
  });
});

describe("turns", () => {
  const count = 10_000;
  const segment = Buffer.concat(Array.from({ length: count }, (_, n) => frame(Buffer.alloc(100, n))));

  test("10,000 frames in one segment come in turns, all, in order, none of them long", () => {
    const firstBytes: number[] = [];
    const sink = onFrame((bytes: Uint8Array, start: number) => firstBytes.push(bytes[start] as number));
    const decoder = new TransportFrameDecoder(sink, { now: () => performance.now() });
    let longestMs = 0;
    let turns = 0;
    for (decoder.push(new Uint8Array(0)); turns === 0 || decoder.hasPending; turns++) {
      const startMs = performance.now();
      if (turns === 0) decoder.push(segment);
      else decoder.resume();
      longestMs = Math.max(longestMs, performance.now() - startMs);
    }
    expect(firstBytes).toEqual(Array.from({ length: count }, (_, n) => n & 0xff));
    expect(turns).toBeGreaterThanOrEqual(Math.floor(count / 1_024));
    // 50 ms are allowed, a turn takes 5 and a frame: ten times that only under the load of a shared machine.
    expect(longestMs).toBeLessThan(500);
  });

  test("a turn ends when its time is up, whatever the frames cost", () => {
    let nowMs = 0;
    const sink = onFrame(() => (nowMs += 1));
    const decoder = new TransportFrameDecoder(sink, { now: () => nowMs, turnMs: 5 });
    decoder.push(segment);
    // The clock is read every 16 frames.
    expect(nowMs).toBe(32);
    expect(decoder.hasPending).toBe(true);
    const beforeMs = nowMs;
    decoder.resume();
    expect(nowMs - beforeMs).toBe(32);
  });

  test("what is pushed behind a turn waits its own", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink, { framesPerTurn: 2 });
    const parts = ["a", "b", "c", "d", "e"].map((text) => frame(bytesOf(text)));
    decoder.push(Buffer.concat(parts.slice(0, 3)));
    expect(sink.frames.length).toBe(2);
    decoder.push(parts[3]!);
    decoder.push(parts[4]!);
    expect(sink.frames.length).toBe(2);
    decoder.resume();
    expect(sink.frames.length).toBe(4);
    decoder.resume();
    expect(decoder.hasPending).toBe(false);
    decoder.resume();
    expect(sink.frames).toEqual(["a", "b", "c", "d", "e"].map((text) => hex(bytesOf(text))));
  });
});

describe("sinks", () => {
  test("a body may follow a body", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    sink.onFrame = () => decoder.expectBody(2);
    let bodies = 0;
    sink.bodyEnd = () => {
      if (++bodies === 1) decoder.expectBody(3);
    };
    pushAll(decoder, Buffer.concat([frame(bytesOf("f")), bytesOf("abcde"), frame(bytesOf("g"))]));
    expect(sink.told).toEqual([
      ["frame", hex(bytesOf("f"))],
      ["body", hex(bytesOf("abcde"))],
      ["frame", hex(bytesOf("g"))],
    ]);
    expect(decoder.expectsBody).toBe(true);
  });

  test("a second body while one is to come, and one inside of a frame, are mistakes of the caller", () => {
    const decoder = new TransportFrameDecoder(new RecordingSink());
    expect(() => decoder.expectBody(0)).toThrow("has bytes");
    expect(() => decoder.expectBody(2 ** 53)).toThrow("has bytes");
    decoder.expectBody(2);
    expect(() => decoder.expectBody(2)).toThrow("one body at a time");
    decoder.push(bytesOf("xy"));
    decoder.push(withLength(20));
    expect(() => decoder.expectBody(2)).toThrow("inside of a frame");
  });

  test("what a sink throws comes out of push, and nothing after it", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    sink.onFrame = (payload) => {
      if (payload.toString() === "bad") throw new RangeError("of the sink");
    };
    const stream = Buffer.concat(["good", "bad", "never"].map((text) => frame(bytesOf(text))));
    expect(() => decoder.push(stream)).toThrow(RangeError);
    decoder.push(stream);
    decoder.resume();
    expect(sink.frames.length).toBe(2);
    expect(decoder.hasPending).toBe(false);
  });

  test.each([
    ["frame", (decoder: TransportFrameDecoder) => decoder.close()],
    ["body", (decoder: TransportFrameDecoder) => decoder.expectBody(1)],
  ] as const)("a sink that closes the decoder in its %s is told nothing more", (where, onFrame) => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    sink.onFrame = () => onFrame(decoder);
    const told = sink.bodyBytes.bind(sink);
    sink.bodyBytes = (bytes, start, end) => {
      told(bytes, start, end);
      decoder.close();
    };
    decoder.push(Buffer.concat([frame(bytesOf("f")), bytesOf("x"), frame(bytesOf("g"))]));
    expect(sink.told.map(([what]) => what)).toEqual(where === "frame" ? ["frame"] : ["frame", "body"]);
    expect(decoder.hasPending).toBe(false);
  });

  test("a sink that pushes is a mistake", () => {
    const sink = new RecordingSink();
    const decoder = new TransportFrameDecoder(sink);
    sink.onFrame = () => decoder.push(bytesOf("x"));
    expect(() => decoder.push(frame(bytesOf("f")))).toThrow("a sink does not push");
  });
});
