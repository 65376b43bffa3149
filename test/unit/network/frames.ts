/** What the tests of the wire share: frames by hand, a sink that keeps what it is told, messages to compare with. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  encodeMessage,
  type FrameSink,
  type ManagedBuffer,
  type Message,
  MessageType,
  NioManagedBuffer,
  type TransportFrameDecoder,
} from "../../../dist/src/network/index.js";

export function bytesOf(text: string): Buffer {
  return Buffer.from(text);
}

export function memory(text: string): NioManagedBuffer {
  return new NioManagedBuffer(bytesOf(text));
}

/** A frame around a payload, its type byte included. */
export function frame(payload: Uint8Array): Buffer {
  return withLength(8 + payload.length, payload);
}

export function withLength(length: number | bigint, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(length)));
  bytes.set(payload, 8);
  return bytes;
}

/** Header and body of a message, as they go to the socket. */
export async function wireBytes(message: Message): Promise<Buffer> {
  const encoded = await encodeMessage(message);
  const pieces: Uint8Array[] = [];
  for (let piece = await encoded.next(); piece !== null; piece = await encoded.next()) pieces.push(Buffer.from(piece));
  encoded.release();
  return Buffer.concat(pieces);
}

/** A message as plain data: bodies by their bytes, as text of hex. */
export function plain(message: Message): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(message).map(([key, value]) => {
      if (value instanceof Uint8Array) return [key, hex(value)];
      const isBuffer = typeof value === "object" && value !== null;
      return [key, isBuffer ? hex((value as ManagedBuffer).bytes() as Uint8Array) : value];
    }),
  );
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export type Told = ["frame", string] | ["body", string] | ["bodyEnd"];

/** Keeps copies of what it is told. Bytes of one body that come in several parts are one entry. */
export class RecordingSink implements FrameSink {
  readonly told: Told[] = [];
  /** What else to do with a frame. */
  onFrame: (payload: Buffer) => void = () => undefined;

  frame(bytes: Uint8Array, start: number, end: number): void {
    const payload = Buffer.from(bytes.subarray(start, end));
    this.told.push(["frame", hex(payload)]);
    this.onFrame(payload);
  }

  bodyBytes(bytes: Uint8Array, start: number, end: number): void {
    const last = this.told.at(-1);
    if (last?.[0] === "body") last[1] += hex(bytes.subarray(start, end));
    else this.told.push(["body", hex(bytes.subarray(start, end))]);
  }

  bodyEnd(): void {
    this.told.push(["bodyEnd"]);
  }

  get frames(): string[] {
    return this.told.flatMap((one) => (one[0] === "frame" ? [one[1]] : []));
  }
}

/** Pushes a chunk and goes on until nothing waits; returns the turns that took. */
export function pushAll(decoder: TransportFrameDecoder, chunk: Uint8Array): number {
  let turns = 1;
  decoder.push(chunk);
  for (; decoder.hasPending; turns++) decoder.resume();
  return turns;
}

interface Golden {
  readonly name: string;
  readonly header: Buffer;
  readonly body: Buffer;
  readonly inFrame: boolean;
  readonly message: Message;
}

const MESSAGES: Readonly<Record<string, Message>> = {
  "ChunkFetchRequest(1,2)": { type: MessageType.CHUNK_FETCH_REQUEST, streamId: 1n, chunkIndex: 2 },
  "ChunkFetchSuccess(1,2,'abc')": {
    type: MessageType.CHUNK_FETCH_SUCCESS,
    streamId: 1n,
    chunkIndex: 2,
    body: memory("abc"),
  },
  "ChunkFetchFailure(1,2,'err')": {
    type: MessageType.CHUNK_FETCH_FAILURE,
    streamId: 1n,
    chunkIndex: 2,
    errorText: "err",
  },
  "RpcRequest(12345,'ping')": { type: MessageType.RPC_REQUEST, requestId: 12345n, body: memory("ping") },
  "RpcResponse(12345,'pong')": { type: MessageType.RPC_RESPONSE, requestId: 12345n, body: memory("pong") },
  "RpcResponse(12345,'')": { type: MessageType.RPC_RESPONSE, requestId: 12345n, body: memory("") },
  "RpcFailure(12345,'err')": { type: MessageType.RPC_FAILURE, requestId: 12345n, errorText: "err" },
  "StreamRequest('s1')": { type: MessageType.STREAM_REQUEST, streamId: "s1" },
  "StreamResponse('s1',3,'abc')": {
    type: MessageType.STREAM_RESPONSE,
    streamId: "s1",
    byteCount: 3,
    body: memory("abc"),
  },
  "StreamFailure('s1','no')": { type: MessageType.STREAM_FAILURE, streamId: "s1", errorText: "no" },
  "OneWayMessage('hi')": { type: MessageType.ONE_WAY_MESSAGE, body: memory("hi") },
  "UploadStream(7,'m','data')": {
    type: MessageType.UPLOAD_STREAM,
    requestId: 7n,
    meta: bytesOf("m"),
    byteCount: 4,
    body: memory("data"),
  },
  "MergedBlockMetaRequest(9,'app',1,2,3)": {
    type: MessageType.MERGED_BLOCK_META_REQUEST,
    requestId: 9n,
    appId: "app",
    shuffleId: 1,
    shuffleMergeId: 2,
    reduceId: 3,
  },
  "MergedBlockMetaSuccess(9,1,'BB')": {
    type: MessageType.MERGED_BLOCK_META_SUCCESS,
    requestId: 9n,
    chunkCount: 1,
    body: memory("BB"),
  },
};

/** The frames that Spark 4.0.0 printed, with the message of each. */
export function goldenFrames(): Golden[] {
  const text = readFileSync(fileURLToPath(new URL("../../fixtures/spark-golden-bytes.txt", import.meta.url)), "utf8");
  const entries = text.matchAll(/^(\w+\(.*\)) inFrame=(true|false) total=(\d+)\n {2}HDR(.*)\n {2}BODY(.*)$/gm);
  return [...entries].map(([, name = "", inFrame, total, header = "", body = ""]) => {
    const message = MESSAGES[name];
    if (message === undefined) throw new Error(`no message for ${name}`);
    const golden = { name, header: fromHex(header), body: fromHex(body), inFrame: inFrame === "true", message };
    if (golden.header.length + golden.body.length !== Number(total)) throw new Error(`${name}: not ${total} bytes`);
    return golden;
  });
}

function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}
