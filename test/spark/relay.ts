/**
 * A TCP relay between two peers: it keeps what passes, by who sent it, and may change it on the way or end it.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Random } from "../fixtures/random.js";

export type Side = "client" | "server";

export interface Passed {
  readonly from: Side;
  readonly bytes: Buffer;
}

/**
 * What becomes of bytes on their way: others, or the same.
 * @param offset where they stand in all that this side has sent over this connection.
 */
export type Change = (from: Side, bytes: Buffer, offset: number, end: () => void) => Buffer;

export class Relay implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #passed: Passed[];

  private constructor(server: Server, sockets: Set<Socket>, passed: Passed[]) {
    this.#server = server;
    this.#sockets = sockets;
    this.#passed = passed;
    this.port = (server.address() as AddressInfo).port;
  }

  static async to(port: number, change: Change = (_from, bytes) => bytes): Promise<Relay> {
    const sockets = new Set<Socket>();
    const passed: Passed[] = [];
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true });
      const ways: readonly [Side, Socket, Socket][] = [
        ["client", near, far],
        ["server", far, near],
      ];
      for (const [from, source, sink] of ways) {
        let offset = 0;
        sockets.add(source);
        source.on("data", (bytes: Buffer) => {
          const changed = change(from, bytes, offset, () => source.destroy());
          offset += bytes.length;
          passed.push({ from, bytes: changed });
          if (!sink.write(changed)) {
            source.pause();
            sink.once("drain", () => source.resume());
          }
        });
        source.on("end", () => sink.end());
        source.on("error", () => sink.destroy());
        source.on("close", () => {
          sockets.delete(source);
          if (source.errored === null && source.readableEnded) return;
          sink.destroy();
        });
      }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Relay(server, sockets, passed);
  }

  /** What has passed, in its order; what one side sent without the other in between is one piece. */
  get passed(): readonly Passed[] {
    const pieces: Passed[] = [];
    for (const { from, bytes } of this.#passed) {
      const last = pieces.at(-1);
      if (last?.from === from) pieces[pieces.length - 1] = { from, bytes: Buffer.concat([last.bytes, bytes]) };
      else pieces.push({ from, bytes });
    }
    return pieces;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** One fault, at a place of one side's bytes: they end there, some are lost, doubled, or others. */
export function randomChange(random: Random): Change {
  const side: Side = random.next() < 0.5 ? "client" : "server";
  const at = random.integer(0, 4_000);
  const length = random.integer(1, 20);
  const kind = random.integer(0, 3);
  return (from, bytes, offset, end) => {
    if (from !== side || at < offset || at >= offset + bytes.length) return bytes;
    const [head, tail] = [bytes.subarray(0, at - offset), bytes.subarray(at - offset)];
    if (kind === 0) {
      end();
      return head;
    }
    const hit = tail.subarray(0, length);
    const rest = tail.subarray(length);
    if (kind === 1) return Buffer.concat([head, rest]);
    if (kind === 2) return Buffer.concat([head, hit, hit, rest]);
    return Buffer.concat([head, Buffer.from(hit.map(() => random.integer(0, 255))), rest]);
  };
}
