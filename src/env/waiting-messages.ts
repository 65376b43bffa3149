/**
 * WaitingMessages: what an Outbox keeps until it can be written, first in first out. Step 3 of the data flow, for what
 * leaves the process.
 *
 * A message in the middle leaves when its ask has ended: its bytes are given up at once, its place when half of all places
 * are empty, so that a hundred thousand asks that end together cost each one step and not a search.
 *
 *     #entries   [taken … taken | head: waiting or empty … ]
 */
import type { Waiting } from "./outgoing-ask.js";
import type { OutgoingMessage } from "./outgoing-message.js";

/** The bytes that wait in all Outboxes of an env. */
export interface WaitingBytes {
  waitingBytes: number;
}

/** What a waiting message costs beside its bytes: its objects, of which the array's own is the largest. */
export const ENTRY_BYTES = 256;

/** A message that waits, with the address part of its envelope; its bytes are its own. */
export class WaitingMessage implements Waiting {
  readonly address: Uint8Array;
  readonly bytes: number;
  readonly #owner: WaitingMessages;
  /** null: its ask has ended. */
  message: OutgoingMessage | null;

  constructor(owner: WaitingMessages, address: Uint8Array, message: OutgoingMessage) {
    this.#owner = owner;
    this.address = address;
    this.message = message;
    this.bytes = costOf(message);
  }

  leave(): void {
    if (this.message === null) return;
    this.take();
    this.#owner.onGivenUp();
  }

  /** It is its turn. */
  take(): void {
    this.message = null;
    this.#owner.left(this.bytes);
  }
}

export class WaitingMessages {
  readonly #all: WaitingBytes;
  #entries: WaitingMessage[] = [];
  #head = 0;
  #count = 0;
  #bytes = 0;
  /** Told of each message that leaves before its turn. */
  readonly onGivenUp: () => void;

  /** @param all counts those of this one, too. */
  constructor(all: WaitingBytes, onGivenUp: () => void) {
    this.#all = all;
    this.onGivenUp = onGivenUp;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a copy of a message. */
  push(address: Uint8Array, message: OutgoingMessage): void {
    const bytes = new Uint8Array(message.length);
    bytes.set(message.bytes.subarray(0, message.length));
    const entry = new WaitingMessage(this, address, { ...message, bytes });
    if (message.ask !== null) message.ask.waiting = entry;
    this.#entries.push(entry);
    this.#count++;
    this.#account(entry.bytes);
  }

  /** The message that has waited longest; null: none waits. */
  first(): WaitingMessage | null {
    if (this.#count === 0) {
      this.#entries = [];
      this.#head = 0;
      return null;
    }
    while ((this.#entries[this.#head] as WaitingMessage).message === null) this.#head++;
    return this.#entries[this.#head] as WaitingMessage;
  }

  /** Takes out what `first` has given. */
  shift(): void {
    const entry = this.#entries[this.#head++] as WaitingMessage;
    const ask = entry.message?.ask ?? null;
    if (ask !== null) ask.waiting = null;
    entry.take();
  }

  /** One has left, wherever it stood. */
  left(bytes: number): void {
    this.#count--;
    this.#account(-bytes);
    if (this.#entries.length < 2 * this.#count + PLACES_KEPT) return;
    this.#entries = this.#entries.slice(this.#head).filter(({ message }) => message !== null);
    this.#head = 0;
  }

  #account(bytes: number): void {
    this.#bytes += bytes;
    this.#all.waitingBytes += bytes;
  }
}

/** Fewer are not worth the copy. */
const PLACES_KEPT = 64;

export function costOf({ length }: Pick<OutgoingMessage, "length">): number {
  return length + ENTRY_BYTES;
}
