/**
 * Pull tickets: bodies too large for their Inbox, or with attachments, stay with loop 0 until the loop that took the
 * message asks for them.
 *
 * A ticket ends exactly once: pulled (the body went to its taker), gone (its ask ended first), dropped (its taker did
 * not run the message), or freed with its endpoint, or with the loop that had taken the message and died. Its bytes
 * count against the endpoint's budget until then.
 */
import type { SpillBudget } from "../inbox/spill-queue.js";
import type { EncodedBody } from "../rpc/codec.js";

interface Ticket {
  readonly endpoint: number;
  readonly body: EncodedBody;
  readonly heldBytes: number;
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

  /** Keeps `body`, which nobody else may hold. */
  open(endpoint: number, body: EncodedBody, budget: SpillBudget): number {
    const id = this.#next;
    this.#next = (this.#next + 1) | 0;
    const heldBytes = body.attachments.reduce((sum, { byteLength }) => sum + byteLength, body.bytes.length);
    budget.add(heldBytes);
    this.#tickets.set(id, { endpoint, body, heldBytes, budget });
    return id;
  }

  /** Ends a ticket and gives its body out; null when it has ended before. */
  end(id: number): EncodedBody | null {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined) return null;
    this.#tickets.delete(id);
    ticket.budget.remove(ticket.heldBytes);
    return ticket.body;
  }

  endAllOf(endpoint: number): void {
    for (const [id, ticket] of this.#tickets) {
      if (ticket.endpoint === endpoint) this.end(id);
    }
  }
}
