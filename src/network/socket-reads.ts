/**
 * SocketReads: the memory that a dialled socket reads into. Sockets of Node.js make memory for each read; at a gigabyte a second
 * the garbage collector then has more to do than anybody else. Here the next read goes into the same memory, unless somebody
 * has kept a view of it: then it is his, and the socket reads behind it, or into other memory.
 *
 *     EARLY ── begin ──► RECEIVING       EARLY: what comes before the connection has an owner is copied, and reading stops
 *
 * For sockets that this side dials, through which answers and bulk data come. Accepted ones are made by their server, which
 * cannot be told.
 */
import type { OnReadOpts, Socket } from "node:net";
import { SOCKET_READ_BYTES, SOCKET_READ_BYTES_MIN } from "../common/limits.js";
import { socketReads } from "./kept-buffers.js";

/** Takes what was read. True: a view of it is kept beyond the call. */
export type Receiver = (bytes: Buffer) => boolean;

const readsBySocket = new WeakMap<Socket, SocketReads>();

export class SocketReads {
  /** Those of a socket that was dialled with some; undefined: its bytes come by its `data` events. */
  static of(socket: Socket): SocketReads | undefined {
    return readsBySocket.get(socket);
  }

  #memory = socketReads.take();
  #receiver: Receiver | null = null;
  #early: Buffer[] = [];

  /** What `connect` is to be given. */
  get onread(): OnReadOpts {
    return { buffer: () => this.#memory, callback: (byteCount) => this.#read(byteCount) };
  }

  /** The socket that was connected with `onread`. */
  belongTo(socket: Socket): void {
    readsBySocket.set(socket, this);
  }

  /** From now on all bytes go to the receiver, first those that have come. The socket is to be resumed after this. */
  begin(receiver: Receiver): void {
    this.#receiver = receiver;
    for (const bytes of this.#early.splice(0)) receiver(bytes);
  }

  /** False: nothing more is read until the socket is resumed. */
  #read(byteCount: number): boolean {
    const bytes = this.#memory.subarray(0, byteCount);
    if (this.#receiver === null) {
      this.#early.push(Buffer.from(bytes));
      return false;
    }
    if (this.#receiver(bytes)) this.#goOnBehind(byteCount);
    else if (byteCount === this.#memory.length && byteCount < SOCKET_READ_BYTES) this.#goOnBehind(byteCount);
    return true;
  }

  /** What was read little by little and kept lies side by side: a small chunk does not hold much more memory than it needs. */
  #goOnBehind(byteCount: number): void {
    const rest = this.#memory.subarray(byteCount);
    this.#memory = rest.length < SOCKET_READ_BYTES_MIN ? socketReads.take() : rest;
  }
}
