/** Goal: what the documents show as JavaScript is that for the oldest Node.js that is supported, which knows no `using`. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const documents = ["README.md", ...(await readdir(join(root, "docs"))).map((name) => join("docs", name))];

test.each(documents.filter((name) => name.endsWith(".md")))("every js block of %s can be parsed", async (name) => {
  const folder = await mkdtemp(join(tmpdir(), "ringpost-blocks-"));
  const path = join(folder, "block.mjs");
  try {
    const text = await readFile(join(root, name), "utf8");
    for (const [, block = ""] of text.matchAll(/^```js\b[^\n]*\n(.*?)^```$/gms)) {
      expect(block).not.toMatch(/\busing \w+ =/);
      await writeFile(path, block);
      await promisify(execFile)(process.execPath, ["--check", path]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
