/**
 * Goal: a bulk write lets a thread that was woken have the core, and hardly waits for somebody's work in libuv's thread pool.
 * Method: the built class with a clock that stands still and tells what it was asked for; the real thread pool, which
 * is kept busy by opening a FIFO that nobody writes to; a real connection.
 */
import { execFileSync } from "node:child_process";
import { close, constants, open, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  POOL_RESTS,
  POOL_TRIP_MS,
  WOKEN_FORGOTTEN_MS,
  WOKEN_SERVED_MS,
  WRITE_TURN_BYTES,
} from "../../../dist/src/common/limits.js";
import { countWokenThread } from "../../../dist/src/common/woken-threads.js";
import { NioManagedBuffer, OneForOneStreamManager } from "../../../dist/src/network/index.js";
import { TurnYield } from "../../../dist/src/network/turn-yield.js";
import { ManualClock } from "../../fixtures/manual-clock.js";
import { ScriptedHandler, Transports } from "../../fixtures/transport.js";

/** Notes who went on by setImmediate. */
class NotingClock extends ManualClock {
  immediates = 0;

  override setImmediate(callback: () => void): void {
    this.immediates++;
    super.setImmediate(callback);
  }
}

class Turns {
  readonly clock = new NotingClock();
  asked = 0;
  come = 0;
  #ended: (() => void) | null = null;
  readonly #yield = new TurnYield(this.clock, () => {
    this.come++;
    this.#ended?.();
  });

  /** Resolves with whether the turn that follows came without a trip through the thread pool. */
  async next(): Promise<boolean> {
    const before = this.clock.immediates;
    const turned = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    this.asked++;
    this.#yield.next();
    await turned;
    return this.clock.immediates > before;
  }

  /** `next` when a thread was woken before the turn that is over. */
  async wokenAwhileAgo(): Promise<boolean> {
    countWokenThread();
    await this.next();
    this.clock.advance(2 * WOKEN_SERVED_MS);
    return this.next();
  }
}

test("turns follow each other at once, but for a moment some time after a thread was woken", async () => {
  const turns = new Turns();
  expect(await turns.next()).toBe(true);
  expect(await turns.wokenAwhileAgo()).toBe(false);
  expect(await turns.next()).toBe(false);
  // It was served, and woken again.
  countWokenThread();
  expect(await turns.next()).toBe(true);
  turns.clock.advance(WOKEN_FORGOTTEN_MS);
  expect(await turns.next()).toBe(true);
  expect(turns.clock.timerCount).toBe(0);
});

test("a thread pool that is busy holds up one turn, and that no longer than POOL_TRIP_MS", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ringpost-test-"));
  const fifo = join(directory, "fifo");
  execFileSync("mkfifo", [fifo]);
  const turns = new Turns();

  // Each takes a thread of the pool until somebody opens the other end.
  const jobs = Number(process.env.UV_THREADPOOL_SIZE ?? 4);
  const opened = Array.from({ length: jobs }, () => opening(fifo));
  const held = turns.wokenAwhileAgo();
  await turns.clock.timersSet(1);
  turns.clock.advance(POOL_TRIP_MS);
  expect(await held).toBe(false);
  turns.clock.advance(POOL_RESTS * POOL_TRIP_MS);
  // LATE: the next ones do not queue behind it.
  expect(await turns.wokenAwhileAgo()).toBe(true);

  const otherEnd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  for (const descriptor of [otherEnd, ...(await Promise.all(opened))]) close(descriptor);
  // Once the job is back, and that is no turn of its own, the next one is sent again.
  await expect.poll(() => turns.wokenAwhileAgo()).toBe(false);
  expect(turns.come).toBe(turns.asked);
  await rm(directory, { recursive: true });
});

test("after a trip that took its time there is none for POOL_RESTS times as long", async () => {
  const turns = new Turns();
  countWokenThread();
  await turns.next();
  turns.clock.advance(2 * WOKEN_SERVED_MS);
  const trip = turns.next();
  turns.clock.advance(1);
  expect(await trip).toBe(false);
  expect(await turns.wokenAwhileAgo()).toBe(true);
  turns.clock.advance(POOL_RESTS);
  expect(await turns.wokenAwhileAgo()).toBe(false);
});

test("a connection with bulk to write goes that way after the thread has woken another", async () => {
  await using transports = new Transports();
  const clock = new NotingClock();
  const streams = new OneForOneStreamManager(() => 0);
  const streamId = streams.registerStream({ buffers: [new NioManagedBuffer(Buffer.alloc(64 * WRITE_TURN_BYTES))] });
  const server = await transports.serve(new ScriptedHandler({ streams }), { clock });
  const client = await transports.client(server);
  // Of the turns: by setImmediate before the wake, when it is noticed, and afterwards.
  const counts: number[] = [];
  let received = 0;
  await new Promise<void>((resolve, reject) => {
    client.stream(`${streamId}_0`, {
      onData: (_id, bytes) => {
        received += bytes.length;
        const quarter = Math.floor((4 * received) / (64 * WRITE_TURN_BYTES));
        if (quarter <= counts.length) return;
        counts.push(clock.immediates);
        if (quarter === 1) countWokenThread();
        else clock.advance(2 * WOKEN_SERVED_MS);
      },
      onComplete: () => resolve(),
      onFailure: (_id, error) => reject(error),
    });
  });
  const [atWake = 0, noticed = 0, afterwards = 0] = counts;
  expect(atWake).toBeGreaterThan(5);
  expect(noticed).toBeGreaterThan(atWake + 5);
  // Those turns may have been under way.
  expect(afterwards).toBeLessThan(noticed + 5);
});

function opening(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, constants.O_RDONLY, (error, descriptor) => (error === null ? resolve(descriptor) : reject(error)));
  });
}
