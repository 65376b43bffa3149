/**
 * Memory for frames that have not come whole, of all connections that a context has accepted. Nobody has asked for what
 * comes over those: beyond the bound the connection that holds most of it ends, whoever it was that passed it. What comes over
 * connections that were dialled was asked for, and is bounded by the longest frame that is read.
 */
import { protocolError } from "./frame-errors.js";

/** A connection. */
export interface FrameHolder {
  /** Ends it; it then says that it holds nothing. */
  fail(error: Error): void;
}

export class UnfinishedFrames {
  readonly #bytesMax: number;
  readonly #holders = new Map<FrameHolder, number>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes held, of all. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A connection holds so many bytes now. May end it, or others. */
  set(holder: FrameHolder, bytes: number): void {
    this.#put(holder, bytes);
    while (this.#bytes > this.#bytesMax) {
      const [largest, held] = this.#largest(holder);
      const all = `unfinishedBytes=${this.#bytes}, maxBytes=${this.#bytesMax}`;
      this.#put(largest, 0);
      largest.fail(
        protocolError(`unfinished frames of all connections hold too much, ${held} bytes of it here: ${all}`),
      );
    }
  }

  #put(holder: FrameHolder, bytes: number): void {
    this.#bytes += bytes - (this.#holders.get(holder) ?? 0);
    if (bytes === 0) this.#holders.delete(holder);
    else this.#holders.set(holder, bytes);
  }

  /** @param last who counts as larger than others of the same size: it came after them. */
  #largest(last: FrameHolder): [FrameHolder, number] {
    let largest = last;
    let held = this.#holders.get(last) ?? 0;
    for (const [holder, bytes] of this.#holders) {
      if (bytes <= held) continue;
      largest = holder;
      held = bytes;
    }
    return [largest, held];
  }
}
