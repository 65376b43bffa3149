/**
 * How an endpoint on loop 0 answers: as a message loop does, but to itself. What it answers is encoded and decoded all
 * the same, so that a value means the same wherever its endpoint runs. Main thread only.
 */
import { types } from "node:util";
import type { InFlightTable } from "../inbox/in-flight-table.js";
import { RecordFlag, RecordKind, TakenRecord } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import type { Answers } from "./answers.js";
import { encodeFailure, type Failure } from "./failure.js";
import type { Body } from "./loop-protocol.js";

export class LoopZeroAnswers implements Answers {
  readonly #codec: MessageCodec;
  readonly #entries: InFlightTable;
  readonly #onRecord: (record: TakenRecord) => void;
  readonly #record = new TakenRecord(8);
  /** Of the answer that is being told. */
  #body: Body | undefined;

  /** @param onRecord what loop 0 does with the records of any loop. */
  constructor(codec: MessageCodec, entries: InFlightTable, onRecord: (record: TakenRecord) => void) {
    this.#codec = codec;
    this.#entries = entries;
    this.#onRecord = onRecord;
  }

  reply(askSlot: number, askGeneration: number, value: unknown): void {
    this.#codec.encode(value, undefined, "answer");
    this.#tell(RecordKind.REPLY, askSlot, askGeneration, true);
  }

  failure(kind: number, subject: number, generation: number, failure: Failure, entry = -1): void {
    encodeFailure(this.#codec, failure);
    this.#record.endpointGeneration = entry;
    this.#tell(kind, subject, generation, true);
  }

  /** Attachments make an answer a body, here as elsewhere. */
  takeBody(): Body | undefined {
    const body = this.#body;
    this.#body = undefined;
    return body;
  }

  report(kind: number, subject: number, generation = 0, detail = 0): void {
    this.#record.sender = detail;
    this.#tell(kind, subject, generation, false);
  }

  release(entry: number): void {
    this.#entries.free(entry);
  }

  #tell(kind: number, subject: number, generation: number, payload: boolean): void {
    const record = this.#record;
    const codec = this.#codec;
    record.kind = kind;
    record.askSlot = subject;
    record.askGeneration = generation;
    record.codec = payload ? codec.payloadCodec : 0;
    record.flags = 0;
    if (payload && codec.attachmentBytes > 0) {
      record.flags = RecordFlag.LARGE;
      record.sender = 0;
      this.#body = { ticket: 0, ...codec.takeBody() };
    }
    // The caller's own bytes may be shared memory, which nobody decodes.
    record.scratch = types.isSharedArrayBuffer(codec.bytes.buffer) ? codec.bytes.slice() : codec.bytes;
    record.payloadBytes = payload ? codec.length : 0;
    this.#onRecord(record);
  }
}
