/**
 * Bulk data: chunks and streams from another process, from its memory and from a file, beside a bare socket that moves the
 * same bytes from the same source; and what an ask to that process notices of it.
 *
 * Every fetch is checked for its length. The file is sparse: nobody waits for a disk.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RpcEnv } from "ringpost";
import { bytes, isSame } from "./messages.js";
import { type BenchOptions, best, type Report } from "./report.js";
import { alternate, type Variant } from "./rounds.js";
import { BareFetcher, type Wish } from "./tcp/bare-fetch.js";
import { Fetcher } from "./tcp/fetcher.js";
import { ServerProcess } from "./tcp/server-process.js";

const KIB = 1_024;
const MIB = 1_024 * KIB;

interface Size {
  readonly title: string;
  readonly byteCount: number;
  /** Moved in one round. */
  readonly count: number;
  /** Asked for before the first one has come. */
  readonly depth: number;
  readonly isJudged: boolean;
}

const SIZES: readonly Size[] = [
  { title: "4 KiB", byteCount: 4 * KIB, count: 16_384, depth: 64, isJudged: false },
  { title: "1 MiB", byteCount: MIB, count: 512, depth: 8, isJudged: false },
  { title: "64 MiB", byteCount: 64 * MIB, count: 8, depth: 2, isJudged: true },
  { title: "1 GiB", byteCount: 1_024 * MIB, count: 1, depth: 1, isJudged: true },
];
const QUICK_SIZES: readonly Size[] = [
  { title: "4 KiB", byteCount: 4 * KIB, count: 64, depth: 64, isJudged: false },
  { title: "1 MiB", byteCount: MIB, count: 8, depth: 8, isJudged: false },
];
const ROUNDS = 5;
const ASKS = 2_000;

export async function fetchBlocks({ quick, report }: BenchOptions): Promise<void> {
  const sizes = quick ? QUICK_SIZES : SIZES;
  const rounds = quick ? 1 : ROUNDS;
  const bytesMax = Math.max(...sizes.map(({ byteCount }) => byteCount));
  const directory = await mkdtemp(join(tmpdir(), "ringpost-bench-"));
  try {
    const path = join(directory, "blocks");
    const file = await open(path, "w");
    await file.truncate(bytesMax);
    await file.close();
    await using server = await ServerProcess.start("serve-blocks", bytesMax, path);
    const [blockPort = 0, barePort = 0, envPort = 0] = server.ports;
    await using fetcher = await Fetcher.connect(blockPort);
    using bare = await BareFetcher.connect(barePort);
    for (const size of sizes) await throughput(size, fetcher, bare, rounds, report);
    await askBesides(envPort, fetcher, quick, rounds, report);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function throughput(size: Size, fetcher: Fetcher, bare: BareFetcher, rounds: number, report: Report) {
  const { title, byteCount, count, depth, isJudged } = size;
  const mib = (byteCount * count) / MIB;
  const inSteps = async (step: (wish: Wish) => Promise<void>, fromFile: boolean): Promise<void> => {
    for (let done = 0; done < count; done += depth) await step({ byteCount, fromFile, count: depth });
  };
  for (const fromFile of [false, true]) {
    const variant = (name: string, group: Variant["group"], run: () => Promise<void>): Variant => ({
      name,
      group,
      async measure() {
        const begunAt = performance.now();
        await run();
        return (mib * 1_000) / (performance.now() - begunAt);
      },
    });
    const variants = [
      variant("ringpost, chunks", "ringpost", () => fetcher.chunks({ byteCount, fromFile, count }, depth)),
      variant("ringpost, streams", "ringpost stream", () => fetcher.streams({ byteCount, fromFile, count }, depth)),
      variant("bare socket", "bare echo", () => inSteps((wish) => bare.fetch(wish), fromFile)),
    ];
    for (const { measure } of variants) await measure(0);
    const source = fromFile ? "file" : "memory";
    const series = await alternate(variants, rounds);
    const cell = report.cell({ title: `${title} from ${source}, depth ${depth}`, unit: "MiB per s", series });
    if (!isJudged) continue;
    for (const [what, group] of [
      ["chunks", "ringpost"],
      ["streams", "ringpost stream"],
    ] as const) {
      const aim = {
        row: "fetch of 64 MiB and more, beside a bare socket",
        what: `${what} of ${title} from ${source}`,
        atLeast: 0.8,
      };
      report.ratio(aim, best([cell], [group]), best([cell], ["bare echo"]));
    }
  }
}

/** An ask of another endpoint of that process, one after the other, alone and while a stream is fetched without end. */
async function askBesides(port: number, fetcher: Fetcher, quick: boolean, rounds: number, report: Report) {
  await using env = await RpcEnv.create({ name: "asker", numThreads: 1 });
  const ref = await env.setupEndpointRef({ host: "127.0.0.1", port }, "echo");
  const message = bytes(64);
  const asks = quick ? 50 : ASKS;
  const byteCount = quick ? MIB : 64 * MIB;
  const p99 = async (): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < asks; i++) {
      const begunAt = performance.now();
      const answer = await ref.ask(message);
      times.push((performance.now() - begunAt) * 1_000);
      if (!isSame(message, answer)) throw new Error("an answer was wrong");
    }
    return times.toSorted((a, b) => a - b)[Math.floor(asks * 0.99)] as number;
  };
  const during = (fromFile: boolean) => async (): Promise<number> => {
    let isDone = false;
    const fetching = (async () => {
      while (!isDone) await fetcher.streams({ byteCount, fromFile, count: 2 }, 2);
    })();
    const figure = await p99();
    isDone = true;
    await fetching;
    return figure;
  };
  await p99();
  const variants: Variant[] = [
    { name: "stream from memory", group: "ringpost", measure: during(false) },
    { name: "stream from file", group: "ringpost stream", measure: during(true) },
    { name: "nothing else", group: "nothing", measure: p99 },
  ];
  const series = await alternate(variants, rounds);
  const cell = report.cell({ title: "p99 of an ask, depth 1, beside a transfer", unit: "us", series });
  for (const [what, group] of [
    ["from memory", "ringpost"],
    ["from a file", "ringpost stream"],
  ] as const) {
    const aim = { row: "p99 of an ask during a transfer, beside idle", what, atMost: 5 };
    report.ratio(aim, best([cell], [group]), best([cell], ["nothing"]));
  }
}
