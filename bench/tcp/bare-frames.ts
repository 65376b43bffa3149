/**
 * The least that a round trip over TCP takes: frames of 8 length bytes and a body, those of a tick in one write, answers in
 * the order of the questions. Nobody reads a body.
 */
import type { Socket } from "node:net";

const LENGTH_BYTES = 8;
const BATCH_BYTES = 64 * 1024;

/** Sends frames: those of one tick together. */
export class FrameWriter {
  readonly #socket: Socket;
  #batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  #length = 0;
  readonly #flush = (): void => {
    if (this.#length === 0) return;
    // Its memory is the socket's until it is written.
    this.#socket.write(this.#batch.subarray(0, this.#length));
    this.#batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
    this.#length = 0;
  };

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    const frameBytes = LENGTH_BYTES + end - start;
    if (this.#length + frameBytes > this.#batch.length) {
      this.#flush();
      if (frameBytes > BATCH_BYTES) this.#batch = Buffer.allocUnsafeSlow(frameBytes);
    }
    if (this.#length === 0) queueMicrotask(this.#flush);
    const batch = this.#batch;
    batch.writeInt32BE(0, this.#length);
    batch.writeInt32BE(frameBytes, this.#length + 4);
    batch.set(bytes.subarray(start, end), this.#length + LENGTH_BYTES);
    this.#length += frameBytes;
  }
}

/** Tells the body of each frame that comes; its bytes are valid during the call. */
export function readFrames(socket: Socket, onBody: (bytes: Uint8Array, start: number, end: number) => void): void {
  let kept: Buffer[] = [];
  let keptBytes = 0;
  let wantedBytes = LENGTH_BYTES;
  socket.on("data", (chunk: Buffer) => {
    let bytes = chunk;
    if (keptBytes > 0) {
      kept.push(chunk);
      keptBytes += chunk.length;
      // Joined once per frame, not once per chunk.
      if (keptBytes < wantedBytes) return;
      bytes = Buffer.concat(kept);
    }
    let at = 0;
    while (bytes.length - at >= LENGTH_BYTES) {
      const end = at + bytes.readInt32BE(at + 4);
      if (end > bytes.length) break;
      onBody(bytes, at + LENGTH_BYTES, end);
      at = end;
    }
    keptBytes = bytes.length - at;
    kept = keptBytes === 0 ? [] : [bytes.subarray(at)];
    wantedBytes = keptBytes < LENGTH_BYTES ? LENGTH_BYTES : bytes.readInt32BE(at + 4);
  });
}
