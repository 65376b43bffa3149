/**
 * What the fuzzer sends: streams of frames that are made right and then, most of them, a little wrong: bytes of the message,
 * of the envelope or of its fields are changed, while the lengths around them are put right, so that most frames get past
 * the decoder and as deep as they can.
 */
import {
  decodeMessage,
  encodeMessage,
  type Message,
  MessageType,
  NioManagedBuffer,
  TransportFrameDecoder,
} from "ringpost/network";
import type { Random } from "../fixtures/random.js";

const LENGTH_BYTES = 8;

function memory(bytes: number): NioManagedBuffer {
  return new NioManagedBuffer(Buffer.alloc(bytes, 5));
}

/** One of each type of message that environments do not send of themselves. */
const OTHERS: readonly Message[] = [
  { type: MessageType.CHUNK_FETCH_REQUEST, streamId: 1n, chunkIndex: 2 },
  { type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 2, body: memory(50) },
  { type: MessageType.CHUNK_FETCH_FAILURE, streamId: 1n, chunkIndex: 2, errorText: "no chunk" },
  { type: MessageType.RPC_RESPONSE, requestId: 0n, body: memory(20) },
  { type: MessageType.RPC_RESPONSE, requestId: 2n ** 62n, body: memory(0) },
  { type: MessageType.RPC_FAILURE, requestId: 0n, errorText: "no" },
  { type: MessageType.STREAM_REQUEST, streamId: "a stream" },
  { type: MessageType.STREAM_RESPONSE, streamId: "a stream", byteCount: 10, body: memory(10) },
  { type: MessageType.STREAM_FAILURE, streamId: "a stream", errorText: "none" },
  { type: MessageType.UPLOAD_STREAM, requestId: 3n, meta: Buffer.from("meta"), byteCount: 30, body: memory(30) },
  {
    type: MessageType.MERGED_BLOCK_META_REQUEST,
    requestId: 4n,
    appId: "app",
    shuffleId: 1,
    shuffleMergeId: 2,
    reduceId: 3,
  },
  { type: MessageType.MERGED_BLOCK_META_SUCCESS, requestId: 4n, chunkCount: 2, body: memory(16) },
];

async function frameOf(message: Message): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const encoded = await encodeMessage(message);
  for (let piece = await encoded.next(); piece !== null; piece = await encoded.next()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

export function framesOfOtherTypes(): Promise<Buffer[]> {
  return Promise.all(OTHERS.map(frameOf));
}

/** The frames of what a client has sent. */
export function framesIn(sent: Uint8Array): Buffer[] {
  const frames: Buffer[] = [];
  const decoder = new TransportFrameDecoder({
    frame: (bytes, start, end) =>
      frames.push(withLength(Buffer.concat([Buffer.alloc(LENGTH_BYTES), bytes.subarray(start, end)]))),
    bodyBytes: () => {},
    bodyEnd: () => {},
  });
  decoder.push(sent);
  while (decoder.hasPending) decoder.resume();
  return frames;
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.integer(0, from.length - 1)] as T;
}

function withLength(frame: Buffer): Buffer {
  frame.writeBigInt64BE(BigInt(frame.length), 0);
  return frame;
}

function mutated(random: Random, given: Buffer, all: readonly Buffer[]): Buffer {
  const frame = Buffer.from(given);
  const at = random.integer(LENGTH_BYTES, frame.length - 1);
  switch (random.integer(0, 9)) {
    case 0: {
      // A few bytes of anything, the type left as it is.
      for (let count = random.integer(1, 4); count > 0; count--) {
        frame[random.integer(Math.min(LENGTH_BYTES + 1, frame.length - 1), frame.length - 1)] = random.integer(0, 255);
      }
      return frame;
    }
    case 1: {
      // One bit.
      frame[at] = (frame[at] as number) ^ (1 << random.integer(0, 7));
      return frame;
    }
    case 2:
      // The end is missing.
      return withLength(frame.subarray(0, Math.max(LENGTH_BYTES + 1, at)));
    case 3: {
      const more = Buffer.from(Array.from({ length: random.logarithmic(1, 3_000) }, () => random.integer(0, 255)));
      return withLength(Buffer.concat([frame.subarray(0, at), more, frame.subarray(at)]));
    }
    case 4: {
      // Numbers that mean something somewhere.
      const numbers = [0, 1, -1, 0x7f, 0x80, 0xff, 0x7fffffff, -0x80000000, 0xffff, 0x10000];
      if (frame.length < LENGTH_BYTES + 5) return frame;
      frame.writeInt32BE(pick(random, numbers), random.integer(LENGTH_BYTES, frame.length - 4));
      return frame;
    }
    case 5: {
      // A piece twice.
      const end = random.integer(at, frame.length);
      return withLength(Buffer.concat([frame.subarray(0, end), frame.subarray(at)]));
    }
    case 6:
      frame[LENGTH_BYTES] = random.integer(-1, 13);
      return frame;
    case 7: {
      // The head of one, the rest of another.
      const other = pick(random, all);
      const cut = random.integer(LENGTH_BYTES, Math.min(at, other.length));
      return withLength(Buffer.concat([frame.subarray(0, cut), other.subarray(cut)]));
    }
    default:
      return frame;
  }
}

/** A stream for one connection, of the frames of environments and of others. */
export function streamOf(random: Random, own: readonly Buffer[], others: readonly Buffer[]): Buffer {
  const frames: Buffer[] = [];
  for (let count = random.logarithmic(1, 40); count > 0; count--) {
    const frame = pick(random, random.next() < 0.75 ? own : others);
    frames.push(random.next() < 0.5 ? frame : mutated(random, frame, own));
  }
  const stream = Buffer.concat(frames);
  const spoilt = random.next();
  // Now and then the lengths are wrong as well, and what follows is whatever it is.
  if (spoilt < 0.1) stream[random.integer(0, stream.length - 1)] = random.integer(0, 255);
  if (spoilt > 0.95) return stream.subarray(0, random.integer(1, stream.length));
  return stream;
}

const NAMES = Object.fromEntries(Object.entries(MessageType).map(([name, type]) => [type, name]));

/** What a decoder finds in streams. */
export class FrameCounts {
  readonly decoded = new Map<string, number>();
  refused = 0;
  /** Streams that ended in an error of framing. */
  brokenStreams = 0;

  add(stream: Uint8Array): void {
    const decoder = new TransportFrameDecoder({
      frame: (bytes, start, end) => {
        let type: number;
        try {
          ({ type } = decodeMessage(Uint8Array.prototype.slice.call(bytes, start, end)));
        } catch (error) {
          this.refused++;
          throw error;
        }
        const name = NAMES[type] ?? String(type);
        this.decoded.set(name, (this.decoded.get(name) ?? 0) + 1);
        // Nobody takes its body: the connection ends there.
        if (type === MessageType.UPLOAD_STREAM) throw new Error("a stream without a reader");
      },
      bodyBytes: () => {},
      bodyEnd: () => {},
    });
    try {
      decoder.push(stream);
      while (decoder.hasPending) decoder.resume();
    } catch {
      this.brokenStreams++;
    }
  }

  get total(): number {
    return [...this.decoded.values()].reduce((sum, count) => sum + count, 0);
  }

  toString(): string {
    const types = [...this.decoded].sort(([, one], [, other]) => other - one);
    const share = ((100 * this.total) / Math.max(1, this.total + this.refused)).toFixed(1);
    return `${share} % of frames decoded: ${types.map(([name, count]) => `${name} ${count}`).join(", ")}`;
  }
}
