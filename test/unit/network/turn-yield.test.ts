/**
 * A bulk write lets a thread that was woken have the core, and waits for nobody's work in libuv's thread pool.
 *
 * Method: the built class with a clock that stands still and tells what it was asked for; the real thread pool, which
 * is kept busy by opening a FIFO that nobody writes to.
 */
import { execFileSync } from "node:child_process";
import { close, constants, open, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { POOL_TRIP_MS, WOKEN_FORGOTTEN_MS, WOKEN_SERVED_MS } from "../../../dist/src/common/limits.js";
import { countWokenThread } from "../../../dist/src/common/woken-threads.js";
import { TurnYield } from "../../../dist/src/network/turn-yield.js";
import { ManualClock } from "../../fixtures/manual-clock.js";

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
  // LATE: the next ones do not queue behind it.
  expect(await turns.wokenAwhileAgo()).toBe(true);

  const otherEnd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  for (const descriptor of [otherEnd, ...(await Promise.all(opened))]) close(descriptor);
  // Once the job is back, and that is no turn of its own, the next one is sent again.
  await expect.poll(() => turns.wokenAwhileAgo()).toBe(false);
  expect(turns.come).toBe(turns.asked);
  await rm(directory, { recursive: true });
});

function opening(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, constants.O_RDONLY, (error, descriptor) => (error === null ? resolve(descriptor) : reject(error)));
  });
}
