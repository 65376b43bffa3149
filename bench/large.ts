/**
 * Bytes of 1, 16 and 64 MiB: there, back, there and back, and there by moving the buffer instead of copying it. One at a
 * time: at these sizes a second one under way waits for memory, not for a thread.
 */
import { type Bulk, type BulkReply, readBulk, stampBulk } from "./bulk.js";
import { type Contestant, startContestants } from "./contestants.js";
import { type BenchOptions, best, PISCINA } from "./report.js";
import { type Batch, type Group, rates } from "./rounds.js";
import type { TaskName } from "./workers/tasks.js";

interface Way {
  readonly name: string;
  readonly task: TaskName;
  /** One message of so many bytes; true if it arrived whole. */
  readonly move: (contestant: Contestant, bytes: Bulk, stamp: number) => Promise<boolean>;
  readonly row: string;
  readonly atLeast: number;
  readonly transfers: boolean;
}

const MIB = 2 ** 20;
const SIZES_MIB = [1, 16, 64];
const ROW = "Uint8Array of 1, 16, 64 MiB, beside piscina's structured clone";
const WAYS: readonly Way[] = [
  { name: "there", task: "takeBulk", move: there, row: ROW, atLeast: 1, transfers: false },
  { name: "back", task: "giveBulk", move: back, row: ROW, atLeast: 1, transfers: false },
  { name: "there and back", task: "echoBulk", move: thereAndBack, row: ROW, atLeast: 1, transfers: false },
  {
    name: "there by transfer",
    task: "takeBulk",
    move: thereByTransfer,
    row: "Uint8Array of 1, 16, 64 MiB with transfer, beside piscina's transferList",
    atLeast: 0.5,
    transfers: true,
  },
];
const GROUPS: readonly Group[] = ["ringpost", "postMessage", "piscina default", "piscina tuned"];
const FULL = { rounds: 5, timeMs: 300, sizes: SIZES_MIB, groups: GROUPS };
const QUICK = { rounds: 1, timeMs: 1, sizes: [1, 64], groups: ["ringpost", "postMessage", "piscina default"] as const };

export async function large({ quick, report }: BenchOptions): Promise<void> {
  const { rounds, timeMs, sizes, groups } = quick ? QUICK : FULL;
  for (const { name, task, move, row, atLeast, transfers } of WAYS) {
    await using contestants = await startContestants({ threads: 1, task, groups });
    let all = contestants.all.filter((contestant) => !(transfers && contestant.name === "ringpost call"));
    const [ours] = all;
    if (transfers && ours !== undefined && !(await movesBuffers(ours))) {
      report.note("ringpost copies buffers that it was told to transfer: left out");
      all = all.filter(({ group }) => group !== "ringpost");
    }
    for (const sizeMib of sizes) {
      const bytes = new Uint8Array(sizeMib * MIB).fill(7);
      const batches = all.map((contestant) => inTurn(contestant, bytes, move));
      const operationsMin = quick ? 1 : Math.max(2, 8 / sizeMib);
      const series = await rates(batches, { rounds, timeMs, operationsMin });
      const cell = report.cell({ title: `${sizeMib} MiB ${name}, 1 thread`, unit: "per s", series });
      if (!series.some(({ group }) => group === "ringpost")) continue;
      report.ratio({ row, what: `${sizeMib} MiB ${name}`, atLeast }, best([cell], ["ringpost"]), best([cell], PISCINA));
    }
  }
}

function inTurn(contestant: Contestant, bytes: Bulk, move: Way["move"]): Batch {
  const { name, group } = contestant;
  let stamp = 0;
  return {
    name,
    group,
    batch: async (operations) => {
      let right = 0;
      for (let done = 0; done < operations; done++) {
        stamp = (stamp + 1) % 256;
        if (await move(contestant, bytes, stamp)) right++;
      }
      return right;
    },
  };
}

async function there({ run }: Contestant, bytes: Bulk, stamp: number): Promise<boolean> {
  return isWhole((await run(stampBulk(bytes, stamp))) as BulkReply, bytes.length, stamp);
}

async function back({ run }: Contestant, { length }: Bulk, stamp: number): Promise<boolean> {
  return isWhole(readBulk((await run({ length, stamp })) as Bulk), length, stamp);
}

async function thereAndBack({ run }: Contestant, bytes: Bulk, stamp: number): Promise<boolean> {
  return isWhole(readBulk((await run(stampBulk(bytes, stamp))) as Bulk), bytes.length, stamp);
}

/** A fresh buffer each time, for all alike: the last one is gone. Its pages are touched at the stamps only. */
async function thereByTransfer({ run }: Contestant, { length }: Bulk, stamp: number): Promise<boolean> {
  const bytes = stampBulk(new Uint8Array(length), stamp);
  const reply = (await run(bytes, [bytes.buffer])) as BulkReply;
  return bytes.byteLength === 0 && isWhole(reply, length, stamp);
}

function isWhole(reply: BulkReply, length: number, stamp: number): boolean {
  return reply.whole && reply.length === length && reply.stamp === stamp;
}

async function movesBuffers({ run }: Contestant): Promise<boolean> {
  const bytes = new Uint8Array(MIB);
  try {
    await run(bytes, [bytes.buffer]);
  } catch {
    return false;
  }
  return bytes.byteLength === 0;
}
