/**
 * A TCP relay between two peers: it keeps what passes, by who sent it, and may change it on the way or end it.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

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
