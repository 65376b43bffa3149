/**
 * Goal: what has reached the peer is never told as what cannot have been run, whenever the connection ends.
 * Method: requests fill the socket until one write is stuck half-way. Then this thread stands still while a peer in another
 * one reads what the system has, more than what this side knows to be written, and resets the connection.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { isRpcError } from "../../../dist/src/common/errors.js";
import { fixtureUrl } from "../../fixtures/fixture-url.js";
import { ReaderWord } from "../../fixtures/reader-words.js";
import { callbackOf, Transports } from "../../fixtures/transport.js";

const BODY = Buffer.alloc(4 * 1_024 - 21);
const FRAME_BYTES = 4 * 1_024;
const REQUESTS = 6_000;
/** What the peer reads at first: with 4 MiB that the system holds it puts the end of what has left into a write's middle. */
const FIRST = 320;

test("requests of a write that was half done may have been run; those that were never handed over were not", async () => {
  await using transports = new Transports();
  const words = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(fixtureUrl("reads-then-resets"), {
    workerData: { memory: words.buffer, firstFrames: FIRST },
  });
  const [port] = (await once(worker, "message")) as [number];
  const client = await transports.factory().createClient("127.0.0.1", port);
  const { queue } = client.connection;
  const ends: Promise<unknown>[] = [];
  for (let sent = 0; sent < REQUESTS; sent++) {
    const failed = new Promise((resolve, reject) => client.sendRpc(BODY, callbackOf(reject, resolve)));
    ends.push(failed);
  }
  await standstill(() => queue.takenBytes);
  const written = Math.floor(queue.writtenTo / FRAME_BYTES);
  const handed = Math.floor(queue.handedTo / FRAME_BYTES);
  // So much has left in the middle of a write.
  expect(queue.takenBytes).toBeGreaterThan(queue.writtenTo + FRAME_BYTES);
  expect(handed).toBeLessThan(REQUESTS);
  Atomics.store(words, ReaderWord.READ_BEYOND, written);
  Atomics.notify(words, ReaderWord.READ_BEYOND);
  // Blocks the loop: what is read meanwhile is what the system had.
  expect(Atomics.wait(words, ReaderWord.READ, 0, 30_000)).not.toBe("timed-out");
  const read = Atomics.load(words, ReaderWord.READ);
  expect(read).toBeGreaterThan(written);
  const executed = (await Promise.all(ends)).map((error) => isRpcError(error) && error.maybeExecuted);
  expect(executed.indexOf(false)).toBe(handed);
  expect(executed.lastIndexOf(true)).toBe(handed - 1);
  expect(executed.lastIndexOf(true)).toBeGreaterThanOrEqual(read - 1);
  await worker.terminate();
});

/** Resolves when a count has stood still for many turns of the loop. */
async function standstill(count: () => number): Promise<void> {
  let last = -1;
  for (let turns = 0; turns < 200; turns++) {
    const now = count();
    if (now !== last) turns = 0;
    last = now;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
