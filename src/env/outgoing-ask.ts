/**
 * An ask on its way to another node, from the Outbox to its answer. Steps 3 and 8 of the data flow.
 *
 * QUEUED (in the Outbox) ──its turn──▶ SENT ──answer, failure, connection lost──▶ ENDED
 *   └────────────────────given up by its asker─────┴──▶ ENDED; a peer that has it is told
 */
import { RpcError } from "../common/errors.js";
import { unreadableAnswer } from "../dispatcher/failure.js";
import type { RpcResponseCallback } from "../network/callbacks.js";
import { isNoRoomForAnswer, isTooManyUnanswered } from "../network/failure-text.js";
import type { RpcAddress } from "../rpc/rpc-address.js";
import { ANSWER_BYTES, answerCodec, answerFailed, checkAnswer } from "./envelope.js";
import type { PeerConnection } from "./peer-connection.js";

/** A place in an Outbox. */
export interface Waiting {
  /** Gives it up. */
  leave(): void;
}

export abstract class OutgoingAsk implements RpcResponseCallback {
  readonly endpoint: string;
  #connection: PeerConnection | null = null;
  #handle = -1;
  ended = false;
  /** Where it waits in its Outbox, which writes this. */
  waiting: Waiting | null = null;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
  }

  /** `bytes[start .. end)` is the value, or the failure, as `payloadCodec` says; valid during the call. */
  protected abstract answered(
    failed: boolean,
    payloadCodec: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void;
  protected abstract failed(error: RpcError): void;

  /** It was written to this connection. */
  sent(connection: PeerConnection, handle: number): void {
    this.#connection = connection;
    this.#handle = handle;
  }

  /** The connection it went to; null while it waits for one. */
  get connection(): PeerConnection | null {
    return this.#connection;
  }

  /** Its asker waits no more. Returns the handle of the request that the peer is to forget, or -1. */
  giveUp(): number {
    if (this.ended) return -1;
    this.ended = true;
    this.waiting?.leave();
    const client = this.#connection?.client;
    return client?.removeRpcRequest(this.#handle) === true ? this.#handle : -1;
  }

  onSuccess(response: Uint8Array): void {
    this.onSuccessBytes(response, 0, response.length);
  }

  onSuccessBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.ended) return;
    this.ended = true;
    const connection = this.#connection;
    try {
      checkAnswer(bytes, start, end);
    } catch (error) {
      this.failed(unreadableAnswer(error, this.endpoint, connection?.address));
      connection?.answered();
      return;
    }
    connection?.showVersion();
    this.answered(answerFailed(bytes, start), answerCodec(bytes, start), bytes, start + ANSWER_BYTES, end);
    connection?.answered();
  }

  onFailure(error: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.failed(askFailure(error, this.endpoint, this.#connection?.address));
    this.#connection?.answered();
  }
}

/** Why an ask of `endpoint` failed on its way: what the transport says, with the endpoint's name and place. */
export function askFailure(error: Error, endpoint: string, address: RpcAddress | undefined): RpcError {
  const where = { endpoint, address, cause: error };
  if (isTooManyUnanswered(error)) {
    const text = `the peer could not take the ask of "${endpoint}" now: ${firstLine(error)}; await some of them first`;
    return new RpcError("ERR_RPC_INBOX_FULL", text, where);
  }
  if (isNoRoomForAnswer(error)) {
    const text = `the peer had no room for the answer of "${endpoint}": ${firstLine(error)}; await some of them first`;
    return new RpcError("ERR_RPC_OUTBOX_FULL", text, { ...where, retryable: false, maybeExecuted: true });
  }
  // As a handler's failure the transport passes on what a peer says in its own words: the message came to no endpoint.
  if (error instanceof RpcError && error.code !== "ERR_RPC_HANDLER") {
    const { code, retryable, maybeExecuted } = error;
    const text = `the ask of "${endpoint}" failed: ${error.message}`;
    return new RpcError(code, text, { ...where, address: address ?? error.address, retryable, maybeExecuted });
  }
  const text = `the peer could not take the ask of "${endpoint}": ${firstLine(error)}`;
  return new RpcError("ERR_RPC_PROTOCOL", text, where);
}

function firstLine({ message }: Error): string {
  return message.split("\n", 1)[0] as string;
}
