/**
 * Goal: with real threads and the smallest rings nothing is lost, doubled, torn or out of order, and what a handler or
 * an asker is given never aliases shared memory.
 * Method: a million messages of 16 B to 4 KiB and 3,000 of up to 4 MiB, all sizes log-uniform, through rings of 4 KiB:
 * most of the traffic meets a full ring, a wrap, the spill queue, a ticket or the overflow list. Each message carries
 * sequence number and checksum; handlers verify them, keep every thousandth, and look at the kept ones again at the end.
 *
 * Forbidden: a reply missing, given twice, or of another message; a checksum that does not fit; in a serial endpoint a
 * sequence number that is not larger than the one before; a buffer in shared memory; a kept message that changes.
 * Allowed: any interleaving of the replies of a concurrent endpoint.
 */
import { types } from "node:util";
import { type RpcEndpointRef, RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { printedRandom, type Random } from "../fixtures/random.js";
import { checksumOf, HEADER_BYTES, makeMessage, readMessage } from "../fixtures/stress-message.js";
import type { StressReport } from "../fixtures/stress-service.js";

type Stress = typeof import("../fixtures/stress-service.js");
type StressRef = RpcEndpointRef<Stress["default"]>;

const KIB = 1_024;
const MIB = 1_024 * KIB;
const OUTSTANDING_MAX = 2_000;
const OUTSTANDING_BYTES_MAX = 48 * MIB;
const TINY = { "rpc.inbox.bytes": 4 * KIB, "rpc.loop.bytes": 4 * KIB };

interface Load {
  readonly count: number;
  readonly bytesMax: number;
  /** One reply in so many is the message itself. */
  readonly echoEvery: number;
  readonly method: "see" | "seeLater";
}

interface Result {
  readonly replies: number;
  readonly wrong: number;
  readonly bytes: number;
}

/** Sends `load` with a bounded number outstanding; every reply is compared with its message. */
async function drive(ref: StressRef, load: Load, random: Random): Promise<Result> {
  const material = Uint8Array.from({ length: load.bytesMax }, () => random.integer(0, 255));
  const kept: { readonly bytes: Uint8Array; readonly checksum: number }[] = [];
  let [next, replies, wrong, bytes, outstandingBytes] = [0, 0, 0, 0, 0];
  let wake = (): void => {};

  const one = async (): Promise<void> => {
    const sequence = next++;
    const length = random.logarithmic(HEADER_BYTES, load.bytesMax);
    const message = makeMessage(sequence, length, material, random.integer(0, load.bytesMax - length));
    const echo = sequence % load.echoEvery === 0;
    bytes += message.length;
    outstandingBytes += message.length;
    const reply = await ref.call[load.method](message, echo);
    outstandingBytes -= message.length;
    replies++;
    if (echo) {
      const back = reply as Uint8Array;
      if (readMessage(back) !== sequence || types.isSharedArrayBuffer(back.buffer)) wrong++;
      if (sequence % (load.echoEvery * 100) === 0) kept.push({ bytes: back, checksum: checksumOf(back) });
    } else if (reply !== sequence) wrong++;
  };

  let outstanding = 0;
  let failure: unknown;
  while (failure === undefined && (next < load.count || outstanding > 0)) {
    while (next < load.count && outstanding < OUTSTANDING_MAX && outstandingBytes < OUTSTANDING_BYTES_MAX) {
      outstanding++;
      one()
        .catch((error: unknown) => {
          failure = error;
        })
        .finally(() => {
          outstanding--;
          wake();
        });
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  if (failure !== undefined) throw failure;
  return { replies, wrong: wrong + kept.filter((one) => checksumOf(one.bytes) !== one.checksum).length, bytes };
}

const CASES: [what: string, module: string, loops: number, load: Load][] = [
  ["serial, small", "stress-service-serial", 1, { count: 350_000, bytesMax: 4 * KIB, echoEvery: 5, method: "see" }],
  [
    "serial and async, small",
    "stress-service-serial",
    1,
    { count: 150_000, bytesMax: 4 * KIB, echoEvery: 5, method: "seeLater" },
  ],
  ["concurrent, small", "stress-service", 2, { count: 350_000, bytesMax: 4 * KIB, echoEvery: 5, method: "see" }],
  [
    "concurrent and async, small",
    "stress-service",
    3,
    { count: 150_000, bytesMax: 4 * KIB, echoEvery: 5, method: "seeLater" },
  ],
  ["serial, large", "stress-service-serial", 1, { count: 1_000, bytesMax: 4 * MIB, echoEvery: 2, method: "see" }],
  [
    "serial and async, large",
    "stress-service-serial",
    1,
    { count: 500, bytesMax: 4 * MIB, echoEvery: 2, method: "seeLater" },
  ],
  ["concurrent, large", "stress-service", 3, { count: 1_500, bytesMax: 4 * MIB, echoEvery: 2, method: "seeLater" }],
];

test.each(CASES)(
  "nothing is lost, doubled, torn or shared: %s",
  { timeout: 240_000 },
  async (what, module, numThreads, load) => {
    const random = printedRandom(`stress, ${what}`);
    await using env = await RpcEnv.create({ numThreads, conf: TINY });
    const ref = await env.setupEndpoint<Stress>("stress", fixtureUrl(module));
    const startedMs = performance.now();
    const { replies, wrong, bytes } = await drive(ref, load, random);
    const seconds = (performance.now() - startedMs) / 1_000;
    console.log(`${what}: ${replies} messages, ${(bytes / MIB).toFixed(0)} MiB in ${seconds.toFixed(1)} s`);
    expect([replies, wrong]).toEqual([load.count, 0]);

    // Each loop reports for itself: ask until every one has been asked.
    const reports = new Map<number, StressReport>();
    while (sum(reports, "count") < load.count) {
      for (const report of await Promise.all(Array.from({ length: 64 }, () => ref.call.report())))
        reports.set(report.count, report);
    }
    expect(sum(reports, "count")).toBe(load.count);
    expect([sum(reports, "torn"), sum(reports, "shared"), sum(reports, "changed")]).toEqual([0, 0, 0]);
    if (module.endsWith("serial")) expect(sum(reports, "outOfOrder")).toBe(0);
    expect(env.stats().endpoints).toMatchObject([{ depth: 0, failed: 0, rejected: 0 }]);
  },
);

function sum(reports: ReadonlyMap<number, StressReport>, field: keyof StressReport): number {
  return [...reports.values()].reduce((total, report) => total + report[field], 0);
}
