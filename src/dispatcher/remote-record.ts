/**
 * How a message from another node lies in an Inbox: flag REMOTE, and behind the message its sender as text, `host:port`.
 * SENDER is the length of that text. Of a body with a ticket SENDER is the ticket, as always, and the text is the payload,
 * or stands behind the name of the body's block.
 */
import { blockNameBytes } from "../inbox/body-blocks.js";
import { RecordFlag, type TakenRecord, TICKET_FLAGS } from "../inbox/record.js";

const latin1Slice = Buffer.prototype.latin1Slice as (this: Uint8Array, start: number, end: number) => string;

/** Bytes of the message itself, of a record without a ticket. */
export function messageBytes(record: TakenRecord): number {
  return (record.flags & RecordFlag.REMOTE) === 0 ? record.payloadBytes : record.payloadBytes - record.sender;
}

/** Who sent a message from another node; null for any other message. */
export function senderOf(record: TakenRecord): string | null {
  const { scratch, payloadBytes, flags, sender } = record;
  if ((flags & RecordFlag.REMOTE) === 0) return null;
  let start = payloadBytes - sender;
  if ((flags & TICKET_FLAGS) !== 0) start = (flags & RecordFlag.BLOCK) === 0 ? 0 : blockNameBytes(record);
  return textOf(scratch, start, payloadBytes);
}

/** Most messages of a thread come from few senders: the last one's text is made once. */
const lastBytes = new Uint8Array(64);
let lastLength = -1;
let lastText = "";

function textOf(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  if (length === lastLength) {
    let same = 0;
    while (same < length && bytes[start + same] === lastBytes[same]) same++;
    if (same === length) return lastText;
  }
  const text = latin1Slice.call(bytes, start, end);
  if (length <= lastBytes.length) {
    lastBytes.set(bytes.subarray(start, end));
    lastLength = length;
    lastText = text;
  }
  return text;
}
