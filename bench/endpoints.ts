/**
 * Ten thousand endpoints in one environment: what each costs in memory while idle and after it has served 1 MiB in small
 * messages, and whether a post to one of many costs more than a post to the only one. Serial endpoints on one loop, so
 * that nothing but their number differs.
 *
 * Memory is measured once, not in rounds: pages that were touched stay touched.
 */
import { type RpcEndpointRef, RpcEnv } from "ringpost";
import { bytes } from "./messages.js";
import { type BenchOptions, best, type Report } from "./report.js";
import { alternate, atDepth, type Variant } from "./rounds.js";
import { collect } from "./workers/served.endpoint.js";

type Ref = RpcEndpointRef<import("./workers/served.endpoint.js").default>;

const MESSAGE_BYTES = 1_024;
/** Posts in one synchronous burst: 6.5 KB, which also fit a ring whose producer has just gone back to its begin. */
const BURST = 64;
const SETUPS_AT_ONCE = 64;
const ASKS_AT_ONCE = 64;
const KIB = 1_024;
const FULL = { many: 10_000, servedBytes: 1_024 * KIB, rounds: 7, timeMs: 200 };
const QUICK = { many: 300, servedBytes: 4 * KIB, rounds: 1, timeMs: 5 };

export async function endpoints({ quick, report }: BenchOptions): Promise<void> {
  const { many, servedBytes, rounds, timeMs } = quick ? QUICK : FULL;
  await using env = await RpcEnv.create({ name: "many", numThreads: 1 });
  const first = await setUp(env, "first");
  for (let warm = 0; warm < 100; warm++) await first.ask(bytes(MESSAGE_BYTES));

  const empty = await settledRss(first);
  const begunAt = performance.now();
  const refs: Ref[] = [];
  await atDepth(SETUPS_AT_ONCE, many, async (index) => {
    refs[index] = await setUp(env, `endpoint ${index}`);
    return true;
  });
  const seconds = (performance.now() - begunAt) / 1_000;
  report.note(`${many} endpoints set up in ${seconds.toFixed(1)} s, ${((seconds * 1_000_000) / many) | 0} µs each`);
  const idle = await settledRss(first);
  memory(report, "idle", 16, (idle - empty) / many);

  await serve(refs, servedBytes / MESSAGE_BYTES);
  const served = await settledRss(first);
  memory(report, "each having served 1 MiB in small messages", 48, (served - empty) / many);

  await postCosts(report, refs, { rounds, timeMs });
}

function memory(report: Report, what: string, atMost: number, bytesEach: number): void {
  report.note(`${what}: ${(bytesEach / KIB).toFixed(1)} KiB RSS each`);
  report.absolute({ row: `10,000 endpoints, ${what}`, what: "RSS each", atMost }, " KiB", [bytesEach / KIB]);
}

/** One message after the other to each, many endpoints at a time: traffic as it comes, no burst that fills a ring. */
async function serve(refs: readonly Ref[], messages: number): Promise<void> {
  const message = bytes(MESSAGE_BYTES);
  const total = messages * refs.length;
  const right = await atDepth(Math.min(ASKS_AT_ONCE, refs.length), total, async (index) => {
    const served = await (refs[index % refs.length] as Ref).ask(message);
    return served === Math.floor(index / refs.length) + 1;
  });
  if (right !== total) throw new Error(`${right} of ${total} messages were counted right`);
}

interface CostOptions {
  readonly rounds: number;
  readonly timeMs: number;
}

/**
 * Bursts of posts, timed on the posting thread up to and with its bells; what the receivers do is awaited outside.
 * "In turn" posts each message of a burst to another endpoint, which always costs more bells: it is compared with the
 * same among a few.
 */
async function postCosts(report: Report, refs: readonly Ref[], { rounds, timeMs }: CostOptions): Promise<void> {
  await using lonely = await RpcEnv.create({ name: "one", numThreads: 1 });
  await using crowd = await RpcEnv.create({ name: "few", numThreads: 1 });
  const only = await setUp(lonely, "only");
  const few: Ref[] = [];
  for (let index = 0; index < BURST; index++) few.push(await setUp(crowd, `endpoint ${index}`));

  const variant = (name: string, group: Variant["group"], ref: (index: number) => Ref): Variant => {
    let next = 0;
    const burst = (): Ref[] => Array.from({ length: BURST }, () => ref(next++));
    return { name, group, measure: () => postNanoseconds(burst, timeMs) };
  };
  const among = (all: readonly Ref[]) => (index: number) => all[index % all.length] as Ref;
  const oneOfMany = refs[refs.length >> 1] as Ref;
  const same = [
    variant(`to one of ${refs.length}`, "ringpost", () => oneOfMany),
    variant("to the only one", "ceiling", () => only),
  ];
  const turns = [
    variant(`in turn, ${refs.length}`, "ringpost", among(refs)),
    variant(`in turn, ${few.length}`, "ceiling", among(few)),
  ];
  await alternate([...same, ...turns], 1);
  const posts = report.cell({ title: "cost of a post", unit: "ns", series: await alternate(same, rounds) });
  report.cell({ title: "cost of a post, each to another", unit: "ns", series: await alternate(turns, rounds) });
  report.ratio(
    { row: "post cost at 10,000 endpoints, beside that at 1", what: "bursts to one endpoint", atMost: 1.2 },
    best([posts], ["ringpost"], "lowest"),
    best([posts], ["ceiling"], "lowest"),
  );
}

async function postNanoseconds(burst: () => readonly Ref[], timeMs: number): Promise<number> {
  const message = bytes(64);
  let posts = 0;
  let spentMs = 0;
  while (spentMs < timeMs) {
    const refs = burst();
    const begunAt = performance.now();
    for (const ref of refs) {
      if (!ref.send(message)) throw new Error(`${ref.name} refused a message of a burst of ${refs.length}`);
    }
    // The bells are rung in a microtask.
    await null;
    spentMs += performance.now() - begunAt;
    posts += refs.length;
    await Promise.all(refs.map((ref) => ref.ask("served")));
  }
  return (spentMs * 1e6) / posts;
}

function setUp(env: RpcEnv, name: string): Promise<Ref> {
  const module = new URL("./workers/served.endpoint.js", import.meta.url);
  return env.setupEndpoint<typeof import("./workers/served.endpoint.js")>(name, module);
}

/** Both heaps collected, so that what is left is what the endpoints hold. */
async function settledRss(ref: Ref): Promise<number> {
  for (let pass = 0; pass < 2; pass++) {
    await ref.ask("collect");
    collect();
  }
  return process.memoryUsage.rss();
}
