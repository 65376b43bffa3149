/** A mapper: counts the words of its files, and writes them as Spark's sort shuffle writes its output. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ExternalBlockStoreClient, hashedPath, shuffleDataName, shuffleIndexName } from "ringpost/blocks";
import type { MapJob, Mapped } from "./jobs.js";
import { answer, readJob } from "./processes.js";
import { countWords, reducerOf, writeCounts } from "./words.js";

const SUB_DIRS = 64;

const { service, appId, execId, mapId, localDir, files, reducers } = await readJob<MapJob>();
const counts = new Map<string, number>();
for (const file of files) countWords(await readFile(file, "utf8"), counts);

// A block for each reducer, one behind the other; the index says where each begins, and where the last one ends.
const blocks = Array.from({ length: reducers }, (_, reducer) =>
  writeCounts([...counts].filter(([word]) => reducerOf(word, reducers) === reducer)),
);
const index = Buffer.alloc((reducers + 1) * 8);
let end = 0;
for (const [reducer, block] of blocks.entries()) {
  end += block.length;
  index.writeBigInt64BE(BigInt(end), (reducer + 1) * 8);
}
for (const [name, content] of [
  [shuffleDataName(0, mapId), Buffer.concat(blocks)],
  [shuffleIndexName(0, mapId), index],
] as const) {
  const path = hashedPath([localDir], SUB_DIRS, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

// From now on the service answers for this executor, which ends.
const client = new ExternalBlockStoreClient().init(appId);
await client.registerWithShuffleServer(service.host, service.port, execId, {
  localDirs: [localDir],
  subDirsPerLocalDir: SUB_DIRS,
  shuffleManager: "org.apache.spark.shuffle.sort.SortShuffleManager",
});
client.close();
answer<Mapped>({ bytes: end });
