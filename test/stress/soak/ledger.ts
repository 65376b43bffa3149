/**
 * The program's own books, kept beside those of the engine: every ask and every one-way message that it sent, and what
 * became of it. Compared at quiescence, when nothing is open.
 */
import { isRpcError, type RpcDeadLetter, type RpcEndpointStats, type RpcError, type RpcErrorCode } from "ringpost";
import { readMark } from "./marks.js";

export class AbortedOnPurpose extends Error {}

/** Asks of one endpoint, by outcome. */
export interface AskBook {
  sent: number;
  replied: number;
  timedOut: number;
  aborted: number;
  /** Every other error. */
  failed: number;
}

/** One-way messages of one endpoint that the program sent. */
export interface SendBook {
  accepted: number;
  /** Told by dead letters: the handler threw. */
  failed: number;
  /** Told by dead letters: accepted and not handled. */
  lost: number;
  /** Ids accepted. */
  ids: number[];
  /** Messages that handlers of other endpoints sent it; a crash may take their number along. */
  forwardedIds: number[];
  /** What `failed` and `lost` were together when the ids began anew. */
  excusedBefore: number;
}

/** Errors that an ask may end with because of a crash, a stop or a full queue. */
const ALLOWED: readonly RpcErrorCode[] = [
  "ERR_RPC_HANDLER",
  "ERR_RPC_TIMEOUT",
  "ERR_RPC_WORKER_CRASHED",
  "ERR_RPC_NO_REPLY",
  "ERR_RPC_ENDPOINT_NOT_FOUND",
  "ERR_RPC_ENDPOINT_FAILED",
  "ERR_RPC_INBOX_FULL",
];

/**
 * exact: only the program talks to it. at least: handlers of other endpoints do, too. sums: it is stopped and set up
 * again meanwhile, so that the engine's counts begin anew.
 */
export type AuditLevel = "exact" | "at least" | "sums";

export class EndpointBook {
  readonly name: string;
  readonly asks: AskBook = { sent: 0, replied: 0, timedOut: 0, aborted: 0, failed: 0 };
  readonly sends: SendBook = { accepted: 0, failed: 0, lost: 0, ids: [], forwardedIds: [], excusedBefore: 0 };
  /** How far the engine's counts must agree with the program's. */
  readonly audit: AuditLevel;

  constructor(name: string, audit: AuditLevel) {
    this.name = name;
    this.audit = audit;
  }
}

export class Ledger {
  readonly violations: string[] = [];
  /** Outcomes of all asks by code, for the summary. */
  readonly codes = new Map<string, number>();
  openAsks = 0;
  settledAsks = 0;
  /** Dead letters that are told while `send` runs are refusals, not losses. */
  sending = false;

  violate(text: string): void {
    if (this.violations.length < 50) this.violations.push(text);
    console.log(`VIOLATION ${text}`);
  }

  /** Follows an ask to its end. `check` judges the reply. */
  async follow(book: EndpointBook, ask: Promise<unknown>, check: (value: unknown) => boolean): Promise<void> {
    const { asks } = book;
    asks.sent++;
    this.openAsks++;
    try {
      const value = await ask;
      asks.replied++;
      this.#count("replied");
      if (!check(value)) this.violate(`${book.name}: a reply is not that of its ask: ${describe(value)}`);
    } catch (error) {
      this.#failed(book, error);
    } finally {
      this.openAsks--;
      this.settledAsks++;
    }
  }

  deadLetter(books: ReadonlyMap<string, EndpointBook>, { endpoint, reason, count }: RpcDeadLetter): void {
    if (this.sending) return;
    this.#count(`dead letter ${reason}`, count);
    const book = books.get(endpoint);
    if (book === undefined) return;
    if (reason === "ERR_RPC_HANDLER") book.sends.failed += count;
    else book.sends.lost += count;
  }

  /** Nothing of this endpoint is open. Compares the program's books, the engine's, and what handlers have marked. */
  audit(book: EndpointBook, stats: RpcEndpointStats): void {
    const { asks, oneWays } = stats;
    const engine = JSON.stringify({ asks, oneWays });
    const own = JSON.stringify({ asks: book.asks, sends: { ...book.sends, ids: 0, forwardedIds: 0 } });
    const wrong = (what: string): void => this.violate(`${book.name}: ${what}; engine ${engine}, program ${own}`);
    const settled = asks.replied + asks.failed + asks.timedOut + asks.aborted + asks.rejected;
    if (asks.sent !== settled) wrong(`asks sent ≠ settled (${asks.sent} ≠ ${settled})`);
    const ended = oneWays.handled + oneWays.failed + oneWays.deadLettered;
    if (oneWays.accepted !== ended) wrong(`one-ways accepted ≠ ended (${oneWays.accepted} ≠ ${ended})`);
    // One that has failed answers fast, and is not asked to count.
    if (book.audit === "sums" || stats.state === "failed") return;
    if (book.audit === "at least") {
      if (asks.replied < book.asks.replied || oneWays.accepted < book.sends.accepted) wrong("the engine counts less");
    } else {
      if (asks.replied !== book.asks.replied) wrong("replied differs");
      if (asks.timedOut !== book.asks.timedOut) wrong("timed out differs");
      if (asks.aborted !== book.asks.aborted) wrong("aborted differs");
      if (asks.failed + asks.rejected !== book.asks.failed) wrong("failed and rejected differ");
      if (oneWays.accepted !== book.sends.accepted) wrong("accepted differs");
      if (oneWays.failed !== book.sends.failed) wrong("failed one-ways differ");
      if (oneWays.deadLettered !== book.sends.lost) wrong("dead letters differ");
    }
  }

  /** The ids of a round: none ran twice, and as many did not end as the engine says. Returns how many ran. */
  auditMarks(book: EndpointBook): number {
    let [began, unaccounted] = [0, 0];
    for (const id of [...book.sends.ids, ...book.sends.forwardedIds]) {
      const mark = readMark(id);
      if (mark.began > 1 || mark.ended > 1) this.violate(`${book.name}: message ${id} was handled ${mark.began} times`);
      began += mark.began;
    }
    for (const id of book.sends.ids) if (readMark(id).ended === 0) unaccounted++;
    // What was lost may have ended: its thread died before it could be counted. What never ended must be accounted for.
    const excused = book.sends.failed + book.sends.lost - book.sends.excusedBefore;
    if (unaccounted > excused) {
      this.violate(`${book.name}: ${unaccounted} messages never ended, ${excused} are accounted for`);
    }
    return began;
  }

  /** After the audit: ids begin anew. */
  closeRound({ sends }: EndpointBook): void {
    sends.ids = [];
    sends.forwardedIds = [];
    sends.excusedBefore = sends.failed + sends.lost;
  }

  #failed(book: EndpointBook, error: unknown): void {
    const { asks } = book;
    if (error instanceof AbortedOnPurpose) {
      asks.aborted++;
      this.#count("aborted");
      return;
    }
    if (isRpcError(error, "ERR_RPC_TIMEOUT")) asks.timedOut++;
    else asks.failed++;
    // What waits for one that is just set up again ends with the thread it was starting on.
    const failedStart = book.audit === "sums" && isRpcError(error, "ERR_RPC_ENDPOINT_START");
    if (failedStart || isRpcError(error, ...ALLOWED)) this.#count((error as RpcError).code);
    else this.violate(`${book.name}: an ask failed with ${describe(error)}`);
  }

  #count(what: string, count = 1): void {
    this.codes.set(what, (this.codes.get(what) ?? 0) + count);
  }
}

function describe(value: unknown): string {
  return value instanceof Error ? (value.stack ?? String(value)) : JSON.stringify(value)?.slice(0, 200);
}
