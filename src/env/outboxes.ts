/**
 * The Outboxes of an env, one for each peer that something is sent to, and how they come by their connections. Step 3 of
 * the data flow, for what leaves the process.
 */
import { RpcError } from "../common/errors.js";
import type { RefTarget } from "../dispatcher/ref-poster.js";
import { RecordKind } from "../inbox/record.js";
import { PayloadCodec } from "../rpc/codec.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import { CONTROL_ENDPOINT, VERIFIER_ENDPOINT } from "./built-in-endpoints.js";
import { requestAddress } from "./envelope.js";
import { connectionEnded, Outbox, type OutboxHost, OutboxState, writeMessage } from "./outbox.js";
import { OutgoingAsk } from "./outgoing-ask.js";
import type { OutgoingMessage } from "./outgoing-message.js";
import type { PeerConnection } from "./peer-connection.js";

export interface OutboxesOptions extends Omit<OutboxHost, "waitingBytes"> {
  /** Where this env listens. */
  readonly address: RpcAddress | null;
  /** A connection to whoever listens there. Rejects with ERR_RPC_CONNECT or ERR_RPC_AUTH. */
  readonly connect: (address: RpcAddress) => Promise<PeerConnection>;
  /** The connection by which an env that does not listen has come to us. */
  readonly connectionOf: (envId: string) => PeerConnection | undefined;
  /** The name of the verifier as a message. */
  readonly verifierName: Uint8Array;
}

/** Left of no deadline. */
export const NO_DEADLINE_MS = Number.POSITIVE_INFINITY;

class Probe extends OutgoingAsk {
  constructor() {
    super(VERIFIER_ENDPOINT);
  }

  protected answered(): void {}
  protected failed(): void {}
}

export class Outboxes {
  readonly #options: OutboxesOptions;
  readonly #host: OutboxHost;
  readonly #outboxes = new Map<string, Outbox>();
  /** Connections of requests that were given up in this tick. */
  readonly #gaveUp = new Set<PeerConnection>();
  #stopped: RpcError | null = null;

  constructor(options: OutboxesOptions) {
    this.#options = options;
    const { envId, remainingMs, waitingBytesMax } = options;
    this.#host = { envId, remainingMs, waitingBytesMax, waitingBytes: 0 };
  }

  get all(): Iterable<Outbox> {
    return this.#outboxes.values();
  }

  /** Milliseconds left of a deadline; Infinity for none. */
  remainingMs(deadline: number): number {
    return this.#host.remainingMs(deadline);
  }

  /** Sends `message.ask`; whatever refuses it is told to it. Throws ERR_RPC_MESSAGE_TOO_LARGE. */
  ask(target: RefTarget, message: OutgoingMessage): void {
    let outbox: Outbox;
    try {
      outbox = this.#to(target);
    } catch (error) {
      message.ask?.onFailure(error as RpcError);
      return;
    }
    if (!outbox.post(this.#addressOf(target), message)) message.ask?.onFailure(outbox.full());
  }

  /**
   * Sends a one-way message. False: full now. Throws ERR_RPC_MESSAGE_TOO_LARGE, and ERR_RPC_CONNECT or ERR_RPC_ENV_STOPPED
   * where it can never go.
   */
  send(target: RefTarget, message: OutgoingMessage): boolean {
    return this.#to(target).post(this.#addressOf(target), message);
  }

  /** Why a `send` said no. */
  full(target: RefTarget): RpcError {
    return this.#to(target).full();
  }

  /** Resolves when a `send` would be taken; rejects when it never will, as far as can be known, or the peer cannot be reached. */
  async ready(target: RefTarget, signal: AbortSignal | undefined): Promise<void> {
    const outbox = this.#outboxes.get(target.place as string);
    if (outbox === undefined || !outbox.isOpen) {
      this.#refuseIfStopped();
      if (placeAddress(target.place as string) === null) this.#to(target);
      return;
    }
    await outbox.ready(signal);
  }

  /** An asker waits no more: a message that waits is forgotten, a peer that has it is told. */
  giveUp(ask: OutgoingAsk): void {
    const { connection } = ask;
    const handle = ask.giveUp();
    if (connection === null || handle === -1) return;
    if (connection.speaksOurVersion) this.#cancel(connection, handle);
    else connection.keepCancel(handle);
    // Once for all that end in this tick: what is held back may be of the same asker.
    if (this.#gaveUp.size === 0) queueMicrotask(() => this.#answered());
    this.#gaveUp.add(connection);
  }

  /**
   * Asks the verifier at the other end of a connection for itself. It tells the peer who we are; the answer tells that the
   * peer is there and understands us, and is read by nobody.
   */
  probe(connection: PeerConnection): void {
    const address = requestAddress(this.#options.address, connection.address, VERIFIER_ENDPOINT);
    const { verifierName: bytes } = this.#options;
    const what = {
      kind: RecordKind.ASK,
      payloadCodec: PayloadCodec.MSGPACK,
      deadline: 0,
      remainingMs: NO_DEADLINE_MS,
      ask: new Probe(),
      lost: () => {},
    };
    writeMessage(connection, this.#host, address, { ...what, bytes, length: bytes.length }, NO_DEADLINE_MS);
  }

  /** What was given up before the peer had shown that it would understand. */
  sendCancels(connection: PeerConnection): void {
    for (const handle of connection.takeCancels()) this.#cancel(connection, handle);
  }

  /** A connection has ended: the next message to that peer makes another. */
  onConnectionLost(connection: PeerConnection, error: RpcError): void {
    for (const [place, outbox] of this.#outboxes) {
      if (outbox.connection !== connection) continue;
      this.#outboxes.delete(place);
      outbox.close(error);
    }
  }

  #answered(): void {
    const connections = [...this.#gaveUp];
    this.#gaveUp.clear();
    for (const connection of connections) connection.answered();
  }

  /** Nothing is sent any more. */
  stop(error: RpcError): void {
    const { code, message } = error;
    const neverLeft = new RpcError(code, message, { maybeExecuted: false });
    this.#stopped = neverLeft;
    for (const outbox of this.#outboxes.values()) outbox.close(neverLeft);
    this.#outboxes.clear();
  }

  /** Whoever runs it, or still has it in a queue, there, is told; if the message does not get through, that is all. */
  #cancel(connection: PeerConnection, handle: number): void {
    const bytes = connection.client.requestIdOf(handle);
    const address = requestAddress(this.#options.address, connection.address, CONTROL_ENDPOINT);
    const what = {
      kind: RecordKind.SEND,
      payloadCodec: PayloadCodec.BYTES,
      deadline: 0,
      remainingMs: NO_DEADLINE_MS,
      ask: null,
      lost: () => {},
    };
    writeMessage(connection, this.#host, address, { ...what, bytes, length: bytes.length }, NO_DEADLINE_MS);
  }

  #to(target: RefTarget): Outbox {
    const place = target.place as string;
    let outbox = this.#outboxes.get(place);
    if (outbox?.isOpen) return outbox;
    this.#refuseIfStopped();
    const address = placeAddress(place);
    if (outbox !== undefined) {
      // Its connection takes nothing more, and its end is not told yet.
      this.#forget(outbox);
      outbox.close(connectionEnded(place, address));
    }
    outbox = new Outbox(place, this.#host);
    if (address === null) {
      const connection = this.#options.connectionOf(place);
      // One that has ended may not have been told of yet.
      if (connection === undefined || !connection.client.isActive) throw notConnected(target.name);
      outbox.connected(connection);
    } else {
      this.#connect(outbox, address);
    }
    this.#outboxes.set(place, outbox);
    return outbox;
  }

  #connect(outbox: Outbox, address: RpcAddress): void {
    this.#options.connect(address).then(
      (connection) => {
        if (outbox.state !== OutboxState.CONNECTING) return;
        outbox.connected(connection);
        if (!outbox.isOpen) this.#forget(outbox);
      },
      (error: RpcError) => {
        this.#forget(outbox);
        outbox.close(error);
      },
    );
  }

  #forget(outbox: Outbox): void {
    if (this.#outboxes.get(outbox.place) === outbox) this.#outboxes.delete(outbox.place);
  }

  #addressOf(target: RefTarget): Uint8Array {
    target.address ??= requestAddress(this.#options.address, placeAddress(target.place as string), target.name);
    return target.address;
  }

  #refuseIfStopped(): void {
    if (this.#stopped !== null) throw this.#stopped;
  }
}

/** The other kind of place, the id of an env, has no colon. */
function isHostPort(place: string): boolean {
  return place.includes(":");
}

function placeAddress(place: string): RpcAddress | null {
  return isHostPort(place) ? RpcAddress.parse(`ringpost://${place}`) : null;
}

function notConnected(endpoint: string): RpcError {
  const text =
    `"${endpoint}" belongs to an environment that does not listen: it can be reached over a connection of its own only, ` +
    "and there is none to here";
  return new RpcError("ERR_RPC_CONNECT", text, { endpoint, retryable: false });
}
