/**
 * How an endpoint on loop 0 answers: as a message loop does, but to itself. What it answers is encoded and decoded all
 * the same, so that a value means the same wherever its endpoint runs. Main thread only.
 */
import { types } from "node:util";
import type { InFlightTable } from "../inbox/in-flight-table.js";
import { RecordFlag, RecordKind, TakenRecord } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { Answers } from "./answers.js";
import { encodeAnswer, encodeFailure, type Failure } from "./failure.js";
import type { Body } from "./loop-protocol.js";
import type { LoopCodecs } from "./shared-shapes.js";

export class LoopZeroAnswers implements Answers {
  readonly #codec: MessageCodec;
  readonly #networkCodec: MessageCodec;
  readonly #entries: InFlightTable;
  readonly #onRecord: (record: TakenRecord) => void;
  readonly #record = new TakenRecord(8);
  /** Of the answer that is being told. */
  #body: Body | undefined;

  /** @param onRecord what loop 0 does with the records of any loop. */
  constructor(codecs: LoopCodecs, entries: InFlightTable, onRecord: (record: TakenRecord) => void) {
    this.#codec = codecs.codec;
    this.#networkCodec = codecs.networkCodec;
    this.#entries = entries;
    this.#onRecord = onRecord;
  }

  reply(askSlot: number, askGeneration: number, value: unknown, remote: boolean): void {
    const codec = remote ? this.#networkCodec : this.#codec;
    encodeAnswer(codec, value);
    this.#tell(codec, RecordKind.REPLY, askSlot, askGeneration);
  }

  fail(askSlot: number, askGeneration: number, failure: Failure, remote: boolean): void {
    const codec = remote ? this.#networkCodec : this.#codec;
    encodeFailure(codec, failure);
    this.#tell(codec, RecordKind.FAILURE, askSlot, askGeneration);
  }

  sendFailed(endpoint: number, position: number, failure: Failure, entry: number): void {
    encodeFailure(this.#codec, failure);
    this.#record.endpointGeneration = entry;
    this.#tell(this.#codec, RecordKind.SEND_FAILED, endpoint, position);
  }

  /** Attachments make an answer a body, here as elsewhere. */
  takeBody(): Body | undefined {
    const body = this.#body;
    this.#body = undefined;
    return body;
  }

  report(kind: number, subject: number, generation = 0, detail = 0): void {
    this.#record.sender = detail;
    this.#tell(null, kind, subject, generation);
  }

  release(entry: number): void {
    this.#entries.free(entry);
  }

  /** @param codec holds the payload; null: there is none. */
  #tell(codec: MessageCodec | null, kind: number, subject: number, generation: number): void {
    const record = this.#record;
    record.kind = kind;
    record.askSlot = subject;
    record.askGeneration = generation;
    record.codec = codec?.payloadCodec ?? 0;
    record.payloadBytes = codec?.length ?? 0;
    record.flags = 0;
    if (codec !== null) {
      if (codec.attachmentBytes > 0) {
        record.flags = RecordFlag.LARGE;
        record.sender = 0;
        this.#body = { ticket: 0, ...codec.takeBody() };
      }
      // The caller's own bytes may be shared memory, which nobody decodes.
      record.scratch = types.isSharedArrayBuffer(codec.bytes.buffer) ? codec.bytes.slice() : codec.bytes;
    }
    this.#onRecord(record);
  }
}
