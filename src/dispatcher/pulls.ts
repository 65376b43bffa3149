/** Messages that a loop has taken and whose bodies are on their way. Step 5 of the data flow, for large bodies. */
import { assert } from "../common/assert.js";
import { RecordKind, type TakenRecord } from "../inbox/record.js";
import type { TakeBody } from "./answers.js";
import type { AttachedEndpoint } from "./attached-endpoint.js";
import type { BodyOnPort } from "./loop-protocol.js";
import { senderOf } from "./remote-record.js";

/** What must be kept of the record, whose memory is used again. */
export interface Pull {
  readonly endpoint: AttachedEndpoint;
  readonly entry: number;
  readonly kind: number;
  readonly codec: number;
  readonly askSlot: number;
  readonly askGeneration: number;
  readonly deadline: number;
  readonly position: number;
  /** Who sent it, if it came from another node: see CallContext. */
  readonly sender: string | null;
  /** It does not count against its endpoint's concurrency. */
  readonly aside: boolean;
}

export class Pulls {
  readonly #takeBody: TakeBody;
  readonly #pulls = new Map<number, Pull>();

  constructor(takeBody: TakeBody) {
    this.#takeBody = takeBody;
  }

  begin(endpoint: AttachedEndpoint, record: TakenRecord, aside: boolean): void {
    const { entry, kind, codec, askSlot, askGeneration, deadline, position } = record;
    const sender = senderOf(record);
    const kept = { endpoint, entry, kind, codec, askSlot, askGeneration, deadline, position, sender, aside };
    this.#pulls.set(entry, kept);
  }

  /** Id of the endpoint whose message waits in this entry; 0 if there is none. */
  endpoint(entry: number): number {
    return this.#pulls.get(entry)?.endpoint.id ?? 0;
  }

  /** The body has come (BODY), or there is none because its ask has ended (GONE): then it is null. */
  end({ kind, askSlot: ticket, sender: entry }: TakenRecord): {
    readonly pull: Pull;
    readonly body: BodyOnPort | null;
  } {
    const pull = this.#pulls.get(entry);
    assert(pull !== undefined, "a body was sent for a message that waits for none");
    this.#pulls.delete(entry);
    if (kind === RecordKind.GONE) return { pull, body: null };
    const body = this.#takeBody(ticket);
    assert(body !== undefined && body.ticket === ticket, "bodies arrive in the order of their records");
    return { pull, body };
  }
}
