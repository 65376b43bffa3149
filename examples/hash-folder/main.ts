/** Hashes every file below a folder on all cores; the threads tell the main thread how far they are. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { RpcEnv, ThreadSafeRpcEndpoint } from "ringpost";

class Progress extends ThreadSafeRpcEndpoint {
  bytes = 0;
  override receive(news: { bytes: number }): void {
    this.bytes += news.bytes;
    if (process.stderr.isTTY) process.stderr.write(`\r${(this.bytes / 1_048_576).toFixed(0)} MiB`);
  }
}

const folder = process.argv[2] ?? ".";
const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: Error) => {
  console.error(`cannot read ${folder}: ${error.message}`);
  process.exit(1);
});
const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));

await using env = await RpcEnv.create({ name: "hash-folder" });
// An instance instead of a module runs here, on the main thread.
const progress = new Progress();
const watcher = await env.setupEndpoint("progress", progress);
const hashes = await env.setupEndpoint<typeof import("./hash.service.js")>(
  "hashes",
  new URL("./hash.service.js", import.meta.url),
  { concurrency: 4 },
);

// However many files there are: what does not fit into the Inbox waits behind it.
const sums = await Promise.all(paths.map((path) => hashes.call.sha256(path, watcher)));
// Its backlog is handled before it is stopped.
await env.stop(watcher);

for (const [index, path] of paths.entries()) console.log(`${sums[index]}  ${path}`);
console.error(`\n${paths.length} files, ${progress.bytes} bytes`);
