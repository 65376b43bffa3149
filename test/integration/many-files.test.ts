/**
 * Goal: `await Promise.all(files.map((file) => ref.call.compress(file)))` just works for 20,000 files with the default
 * settings, whether messages carry paths or the bytes themselves: nothing is refused, every result is right.
 * Method: a child process, so that its peak memory is its own. Every result is checked by hash and by inflating it.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import type { ManyFilesReport } from "../fixtures/many-files-main.js";
import { printedRandom } from "../fixtures/random.js";

const run = promisify(execFile);

async function compressAll(form: "paths" | "bytes"): Promise<ManyFilesReport> {
  const { seed } = printedRandom(`many files, ${form}`);
  const main = fileURLToPath(fixtureUrl("many-files-main"));
  const { stdout } = await run(process.execPath, [main, form, String(seed)]);
  const report = JSON.parse(stdout) as ManyFilesReport;
  const { mebibytes, ms, peakRssMebibytes } = report;
  console.log(
    `${form}: ${mebibytes.toFixed(0)} MiB in ${(ms / 1_000).toFixed(1)} s, peak RSS ${peakRssMebibytes.toFixed(0)} MiB`,
  );
  return report;
}

test("20,000 files by path, all at once", async () => {
  const { files, wrong } = await compressAll("paths");
  expect([files, wrong]).toEqual([20_000, 0]);
});

test("20,000 files as bytes in the messages, some 200 MiB, all at once", async () => {
  const { files, wrong, mebibytes } = await compressAll("bytes");
  expect([files, wrong]).toEqual([20_000, 0]);
  expect(mebibytes).toBeGreaterThan(180);
});
