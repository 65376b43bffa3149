/**
 * Records: what travels in a ring. A record is taken one at a time into private memory (`TakenRecord`), never read in
 * place, because its bytes belong to the producer again as soon as HEAD has passed.
 */
import {
  RECORD_ASK_GENERATION,
  RECORD_ASK_SLOT,
  RECORD_DEADLINE,
  RECORD_ENDPOINT_GENERATION,
  RECORD_ENQUEUED_AT,
  RECORD_HEADER_UNITS,
  RECORD_HEADER_WORDS,
  RECORD_META,
  RECORD_PAYLOAD_BYTES,
  RECORD_SENDER,
  UNIT_BYTES,
} from "./layout.js";
import type { Segment } from "./segment.js";

/** Ids are frozen: new kinds get new numbers. */
export const RecordKind = {
  // 1 to 4 and 6 also come from a message loop to loop 0, when a handler of its own sends or asks. ASK_SLOT and
  // ASK_GENERATION are the loop's own then; SENDER: endpoint id as a hint, above it the length of the endpoint's name in
  // UTF-8, which follows the payload; ENDPOINT_GENERATION: that of the hint. LARGE: the payload is on the body port.

  /** One-way message of `send`; payload: the message. */
  SEND: 1,
  /** Message of `ask`; payload: the message. */
  ASK: 2,
  /** One-way service call of `cast`; payload: [method, ...inputs]. */
  CAST: 3,
  /** Service call of `call`; payload: [method, ...inputs]. */
  CALL: 4,
  /** The backlog's last record: nothing of the endpoint follows. */
  STOP: 5,
  /** One-way message for every replica. By mailbox; ASK_SLOT: endpoint id; payload: the message. */
  BROADCAST: 6,
  /** Network event. In an Inbox, or by mailbox with ASK_SLOT: endpoint id. Payload: [method, address, error]. */
  EVENT: 7,

  /** Loop to loop 0: the reply. Payload: the value. */
  REPLY: 16,
  /** Loop to loop 0: the ask failed. Payload: [code, text, cause]. */
  FAILURE: 17,
  /** Loop to loop 0: the deadline had passed when the message was taken; it never ran. No payload. */
  EXPIRED: 18,
  /**
   * Loop to loop 0: a one-way message failed. ASK_SLOT: endpoint id; ASK_GENERATION: position of its record;
   * ENDPOINT_GENERATION: its entry index, or -1 for what is no message, or for a message that came by mailbox -3 less
   * its entry index (-2: none was free). Payload: [code, text, cause].
   */
  SEND_FAILED: 19,
  /** Loop to loop 0: STOP was taken. ASK_SLOT: endpoint id. */
  STOP_TAKEN: 20,
  /** Loop to loop 0: no entry of the endpoint is left on this loop. ASK_SLOT: endpoint id. */
  QUIESCED: 21,
  /** Loop to loop 0: onStop has ended. ASK_SLOT: endpoint id. */
  STOPPED: 22,
  /** Loop to loop 0: send the body of this ticket. ASK_SLOT: ticket. SENDER: entry index. */
  PULL: 23,
  /** Loop to loop 0: who took the message of this ticket has dropped it, or copied it out of its block. ASK_SLOT: ticket. */
  TICKET_ENDED: 24,
  /** Loop to loop 0: tell when the endpoint has room. As a message without payload; answered like an ask. */
  READY: 26,
  /** Loop to loop 0: an ask of that loop was settled there. ASK_SLOT, ASK_GENERATION: the loop's; SENDER: AskEnd. */
  ASK_ENDED: 27,
  /** Loop to loop 0: stop that endpoint. As a message without payload; nobody waits. */
  STOP_REQUEST: 28,
  /** Loop to loop 0: shut the env down. SENDER: timeout in ms, 0 for the default. */
  SHUTDOWN_REQUEST: 29,

  /**
   * Loop to loop 0: a serial endpoint is suspended by a handler that does not end. ASK_SLOT: endpoint id;
   * SENDER: how long its asker has been gone, ms; ASK_GENERATION: 1 when a new instance of it could not be started.
   */
  STUCK: 30,
  /** Loop to loop 0: the loop turns. ASK_SLOT: as in the PING. */
  PONG: 31,

  // 16 to 18 also go from loop 0 to a mailbox: the answer to an ask of that loop. ASK_SLOT and ASK_GENERATION are the
  // loop's own. FAILURE without payload: the answer found no room. EXPIRED: SENDER is 1 if the message may have run.

  /** Loop to loop 0: objects with these keys are met often. Payload: the keys. */
  SUGGEST_STRUCTURE: 25,

  /** Loop 0 to a mailbox: the ask was cancelled. ASK_SLOT, ASK_GENERATION: the ask; SENDER: entry index. */
  CANCEL: 32,
  /** Loop 0 to a mailbox: answer QUIESCED when no entry of the endpoint is left. ASK_SLOT: endpoint id. */
  QUIESCE: 33,
  /** Loop 0 to a mailbox: run onStop. ASK_SLOT: endpoint id. */
  ON_STOP: 34,
  /** Loop 0 to a mailbox: a body was posted to the body port. ASK_SLOT: ticket; SENDER: entry index. */
  BODY: 35,
  /** Loop 0 to a mailbox: the ask of this ticket has ended, there is no body. ASK_SLOT: ticket; SENDER: entry index. */
  GONE: 36,
  /** Loop 0 to a mailbox: say that you turn. ASK_SLOT: which ping. */
  PING: 37,
  /** Loop 0 to a mailbox: a handler has had its time. ASK_SLOT: endpoint id; ASK_GENERATION: position; SENDER: entry. */
  EXPIRE: 38,
  /** Loop 0 to a mailbox: the endpoint has failed; drop what is still taken. ASK_SLOT: endpoint id. */
  ABANDON_ENDPOINT: 39,
} as const;

export const RecordFlag = {
  /** A 32-byte extension block follows the header. Reserved. */
  EXT: 1,
  /** SENDER is a ticket; the body travels by the body port. */
  LARGE: 2,
  /**
   * The other end is on another node, so the payload was written, or is to be written, for the network. Of a message in
   * an Inbox: its sender, whose address is the trailer. Of one that a loop sends: its target, whose place follows the name.
   */
  REMOTE: 4,
  /** Padding to the end of the lap. */
  PAD: 8,
  /** SENDER is a ticket; the payload says where the body is: number of the body block, length. */
  BLOCK: 16,
} as const;

/** Of messages with a ticket. */
export const TICKET_FLAGS = RecordFlag.LARGE | RecordFlag.BLOCK;

const KIND_MASK = 0xff;
const CODEC_SHIFT = 8;
const FLAGS_SHIFT = 16;

export function packMeta(kind: number, codec: number, flags: number): number {
  return kind | (codec << CODEC_SHIFT) | (flags << FLAGS_SHIFT);
}

export function metaKind(meta: number): number {
  return meta & KIND_MASK;
}

export function metaFlags(meta: number): number {
  return meta >>> FLAGS_SHIFT;
}

export const PAD_META = packMeta(0, 0, RecordFlag.PAD);

/** Length of a record in its ring, header and padding included. */
export function recordUnits(payloadBytes: number): number {
  return RECORD_HEADER_UNITS + Math.ceil(payloadBytes / UNIT_BYTES);
}

const NO_BYTES = new Uint8Array(0);

/** A record about to be written. Its owner keeps one and fills it anew for each message. */
export class OutgoingRecord {
  kind = 0;
  codec = 0;
  flags = 0;
  askSlot = -1;
  askGeneration = 0;
  deadline = 0;
  enqueuedAt = 0;
  sender = 0;
  endpointGeneration = 0;
  /** The payload is `bytes[0 .. length - trailer.length)`, and behind it the trailer. */
  bytes: Uint8Array = NO_BYTES;
  /** Whom the message is for, or from whom it is. Nobody writes to these bytes any more. */
  trailer: Uint8Array = NO_BYTES;
  /** Of both together. */
  length = 0;

  /** A record without payload. */
  setHeaderOnly(kind: number, askSlot: number, askGeneration = 0, sender = 0): this {
    this.kind = kind;
    this.codec = 0;
    this.flags = 0;
    this.askSlot = askSlot;
    this.askGeneration = askGeneration;
    this.deadline = 0;
    this.sender = sender;
    this.endpointGeneration = 0;
    this.bytes = NO_BYTES;
    this.trailer = NO_BYTES;
    this.length = 0;
    return this;
  }

  /** @param length of the payload without the trailer. */
  setPayload(codec: number, bytes: Uint8Array, length: number, trailer: Uint8Array = NO_BYTES): void {
    this.codec = codec;
    this.bytes = bytes;
    this.trailer = trailer;
    this.length = length + trailer.length;
  }
}

/** Payloads up to this many bytes are copied through views made once per sending thread. */
const VIEWED_BYTES_MAX = 4_096;
/** Up to this many bytes a loop over units beats a call of `set` on the way out of the ring. */
const LOOPED_UNITS_MAX = 20;

/**
 * Copies payloads into rings. Each sending thread owns one for its codec's scratch memory: for payloads in it, views of
 * every length in steps of 8 bytes are ready, which saves a subarray per message (1.2× of a whole ask, measured).
 */
export class PayloadWriter {
  readonly #scratch: Uint8Array;
  readonly #views: BigInt64Array[] = [];

  constructor(scratch: Uint8Array) {
    this.#scratch = scratch;
    const longs = new BigInt64Array(scratch.buffer, scratch.byteOffset, scratch.byteLength >> 3);
    const count = Math.min(VIEWED_BYTES_MAX / UNIT_BYTES, longs.length);
    for (let units = 0; units <= count; units++) this.#views.push(longs.subarray(0, units));
  }

  /** Writes header and payload of a claimed record. */
  write(segment: Segment, index: number, record: OutgoingRecord): void {
    const words = segment.words;
    words[index + RECORD_PAYLOAD_BYTES] = record.length;
    words[index + RECORD_META] = packMeta(record.kind, record.codec, record.flags);
    words[index + RECORD_ASK_SLOT] = record.askSlot;
    words[index + RECORD_ASK_GENERATION] = record.askGeneration;
    words[index + RECORD_DEADLINE] = record.deadline;
    words[index + RECORD_ENQUEUED_AT] = record.enqueuedAt;
    words[index + RECORD_SENDER] = record.sender;
    words[index + RECORD_ENDPOINT_GENERATION] = record.endpointGeneration;
    if (record.length === 0) return;
    const payload = index + RECORD_HEADER_WORDS;
    const { bytes, trailer } = record;
    const length = record.length - trailer.length;
    if (bytes === this.#scratch && length <= VIEWED_BYTES_MAX) {
      // Up to 7 bytes of older scratch content go along; nobody reads past the payload, or the trailer replaces them.
      segment.longs.set(this.#views[(length + 7) >> 3] as BigInt64Array, payload >> 1);
    } else if (length > 0) {
      segment.bytes.set(bytes.length === length ? bytes : bytes.subarray(0, length), payload * 4);
    }
    if (trailer.length > 0) segment.bytes.set(trailer, payload * 4 + length);
  }
}

/**
 * A taken record: header fields and a private copy of the payload, which stays valid until the next take by the same
 * owner. Each consuming thread owns one.
 */
export class TakenRecord {
  payloadBytes = 0;
  kind = 0;
  codec = 0;
  flags = 0;
  askSlot = -1;
  askGeneration = 0;
  deadline = 0;
  enqueuedAt = 0;
  sender = 0;
  endpointGeneration = 0;
  /** Where it lay in its ring. */
  position = 0;
  /** Index of its in-flight entry, or -1. */
  entry = -1;
  /** The payload is `scratch[0 .. payloadBytes)`. */
  scratch: Uint8Array;
  #longs: BigInt64Array;

  /** @param scratchBytes first size; it grows to the largest inline record met. */
  constructor(scratchBytes = 32_768) {
    this.#longs = new BigInt64Array(scratchBytes / UNIT_BYTES);
    this.scratch = new Uint8Array(this.#longs.buffer);
  }

  /** Copies the record at `index`. Plain reads: the load of TAIL that found the record ordered them. */
  copyFrom(segment: Segment, index: number): void {
    const words = segment.words;
    const payloadBytes = words[index + RECORD_PAYLOAD_BYTES] as number;
    const meta = words[index + RECORD_META] as number;
    this.payloadBytes = payloadBytes;
    this.kind = meta & KIND_MASK;
    this.codec = (meta >>> CODEC_SHIFT) & KIND_MASK;
    this.flags = metaFlags(meta);
    this.askSlot = words[index + RECORD_ASK_SLOT] as number;
    this.askGeneration = words[index + RECORD_ASK_GENERATION] as number;
    this.deadline = words[index + RECORD_DEADLINE] as number;
    this.enqueuedAt = words[index + RECORD_ENQUEUED_AT] as number;
    this.sender = words[index + RECORD_SENDER] as number;
    this.endpointGeneration = words[index + RECORD_ENDPOINT_GENERATION] as number;
    const units = (payloadBytes + 7) >> 3;
    if (units === 0) return;
    const from = (index + RECORD_HEADER_WORDS) >> 1;
    if (units > this.#longs.length) this.#grow(units);
    const to = this.#longs;
    if (units <= LOOPED_UNITS_MAX) {
      const longs = segment.longs;
      for (let i = 0; i < units; i++) to[i] = longs[from + i] as bigint;
    } else {
      to.set(segment.longs.subarray(from, from + units));
    }
  }

  #grow(units: number): void {
    this.#longs = new BigInt64Array(2 ** Math.ceil(Math.log2(units)));
    this.scratch = new Uint8Array(this.#longs.buffer);
  }
}
