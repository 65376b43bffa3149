/**
 * A message loop's way to loop 0: replies, failures and reports through its outbound ring. Step 7 of the data flow.
 *
 * Every record is published at once: a reply that waits for the end of the turn costs 1.4–1.7× at depth 8 to 64. A
 * reply that finds the ring full waits in the overflow list, and the loop takes no new message until that is empty.
 */
import type { MessagePort } from "node:worker_threads";
import type { InFlightTable } from "../inbox/in-flight-table.js";
import { type InboxProducer, Overflow } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind } from "../inbox/record.js";
import { type MessageCodec, PayloadCodec } from "../rpc/codec.js";
import type { Answers } from "./answers.js";
import { encodeAnswer, encodeFailure, type Failure } from "./failure.js";
import { postBody } from "./loop-protocol.js";
import type { LoopCodecs } from "./shared-shapes.js";

export class Outbound implements Answers {
  readonly #producer: InboxProducer;
  readonly #codec: MessageCodec;
  readonly #networkCodec: MessageCodec;
  readonly #bodyPort: MessagePort;
  readonly #entries: InFlightTable;
  /** Entries of replies in the overflow list, and of what ended behind them. */
  readonly #owed: number[] = [];
  readonly #record = new OutgoingRecord();
  #nextTicket = 0;

  constructor(producer: InboxProducer, codecs: LoopCodecs, bodyPort: MessagePort, entries: InFlightTable) {
    this.#producer = producer;
    this.#codec = codecs.codec;
    this.#networkCodec = codecs.networkCodec;
    this.#bodyPort = bodyPort;
    this.#entries = entries;
  }

  /** Replies wait in the overflow list: take nothing new. */
  get congested(): boolean {
    return this.#producer.congested;
  }

  /** Moves the overflow list into the ring as far as it goes. */
  refill(): void {
    if (!this.#producer.refill()) return;
    for (const entry of this.#owed) this.#entries.free(entry);
    this.#owed.length = 0;
  }

  /**
   * Gives an in-flight entry back: at once, or when what was posted before it has left the overflow list. A loop that
   * dies with a reply in that list must still be known to have taken its message (rule R14).
   */
  release(entry: number): void {
    if (this.#producer.congested) this.#owed.push(entry);
    else this.#entries.free(entry);
  }

  reply(askSlot: number, askGeneration: number, value: unknown, remote: boolean): void {
    const codec = remote ? this.#networkCodec : this.#codec;
    encodeAnswer(codec, value);
    this.#postPayload(codec, RecordKind.REPLY, askSlot, askGeneration);
  }

  fail(askSlot: number, askGeneration: number, failure: Failure, remote: boolean): void {
    const codec = remote ? this.#networkCodec : this.#codec;
    encodeFailure(codec, failure);
    this.#postPayload(codec, RecordKind.FAILURE, askSlot, askGeneration);
  }

  sendFailed(endpoint: number, position: number, failure: Failure, entry: number): void {
    encodeFailure(this.#codec, failure);
    this.#postPayload(this.#codec, RecordKind.SEND_FAILED, endpoint, position, entry);
  }

  /** Objects with these keys are met often. */
  suggest(keys: readonly string[]): void {
    this.#codec.encode(keys);
    this.#postPayload(this.#codec, RecordKind.SUGGEST_STRUCTURE, -1, 0);
  }

  /** A record without payload. */
  report(kind: number, subject: number, generation = 0, entry = 0): void {
    this.#producer.post(this.#record.setHeaderOnly(kind, subject, generation, entry), Overflow.FORCE);
    this.#producer.flush();
  }

  #postPayload(codec: MessageCodec, kind: number, askSlot: number, askGeneration: number, entry = 0): void {
    const record = this.#record.setHeaderOnly(kind, askSlot, askGeneration);
    record.endpointGeneration = entry;
    if (codec.length > this.#producer.inlinePayloadBytesMax || codec.attachmentBytes > 0) {
      // The body goes first, so that it is there when loop 0 reads the record.
      const ticket = this.#nextTicket++ | 0;
      postBody(this.#bodyPort, { ticket, ...codec.takeBody() });
      record.flags = RecordFlag.LARGE;
      record.codec = codec.payloadCodec;
      record.sender = ticket;
    } else if (codec.payloadCodec !== PayloadCodec.EMPTY) {
      record.setPayload(codec.payloadCodec, codec.bytes, codec.length);
    }
    this.#producer.post(record, Overflow.FORCE);
    this.#producer.flush();
  }
}
