/**
 * RequestTurns: requests whose work takes a while, and which their peers can ask for faster than it is done. Some are worked on
 * at once, fewer of one connection; the rest wait. All of them together, and those of one connection, hold so many bytes at most.
 *
 *     run ── no room ──► ERR_RPC_INBOX_FULL, the same request may be sent again later
 *      │
 *      ▼        a place is free           work has ended
 *   waiting ─────────────────► working ─────────────────► answered
 *      │ connection ends, close()  │ the same, and the work looks: `checkWanted`
 *      ▼                           ▼
 *   ERR_RPC_CONNECTION_LOST, ERR_RPC_ENV_STOPPED
 *
 * The requests of a connection come to their turn in their order; connections take turns, so that none waits for all that
 * another one has sent.
 */

import { REQUEST_ENTRY_BYTES } from "../common/block-limits.js";
import { RpcError } from "../common/errors.js";

export interface TurnBounds {
  /** Requests that are worked on at once. */
  readonly atOnceMax: number;
  /** ... of one connection. */
  readonly atOncePerConnectionMax: number;
  /** Bytes of those that wait and that are worked on. */
  readonly heldBytesMax: number;
  /** ... of one connection. */
  readonly heldBytesPerConnectionMax: number;
}

/** What is asked of a connection here: it is told apart from others, and it ends. */
export interface Asker {
  readonly isActive: boolean;
}

/** Throws ERR_RPC_CONNECTION_LOST when nobody waits for the answer any more, ERR_RPC_ENV_STOPPED after `close()`. */
export type CheckWanted = () => void;

interface Waiting {
  readonly start: () => void;
  readonly giveUp: (reason: RpcError) => void;
}

interface Line {
  readonly waiting: Waiting[];
  working: number;
  heldBytes: number;
}

export class RequestTurns {
  readonly #what: string;
  readonly #bounds: TurnBounds;
  /** Of connections that have a request here, who was served last at the end. */
  readonly #lines = new Map<Asker, Line>();
  #working = 0;
  #heldBytes = 0;
  #closed = false;

  /** @param what these requests are, in the texts of failures: "removals". */
  constructor(what: string, bounds: TurnBounds) {
    this.#what = what;
    this.#bounds = bounds;
  }

  /** Of the requests that wait and that are worked on. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Does the work of a request when its turn has come.
   * @param bytes that the request holds until it is answered; `REQUEST_ENTRY_BYTES` are counted besides.
   * @param work calls `checkWanted` between its steps.
   *
   * Rejects as `work`, and without having begun it with ERR_RPC_INBOX_FULL where there is no room, ERR_RPC_MESSAGE_TOO_LARGE where
   * there never is, ERR_RPC_CONNECTION_LOST and ERR_RPC_ENV_STOPPED.
   */
  async run<T>(asker: Asker, bytes: number, work: (checkWanted: CheckWanted) => Promise<T>): Promise<T> {
    const checkWanted = (): void => {
      if (this.#closed) throw this.#stopped();
      if (!asker.isActive) throw lost();
    };
    checkWanted();
    const held = bytes + REQUEST_ENTRY_BYTES;
    const line = this.#lines.get(asker) ?? { waiting: [], working: 0, heldBytes: 0 };
    this.#checkRoom(line, held);
    this.#lines.set(asker, line);
    line.heldBytes += held;
    this.#heldBytes += held;
    let began = false;
    try {
      await new Promise<void>((resolve, reject) => {
        const start = (): void => {
          began = true;
          resolve();
        };
        line.waiting.push({ start, giveUp: reject });
        this.#next();
      });
      checkWanted();
      return await work(checkWanted);
    } finally {
      line.heldBytes -= held;
      this.#heldBytes -= held;
      if (began) {
        line.working--;
        this.#working--;
      }
      if (line.heldBytes === 0) this.#lines.delete(asker);
      this.#next();
    }
  }

  /** A connection has ended: what waits of it is given up. What is worked on finds out by itself. */
  forget(asker: Asker): void {
    this.#giveUp(this.#lines.get(asker), lost);
  }

  /** What waits is given up, what is worked on finds out by itself; nothing more is taken. */
  close(): void {
    this.#closed = true;
    for (const line of this.#lines.values()) this.#giveUp(line, () => this.#stopped());
  }

  #checkRoom(line: Line, held: number): void {
    const { heldBytesMax, heldBytesPerConnectionMax: ofOneMax } = this.#bounds;
    if (held > ofOneMax) {
      const text = `a request is too long, of ${this.#what}: bytes=${held}, max=${ofOneMax}; ask for less in one`;
      throw new RpcError("ERR_RPC_MESSAGE_TOO_LARGE", text);
    }
    const ofOne = line.heldBytes + held;
    if (ofOne > ofOneMax) throw this.#full("of this connection", ofOne, ofOneMax);
    const ofAll = this.#heldBytes + held;
    if (ofAll > heldBytesMax) throw this.#full("of all connections", ofAll, heldBytesMax);
  }

  /** Begins what may be begun: the first of those whose connection was served longest ago. */
  #next(): void {
    const { atOnceMax, atOncePerConnectionMax } = this.#bounds;
    for (const [asker, line] of this.#lines) {
      if (this.#working >= atOnceMax) return;
      if (line.working >= atOncePerConnectionMax) continue;
      const first = line.waiting.shift();
      if (first === undefined) continue;
      line.working++;
      this.#working++;
      // To the end: the loop comes by again, and begins another one of it if there is still a place.
      this.#lines.delete(asker);
      this.#lines.set(asker, line);
      first.start();
    }
  }

  #giveUp(line: Line | undefined, reason: () => RpcError): void {
    for (const { giveUp } of line?.waiting.splice(0) ?? []) giveUp(reason());
  }

  #full(whose: string, bytes: number, max: number): RpcError {
    const text = `too many ${this.#what} ${whose} are under way: bytes=${bytes}, max=${max}; try again when some are answered`;
    return new RpcError("ERR_RPC_INBOX_FULL", text);
  }

  #stopped(): RpcError {
    return new RpcError("ERR_RPC_ENV_STOPPED", `the service is closing: no more ${this.#what} are done`);
  }
}

function lost(): RpcError {
  return new RpcError("ERR_RPC_CONNECTION_LOST", "whoever asked has gone");
}
