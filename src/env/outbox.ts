/**
 * Outbox: the way to one peer, and what waits for it. Step 3 of the data flow, for what leaves the process. As Spark's
 * Outbox: messages to a peer keep their order while it is being connected; here they are bounded, in number and bytes, and
 * leave when their ask has ended.
 *
 *   CONNECTING ──connected──▶ CONNECTED ──connection lost──▶ CLOSED
 *       └────────failed: every message is told──────────────────▲
 *
 * A connected peer takes a limited number of requests that it has not answered. An ask beyond them is held back until one
 * is answered, and so is whatever is posted behind it: one sender's messages stay in their order. Nothing waits otherwise.
 *
 * A closed one is forgotten by its owner: the next message makes another, and that another connection.
 */
import { RpcError } from "../common/errors.js";
import {
  OUTBOX_BYTES_MAX,
  OUTBOX_HELD_FRACTION,
  OUTBOX_MESSAGES_MAX,
  REQUESTS_PER_CONNECTION_MAX,
  TIMEOUT_MS_MIN,
  WRITE_QUEUE_PAUSE_BYTES,
} from "../common/limits.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import { copyBytes, requestBytes, writeRequest } from "./envelope.js";
import type { OutgoingMessage } from "./outgoing-message.js";
import type { AskHolder, PeerConnection } from "./peer-connection.js";
import { costOf, WaitingMessages } from "./waiting-messages.js";

/** What all Outboxes of an env share. */
export interface OutboxHost {
  /** Id of this env, told to each peer once. */
  readonly envId: Uint8Array;
  /** Milliseconds left of a deadline; Infinity for none. */
  remainingMs(deadline: number): number;
  /** Bytes that wait in all Outboxes. */
  waitingBytes: number;
  readonly waitingBytesMax: number;
}

export const OutboxState = { CONNECTING: "connecting", CONNECTED: "connected", CLOSED: "closed" } as const;
export type OutboxState = (typeof OutboxState)[keyof typeof OutboxState];

const NO_ID = new Uint8Array(0);

export class Outbox implements AskHolder {
  /** `host:port`, or the id of an env that does not listen. */
  readonly place: string;
  readonly #host: OutboxHost;
  readonly #waiting: WaitingMessages;
  readonly #roomWaiters = new Set<(error: RpcError | null) => void>();
  #connection: PeerConnection | null = null;
  #draining = false;
  #awaitsWritten = false;
  #drainsSoon = false;
  state: OutboxState = OutboxState.CONNECTING;

  constructor(place: string, host: OutboxHost) {
    this.place = place;
    this.#host = host;
    this.#waiting = new WaitingMessages(host, () => this.#drainSoon());
  }

  get connection(): PeerConnection | null {
    return this.#connection;
  }

  /** False: the next message needs another one. */
  get isOpen(): boolean {
    return this.state !== OutboxState.CLOSED && this.#connection?.client.isActive !== false;
  }

  /** Messages that wait for the connection, or for answers to asks before them, and what they cost. */
  get waitingCount(): number {
    return this.#waiting.count;
  }

  get waitingBytes(): number {
    return this.#waiting.bytes;
  }

  /**
   * Sends a message, or keeps a copy of it until it can be sent. False: full; a refused ask is told nothing.
   * Throws ERR_RPC_MESSAGE_TOO_LARGE.
   * @param address The address part of its envelope.
   */
  post(address: Uint8Array, message: OutgoingMessage): boolean {
    const connection = this.#connection;
    if (connection !== null && this.#waiting.count === 0) {
      const { client } = connection;
      if (message.ask === null) {
        if (client.queuedBytes > WRITE_QUEUE_PAUSE_BYTES) return false;
        return writeMessage(connection, this.#host, address, message, message.remainingMs);
      }
      if (client.outstandingRpcCount < REQUESTS_PER_CONNECTION_MAX) {
        return writeMessage(connection, this.#host, address, message, message.remainingMs);
      }
    }
    if (!this.#admits(costOf(message))) return false;
    this.#waiting.push(address, message);
    connection?.hold(this);
    return true;
  }

  /** There is a connection: what waits goes out, in order. */
  connected(connection: PeerConnection): void {
    // Nobody tells its end once more.
    if (!connection.client.isActive) {
      this.close(connectionEnded(this.place, connection.address));
      return;
    }
    this.state = OutboxState.CONNECTED;
    this.#connection = connection;
    this.drain();
  }

  /** What waits goes out, as far as the connection takes it; the rest when it has answered or written some. */
  drain(): void {
    const connection = this.#connection;
    // Whoever hears of a message that is lost may post another: that one has its turn in the loop that runs.
    if (connection === null || this.#draining || !connection.client.isActive) return;
    this.#draining = true;
    try {
      this.#drainTo(connection);
    } finally {
      this.#draining = false;
    }
    if (this.#waiting.count === 0) connection.release(this);
    else connection.hold(this);
    if (this.#roomWaiters.size === 0) return;
    if (this.#hasRoom) this.#settleRoom(null);
    else this.#awaitWritten(connection);
  }

  /**
   * It cannot be connected, its connection has ended, or the env stops: every message that waits is told, in a microtask.
   * @param error says that they may have been executed: none of them has left.
   */
  close(error: RpcError): void {
    if (this.state === OutboxState.CLOSED) return;
    this.state = OutboxState.CLOSED;
    this.#connection?.release(this);
    this.#connection = null;
    const { code, message: text, address, retryable, cause } = error;
    const why = cause === undefined ? { address, retryable } : { address, retryable, cause };
    const neverLeft = error.maybeExecuted ? new RpcError(code, text, { ...why, maybeExecuted: false }) : error;
    const lost: OutgoingMessage[] = [];
    for (let entry = this.#waiting.first(); entry !== null; entry = this.#waiting.first()) {
      lost.push(entry.message as OutgoingMessage);
      this.#waiting.shift();
    }
    this.#settleRoom(neverLeft);
    // Whoever hears of it runs code of his own, which may send: not now, while the bytes of the message that found this Outbox
    // dead are in the codec that all share.
    queueMicrotask(() => {
      for (const message of lost) tellLost(message, neverLeft);
    });
  }

  /** Resolves when a one-way message would be taken. Rejects when the Outbox closes. */
  ready(signal: AbortSignal | undefined): Promise<void> {
    if (this.#hasRoom) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (error: unknown): void => {
        this.#roomWaiters.delete(finish);
        signal?.removeEventListener("abort", onAbort);
        if (error === null) resolve();
        else reject(error);
      };
      const onAbort = (): void => finish(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#roomWaiters.add(finish);
      if (this.#connection !== null) this.#awaitWritten(this.#connection);
    });
  }

  /** Why a message was not taken. */
  full(): RpcError {
    const { waitingBytes, waitingBytesMax } = this.#host;
    const queuedBytes = this.#connection?.client.queuedBytes ?? 0;
    const text =
      `too much waits to be sent to ${this.place}: waitingMessages=${this.#waiting.count}, ` +
      `waitingBytes=${this.#waiting.bytes}, queuedBytes=${queuedBytes}; for all peers waitingBytes=${waitingBytes}, ` +
      `maxBytes=${waitingBytesMax}; await ready() or some of the asks first`;
    return new RpcError("ERR_RPC_OUTBOX_FULL", text);
  }

  /** An ask that was held back is given up: what waits behind it may wait for nothing. Once for all that end in this tick. */
  #drainSoon(): void {
    if (this.#drainsSoon || this.#connection === null) return;
    this.#drainsSoon = true;
    queueMicrotask(() => {
      this.#drainsSoon = false;
      this.drain();
    });
  }

  #drainTo(connection: PeerConnection): void {
    const { client } = connection;
    for (let entry = this.#waiting.first(); entry !== null; entry = this.#waiting.first()) {
      const message = entry.message as OutgoingMessage;
      if (!client.isActive) return;
      if (message.ask !== null && client.outstandingRpcCount >= REQUESTS_PER_CONNECTION_MAX) return;
      // So much is queued at most as is when messages are posted to it directly.
      if (client.queuedBytes > WRITE_QUEUE_PAUSE_BYTES) {
        this.#awaitWritten(connection);
        return;
      }
      this.#waiting.shift();
      const remainingMs = this.#host.remainingMs(message.deadline);
      // Its time is over, and its asker sees it with his next look: it must not run any more.
      if (message.ask !== null && remainingMs <= TIMEOUT_MS_MIN) continue;
      const isTaken = writeMessage(connection, this.#host, entry.address, message, remainingMs);
      if (!isTaken) tellLost(message, client.isActive ? this.full() : connectionEnded(this.place, connection.address));
    }
  }

  #admits(cost: number): boolean {
    const { count, bytes } = this.#waiting;
    const { waitingBytes, waitingBytesMax } = this.#host;
    // One message is always admitted where nothing else waits: it may be larger than the bound.
    if (waitingBytes + cost > waitingBytesMax) return waitingBytes === 0;
    if (count === 0) return true;
    if (this.#connection !== null) return bytes + cost <= waitingBytesMax * OUTBOX_HELD_FRACTION;
    return count < OUTBOX_MESSAGES_MAX && bytes + cost <= OUTBOX_BYTES_MAX;
  }

  /** A one-way message would be taken, as far as can be known. */
  get #hasRoom(): boolean {
    if (this.#connection === null) return false;
    if (this.#waiting.count > 0) return this.#admits(costOf({ length: 0 }));
    return this.#connection.client.queuedBytes <= WRITE_QUEUE_PAUSE_BYTES;
  }

  /** Goes on when what was asked to wait in the connection's own queue is written. */
  #awaitWritten(connection: PeerConnection): void {
    const { client } = connection;
    if (this.#awaitsWritten || client.queuedBytes <= WRITE_QUEUE_PAUSE_BYTES) return;
    this.#awaitsWritten = true;
    client.whenWritten((error) => {
      this.#awaitsWritten = false;
      if (error === null) this.drain();
    });
  }

  #settleRoom(error: RpcError | null): void {
    for (const waiter of [...this.#roomWaiters]) waiter(error);
  }
}

function tellLost(message: OutgoingMessage, error: RpcError): void {
  if (message.ask === null) message.lost(error, message.bytes);
  else message.ask.onFailure(error);
}

/** Writes a message to its connection. False: it takes nothing more now. Throws ERR_RPC_MESSAGE_TOO_LARGE. */
export function writeMessage(
  connection: PeerConnection,
  host: OutboxHost,
  address: Uint8Array,
  message: OutgoingMessage,
  remainingMs: number,
): boolean {
  const { client } = connection;
  const { bytes, length, ask } = message;
  const envId = connection.introduced ? NO_ID : host.envId;
  const total = requestBytes(address, envId, length);
  if (ask !== null) {
    // What the transport refuses it tells the ask.
    ask.sent(connection, client.reserveRpc(total, ask));
  } else if (!client.reserveOneWay(total)) {
    return false;
  }
  connection.introduced = true;
  const { room } = client;
  const at = writeRequest(room, client.roomOffset, address, message.kind, message.payloadCodec, remainingMs, envId);
  copyBytes(room, at, bytes, 0, length);
  return true;
}

export function connectionEnded(place: string, address: RpcAddress | null): RpcError {
  const where = address === null ? {} : { address };
  return new RpcError("ERR_RPC_CONNECTION_LOST", `the connection to ${place} has ended`, where);
}
