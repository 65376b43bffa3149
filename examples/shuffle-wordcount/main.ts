/**
 * Counts words as Spark would: mappers → files → shuffle service → reducers, each a process of its own:
 * node main.js [text files or folders]
 */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Block, MapJob, Mapped, Reduced, ReduceJob } from "./jobs.js";
import { endAll, run, startService } from "./processes.js";
import { countWords } from "./words.js";

const MAPPERS = 4;
const REDUCERS = 3;
const APP_ID = "wordcount";

/** Every text file that is given, or lies below a folder that is. Ends this process when one is not there. */
async function textsAt(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    if (!existsSync(path)) {
      console.error(`there is no ${path}`);
      process.exit(1);
    }
    const isFolder = (await stat(path)).isDirectory();
    const entries = isFolder ? await readdir(path, { recursive: true, withFileTypes: true }) : [];
    const files = entries.filter((entry) => entry.isFile() && /\.(?:md|txt)$/.test(entry.name));
    found.push(...(isFolder ? files.map((entry) => join(entry.parentPath, entry.name)) : [path]));
  }
  return found;
}

async function timed<T>(work: () => Promise<T>): Promise<[T, seconds: string]> {
  const startedMs = performance.now();
  return [await work(), `${((performance.now() - startedMs) / 1_000).toFixed(2)} s`];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

// The package's own documents are text, too.
const own = ["README.md", "CHANGELOG.md", "docs"].map((name) =>
  fileURLToPath(new URL(name, import.meta.resolve("ringpost/package.json"))),
);
const given = process.argv.slice(2);
const files = await textsAt(given.length > 0 ? given : own);

let toldBy: NodeJS.Signals | null = null;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    toldBy = signal;
    void endAll();
  });
}
const folder = await mkdtemp(join(tmpdir(), "ringpost-wordcount-"));
try {
  const service = await startService(folder);
  // Each mapper writes one file, sorted by the reducer that its words belong to, tells the service, and ends.
  const mapJobs = Array.from({ length: MAPPERS }, (_, mapId): MapJob => {
    const mine = files.filter((_, index) => index % MAPPERS === mapId);
    const localDir = join(folder, `executor-${mapId}`);
    return {
      service,
      appId: APP_ID,
      execId: `executor-${mapId}`,
      mapId,
      localDir,
      files: mine,
      reducers: REDUCERS,
    };
  });
  const [mapped, mapTime] = await timed(() => Promise.all(mapJobs.map((job) => run<Mapped>("mapper", job))));
  const written = sum(mapped.map(({ bytes }) => bytes));
  console.log(`${MAPPERS} mappers read ${files.length} files and wrote ${MAPPERS * REDUCERS} blocks, ${written} bytes`);

  // Nobody is left but the service, which has never seen a word: it sends parts of files.
  const [reduced, reduceTime] = await timed(() =>
    Promise.all(
      Array.from({ length: REDUCERS }, (_, reduceId) => {
        const blocks = mapJobs.map(({ execId, mapId }): Block => ({ execId, id: `shuffle_0_${mapId}_${reduceId}` }));
        const job: ReduceJob = { service, appId: APP_ID, blocks };
        return run<Reduced>("reducer", job);
      }),
    ),
  );
  const fetched = sum(reduced.map(({ bytes }) => bytes));
  console.log(`${REDUCERS} reducers fetched them from the shuffle service, ${fetched} bytes`);

  const counts = new Map(reduced.flatMap((result) => result.counts));
  const [expected, oneTime] = await timed(async () => {
    const all = new Map<string, number>();
    for (const file of files) countWords(await readFile(file, "utf8"), all);
    return all;
  });
  const wrong = [...expected].filter(([word, count]) => counts.get(word) !== count);
  if (wrong.length > 0 || counts.size !== expected.size) {
    throw new Error(`${wrong.length} words were not counted as in one thread, such as ${JSON.stringify(wrong[0])}`);
  }
  console.log(`${sum([...counts.values()])} words, ${counts.size} different ones: as counted in one thread`);
  const top = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, 5);
  for (const [word, count] of top) console.log(word, count);
  console.error(`mappers ${mapTime}, reducers ${reduceTime}, one thread ${oneTime}`);
} catch (error) {
  // What fails then, fails because the others were ended.
  if (toldBy === null) throw error;
} finally {
  await endAll();
  await rm(folder, { recursive: true });
}
if (toldBy !== null) process.exitCode = 128 + constants.signals[toldBy as NodeJS.Signals];
