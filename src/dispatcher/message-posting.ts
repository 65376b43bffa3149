/**
 * Puts encoded messages, loop 0's own and those it passes on, into Inboxes and mailboxes: inline, or behind a ticket when
 * they are too large for that. Step 3 of the data flow. Main thread only.
 */
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind } from "../inbox/record.js";
import type { EncodedBody } from "../rpc/codec.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { Body } from "./loop-protocol.js";
import type { LoopZero } from "./loop-zero.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { Tickets } from "./tickets.js";

/** The payload of a record whose body travels by ticket. */
const NO_BYTES = new Uint8Array(0);
/** Sender of a message of this env. */
const OURSELVES = NO_BYTES;

/** A payload as a codec has left it: `bytes[0 .. length)`, and attachments beside it. */
export interface Payload {
  readonly payloadCodec: number;
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly attachmentBytes: number;
  /** All of it in memory of its own; called once, when nothing can refuse the message any more. */
  takeBody(): EncodedBody;
  /** Some of it is in memory that can be moved. */
  readonly moves: boolean;
  /** Payload and attachments where they lie, to be copied at once; instead of `takeBody`, if nothing moves. */
  viewBody(): Uint8Array[];
}

/** The payload of a record that another loop wrote: in scratch memory, or a body that nobody else holds. */
export function receivedPayload(payloadCodec: number, bytes: Uint8Array, length: number, body: Body | null): Payload {
  const attachmentBytes = body === null ? 0 : body.attachments.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const takeBody = (): EncodedBody =>
    body === null
      ? { bytes: new Uint8Array(bytes.subarray(0, length)), attachments: [] }
      : { bytes: body.bytes, attachments: body.attachments };
  const viewBody = (): Uint8Array[] => [bytes.subarray(0, length)];
  return { payloadCodec, bytes, length, attachmentBytes, takeBody, moves: body !== null, viewBody };
}

function copyOf({ bytes, attachments }: EncodedBody): EncodedBody {
  return { bytes: bytes.slice(), attachments: attachments.map((attachment) => attachment.slice(0)) };
}

export class MessagePosting {
  readonly #memory: MainLoopMemory;
  readonly #loops: MessageLoops;
  readonly #loopZero: LoopZero;
  readonly #asks: OutstandingAsks;
  readonly #tickets: Tickets;
  readonly #record = new OutgoingRecord();

  constructor(
    memory: MainLoopMemory,
    loops: MessageLoops,
    loopZero: LoopZero,
    asks: OutstandingAsks,
    tickets: Tickets,
  ) {
    this.#memory = memory;
    this.#loops = loops;
    this.#loopZero = loopZero;
    this.#asks = asks;
    this.#tickets = tickets;
  }

  /**
   * Posts into an endpoint's Inbox. The caller has filled the record, but for payload, flags and endpoint generation.
   * @param sender of a message from another node, as text; else empty.
   */
  post(
    endpoint: HostedEndpoint,
    record: OutgoingRecord,
    overflow: Overflow,
    payload: Payload,
    sender: Uint8Array = OURSELVES,
  ): PostResult {
    const producer = endpoint.producer;
    const { length } = payload;
    record.flags = 0;
    record.endpointGeneration = endpoint.generation;
    if (sender.length > 0) {
      record.flags = RecordFlag.REMOTE;
      record.sender = sender.length;
    }
    let result: PostResult;
    if (length + sender.length <= producer.inlinePayloadBytesMax && payload.attachmentBytes === 0) {
      record.setPayload(payload.payloadCodec, payload.bytes, length, sender);
      result = producer.post(record, overflow);
    } else {
      result = this.#postLarge(endpoint, record, overflow, payload, sender);
    }
    if (result === PostResult.FULL) endpoint.rejected++;
    else endpoint.accepted++;
    if (result === PostResult.ACCEPTED) this.#loopZero.posted(producer);
    return result;
  }

  /** A message for every replica of an endpoint, by mailbox. Returns how many accepted it. `sender`: as in `post`. */
  broadcast(endpoint: HostedEndpoint, payload: Payload, enqueuedAt: number, sender: Uint8Array = OURSELVES): number {
    const accepted = this.aside(endpoint, RecordKind.BROADCAST, Overflow.SPILL, payload, enqueuedAt, sender);
    endpoint.oneWays.accepted += accepted;
    endpoint.rejected += endpoint.loops.length - accepted;
    return accepted;
  }

  /** Posts to the mailbox of every live loop of an endpoint. */
  aside(
    endpoint: HostedEndpoint,
    kind: number,
    overflow: Overflow,
    payload: Payload,
    enqueuedAt: number,
    sender: Uint8Array = OURSELVES,
  ): number {
    const { payloadCodec, bytes, length, attachmentBytes } = payload;
    let body: EncodedBody | null = null;
    let accepted = 0;
    for (const index of endpoint.loops) {
      const loop = this.#loops.get(index);
      if (!loop.alive) continue;
      const record = this.#record.setHeaderOnly(kind, endpoint.id);
      record.enqueuedAt = enqueuedAt;
      record.endpointGeneration = endpoint.generation;
      if (sender.length > 0) record.flags = RecordFlag.REMOTE;
      record.sender = sender.length;
      let ticket = -1;
      if (length + sender.length <= loop.mailbox.inlinePayloadBytesMax && attachmentBytes === 0) {
        record.setPayload(payloadCodec, bytes, length, sender);
      } else {
        if (!endpoint.budget.admits(length + attachmentBytes)) continue;
        body ??= payload.takeBody();
        // A copy for each replica: it is transferred to its taker as it is.
        ticket = this.#tickets.open(endpoint.id, copyOf(body), endpoint.budget);
        record.flags |= RecordFlag.LARGE;
        record.sender = ticket;
        record.setPayload(payloadCodec, NO_BYTES, 0, sender);
      }
      if (loop.mailbox.post(record, overflow) === PostResult.FULL) {
        if (ticket !== -1) this.#tickets.end(ticket);
        continue;
      }
      this.#loopZero.posted(loop.mailbox);
      accepted++;
    }
    return accepted;
  }

  #postLarge(
    endpoint: HostedEndpoint,
    record: OutgoingRecord,
    overflow: Overflow,
    payload: Payload,
    sender: Uint8Array,
  ): PostResult {
    if (!endpoint.budget.admits(payload.length + payload.attachmentBytes)) return PostResult.FULL;
    // What is refused must still have its buffers, so room is looked for before they are moved.
    if (overflow === Overflow.REFUSE && !endpoint.producer.hasRoom()) return PostResult.FULL;
    const ticket = this.#capture(endpoint, record, payload, sender);
    const result = endpoint.producer.post(record, overflow);
    if (result === PostResult.FULL) this.#tickets.end(ticket);
    // A block is not given back while a loop may be reading it, whatever becomes of the ask.
    else if ((record.flags & RecordFlag.LARGE) !== 0 && record.askSlot !== -1) {
      this.#asks.setTicket(record.askSlot, ticket);
    }
    return result;
  }

  /** Makes the one copy of the caller's bytes: in a block, or to be transferred to the taker as it is. */
  #capture(endpoint: HostedEndpoint, record: OutgoingRecord, payload: Payload, sender: Uint8Array): number {
    record.setPayload(payload.payloadCodec, NO_BYTES, 0, sender);
    // Loop 0 hands itself what it has without a further copy.
    const parts = payload.moves || endpoint.loops[0] === 0 ? null : payload.viewBody();
    const block = parts === null ? -1 : this.#memory.freeBlocks.claim(parts);
    if (parts === null || block === -1) {
      record.flags |= RecordFlag.LARGE;
      record.sender = this.#tickets.open(endpoint.id, payload.takeBody(), endpoint.budget);
    } else {
      record.flags |= RecordFlag.BLOCK;
      this.#memory.blocks.write(block, parts, record, sender);
      record.sender = this.#tickets.openBlock(
        endpoint.id,
        block,
        payload.length + payload.attachmentBytes,
        endpoint.budget,
      );
    }
    return record.sender;
  }
}
