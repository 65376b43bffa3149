/**
 * TransportChannel: one connection. It owns the socket, and joins what the others do with it:
 *
 *     socket ──► decoder ──► request handler ──► RpcHandler ──► reply ──┐
 *        ▲            └────► response handler ──► callbacks            │
 *        └───────────────── write queue ◄── client ◄── requests         ┘
 *
 * Either side may ask and answer, whichever opened the connection.
 *
 * State            | new requests | read            | written            | ends by
 * -----------------|--------------|-----------------|--------------------|------------------------------------------------
 * OPEN             | yes          | frames          | yes                | close, the peer's end, fail, the sweep
 * CLOSING          | no           | and thrown away | what was queued    | both sides' end, fail, the sweep
 * CLOSED           | no           | no              | no                 | –
 *
 * Nothing here has a timer: the context looks at all its channels once a second (`sweep`, channel-clocks.ts).
 */
import type { Socket } from "node:net";
import { isRpcError, RpcError, type RpcErrorCode } from "../common/errors.js";
import { CONNECTION_CLOSE_BYTES_MIN, CONNECTION_CLOSE_MS, CONNECTION_LINGER_MS } from "../common/limits.js";
import { ChannelClocks } from "./channel-clocks.js";
import type { ChannelHost } from "./channel-host.js";
import type { Connection } from "./connection.js";
import { hostPort } from "./dial.js";
import { asError } from "./failure-text.js";
import { dispatchFrame, dispatchPieces } from "./frame-dispatch.js";
import { protocolError } from "./frame-errors.js";
import { guarded } from "./guarded.js";
import type { RpcHandler } from "./rpc-handler.js";
import { SocketReads } from "./socket-reads.js";
import type { StreamInterceptor } from "./stream-interceptor.js";
import { TransportClient } from "./transport-client.js";
import { type FrameSink, TransportFrameDecoder } from "./transport-frame-decoder.js";
import { TransportRequestHandler } from "./transport-request-handler.js";
import { TransportResponseHandler } from "./transport-response-handler.js";
import { type PeerAddress, peerOf, type ReadyConnection } from "./transport-security.js";
import { WriteQueue, type WriteQueueOwner } from "./write-queue.js";

export type { ChannelHost } from "./channel-host.js";

const NOTHING = new Uint8Array(0);

type State = "OPEN" | "CLOSING" | "CLOSED";

export class TransportChannel implements Connection, FrameSink, WriteQueueOwner {
  readonly remoteAddress: PeerAddress;
  readonly localAddress: PeerAddress;
  readonly identity: string | null;
  readonly queue: WriteQueue;
  readonly client: TransportClient;
  readonly responses: TransportResponseHandler;
  readonly #socket: Socket;
  readonly #reads: SocketReads | undefined;
  readonly #host: ChannelHost;
  readonly #decoder: TransportFrameDecoder;
  #requests: TransportRequestHandler;
  #interceptor: StreamInterceptor | null = null;
  #state: State = "OPEN";
  /** Held for a frame that has not come whole. */
  #unfinishedBytes = 0;
  #resumeScheduled = false;
  /** Of the bytes that are being received views are kept. */
  #keepsBytes = false;
  /** Why the decoder is held: answers overflow; the consumer of a stream is busy. */
  #overflowing = false;
  #consumerBusy = false;
  readonly #clocks: ChannelClocks;
  #closeByMs = 0;
  #takenWhileClosing = 0;
  #isGone = false;
  /** What is outstanding fails with it: the peer's first bytes may say that it wants a proof, and has read nothing. */
  #lostAs: RpcErrorCode = "ERR_RPC_CONNECTION_LOST";
  readonly #resume = (): void => {
    this.#resumeScheduled = false;
    this.#runDecoder(null);
  };

  constructor({ socket, identity }: ReadyConnection, rpcHandler: RpcHandler, host: ChannelHost) {
    this.#socket = socket;
    this.#reads = SocketReads.of(socket);
    this.#host = host;
    this.remoteAddress = peerOf(socket);
    this.localAddress = { host: socket.localAddress ?? "unknown", port: socket.localPort ?? 0 };
    this.identity = identity;
    this.queue = new WriteQueue(socket, host.clock, this);
    this.#decoder = new TransportFrameDecoder(this, {
      frameBytesMax: host.frameBytesMax,
      now: () => host.clock.now(),
    });
    this.responses = new TransportResponseHandler(this, host.logger);
    const parts = {
      queue: this.queue,
      decoder: this.#decoder,
      responses: this.responses,
      remoteAddress: this.remoteAddress,
    };
    this.#clocks = new ChannelClocks(parts, host, host.clock.now());
    this.client = new TransportClient(this, this.responses);
    this.#requests = this.#handlerFor(rpcHandler);
  }

  /** Replaces whom requests go to, before the first one is read: what a server's bootstrap wraps. */
  set rpcHandler(rpcHandler: RpcHandler) {
    this.#requests = this.#handlerFor(rpcHandler);
  }

  get isActive(): boolean {
    return this.#state === "OPEN";
  }

  get lastReadMs(): number {
    return this.#decoder.isHeld ? this.#host.clock.now() : this.#clocks.lastReadMs;
  }

  /** Bytes that have come of a frame that has not come whole; for tests and statistics. */
  get unfinishedBytes(): number {
    return this.#decoder.unfinishedBytes;
  }

  /** Begins to read. */
  start(): void {
    const socket = this.#socket;
    // Answers that were given before the peer ended its side still go out.
    socket.allowHalfOpen = true;
    if (this.#reads === undefined) socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("end", () => this.#onEnd());
    socket.on("error", (error) => this.#onError(error));
    socket.on("close", () => this.#onClose());
    this.#host.opened(this);
    this.#requests.channelActive();
    this.#reads?.begin((bytes) => this.#onData(bytes));
    if (socket.destroyed) this.#onClose();
    else this.#readOrPause();
  }

  keepBytes(): void {
    this.#keepsBytes = true;
  }

  intercept(interceptor: StreamInterceptor): void {
    if (this.#interceptor !== null) throw protocolError("a stream begins inside of another stream");
    this.#decoder.expectBody(interceptor.byteCount);
    this.#interceptor = interceptor;
    guarded(
      () => interceptor.onStart(),
      (error) => this.#warn("onStart of a stream failed", error),
    );
  }

  touch(): void {
    this.#clocks.requestAdded();
  }

  close(reason?: Error): void {
    if (this.#state === "CLOSING" || this.#state === "CLOSED") return;
    this.#state = "CLOSING";
    this.#closeByMs = this.#host.clock.now() + CONNECTION_CLOSE_MS;
    this.#takenWhileClosing = this.queue.takenBytes;
    this.#stopReading(reason ?? null);
    // What is queued still goes out.
    const lost = this.#lost(reason ?? null);
    this.responses.connectionEnded(lost, this.queue.queuedTo);
    this.queue.whenEmpty(() => {
      // Answers that are given from here on are dropped: behind its end a socket takes nothing.
      this.queue.abandon(lost);
      this.#closeByMs = this.#host.clock.now() + CONNECTION_LINGER_MS;
      this.#socket.end();
    });
  }

  fail(error: Error): void {
    if (this.#state === "CLOSED") return;
    // Why it is closing was told before.
    if (this.#state === "OPEN") this.#requests.exceptionCaught(error);
    this.#terminate(error);
  }

  // ── What the decoder finds ─────────────────────────────────────────────────────────────────────────────────────────

  frame(bytes: Uint8Array, start: number, end: number): void {
    if (dispatchFrame(this.#requests, this.responses, bytes, start, end)) this.#keepsBytes = true;
  }

  frameInPieces(pieces: readonly Uint8Array[]): void {
    if (dispatchPieces(this.responses, pieces)) return;
    const frame = Buffer.concat(pieces);
    this.frame(frame, 0, frame.length);
  }

  bodyBytes(bytes: Uint8Array, start: number, end: number): void {
    const busy = this.#interceptor?.onBytes(bytes, start, end) ?? null;
    if (busy === null) return;
    // Nothing is read until the consumer is ready: its bytes stay as they are, and their memory is used again afterwards. One that
    // has closed the connection itself is not waited for.
    if (this.#state !== "OPEN") this.#keepsBytes = true;
    this.#consumerBusy = true;
    this.#decoder.hold();
    busy.then(
      () => this.#consumerReady(null),
      (error) => this.#consumerReady(asError(error)),
    );
  }

  bodyEnd(): void {
    const interceptor = this.#interceptor;
    this.#interceptor = null;
    guarded(
      () => interceptor?.onEnd(),
      (error) => this.#warn("onComplete of a stream failed", error),
    );
  }

  // ── What the write queue tells ─────────────────────────────────────────────────────────────────────────────────────

  repliesOverflow(overflowing: boolean): void {
    if (this.#state !== "OPEN") return;
    this.#overflowing = overflowing;
    // What it has sent waits as well: a peer that asks for much in one go is served in its own pace.
    if (overflowing) this.#decoder.hold();
    else this.#releaseDecoder();
    this.#resumeLater();
    this.#readOrPause();
  }

  writeFailed(error: Error): void {
    this.fail(error);
  }

  // ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends what has been quiet, stuck or closing for too long. */
  sweep(nowMs: number): void {
    if (this.#state === "CLOSING") {
      if (nowMs >= this.#closeByMs) this.#closeLater(nowMs);
      return;
    }
    if (this.#state === "CLOSED") return;
    const up = this.#clocks.look(nowMs);
    if (up?.isQuiet) this.client.timeOut();
    if (up?.error === null) this.close();
    else if (up?.isQuiet) {
      this.#warn(up.error.message, null);
      this.#terminate(up.error);
    } else if (up) this.fail(up.error);
  }

  /** Its time to close is over: a peer that still takes what waits for it has as much again. */
  #closeLater(nowMs: number): void {
    const { isEmpty, takenBytes } = this.queue;
    if (isEmpty || takenBytes - this.#takenWhileClosing < CONNECTION_CLOSE_BYTES_MIN) {
      this.#terminate(null);
      return;
    }
    this.#takenWhileClosing = takenBytes;
    this.#closeByMs = nowMs + CONNECTION_CLOSE_MS;
  }

  // ── The socket ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** True: of the chunk views are kept. */
  #onData(chunk: Buffer): boolean {
    if (this.#state !== "OPEN") return false;
    this.#clocks.read(this.#host.clock.now());
    this.#keepsBytes = false;
    return this.#runDecoder(chunk) || this.#keepsBytes;
  }

  /**
   * @param chunk null: goes on with what the last turn left.
   * @returns True: the decoder refers to the chunk.
   */
  #runDecoder(chunk: Buffer | null): boolean {
    const decoder = this.#decoder;
    let isKept = false;
    try {
      if (chunk === null) decoder.resume();
      else isKept = decoder.push(chunk);
    } catch (error) {
      this.#decodingFailed(asError(error));
      return true;
    }
    if (this.#state !== "OPEN") return isKept;
    this.#account(decoder.bufferedBytes);
    if (this.#resumeLater() || chunk === null || decoder.isHeld) this.#readOrPause();
    return isKept;
  }

  /** True: there is more to decode, in another turn of the loop. */
  #resumeLater(): boolean {
    const decoder = this.#decoder;
    if (!decoder.hasPending || decoder.isHeld || this.#resumeScheduled) return false;
    this.#resumeScheduled = true;
    this.#host.clock.setImmediate(this.#resume);
    return true;
  }

  #releaseDecoder(): void {
    if (!this.#overflowing && !this.#consumerBusy) this.#decoder.release();
  }

  /** A stream's consumer, which was busy, takes more; or it failed, which is as if it had thrown. */
  #consumerReady(error: Error | null): void {
    this.#consumerBusy = false;
    if (this.#state !== "OPEN") {
      // The consumer has been told that the connection has ended, and has no answer to give any more.
      if (error !== null) this.#warn("onData of a stream failed, after its connection had ended", error);
      this.#socket.resume();
      return;
    }
    this.#releaseDecoder();
    if (error === null) this.#runDecoder(null);
    else this.#decodingFailed(error);
  }

  /** Nothing behind the error can be understood. What was answered before it, and a stream's failure, still go out. */
  #decodingFailed(error: Error): void {
    if (this.#state === "CLOSED") return;
    if (isRpcError(error, "ERR_RPC_AUTH")) this.#lostAs = error.code;
    this.#requests.exceptionCaught(error);
    this.close(error);
  }

  #account(bytes: number): void {
    if (bytes === this.#unfinishedBytes) return;
    this.#unfinishedBytes = bytes;
    this.#host.unfinishedFrames?.set(this, bytes);
  }

  #readOrPause(): void {
    const isListening = !this.#overflowing && !this.#resumeScheduled && !this.#decoder.isHeld;
    if (isListening !== this.#clocks.isListening) this.#clocks.listen(isListening, this.#host.clock.now());
    if (isListening) this.#socket.resume();
    else this.#socket.pause();
  }

  /**
   * A peer that has ended its side is gone, as for Spark: what it asked has nobody to answer to. A reset that comes with the
   * last bytes looks like an end, until something is written, be it nothing: then it is an error as any reset is.
   */
  #onEnd(): void {
    if (this.queue.waitsForPeer) this.close();
    else
      this.#socket.write(NOTHING, (error) => {
        if (error == null) this.close();
      });
  }

  #onError(error: Error): void {
    this.fail(this.#host.explain(error, this.remoteAddress) ?? error);
  }

  #onClose(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#terminate(null);
    this.#requests.channelInactive();
    this.#host.closed(this);
  }

  /** Everything ends now. `channelInactive` follows with the socket's close. */
  #terminate(reason: Error | null): void {
    if (this.#state === "CLOSED") return;
    this.#state = "CLOSED";
    const lost = this.#lost(reason);
    this.#stopReading(reason);
    this.queue.abandon(lost);
    this.responses.connectionEnded(lost, this.queue.handedTo);
    this.#socket.destroy();
  }

  #stopReading(reason: Error | null): void {
    this.#decoder.close();
    this.#account(0);
    const interceptor = this.#interceptor;
    this.#interceptor = null;
    interceptor?.onFailure(this.#lost(reason), (call) => {
      guarded(call, (error) => this.#warn("onFailure of a stream failed", error));
    });
    // What still comes is thrown away: bytes left unread would reset the connection under what is still to be written. Not into
    // memory that a consumer still looks at.
    if (!this.#consumerBusy || this.#reads === undefined) this.#socket.resume();
  }

  #lost(reason: Error | null): RpcError {
    const text = `Connection from ${hostPort(this.remoteAddress)} closed`;
    const address = this.remoteAddress;
    if (reason === null) return new RpcError("ERR_RPC_CONNECTION_LOST", text, { address });
    return new RpcError(this.#lostAs, `${text}: ${reason.message}`, { address, cause: reason });
  }

  #handlerFor(rpcHandler: RpcHandler): TransportRequestHandler {
    return new TransportRequestHandler(this, this.client, { ...this.#host, rpcHandler });
  }

  #warn(text: string, error: unknown): void {
    this.#host.logger.warn({ error, peer: hostPort(this.remoteAddress) }, text);
  }
}
