/** The least that a fetch takes: a wish of a few bytes, and the bytes that it names, unframed. */
import { once } from "node:events";
import { connect } from "node:net";

export interface Wish {
  readonly byteCount: number;
  readonly fromFile: boolean;
  /** Chunks of so many bytes each. */
  readonly count: number;
}

export const WISH_BYTES = 16;

export function writeWish({ byteCount, fromFile, count }: Wish): Buffer {
  const bytes = Buffer.alloc(WISH_BYTES);
  bytes.writeBigInt64BE(BigInt(byteCount));
  bytes.writeInt32BE(fromFile ? 1 : 0, 8);
  bytes.writeInt32BE(count, 12);
  return bytes;
}

export function readWish(bytes: Uint8Array): Wish {
  const { buffer, byteOffset } = bytes;
  const view = new DataView(buffer, byteOffset, WISH_BYTES);
  return { byteCount: Number(view.getBigInt64(0)), fromFile: view.getInt32(8) === 1, count: view.getInt32(12) };
}

/** A bare socket that asks for bytes and counts them. */
export class BareFetcher implements Disposable {
  readonly #socket;
  #wantedBytes = 0;
  #done: (() => void) | null = null;

  private constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("data", (chunk: Buffer) => {
      this.#wantedBytes -= chunk.length;
      if (this.#wantedBytes === 0) this.#done?.();
    });
  }

  static async connect(port: number): Promise<BareFetcher> {
    const fetcher = new BareFetcher(port);
    await once(fetcher.#socket, "connect");
    return fetcher;
  }

  /** All chunks of the wish; they are asked for at once. */
  async fetch(wish: Wish): Promise<void> {
    this.#wantedBytes += wish.byteCount * wish.count;
    const done = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    const one = writeWish(wish);
    this.#socket.write(Buffer.concat(Array.from({ length: wish.count }, () => one)));
    await done;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
