/**
 * What comes back from message loops: replies, failures, and requests for large bodies. Step 8 of the data flow.
 * Main thread only.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../common/assert.js";
import { RecordFlag, RecordKind, type TakenRecord } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { failureToError } from "./failure.js";
import type { Forwarder } from "./forwarder.js";
import { type Body, postBody } from "./loop-protocol.js";
import type { LoopZeroEndpoints } from "./loop-zero-endpoints.js";
import type { MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { Poster } from "./poster.js";
import type { Tickets } from "./tickets.js";

export interface RepliesOptions {
  readonly codec: MessageCodec;
  /** What becomes of a shape that a loop suggests. */
  readonly adopt: (keys: unknown) => void;
  readonly loops: MessageLoops;
  readonly asks: OutstandingAsks;
  readonly tickets: Tickets;
  readonly directory: EndpointDirectory;
  readonly poster: Poster;
  readonly zeroEndpoints: LoopZeroEndpoints;
  readonly forwarder: Forwarder;
}

export class Replies {
  readonly #codec: MessageCodec;
  readonly #adopt: (keys: unknown) => void;
  readonly #loops: MessageLoops;
  readonly #asks: OutstandingAsks;
  readonly #tickets: Tickets;
  readonly #directory: EndpointDirectory;
  readonly #poster: Poster;
  readonly #zeroEndpoints: LoopZeroEndpoints;
  readonly #forwarder: Forwarder;

  constructor(options: RepliesOptions) {
    this.#codec = options.codec;
    this.#adopt = options.adopt;
    this.#loops = options.loops;
    this.#asks = options.asks;
    this.#tickets = options.tickets;
    this.#directory = options.directory;
    this.#poster = options.poster;
    this.#zeroEndpoints = options.zeroEndpoints;
    this.#forwarder = options.forwarder;
  }

  /** Decodes what a loop published, its body included. */
  decode(loop: number, record: TakenRecord): unknown {
    if ((record.flags & RecordFlag.LARGE) === 0) {
      return this.#codec.decode(record.codec, record.scratch, record.payloadBytes);
    }
    const body = this.#takeBody(loop);
    assert(body !== undefined && body.ticket === record.sender, "a body is on its port before its record is published");
    return this.#codec.decode(record.codec, body.bytes, body.bytes.length, body.attachments, true);
  }

  settle(loop: number, record: TakenRecord): void {
    const { askSlot, askGeneration, kind } = record;
    if (kind === RecordKind.SUGGEST_STRUCTURE) {
      this.#adopt(this.decode(loop, record));
      return;
    }
    if (!this.#asks.isOpen(askSlot, askGeneration)) {
      // The ask has ended before: the answer is late. Its body must still leave the port.
      if ((record.flags & RecordFlag.LARGE) !== 0) this.#takeBody(loop);
      return;
    }
    if (this.#asks.isForwarded(askSlot)) {
      this.#forwarder.passOn(loop, record);
      return;
    }
    if (kind === RecordKind.EXPIRED) {
      this.#asks.reject(askSlot, this.#poster.timedOut(askSlot, false), "timedOut");
      return;
    }
    let value: unknown;
    try {
      value = this.decode(loop, record);
    } catch (error) {
      this.#asks.reject(askSlot, error, "failed");
      return;
    }
    if (kind === RecordKind.REPLY) this.#asks.resolve(askSlot, value);
    else {
      const name = this.#directory.nameOf(this.#asks.endpoint(askSlot));
      this.#asks.reject(askSlot, failureToError(name, value), "failed");
    }
  }

  sendBody(index: number, ticket: number, entry: number): void {
    const body = this.#tickets.end(ticket);
    if (index === 0) {
      this.#zeroEndpoints.deliver(ticket, body === null ? null : { ...body, ticket }, entry);
      return;
    }
    const loop = this.#loops.get(index);
    if (body === null) {
      this.#poster.postControl(loop, RecordKind.GONE, ticket, 0, entry);
      return;
    }
    // Beside attachments a payload is small. In a buffer of its own it would be external memory to V8, of which the
    // first byte above its limit costs milliseconds of marking, on each side.
    const inRecord = body.attachments.length > 0 && body.bytes.length <= loop.mailbox.inlinePayloadBytesMax;
    postBody(loop.bodyPort, { ticket, bytes: inRecord ? null : body.bytes, attachments: body.attachments });
    this.#poster.postBody(loop, ticket, entry, inRecord ? body.bytes : null);
  }

  /** The body of the record that is read now; those of loop 0's own answers do not travel. */
  #takeBody(loop: number): Body | undefined {
    if (loop === 0) return this.#zeroEndpoints.takeAnswer();
    return (receiveMessageOnPort(this.#loops.get(loop).bodyPort) as { message: Body } | undefined)?.message;
  }
}
