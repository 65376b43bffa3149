/**
 * Tickets: bodies too large for their Inbox, or with attachments. They stay with loop 0 until the loop that took the
 * message asks for them, or lie in a body block, out of which it copies them itself.
 *
 * A ticket ends exactly once: pulled (the body went to its taker), gone (its ask ended first), ended by its taker (which
 * did not run the message, or has copied it out of its block), or freed with its endpoint, or with the loop that had
 * taken the message and died. Its bytes count against the endpoint's budget until then.
 */
import type { FreeBodyBlocks } from "../inbox/body-blocks.js";
import type { SpillBudget } from "../inbox/spill-queue.js";
import type { EncodedBody } from "../rpc/codec.js";

interface Ticket {
  readonly endpoint: number;
  /** Null: it is in `block`. */
  readonly body: EncodedBody | null;
  readonly block: number;
  readonly heldBytes: number;
  readonly budget: SpillBudget;
}

export class Tickets {
  readonly #blocks: FreeBodyBlocks;
  readonly #tickets = new Map<number, Ticket>();
  #next = 0;

  /** @param blocks to which the blocks of ended tickets go back. */
  constructor(blocks: FreeBodyBlocks) {
    this.#blocks = blocks;
  }

  get count(): number {
    return this.#tickets.size;
  }

  /** Keeps `body`, which nobody else may hold. */
  open(endpoint: number, body: EncodedBody, budget: SpillBudget): number {
    const heldBytes = body.attachments.reduce((sum, { byteLength }) => sum + byteLength, body.bytes.length);
    return this.#add({ endpoint, body, block: -1, heldBytes, budget });
  }

  /** For a body in `block`, which was claimed for it. */
  openBlock(endpoint: number, block: number, heldBytes: number, budget: SpillBudget): number {
    return this.#add({ endpoint, body: null, block, heldBytes, budget });
  }

  /** Ends a ticket and gives its body out; null when it has ended before, or its body is in a block. */
  end(id: number): EncodedBody | null {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined) return null;
    this.#tickets.delete(id);
    ticket.budget.remove(ticket.heldBytes);
    if (ticket.body === null) this.#blocks.release(ticket.block);
    return ticket.body;
  }

  endAllOf(endpoint: number): void {
    for (const [id, ticket] of this.#tickets) {
      if (ticket.endpoint === endpoint) this.end(id);
    }
  }

  #add(ticket: Ticket): number {
    const id = this.#next;
    this.#next = (this.#next + 1) | 0;
    ticket.budget.add(ticket.heldBytes);
    this.#tickets.set(id, ticket);
    return id;
  }
}
