/** Counts the words of all Markdown files below a folder: main → parser, on any thread → tally, on one. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { RpcEnv } from "ringpost";

const folder = process.argv[2] ?? ".";
const names = await readdir(folder, { recursive: true }).catch((error: Error) => {
  console.error(`cannot read ${folder}: ${error.message}`);
  process.exit(1);
});

await using env = await RpcEnv.create({ name: "pipeline" });
const module = (name: string): URL => new URL(`./${name}.js`, import.meta.url);
const parser = await env.setupEndpoint<typeof import("./parser.js")>("parser", module("parser"));
const tally = await env.setupEndpoint<typeof import("./tally.js")>("tally", module("tally"));

const counts = await Promise.all(
  names
    .filter((name) => name.endsWith(".md") && !name.includes("node_modules"))
    .map(async (name) => parser.ask({ text: await readFile(join(folder, name), "utf8"), tally })),
);
// Each parser answered after it had sent its words, so they are in the tally's Inbox before this question.
const top = await tally.ask({ op: "top", count: 10 });
for (const [word, times] of top) console.log(word, times);
console.log(
  counts.reduce((total, count) => total + count, 0),
  "words in",
  counts.length,
  "files",
);
