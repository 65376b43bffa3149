/**
 * Goal: whatever order messages, connections, failures and those who give up come in, an Outbox sends what it has accepted
 * in that order, once; tells everybody whose message it does not send, once; and its account of what waits is right.
 * Method: fast-check: random steps against a model of one list, real Outboxes over a connection that only keeps what is
 * written. The seed stands in the test's name; SEED=<n> runs it again.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RpcError } from "../../dist/src/common/errors.js";
import { RefTarget } from "../../dist/src/dispatcher/ref-poster.js";
import { Outboxes } from "../../dist/src/env/outboxes.js";
import { PeerConnection } from "../../dist/src/env/peer-connection.js";
import { RecordKind } from "../../dist/src/inbox/record.js";
import type { TransportClient } from "../../dist/src/network/transport-client.js";
import { PayloadCodec } from "../../dist/src/rpc/codec.js";
import { ASKS_MAX, RecordingAsk, RecordingClient } from "../fixtures/recording-client.js";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const PLACE = "127.0.0.1:4000";
const WAITING_BYTES_MAX = 4_000;
/** What a waiting message counts beside its bytes: waiting-messages.ts. */
const ENTRY_BYTES = 256;

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("ask" as const), length: fc.integer({ min: 4, max: 900 }) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("send" as const), length: fc.integer({ min: 4, max: 900 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("give up" as const), which: fc.nat(30) }) },
  { weight: 8, arbitrary: fc.constant({ do: "connected" as const }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("answer" as const), which: fc.nat(ASKS_MAX) }) },
  { weight: 1, arbitrary: fc.constant({ do: "failed" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "lost" as const }) },
  // The connection takes nothing more, and its end is told later, or never before the next message.
  { weight: 1, arbitrary: fc.constant({ do: "ending" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "ready" as const }) },
);

const REFUSED = new RpcError("ERR_RPC_CONNECT", "refused");
const LOST = new RpcError("ERR_RPC_CONNECTION_LOST", "lost", { maybeExecuted: true });
const STOPPED = new RpcError("ERR_RPC_ENV_STOPPED", "stopped");

class World {
  readonly outboxes: Outboxes;
  readonly target = new RefTarget({ name: "endpoint", id: 0, generation: 0, replicas: 1 }, PLACE);
  readonly asks: RecordingAsk[] = [];
  readonly lost: number[] = [];
  /** Asks whose asker has given them up. */
  readonly givenUp = new Set<RecordingAsk>();
  readonly readies: Promise<unknown>[] = [];
  readonly #ending: PeerConnection[] = [];
  #nextId = 0;
  #pending: { resolve(connection: PeerConnection): void; reject(error: RpcError): void } | null = null;
  #connection: PeerConnection | null = null;
  #client: RecordingClient | null = null;
  // The model.
  #waiting: { readonly id: number; readonly ask: RecordingAsk | null; readonly bytes: number }[] = [];
  #expectedWritten: number[] = [];
  #outstanding = 0;
  readonly answered = new Set<RecordingAsk>();
  readonly expectedLost: number[] = [];
  readonly expectedFailed = new Map<RecordingAsk, string>();

  constructor() {
    this.outboxes = new Outboxes({
      envId: Buffer.from("id"),
      address: null,
      remainingMs: () => Number.POSITIVE_INFINITY,
      waitingBytesMax: WAITING_BYTES_MAX,
      connect: () => {
        expect(this.#pending).toBe(null);
        return new Promise((resolve, reject) => {
          this.#pending = { resolve, reject };
        });
      },
      connectionOf: () => undefined,
      verifierName: new Uint8Array(1),
    });
  }

  async run(given: typeof step extends fc.Arbitrary<infer S> ? S : never): Promise<void> {
    if (given.do === "ask" || given.do === "send") this.#post(given.do, given.length);
    else if (given.do === "give up") this.#giveUp(given.which);
    else if (given.do === "answer") this.#answer(given.which);
    else if (given.do === "connected") this.#connected();
    else if (given.do === "failed") this.#failed();
    else if (given.do === "lost") this.#loses();
    else if (given.do === "ending" && this.#client !== null) this.#client.isActive = false;
    else if (given.do === "ready") this.readies.push(this.outboxes.ready(this.target, undefined).catch(() => {}));
    // What the promise of the connection tells comes a few microtasks later.
    await new Promise((resolve) => setImmediate(resolve));
    this.check();
  }

  #post(what: "ask" | "send", length: number): void {
    if (this.#client?.isActive === false) this.#forgetEnding();
    const id = this.#nextId++;
    const bytes = new Uint8Array(length);
    new DataView(bytes.buffer).setInt32(length - 4, id);
    const ask = what === "ask" ? new RecordingAsk(id) : null;
    const common = {
      payloadCodec: PayloadCodec.BYTES,
      bytes,
      length,
      deadline: 0,
      remainingMs: Number.POSITIVE_INFINITY,
    };
    const cost = length + ENTRY_BYTES;
    const waits = this.#client === null || this.#waiting.length > 0 || (ask !== null && this.#outstanding === ASKS_MAX);
    // Of what all may keep, half is for those that are connected.
    const max = this.#client === null ? WAITING_BYTES_MAX : WAITING_BYTES_MAX / 2;
    const fits = this.#waiting.length === 0 || this.#waitingBytes + cost <= max;
    if (ask !== null) {
      this.asks.push(ask);
      this.outboxes.ask(this.target, { ...common, kind: RecordKind.ASK, ask, lost: () => {} });
    } else {
      const lost = (): void => void this.lost.push(id);
      expect(this.outboxes.send(this.target, { ...common, kind: RecordKind.SEND, ask: null, lost })).toBe(
        !waits || fits,
      );
    }
    // Its caller uses the memory again.
    bytes.fill(0xff);
    if (!waits) this.#write(id, ask);
    else if (fits) this.#waiting.push({ id, ask, bytes: cost });
    else if (ask !== null) this.expectedFailed.set(ask, "ERR_RPC_OUTBOX_FULL");
  }

  #write(id: number, ask: RecordingAsk | null): void {
    this.#expectedWritten.push(id);
    if (ask !== null) this.#outstanding++;
  }

  /** What waits goes out, up to an ask that is one too many. */
  #flows(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (first.ask !== null && this.#outstanding === ASKS_MAX) return;
      this.#waiting.shift();
      this.#write(first.id, first.ask);
    }
  }

  #answer(which: number): void {
    if (this.#client?.isActive !== true) return;
    const ask = this.#client.answer(which);
    if (ask === undefined) return;
    this.answered.add(ask);
    this.#outstanding--;
    this.#flows();
  }

  #giveUp(which: number): void {
    const ask = this.asks[which];
    if (ask === undefined || ask.ended) return;
    this.givenUp.add(ask);
    this.outboxes.giveUp(ask);
    const waited = this.#waiting.some((entry) => entry.ask === ask);
    this.#waiting = this.#waiting.filter((entry) => entry.ask !== ask);
    if (!waited) {
      if (ask.connection !== this.#connection) return;
      this.#outstanding--;
    }
    if (this.#client?.isActive === true) this.#flows();
  }

  #connected(): void {
    if (this.#pending === null) return;
    this.#client = new RecordingClient();
    this.#connection = new PeerConnection(this.#client as unknown as TransportClient, () => {});
    this.#pending.resolve(this.#connection);
    this.#pending = null;
    this.#expectedWritten = [];
    this.#outstanding = 0;
    this.#flows();
  }

  #failed(): void {
    if (this.#pending === null) return;
    this.#pending.reject(REFUSED);
    this.#pending = null;
    this.#tellWaiting(REFUSED);
  }

  #tellWaiting({ code }: RpcError): void {
    for (const { id, ask } of this.#waiting) {
      if (ask === null) this.expectedLost.push(id);
      else this.expectedFailed.set(ask, code);
    }
    this.#waiting = [];
  }

  #loses(): void {
    for (const connection of this.#ending.splice(0)) this.#lose(connection);
    if (this.#connection === null) return;
    const connection = this.#connection;
    this.#client = null;
    this.#connection = null;
    this.#lose(connection);
    this.#tellWaiting(LOST);
  }

  /** The next message makes another connection; what is outstanding on this one hears of its end later. */
  #forgetEnding(): void {
    this.#ending.push(this.#connection as PeerConnection);
    this.checkWritten();
    this.#client = null;
    this.#connection = null;
    this.#tellWaiting(LOST);
  }

  #lose(connection: PeerConnection): void {
    const client = connection.client as unknown as RecordingClient;
    client.isActive = false;
    for (const ask of this.asks)
      if (ask.connection === connection && !ask.ended) this.expectedFailed.set(ask, LOST.code);
    client.end(LOST);
    this.outboxes.onConnectionLost(connection, LOST);
  }

  get #waitingBytes(): number {
    return this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  checkWritten(): void {
    if (this.#client !== null) expect(this.#client.written).toEqual(this.#expectedWritten);
  }

  check(): void {
    this.checkWritten();
    const [outbox, ...more] = this.outboxes.all;
    expect(more).toEqual([]);
    expect([outbox?.waitingCount ?? 0, outbox?.waitingBytes ?? 0]).toEqual([this.#waiting.length, this.#waitingBytes]);
    expect(this.lost).toEqual(this.expectedLost);
    for (const ask of this.asks) {
      const expected = this.expectedFailed.get(ask);
      expect([ask.id, ask.answers]).toEqual([ask.id, this.answered.has(ask) ? 1 : 0]);
      expect(ask.failures.map(({ code }) => code)).toEqual(expected === undefined ? [] : [expected]);
    }
  }

  async end(): Promise<void> {
    this.#loses();
    this.outboxes.stop(STOPPED);
    this.#tellWaiting(STOPPED);
    this.#pending?.reject(REFUSED);
    await Promise.all(this.readies);
    this.check();
    // Every ask has ended, by one of: its answer, a failure, its asker.
    for (const ask of this.asks) expect([ask.id, ask.ended]).toEqual([ask.id, true]);
    expect([...this.outboxes.all]).toEqual([]);
  }
}

describe("an Outbox under any order of events", () => {
  test(`seed ${seed}`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const world = new World();
        for (const given of steps) await world.run(given);
        await world.end();
      }),
      { seed, numRuns: 1_000 },
    );
  });
});
