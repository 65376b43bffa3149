/**
 * Goal: whatever dies when, every ask has exactly one outcome and every accepted one-way message is handled, failed or a
 * dead letter: nothing is lost unaccounted, and nothing is counted twice.
 * Method: endpoints of every kind under load while threads are ended at random moments; at the end the counts of `stats`
 * are compared with what the callers and the event listeners saw. Seeds are printed.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { CRASHED, outcome, Reports, Threads } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { printedRandom } from "../fixtures/random.js";

type Service = typeof import("../fixtures/process-service.js");

const threads = new Threads();
const ROUNDS = 8;
const BURST = 400;

test.each([
  ["concurrent", "process-service"],
  ["serial", "process-service-serial"],
] as const)("asks and sends to a %s endpoint while its loops die", async (form, module) => {
  const random = printedRandom(`accounts of crashes, ${form}`);
  await using env = await RpcEnv.create({ numThreads: 2 });
  const reports = new Reports(env);
  const ref = await env.setupEndpoint<Service>("accounts", fixtureUrl(module), { inboxBytes: 8_192 });
  const outcomes = new Map<string, number>();
  let accepted = 0;
  const asks: Promise<void>[] = [];
  const ask = async (asked: Promise<unknown>): Promise<void> => {
    const how = await outcome(asked);
    outcomes.set(how, (outcomes.get(how) ?? 0) + 1);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < BURST; n++) {
      const kind = random.integer(0, 9);
      if (kind < 4) asks.push(ask(ref.call.echo(n)));
      else if (kind === 4) asks.push(ask(ref.call.echo(new Uint8Array(random.logarithmic(100, 20_000)))));
      else if (kind === 5) asks.push(ask(ref.call.later(random.integer(0, 3))));
      else if (kind < 9) accepted += ref.cast.echo(n) ? 1 : 0;
      else accepted += ref.cast.refuse(n) ? 1 : 0;
    }
    await ref.call.later(random.integer(0, 10)).catch(() => {});
    // Ended from outside, wherever it is. A thread of the pool that has died before is no target.
    const alive = threads.alive();
    void alive[random.integer(0, alive.length - 1)]?.terminate();
  }
  await Promise.all(asks);
  // Everything that was accepted is handled, failed or lost once the endpoint is quiet.
  const count = () => {
    const [stats] = env.stats().endpoints;
    return stats as NonNullable<typeof stats>;
  };
  await expect
    .poll(
      () => {
        const { oneWays } = count();
        return oneWays.accepted - oneWays.handled - oneWays.failed - oneWays.deadLettered;
      },
      { timeout: 20_000 },
    )
    .toBe(0);
  const { asks: asked, oneWays } = count();
  // Chance may blame the endpoint for more crashes than its budget allows.
  const failed = reports.failures.length > 0;
  const allowed = ["ok", CRASHED, ...(failed ? ["ERR_RPC_ENDPOINT_FAILED-", "ERR_RPC_NO_REPLY+"] : [])];
  for (const how of outcomes.keys()) expect(allowed).toContain(how);
  expect(asked.sent).toBe(asked.replied + asked.failed + asked.timedOut + asked.aborted + asked.rejected);
  expect(asked.sent).toBe(asks.length + ROUNDS);
  expect(oneWays.accepted).toBe(accepted);
  // What a FAILED endpoint refuses is told as a dead letter and was never accepted.
  const letters = reports.letters.reduce((sum, letter) => sum + letter.count, 0);
  if (!failed) expect(letters).toBe(oneWays.failed + oneWays.deadLettered);
  expect(reports.crashes.length).toBeGreaterThan(0);
});
