/**
 * Goal: an envelope is read as it was written, and whatever else comes in its place is ERR_RPC_PROTOCOL and nothing else.
 * Method: fast-check. The seed stands in the tests' names; SEED=<n> runs it again.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isRpcError } from "../../dist/src/common/errors.js";
import {
  ANSWER_BYTES,
  answerCodec,
  answerFailed,
  checkAnswer,
  RequestReader,
  requestAddress,
  requestBytes,
  writeAnswer,
  writeRequest,
} from "../../dist/src/env/envelope.js";
import { RecordKind } from "../../dist/src/inbox/record.js";
import { PayloadCodec } from "../../dist/src/rpc/codec.js";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

const host = fc.oneof(
  fc.constantFrom("127.0.0.1", "localhost", "a-host.example", "::1", "2001:db8::7"),
  fc.stringMatching(/^[a-z][a-z0-9]{0,30}$/),
);
const address = fc.option(fc.record({ host, port: fc.integer({ min: 1, max: 65_535 }) }));
const codec = fc.constantFrom(PayloadCodec.EMPTY, PayloadCodec.MSGPACK, PayloadCodec.BYTES);
const name = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
  .filter((text) => Buffer.byteLength(text) <= 255);
const id = fc.stringMatching(/^[A-Za-z0-9_-]{0,40}$/);

const request = fc.record({
  oneWay: fc.boolean(),
  sender: address,
  receiver: address,
  name,
  payloadCodec: codec,
  remainingMs: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 2 ** 30 })),
  envId: id,
  payload: fc.uint8Array({ maxLength: 200 }),
  /** Where it lies in the chunk. */
  before: fc.nat(20),
  after: fc.nat(20),
});

type Given = typeof request extends fc.Arbitrary<infer T> ? T : never;

function kindOf({ oneWay, payload }: Given): number {
  const kinds = oneWay ? [RecordKind.SEND, RecordKind.CAST, RecordKind.BROADCAST] : [RecordKind.ASK, RecordKind.CALL];
  return kinds[payload.length % kinds.length] as number;
}

function written(given: Given): { readonly bytes: Uint8Array; readonly start: number; readonly end: number } {
  const { sender, receiver, payloadCodec, remainingMs, payload, before, after } = given;
  const envId = Buffer.from(given.envId);
  const at = requestAddress(sender, receiver, given.name);
  const length = requestBytes(at, envId, payload.length);
  const bytes = new Uint8Array(before + length + after).fill(0xa5);
  const next = writeRequest(bytes, before, at, kindOf(given), payloadCodec, remainingMs, envId);
  bytes.set(payload, next);
  expect(next + payload.length).toBe(before + length);
  return { bytes, start: before, end: before + length };
}

test(`a request is read as it was written, by one reader after others (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 6 }), (all) => {
      const reader = new RequestReader();
      // The second time its address is known.
      for (const given of [...all, ...all]) {
        const { bytes, start, end } = written(given);
        reader.read(bytes, start, end, given.oneWay);
        expect({ ...reader.address, bytes: null }).toEqual({ bytes: null, sender: given.sender, name: given.name });
        expect([reader.kind, reader.payloadCodec, reader.remainingMs]).toEqual([
          kindOf(given),
          given.payloadCodec,
          given.remainingMs,
        ]);
        expect(reader.envId).toBe(given.envId === "" ? null : given.envId);
        expect(bytes.slice(reader.payloadStart, end)).toEqual(given.payload);
      }
    }),
    { seed, numRuns: 300 },
  );
});

/** True: it is a request. Throws whatever is neither that nor ERR_RPC_PROTOCOL. */
function isRequest(reader: RequestReader, bytes: Uint8Array, start: number, end: number, oneWay: boolean): boolean {
  try {
    reader.read(bytes, start, end, oneWay);
    expect(reader.payloadStart).toBeLessThanOrEqual(end);
    return true;
  } catch (error) {
    if (!isRpcError(error, "ERR_RPC_PROTOCOL")) throw error;
    return false;
  }
}

test(`a request that is cut anywhere before its message is ERR_RPC_PROTOCOL (seed ${seed})`, () => {
  fc.assert(
    fc.property(request, (given) => {
      const { bytes, start, end } = written(given);
      const reader = new RequestReader();
      for (let cut = start; cut < end - given.payload.length; cut++) {
        // What lies behind the cut is the next frame's.
        expect(isRequest(reader, bytes, start, cut, given.oneWay)).toBe(false);
        expect(isRequest(new RequestReader(), bytes.slice(start, cut), 0, cut - start, given.oneWay)).toBe(false);
      }
      expect(isRequest(reader, bytes, start, end, given.oneWay)).toBe(true);
    }),
    { seed, numRuns: 200 },
  );
});

test(`a request with some of its bytes changed, and random bytes, are requests or ERR_RPC_PROTOCOL (seed ${seed})`, () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(request, changes, fc.uint8Array({ maxLength: 300 }), (given, changed, random) => {
      const { bytes, start, end } = written(given);
      const reader = new RequestReader();
      for (const [at, value] of changed) bytes[start + (at % (end - start))] = value;
      isRequest(reader, bytes, start, end, given.oneWay);
      isRequest(reader, random, 0, random.length, given.oneWay);
    }),
    { seed, numRuns: 2_000 },
  );
});

test(`an answer is read as it was written; cut and random ones are answers or ERR_RPC_PROTOCOL (seed ${seed})`, () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      codec,
      fc.uint8Array({ maxLength: 50 }),
      fc.nat(20),
      (failed, payloadCodec, payload, before) => {
        const bytes = new Uint8Array(before + ANSWER_BYTES + payload.length);
        const at = writeAnswer(bytes, before, failed, payloadCodec);
        checkAnswer(bytes, before, bytes.length);
        expect([at, answerFailed(bytes, before), answerCodec(bytes, before)]).toEqual([
          before + ANSWER_BYTES,
          failed,
          payloadCodec,
        ]);
        for (const cut of [0, 1, 2, 3]) {
          expect(() => checkAnswer(bytes, before, before + cut)).toThrow(
            expect.objectContaining({ code: "ERR_RPC_PROTOCOL" }),
          );
        }
        try {
          checkAnswer(payload, 0, payload.length);
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_RPC_PROTOCOL" });
        }
      },
    ),
    { seed, numRuns: 1_000 },
  );
});
