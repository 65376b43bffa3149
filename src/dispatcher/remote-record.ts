/**
 * How a message from another node lies in an Inbox: flag REMOTE, and behind the message its sender as text, `host:port`.
 * SENDER is the length of that text. With LARGE, SENDER is the ticket, as always, and the text stands behind the ticket.
 */
import { RecordFlag, type TakenRecord } from "../inbox/record.js";
import { TICKET_PAYLOAD_BYTES } from "./tickets.js";

const latin1Slice = Buffer.prototype.latin1Slice as (this: Uint8Array, start: number, end: number) => string;

/** Bytes of the message itself, of a record that is not LARGE. */
export function messageBytes(record: TakenRecord): number {
  return (record.flags & RecordFlag.REMOTE) === 0 ? record.payloadBytes : record.payloadBytes - record.sender;
}

/** Who sent a message from another node. */
export function senderOf(record: TakenRecord): string {
  const { scratch, payloadBytes } = record;
  const start = (record.flags & RecordFlag.LARGE) === 0 ? payloadBytes - record.sender : TICKET_PAYLOAD_BYTES;
  return latin1Slice.call(scratch, start, payloadBytes);
}
