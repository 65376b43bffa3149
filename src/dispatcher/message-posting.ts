/**
 * Puts encoded messages, loop 0's own and those it passes on, into Inboxes and mailboxes: inline, or behind a ticket when
 * they are too large for that. Step 3 of the data flow. Main thread only.
 */
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind } from "../inbox/record.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { LoopZero } from "./loop-zero.js";
import type { MessageLoops } from "./message-loops.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import { TICKET_PAYLOAD_BYTES, type Tickets } from "./tickets.js";

/** A payload as a codec has left it: `bytes[0 .. length)`. */
export interface Payload {
  readonly payloadCodec: number;
  readonly bytes: Uint8Array;
  readonly length: number;
}

export class MessagePosting {
  readonly #loops: MessageLoops;
  readonly #loopZero: LoopZero;
  readonly #asks: OutstandingAsks;
  readonly #tickets: Tickets;
  readonly #record = new OutgoingRecord();
  readonly #ticketPayload = new Uint8Array(TICKET_PAYLOAD_BYTES);

  constructor(loops: MessageLoops, loopZero: LoopZero, asks: OutstandingAsks, tickets: Tickets) {
    this.#loops = loops;
    this.#loopZero = loopZero;
    this.#asks = asks;
    this.#tickets = tickets;
  }

  /**
   * Posts into an endpoint's Inbox. The caller has filled the record, but for flags and the endpoint's generation.
   * @param owned the payload, where nobody else holds its memory; null: it lies in scratch memory.
   */
  post(endpoint: HostedEndpoint, record: OutgoingRecord, overflow: Overflow, owned: Uint8Array | null): PostResult {
    const producer = endpoint.producer;
    record.flags = 0;
    record.endpointGeneration = endpoint.generation;
    const result =
      record.length <= producer.inlinePayloadBytesMax
        ? producer.post(record, overflow)
        : this.#postLarge(endpoint, record, overflow, owned);
    if (result === PostResult.FULL) endpoint.rejected++;
    else endpoint.accepted++;
    if (result === PostResult.ACCEPTED) this.#loopZero.posted(producer);
    return result;
  }

  /** A message for every replica of an endpoint, by mailbox. Returns how many accepted it. */
  broadcast(endpoint: HostedEndpoint, payload: Payload, enqueuedAt: number): number {
    const accepted = this.aside(endpoint, RecordKind.BROADCAST, Overflow.SPILL, payload, enqueuedAt);
    endpoint.oneWays.accepted += accepted;
    endpoint.rejected += endpoint.loops.length - accepted;
    return accepted;
  }

  /** Posts to the mailbox of every live loop of an endpoint. */
  aside(
    endpoint: HostedEndpoint,
    kind: number,
    overflow: Overflow,
    { payloadCodec, bytes, length }: Payload,
    enqueuedAt: number,
  ): number {
    let accepted = 0;
    for (const index of endpoint.loops) {
      const loop = this.#loops.get(index);
      if (!loop.alive) continue;
      const record = this.#record.setHeaderOnly(kind, endpoint.id);
      record.enqueuedAt = enqueuedAt;
      record.endpointGeneration = endpoint.generation;
      let ticket = -1;
      if (length <= loop.mailbox.inlinePayloadBytesMax) {
        record.setPayload(payloadCodec, bytes, length);
      } else {
        if (!endpoint.budget.admits(length)) continue;
        // A copy for each replica: it is transferred to its taker as it is.
        ticket = this.#tickets.open(endpoint.id, bytes.slice(0, length), endpoint.budget);
        record.flags = RecordFlag.LARGE;
        record.sender = ticket;
        record.setPayload(payloadCodec, this.#ticketPayload, TICKET_PAYLOAD_BYTES);
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
    owned: Uint8Array | null,
  ): PostResult {
    if (!endpoint.budget.admits(record.length)) return PostResult.FULL;
    // The one copy that captures the caller's bytes; it is transferred to the taker as it is.
    const body = owned ?? record.bytes.slice(0, record.length);
    const ticket = this.#tickets.open(endpoint.id, body, endpoint.budget);
    record.flags = RecordFlag.LARGE;
    record.sender = ticket;
    record.setPayload(record.codec, this.#ticketPayload, TICKET_PAYLOAD_BYTES);
    const result = endpoint.producer.post(record, overflow);
    if (result === PostResult.FULL) this.#tickets.end(ticket);
    else if (record.askSlot !== -1) this.#asks.setTicket(record.askSlot, ticket);
    return result;
  }
}
