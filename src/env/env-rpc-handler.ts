/**
 * What comes over the connections of an env, opened by either side: envelopes are read, messages go into Inboxes
 * undecoded, and built-in endpoints answer. Spark's NettyRpcHandler. Steps 1, 2 and 8 of the data flow.
 */
import { assert } from "../common/assert.js";
import { RpcError } from "../common/errors.js";
import { RefTarget } from "../dispatcher/ref-poster.js";
import type { ArrivedMessage, RemoteDelivery } from "../dispatcher/remote-delivery.js";
import { RpcHandler } from "../network/rpc-handler.js";
import type { RpcReply } from "../network/rpc-reply.js";
import type { StreamManager } from "../network/stream-manager.js";
import type { TransportClient } from "../network/transport-client.js";
import type { EncodedBody, MessageCodec } from "../rpc/codec.js";
import type { RpcPeer } from "../rpc/rpc-endpoint-options.js";
import { CONTROL_ENDPOINT, VERIFIER_ENDPOINT } from "./built-in-endpoints.js";
import { ANSWER_BYTES, copyBytes, writeAnswer } from "./envelope.js";
import type { OpenRequest } from "./open-requests.js";
import { PeerConnection } from "./peer-connection.js";
import type { Peers } from "./peers.js";

export interface EnvRpcHandlerOptions {
  /** For the network. */
  readonly codec: MessageCodec;
  readonly peers: Peers;
  readonly streams: StreamManager;
  readonly delivery: RemoteDelivery;
  /** What the verifier says of an endpoint. */
  readonly verify: (name: string) => unknown;
  /** A peer has shown that it understands what is ours. */
  readonly onVersionShown: (connection: PeerConnection) => void;
  /** A connection has ended. */
  readonly onClosed: (connection: PeerConnection, error: RpcError) => void;
  readonly onError: (connection: PeerConnection, error: RpcError) => void;
}

/** Who waits at the other end of a connection. */
class ConnectionAsker implements OpenRequest {
  readonly reply: RpcReply;
  slot = -1;

  constructor(reply: RpcReply) {
    this.reply = reply;
  }

  answer(failed: boolean, payloadCodec: number, bytes: Uint8Array, length: number): void {
    const { reply } = this;
    if (!reply.reserve(ANSWER_BYTES + length)) return;
    const { room } = reply;
    copyBytes(room, writeAnswer(room, reply.roomOffset, failed, payloadCodec), bytes, 0, length);
  }

  /** Its request counts no more among those of the connection that are not answered. */
  forget(): void {
    this.reply.discard();
  }
}

/** The message that is delivered now; one for all. */
class ArrivingMessage implements ArrivedMessage {
  kind = 0;
  deadline = 0;
  timeoutMs = 0;
  enqueuedAt = 0;
  payloadCodec = 0;
  bytes: Uint8Array = new Uint8Array(0);
  length = 0;
  readonly attachmentBytes = 0;
  sender: Uint8Array = new Uint8Array(0);
  peer: RpcPeer = { address: null, local: false, identity: null };

  readonly moves = false;

  viewBody(): Uint8Array[] {
    return [this.bytes];
  }

  takeBody(): EncodedBody {
    // Not `slice`: of a Buffer that would be a view.
    return { bytes: new Uint8Array(this.bytes), attachments: [] };
  }
}

export class EnvRpcHandler extends RpcHandler {
  #parts: EnvRpcHandlerOptions | null = null;
  readonly #message = new ArrivingMessage();
  /** By connection, what its peer has given up in this tick: ids of requests. */
  readonly #cancelled = new Map<PeerConnection, Set<string>>();

  /** The transport needs it first, and the Dispatcher needs the transport: it is told in the tick that made the server. */
  start(options: EnvRpcHandlerOptions): void {
    this.#parts = options;
  }

  get #options(): EnvRpcHandlerOptions {
    assert(this.#parts !== null, "connections come after the env was made");
    return this.#parts;
  }

  receive(client: TransportClient, message: Uint8Array, reply: RpcReply): void {
    this.receiveBytes(client, message, 0, message.length, reply);
  }

  override receiveBytes(client: TransportClient, bytes: Uint8Array, start: number, end: number, reply: RpcReply): void {
    const connection = this.#read(client, bytes, start, end, false);
    const target = this.#target(connection);
    const asker = new ConnectionAsker(reply);
    if (target.name === VERIFIER_ENDPOINT) {
      this.#verify(connection, asker, bytes, end);
      return;
    }
    connection.requests.add(asker);
    this.#options.delivery.ask(target, this.#arriving(connection, bytes, end), asker);
  }

  override receiveOneWay(client: TransportClient, message: Uint8Array): void {
    this.receiveOneWayBytes(client, message, 0, message.length);
  }

  override receiveOneWayBytes(client: TransportClient, bytes: Uint8Array, start: number, end: number): void {
    const connection = this.#read(client, bytes, start, end, true);
    const target = this.#target(connection);
    if (target.name === CONTROL_ENDPOINT) this.#cancel(connection, bytes, end);
    else this.#options.delivery.send(target, this.#arriving(connection, bytes, end));
  }

  override endingCount(client: TransportClient): number {
    return this.#cancelled.get(client.attachment as PeerConnection)?.size ?? 0;
  }

  getStreamManager(): StreamManager {
    return this.#options.streams;
  }

  override channelActive(client: TransportClient): void {
    const connection = new PeerConnection(client, this.#options.onVersionShown);
    client.attachment = connection;
    this.#options.peers.opened(connection);
  }

  override channelInactive(client: TransportClient): void {
    const connection = client.attachment as PeerConnection;
    const text = `the connection to ${connection.place} has ended`;
    const error = new RpcError("ERR_RPC_CONNECTION_LOST", text, { address: connection.address });
    this.#options.delivery.cancel(connection.requests.all);
    this.#options.onClosed(connection, error);
    this.#options.peers.closed(connection);
  }

  override exceptionCaught(cause: Error, client: TransportClient): void {
    const connection = client.attachment as PeerConnection;
    const { address } = connection;
    const error =
      cause instanceof RpcError
        ? cause
        : new RpcError("ERR_RPC_CONNECTION_LOST", `the connection to ${connection.place} failed: ${cause.message}`, {
            address,
            cause,
          });
    this.#options.onError(connection, error);
  }

  // ── One message ────────────────────────────────────────────────────────────────────────────────────────────────────

  #read(client: TransportClient, bytes: Uint8Array, start: number, end: number, oneWay: boolean): PeerConnection {
    const connection = client.attachment as PeerConnection;
    const { reader } = connection;
    reader.read(bytes, start, end, oneWay);
    connection.showVersion();
    const { peers } = this.#options;
    if (!connection.known) peers.known(connection, reader.address.sender);
    if (reader.envId !== null) peers.named(connection, reader.envId);
    return connection;
  }

  #target({ reader, targets }: PeerConnection): RefTarget {
    const { address } = reader;
    let target = targets.get(address);
    if (target === undefined) {
      target = new RefTarget({ name: address.name, id: 0, generation: 0, replicas: 1 });
      targets.set(address, target);
    }
    return target;
  }

  #arriving(connection: PeerConnection, bytes: Uint8Array, end: number): ArrivedMessage {
    const { kind, payloadCodec, remainingMs, payloadStart } = connection.reader;
    // When its bytes came: one look at the clock for all that came together.
    const nowMs = connection.client.connection.lastReadMs;
    const message = this.#message;
    message.kind = kind;
    message.deadline = remainingMs === Number.POSITIVE_INFINITY ? 0 : (nowMs + remainingMs) | 0 || 1;
    message.timeoutMs = remainingMs;
    message.enqueuedAt = (nowMs * 1_000) | 0;
    message.payloadCodec = payloadCodec;
    message.bytes = bytes.subarray(payloadStart, end);
    message.length = end - payloadStart;
    message.sender = connection.sender;
    message.peer = connection;
    return message;
  }

  // ── Built-in endpoints ─────────────────────────────────────────────────────────────────────────────────────────────

  #verify({ reader }: PeerConnection, asker: ConnectionAsker, bytes: Uint8Array, end: number): void {
    const { codec, verify } = this.#options;
    const { payloadCodec, payloadStart } = reader;
    const name = codec.decode(payloadCodec, new Uint8Array(bytes.subarray(payloadStart, end)), end - payloadStart);
    codec.encode(typeof name === "string" ? verify(name) : false);
    asker.answer(false, codec.payloadCodec, codec.bytes, codec.length);
  }

  /** Those of one tick together: to find who runs them all that run are looked at. */
  #cancel(connection: PeerConnection, bytes: Uint8Array, end: number): void {
    const { payloadStart } = connection.reader;
    if (end - payloadStart !== REQUEST_ID_BYTES) {
      throw new RpcError(
        "ERR_RPC_PROTOCOL",
        `a request's id has ${REQUEST_ID_BYTES} bytes: bytes=${end - payloadStart}`,
      );
    }
    if (this.#cancelled.size === 0) queueMicrotask(() => this.#cancelAll());
    let ids = this.#cancelled.get(connection);
    if (ids === undefined) {
      ids = new Set();
      this.#cancelled.set(connection, ids);
    }
    ids.add(Buffer.prototype.latin1Slice.call(bytes, payloadStart, end));
  }

  #cancelAll(): void {
    const cancelled = [...this.#cancelled];
    this.#cancelled.clear();
    const open = cancelled.flatMap(([{ requests }, ids]) => [...ids].map((id) => requests.find(id)));
    this.#options.delivery.cancel(open.filter((request) => request !== undefined));
  }
}

const REQUEST_ID_BYTES = 8;
