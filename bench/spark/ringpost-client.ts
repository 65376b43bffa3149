/** What RaceClientMain.java is, with Ringpost. Arguments: the ports of the environment and of the blocks. */
import { RpcEnv } from "ringpost";
import { bytes, isSame, type Message, smallObject, weight } from "../messages.js";
import { atDepth } from "../rounds.js";
import { Fetcher } from "../tcp/fetcher.js";
import type { Seen } from "../workers/tally.js";
import { type Command, cpuSeconds, runCommands, say } from "./lines.js";
import type { Asks, Chunks, Lap, Sends } from "./racer.js";

type Work = Command & (({ do: "asks" } & Asks) | ({ do: "sends" } & Sends) | ({ do: "chunks" } & Chunks));

/** Windows under way at a time: one is sent while the other is acknowledged. */
const WINDOWS = 2;

const host = "127.0.0.1";
const [envPort, blockPort] = process.argv.slice(2).map(Number) as [number, number];
const env = await RpcEnv.create({ name: "race client" });
const echo = await env.setupEndpointRef({ host, port: envPort }, "echo");
const sink = await env.setupEndpointRef({ host, port: envPort }, "sink");
const fetcher = await Fetcher.connect(blockPort);

function messageOf(length: number | null): Message {
  return length === null ? smallObject() : bytes(length);
}

/** The time that something takes, of the clock and of all cores. */
async function timed(run: () => Promise<unknown>): Promise<Lap> {
  const cpuBefore = cpuSeconds();
  const begunAt = performance.now();
  await run();
  return { seconds: (performance.now() - begunAt) / 1_000, cpuSeconds: cpuSeconds() - cpuBefore };
}

async function asks({ bytes: length, depth, count }: Asks): Promise<Lap> {
  const message = messageOf(length);
  const times = new Float64Array(count);
  const lap = await timed(() =>
    atDepth(depth, count, async (index) => {
      const begunAt = performance.now();
      const answer = await echo.ask(message);
      times[index] = performance.now() - begunAt;
      if (!isSame(message, answer)) throw new Error("an answer was wrong");
      return true;
    }),
  );
  times.sort();
  const percentileUs = (share: number): number => (times[Math.floor(count * share)] ?? Number.NaN) * 1_000;
  return { ...lap, p50Us: percentileUs(0.5), p99Us: percentileUs(0.99) };
}

async function sends({ bytes: length, window, count }: Sends): Promise<Lap> {
  const message = messageOf(length);
  const acknowledgements: Promise<Seen>[] = [];
  const check = async (): Promise<void> => {
    const seen = (await acknowledgements.shift()) as Seen;
    if (seen.count === window && seen.sum === window * weight(message)) return;
    throw new Error(`${seen.count} of ${window} messages arrived, sum ${seen.sum}`);
  };
  return timed(async () => {
    for (let left = count; left > 0; left -= window) {
      for (let i = 0; i < window; i++) if (!sink.send(message)) await sink.ready();
      acknowledgements.push(sink.ask("seen") as Promise<Seen>);
      if (acknowledgements.length === WINDOWS) await check();
    }
    while (acknowledgements.length > 0) await check();
  });
}

say({ ready: true });
await runCommands<Work>((work) => {
  if (work.do === "asks") return asks(work);
  if (work.do === "sends") return sends(work);
  const { byteCount, count, depth } = work;
  return timed(() => fetcher.chunks({ byteCount, count, fromFile: false }, depth));
});
await fetcher[Symbol.asyncDispose]();
await env.shutdown();
