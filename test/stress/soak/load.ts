/**
 * The load: actors that each do one random thing after another to the endpoints of an env, and tell the ledger. Every
 * choice is made by the seed; only what the threads make of it differs from run to run.
 */
import type { RpcEndpointRef, RpcEnv, RpcUntyped, RpcWithOptions } from "ringpost";
import type { Random } from "../../fixtures/random.js";
import { AbortedOnPurpose, type EndpointBook, type Ledger } from "./ledger.js";
import { IDS_MAX } from "./marks.js";
import { pause } from "./pause.js";
import type { SoakAsk, SoakRef, SoakSend } from "./soak-endpoint.js";

/** An endpoint under load. */
export interface Target {
  readonly ref: SoakRef;
  readonly book: EndpointBook;
  /** A service: it is called and cast to. */
  readonly isService: boolean;
  /** Its handlers may end their thread, and hold it. */
  readonly onWorker: boolean;
}

export interface LoadOptions {
  readonly env: RpcEnv;
  readonly random: Random;
  readonly ledger: Ledger;
  /** Changes when an endpoint is replaced. */
  readonly targets: readonly Target[];
  /** The endpoint that relays and forwards to others; null: none does. */
  readonly hub: string | null;
  readonly spokes: readonly string[];
  readonly broadcasts: boolean;
}

const TIMEOUT_MS = 20_000;
const OPEN_ASKS_MAX = 600;

export class Load {
  readonly #options: LoadOptions;
  readonly #random: Random;
  readonly #material: Uint8Array<ArrayBuffer>;
  #nextId = 0;
  #running = false;
  #actors: Promise<void>[] = [];
  broadcastsAccepted = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = options.random;
    this.#material = Uint8Array.from({ length: 2_000_000 }, (_, index) => (index * 31 + (index >> 8)) & 255);
  }

  /** Ids given out since the last `reset`. */
  get idCount(): number {
    return this.#nextId;
  }

  start(actors: number): void {
    this.#running = true;
    this.#actors = Array.from({ length: actors }, () => this.#act());
  }

  /** Resolves when every actor has ended what it was doing; asks may still be open. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#actors);
  }

  /** At quiescence. */
  reset(): void {
    this.#nextId = 0;
  }

  async #act(): Promise<void> {
    while (this.#running) {
      try {
        await this.#one();
      } catch (error) {
        this.#options.ledger.violate(`an actor failed: ${error instanceof Error ? error.stack : String(error)}`);
      }
      while (this.#running && this.#options.ledger.openAsks > OPEN_ASKS_MAX) await pause(1);
    }
  }

  async #one(): Promise<void> {
    const target = this.#pick(this.#options.targets);
    const chance = this.#random.next() * 100;
    if (chance < 30) await this.#echoes(target);
    else if (chance < 38) await this.#large(target);
    else if (chance < 48) this.#aborted(target);
    else if (chance < 56) this.#timed(target);
    else if (chance < 62) this.#ask(target, { op: "throw" });
    else if (chance < 66) this.#ask(target, { op: "defer", value: 7 }, {}, (value) => value === 7);
    else if (chance < 88) await this.#sends(target);
    else if (chance < 94) await this.#relays();
    else if (chance < 96) await this.#forwards();
    else if (chance < 97) this.#broadcast(target);
    else await pause(1);
  }

  /** A burst, awaited as a whole, or one by one. */
  async #echoes(target: Target): Promise<void> {
    const count = this.#random.logarithmic(1, 64);
    const together = this.#random.next() < 0.8;
    const asks: Promise<void>[] = [];
    for (let n = 0; n < count; n++) {
      const value = { n, text: "x".repeat(this.#random.logarithmic(1, 600)) };
      const same = (back: unknown): boolean =>
        (back as typeof value).n === n && (back as typeof value).text === value.text;
      const later = this.#random.next() < 0.2;
      const message: SoakAsk = later ? { op: "later", value, ms: this.#random.integer(0, 5) } : { op: "echo", value };
      const ask = this.#ask(target, message, {}, same);
      if (together) asks.push(ask);
      else await ask;
    }
    await Promise.all(asks);
  }

  /** Copied, or moved. */
  async #large(target: Target): Promise<void> {
    const bytes = this.#bytes(this.#random.logarithmic(400, 1_500_000));
    const moved = this.#random.next() < 0.3 ? bytes.slice() : null;
    const message: SoakAsk = { op: "echo", value: { bytes: moved ?? bytes, length: bytes.length } };
    await this.#ask(target, message, moved === null ? {} : { transfer: [moved.buffer] }, (back) => {
      const { bytes: same, length } = back as { bytes: Uint8Array; length: number };
      return length === bytes.length && Buffer.compare(same, bytes) === 0;
    });
  }

  /** Given up in the queue, on the way, while it runs, or too late. */
  #aborted(target: Target): void {
    const controller = new AbortController();
    const message: SoakAsk =
      this.#random.next() < 0.5
        ? { op: "never" }
        : { op: "echo", value: this.#bytes(this.#random.logarithmic(1, 100_000)) };
    void this.#ask(target, message, { signal: controller.signal });
    const abort = (): void => controller.abort(new AbortedOnPurpose("aborted by the load"));
    if (this.#random.next() < 0.3) queueMicrotask(abort);
    else setTimeout(abort, this.#random.integer(0, 10));
  }

  #timed(target: Target): void {
    const timeoutMs = this.#random.integer(1, 100);
    const chance = this.#random.next();
    const ms = this.#random.integer(0, 20);
    if (chance < 0.4) void this.#ask(target, { op: "never" }, { timeoutMs });
    else if (chance < 0.8 || !target.onWorker)
      void this.#ask(target, { op: "later", value: 1, ms: ms * 4 }, { timeoutMs });
    else void this.#ask(target, { op: "spin", ms }, { timeoutMs });
  }

  async #sends({ ref, book, isService }: Target): Promise<void> {
    const { ledger } = this.#options;
    const count = this.#random.logarithmic(1, 200);
    for (let n = 0; n < count && this.#nextId < IDS_MAX; n++) {
      const chance = this.#random.next();
      const op = chance < 0.02 ? "throw" : chance < 0.3 ? "markLater" : "mark";
      const length = this.#random.next() < 0.02 ? this.#random.logarithmic(500, 200_000) : this.#random.integer(0, 60);
      const id = this.#nextId++;
      const message: SoakSend = { id, op, bytes: this.#bytes(length) };
      ledger.sending = true;
      const accepted = isService ? ref.cast.take!(message) : ref.send(message);
      ledger.sending = false;
      if (accepted) {
        book.sends.accepted++;
        book.sends.ids.push(id);
      } else if (!(await this.#isReady(ref))) return;
    }
  }

  /** False: it will take nothing soon, or never. */
  async #isReady(ref: RpcEndpointRef<RpcUntyped>): Promise<boolean> {
    try {
      await ref.ready({ timeoutMs: 2_000 });
      return true;
    } catch {
      return false;
    }
  }

  /** From worker to worker: each asks the next, by the references in its message. */
  async #relays(): Promise<void> {
    const { hub, spokes } = this.#options;
    if (hub === null) return;
    const value = this.#random.integer(0, 1_000_000);
    // In their order, each at most once: serial endpoints that ask each other in a circle wait for themselves.
    const chosen = spokes.filter(() => this.#random.next() < 0.6);
    const refs = (chosen.length === 0 ? spokes.slice(0, 1) : chosen).map((name) => this.#named(name).ref);
    const message: SoakAsk = { op: "relay", refs, message: { op: "echo", value } };
    await this.#ask(this.#named(hub), message, {}, (back) => back === value);
  }

  async #forwards(): Promise<void> {
    const { hub, spokes } = this.#options;
    if (hub === null) return;
    const spoke = this.#named(this.#pick(spokes));
    const ids = Array.from({ length: this.#random.logarithmic(1, 50) }, () => this.#nextId++);
    if (this.#nextId > IDS_MAX - 1_000) return;
    spoke.book.sends.forwardedIds.push(...ids);
    await this.#ask(this.#named(hub), { op: "forward", ref: spoke.ref, ids });
  }

  #broadcast({ ref, book, isService }: Target): void {
    if (!this.#options.broadcasts || isService || book.audit === "exact") return;
    this.broadcastsAccepted += ref.broadcast({ id: 0, op: "none" } satisfies SoakSend);
  }

  #ask(
    { ref, book, isService }: Target,
    message: SoakAsk,
    options: RpcWithOptions = {},
    check: (value: unknown) => boolean = () => true,
  ): Promise<void> {
    const calls = ref.with({ timeoutMs: TIMEOUT_MS, ...options });
    return this.#options.ledger.follow(book, isService ? calls.call.answer!(message) : calls.ask(message), check);
  }

  #bytes(length: number): Uint8Array<ArrayBuffer> {
    const offset = this.#random.integer(0, this.#material.length - length);
    return this.#material.slice(offset, offset + length);
  }

  #named(name: string): Target {
    return this.#options.targets.find(({ book }) => book.name === name) as Target;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.integer(0, from.length - 1)] as T;
  }
}
