/** Asks message loops whether they turn. Main thread only. */
import type { Clock } from "../common/clock.js";
import { RecordKind } from "../inbox/record.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";

/** Posts a record without payload to a loop's mailbox. */
export type PostControl = (loop: HostedMessageLoop, kind: number, subject: number) => void;

export class LoopPings {
  readonly #clock: Clock;
  readonly #post: PostControl;
  readonly #open = new Map<number, () => void>();
  #next = 0;

  constructor(clock: Clock, post: PostControl) {
    this.#clock = clock;
    this.#post = post;
  }

  /** True once the loop has answered, false if it has not within `timeoutMs` milliseconds. */
  ping(loop: HostedMessageLoop, timeoutMs: number): Promise<boolean> {
    if (!loop.alive) return Promise.resolve(false);
    const ping = this.#next;
    this.#next = (this.#next + 1) | 0;
    return new Promise((resolve) => {
      const settle = (answered: boolean): void => {
        this.#clock.clearTimeout(timer);
        this.#open.delete(ping);
        resolve(answered);
      };
      const timer = this.#clock.setTimeout(() => settle(false), timeoutMs);
      this.#open.set(ping, () => settle(true));
      this.#post(loop, RecordKind.PING, ping);
    });
  }

  /** The answer of a ping has come. */
  onPong(ping: number): void {
    this.#open.get(ping)?.();
  }
}
