/**
 * Goal: what the frame decoder tells depends on the bytes alone, never on how they were cut into chunks; no bytes make it
 * fail in another way than with ERR_RPC_PROTOCOL.
 * Method: fast-check. The seed stands in the tests' names; SEED=<n> runs it again.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isRpcError } from "../../dist/src/common/errors.js";
import { decodeMessage, TransportFrameDecoder } from "../../dist/src/network/index.js";
import { frame, goldenFrames, hex, pushAll, RecordingSink, type Told } from "../unit/network/frames.js";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

/** A frame whose first byte says how many bytes of a body follow it. */
const part = fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat(255)).map(([rest, bodyBytes]) => ({
  payload: Buffer.from([bodyBytes, ...rest]),
  body: Buffer.alloc(bodyBytes, 0xbb),
}));
const parts = fc.array(part, { maxLength: 20 });
const cuts = fc.array(fc.nat(), { maxLength: 40 });
const turn = fc.integer({ min: 1, max: 7 });

function decodeInChunks(stream: Uint8Array, at: readonly number[], framesPerTurn: number): RecordingSink {
  const sink = new RecordingSink();
  const decoder = new TransportFrameDecoder(sink, { framesPerTurn });
  sink.onFrame = (payload) => {
    if (payload[0] !== 0) decoder.expectBody(payload[0] as number);
  };
  const ends = [...at.map((cut) => cut % (stream.length + 1)), stream.length].sort((one, other) => one - other);
  let start = 0;
  for (const end of ends) {
    pushAll(decoder, stream.subarray(start, end));
    start = end;
  }
  return sink;
}

test(`any chunking tells the same frames and bodies (seed ${seed})`, () => {
  fc.assert(
    fc.property(parts, cuts, turn, (given, at, framesPerTurn) => {
      const stream = Buffer.concat(given.flatMap(({ payload, body }) => [frame(payload), body]));
      const expected = given.flatMap(({ payload, body }): Told[] => {
        const told: Told[] = [["frame", hex(payload)]];
        return body.length === 0 ? told : [...told, ["body", hex(body)], ["bodyEnd"]];
      });
      expect(decodeInChunks(stream, at, framesPerTurn).told).toEqual(expected);
    }),
    { seed, numRuns: 500 },
  );
});

/** Holds the decoder at some of the bodies' pieces; told what, it must not be told anything more until it is released. */
class HoldingSink extends RecordingSink {
  decoder!: TransportFrameDecoder;
  readonly #holds: Iterator<boolean>;

  constructor(holds: readonly boolean[]) {
    super();
    this.#holds = holds.values();
  }

  override frame(bytes: Uint8Array, start: number, end: number): void {
    expect(this.decoder.isHeld).toBe(false);
    super.frame(bytes, start, end);
  }

  override bodyBytes(bytes: Uint8Array, start: number, end: number): void {
    expect(this.decoder.isHeld).toBe(false);
    super.bodyBytes(bytes, start, end);
    if (this.#holds.next().value === true) this.decoder.hold();
  }

  override bodyEnd(): void {
    expect(this.decoder.isHeld).toBe(false);
    super.bodyEnd();
  }
}

test(`a sink that holds the decoder is told the same, nothing while it does (seed ${seed})`, () => {
  let held = 0;
  fc.assert(
    fc.property(parts, cuts, turn, fc.array(fc.boolean(), { maxLength: 60 }), (given, at, framesPerTurn, holds) => {
      const stream = Buffer.concat(given.flatMap(({ payload, body }) => [frame(payload), body]));
      const sink = new HoldingSink(holds);
      const decoder = new TransportFrameDecoder(sink, { framesPerTurn });
      sink.decoder = decoder;
      sink.onFrame = (payload) => {
        if (payload[0] !== 0) decoder.expectBody(payload[0] as number);
      };
      let start = 0;
      const ends = [...at.map((cut) => cut % (stream.length + 1)), stream.length].sort((one, other) => one - other);
      for (const [index, end] of ends.entries()) {
        decoder.push(stream.subarray(start, end));
        start = end;
        if (decoder.isHeld) {
          held++;
          decoder.resume();
          // Several chunks may come before the sink can take more.
          if (index % 3 !== 0) decoder.release();
        }
        while (decoder.hasPending && !decoder.isHeld) decoder.resume();
      }
      while (decoder.isHeld || decoder.hasPending) {
        decoder.release();
        decoder.resume();
      }
      expect(sink.told).toEqual(decodeInChunks(stream, [], 1_000).told);
    }),
    { seed, numRuns: 500 },
  );
  expect(held).toBeGreaterThan(100);
});

test(`frames with some of their bytes changed are messages or ERR_RPC_PROTOCOL, nothing else (seed ${seed})`, () => {
  const golden = goldenFrames();
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
  let decoded = 0;
  fc.assert(
    fc.property(fc.nat(golden.length - 1), changes, fc.nat(3), (index, changed, cut) => {
      const { header, body } = golden[index]!;
      const bytes = Buffer.concat([header, body]).subarray(8);
      const payload = Buffer.from(bytes.subarray(0, Math.max(1, bytes.length - cut)));
      for (const [at, value] of changed) payload[at % payload.length] = value;
      try {
        decodeMessage(payload);
        decoded++;
      } catch (error) {
        if (!isRpcError(error, "ERR_RPC_PROTOCOL")) throw error;
      }
    }),
    { seed, numRuns: 5_000 },
  );
  expect(decoded).toBeGreaterThan(1_000);
});

test(`any bytes at all end in ERR_RPC_PROTOCOL or wait for more (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(8), (noise, zeros) => {
      const decoder = new TransportFrameDecoder(new RecordingSink());
      try {
        decoder.push(Buffer.concat([Buffer.alloc(zeros), noise]));
      } catch (error) {
        if (!isRpcError(error, "ERR_RPC_PROTOCOL")) throw error;
      }
      expect(decoder.bufferedBytes).toBeLessThanOrEqual(64 * 1024);
    }),
    { seed, numRuns: 2_000 },
  );
});
