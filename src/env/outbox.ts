/**
 * Outbox: what waits for a connection to one peer, and then the way to it. Step 3 of the data flow, for what leaves the
 * process. As Spark's Outbox: messages to a peer keep their order while it is being connected; here they are bounded, in
 * number and bytes, and leave when their ask has ended.
 *
 *   CONNECTING ──connected──▶ CONNECTED ──connection lost──▶ CLOSED
 *       └────────failed: every message is told──────────────────▲
 *
 * A closed one is forgotten by its owner: the next message makes another, and that another connection.
 */
import { RpcError } from "../common/errors.js";
import { OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX, WRITE_QUEUE_PAUSE_BYTES } from "../common/limits.js";
import { copyBytes, requestBytes, writeRequest } from "./envelope.js";
import type { OutgoingAsk } from "./outgoing-ask.js";
import type { PeerConnection } from "./peer-connection.js";

/** A message to be sent: its bytes are valid during the call. */
export interface OutgoingMessage {
  readonly kind: number;
  readonly payloadCodec: number;
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Env clock, ms, int32; 0: none. */
  readonly deadline: number;
  /** Milliseconds left of it when the message is handed over, so that the clock is read once for both; Infinity: none. */
  readonly remainingMs: number;
  /** null: one-way. */
  readonly ask: OutgoingAsk | null;
  /** A one-way message was accepted and is lost; `bytes` are its own, as they are in this message by then. */
  readonly lost: (error: RpcError, bytes: Uint8Array) => void;
}

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

/** A message that waits, with the address part of its envelope; its bytes are its own. */
interface WaitingMessage {
  readonly address: Uint8Array;
  readonly message: OutgoingMessage;
}

export const OutboxState = { CONNECTING: "connecting", CONNECTED: "connected", CLOSED: "closed" } as const;
export type OutboxState = (typeof OutboxState)[keyof typeof OutboxState];

const NO_ID = new Uint8Array(0);
/** What a waiting message costs beside its bytes. */
const ENTRY_BYTES = 128;

export class Outbox {
  /** `host:port`, or the id of an env that does not listen. */
  readonly place: string;
  readonly #host: OutboxHost;
  readonly #queue: WaitingMessage[] = [];
  readonly #roomWaiters = new Set<(error: RpcError | null) => void>();
  #connection: PeerConnection | null = null;
  #bytes = 0;
  state: OutboxState = OutboxState.CONNECTING;

  constructor(place: string, host: OutboxHost) {
    this.place = place;
    this.#host = host;
  }

  get connection(): PeerConnection | null {
    return this.#connection;
  }

  /** False: the next message needs another one. */
  get isOpen(): boolean {
    return this.state !== OutboxState.CLOSED && this.#connection?.client.isActive !== false;
  }

  /** Messages that wait for the connection, and their bytes. */
  get waitingCount(): number {
    return this.#queue.length;
  }

  get waitingBytes(): number {
    return this.#bytes;
  }

  /**
   * Sends a message, or keeps a copy of it until there is a connection. False: full; a refused ask is told nothing.
   * Throws ERR_RPC_MESSAGE_TOO_LARGE.
   * @param address The address part of its envelope.
   */
  post(address: Uint8Array, message: OutgoingMessage): boolean {
    const connection = this.#connection;
    if (connection !== null) {
      if (message.ask === null && connection.client.queuedBytes > WRITE_QUEUE_PAUSE_BYTES) return false;
      return writeMessage(connection, this.#host, address, message, message.remainingMs);
    }
    this.#dropEnded();
    const bytes = message.length + ENTRY_BYTES;
    if (this.#queue.length > 0) {
      const full = this.#queue.length >= OUTBOX_MESSAGES_MAX || this.#bytes + bytes > OUTBOX_BYTES_MAX;
      if (full || this.#host.waitingBytes + bytes > this.#host.waitingBytesMax) return false;
    }
    this.#queue.push({ address, message: { ...message, bytes: message.bytes.slice(0, message.length) } });
    this.#account(bytes);
    return true;
  }

  /** There is a connection: what waits goes out, in order. */
  connected(connection: PeerConnection): void {
    this.state = OutboxState.CONNECTED;
    this.#connection = connection;
    const queue = this.#queue.splice(0);
    this.#account(-this.#bytes);
    for (const { address, message } of queue) {
      if (message.ask?.ended === true) continue;
      if (writeMessage(connection, this.#host, address, message, this.#host.remainingMs(message.deadline))) continue;
      const error = outboxFull(this.place, connection.client.queuedBytes);
      if (message.ask === null) message.lost(error, message.bytes);
      else message.ask.onFailure(error);
    }
    this.#settleRoom(null);
  }

  /** It cannot be connected, its connection has ended, or the env stops: every message that waits is told. */
  close(error: RpcError): void {
    if (this.state === OutboxState.CLOSED) return;
    this.state = OutboxState.CLOSED;
    this.#connection = null;
    const queue = this.#queue.splice(0);
    this.#account(-this.#bytes);
    for (const { message } of queue) {
      if (message.ask === null) message.lost(error, message.bytes);
      else message.ask.onFailure(error);
    }
    this.#settleRoom(error);
  }

  /** Resolves when a one-way message would be taken. Rejects when the Outbox closes. */
  ready(signal: AbortSignal | undefined): Promise<void> {
    const connection = this.#connection;
    if (connection !== null && connection.client.queuedBytes <= WRITE_QUEUE_PAUSE_BYTES) return Promise.resolve();
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
      if (connection === null) return;
      // What was asked to wait is written by then, or the connection has ended.
      connection.client.whenWritten((error) => {
        if (error === null) finish(null);
      });
    });
  }

  /** An ask that waits here has ended. */
  forget(ask: OutgoingAsk): void {
    const index = this.#queue.findIndex(({ message }) => message.ask === ask);
    if (index === -1) return;
    const [{ message }] = this.#queue.splice(index, 1) as [WaitingMessage];
    this.#account(-(message.length + ENTRY_BYTES));
  }

  /** Asks that were given up while they wait make room for others. */
  #dropEnded(): void {
    if (this.#queue.length < OUTBOX_MESSAGES_MAX) return;
    const open = this.#queue.filter(({ message }) => message.ask?.ended !== true);
    const bytes = open.reduce((sum, { message }) => sum + message.length + ENTRY_BYTES, 0);
    this.#account(bytes - this.#bytes);
    this.#queue.splice(0, this.#queue.length, ...open);
  }

  #account(bytes: number): void {
    this.#bytes += bytes;
    this.#host.waitingBytes += bytes;
  }

  #settleRoom(error: RpcError | null): void {
    for (const waiter of [...this.#roomWaiters]) waiter(error);
  }
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

export function outboxFull(place: string, queuedBytes: number): RpcError {
  const text = `too much waits to be sent to ${place}: queuedBytes=${queuedBytes}; await ready() or some of the asks first`;
  return new RpcError("ERR_RPC_OUTBOX_FULL", text);
}
