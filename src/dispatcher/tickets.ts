/**
 * Pull tickets: bodies too large for their Inbox stay with loop 0 until the loop that took the message asks for them.
 *
 * A ticket ends exactly once: pulled (the body went to its taker), gone (its ask ended first), dropped (its taker did
 * not run the message), or freed with its endpoint. Its bytes count against the endpoint's budget until then.
 */
import type { SpillBudget } from "../inbox/spill-queue.js";

export interface Ticket {
  readonly endpoint: number;
  readonly bytes: Uint8Array;
  readonly budget: SpillBudget;
}

/** Payload of a record whose body travels by ticket: the ticket and the body's length, for whoever reads a dump. */
export const TICKET_PAYLOAD_BYTES = 8;

export class Tickets {
  readonly #tickets = new Map<number, Ticket>();
  #next = 0;

  get count(): number {
    return this.#tickets.size;
  }

  /** Keeps `bytes`, which nobody else may hold. */
  open(endpoint: number, bytes: Uint8Array, budget: SpillBudget): number {
    const id = this.#next;
    this.#next = (this.#next + 1) | 0;
    budget.add(bytes.length);
    this.#tickets.set(id, { endpoint, bytes, budget });
    return id;
  }

  /** Ends a ticket and gives its body out; null when it has ended before. */
  end(id: number): Uint8Array | null {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined) return null;
    this.#tickets.delete(id);
    ticket.budget.remove(ticket.bytes.length);
    return ticket.bytes;
  }

  endAllOf(endpoint: number): void {
    for (const [id, ticket] of this.#tickets) {
      if (ticket.endpoint === endpoint) this.end(id);
    }
  }
}
