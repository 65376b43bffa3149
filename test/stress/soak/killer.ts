/** Ends worker threads at random moments, in every way a thread can end. */
import type { Worker } from "node:worker_threads";
import type { Random } from "../../fixtures/random.js";
import type { Ledger } from "./ledger.js";
import type { Target } from "./load.js";
import type { SoakAsk } from "./soak-endpoint.js";

/** Threads of this process. Node tells of each new one. */
const workers = new Set<Worker>();
process.on("worker", (worker: Worker) => {
  workers.add(worker);
  worker.once("exit", () => workers.delete(worker));
});

export class Killer {
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  kills = 0;

  /**
   * @param everyMs milliseconds between two kills, on average. 3,000 are too many for an endpoint to be given up, which
   * takes five crashes in ten seconds; 300 are not.
   */
  constructor(random: Random, ledger: Ledger, everyMs: number) {
    this.#random = random;
    this.#ledger = ledger;
    this.#everyMs = everyMs;
  }

  /** Until `stop`. */
  start(targets: readonly Target[]): void {
    const victims = targets.filter(({ onWorker, isService }) => onWorker && !isService);
    const next = (): void => {
      this.#timer = setTimeout(
        () => {
          this.#kill(victims);
          next();
        },
        this.#random.integer(this.#everyMs / 2, this.#everyMs * 1.5),
      );
    };
    next();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #kill(victims: readonly Target[]): void {
    this.kills++;
    const victim = victims[this.#random.integer(0, victims.length - 1)];
    const way = this.#random.integer(0, 4);
    if (way === 0 || victim === undefined) {
      const all = [...workers];
      void all[this.#random.integer(0, all.length - 1)]?.terminate();
      return;
    }
    const messages: SoakAsk[] = [
      { op: "exit", code: 0 },
      { op: "exit", code: 7 },
      { op: "throwOutside" },
      { op: "rejectUnhandled" },
    ];
    const message = messages[way - 1] as SoakAsk;
    const neverAnswers = (): boolean => false;
    void this.#ledger.follow(victim.book, victim.ref.ask(message, { timeoutMs: 20_000 }), neverAnswers);
  }
}
